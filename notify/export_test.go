package notify

import "net/http"

// UsesProxy says whether messages may go through a proxy.
func (s *Sender) UsesProxy() bool {
	for _, client := range []*http.Client{s.public, s.private} {
		if client.Transport.(*http.Transport).Proxy != nil {
			return true
		}
	}
	return false
}
