package notify_test

import (
	"testing"

	"github.com/termed/termed/notify"
)

// A proxy of the environment would connect to the internal addresses that the sender refuses.
func TestNoProxy(t *testing.T) {
	if notify.NewSender(nil, notify.Options{}).UsesProxy() {
		t.Error("messages go through a proxy")
	}
}
