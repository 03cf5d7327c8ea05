package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The checks in this file return what is wrong with a value and what would be right, or "".

func (r *reader) firstShipment(v string) string {
	return r.oneOf(v,
		"checkout (the checkout order is shipment 1)",
		"recurring (the first recurring order is shipment 1)")
}

func (r *reader) prepaidRenewal(v string) string {
	return r.oneOf(v,
		"cancel (a prepaid subscription ends with its paid orders)",
		"keep (its renewal behavior is not changed)")
}

func (r *reader) onCompleteWord(v string) string {
	return r.oneOf(v,
		"cancel (hide and cancel the subscription)",
		"renew (start a new term)",
		"release (continue without a term)",
		"{ swap: { sku: PRODUCT } } (continue as another product)")
}

func (r *reader) onReactivation(v string) string {
	return r.oneOf(v,
		"block (hide and cancel it again)",
		"new_term (start a new term)",
		"release (continue without a term)")
}

func (r *reader) onSwap(v string) string {
	return r.oneOf(v, "keep (shipments already made count)", "restart (the new term starts from zero)")
}

func (r *reader) migrate(v string) string {
	return r.oneOf(v, "auto (at every start)", "manual (with termed migrate up)")
}

func (r *reader) mode(v string) string {
	return r.oneOf(v, "live (subscriptions are written and ended)", "observe (nothing is changed at Ordergroove)")
}

func (r *reader) boolean(v string) string {
	return r.oneOf(v, "true", "false")
}

// oneOf checks a word against the first words of the choices, each of which goes on to explain itself.
func (r *reader) oneOf(v string, choices ...string) string {
	r.choices = choices
	for _, choice := range choices {
		if word, _, _ := strings.Cut(choice, " "); v == word && word != "{" {
			return ""
		}
	}
	last := len(choices) - 1
	return fmt.Sprintf("invalid value %q; write %s or %s", v, strings.Join(choices[:last], ", "), choices[last])
}

func (r *reader) address(v string) string {
	_, port, err := net.SplitHostPort(v)
	if err != nil || port == "" {
		return fmt.Sprintf("invalid address %q; write host:port, for example 127.0.0.1:8080 or :8080", v)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("invalid port %q; write a number from 1 to 65535", port)
	}
	return ""
}

// sameAddress says that two listeners cannot both be opened. Port 0 is a free port for each.
func sameAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return canonical(hostA) == canonical(hostB) || everyAddress(hostA) || everyAddress(hostB)
}

func canonical(host string) string {
	if host == "localhost" {
		return "127.0.0.1"
	}
	return host
}

// everyAddress says that a listener on the host receives what is sent to any address of the machine.
func everyAddress(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "" || err == nil && address.IsUnspecified()
}

// blanks is what is wrong with a SKU that could never match one of Ordergroove's.
func blanks(sku string) string {
	if strings.TrimSpace(sku) == sku {
		return ""
	}
	return fmt.Sprintf("SKU %q begins or ends with a blank; remove it", sku)
}

const postgresURL = "postgres://user@host/database"

func (r *reader) database(v string) string {
	scheme, _, isURL := strings.Cut(v, "://")
	if !isURL || scheme == "sqlite" {
		return ""
	}
	if !slices.Contains([]string{"postgres", "postgresql"}, scheme) {
		return fmt.Sprintf("unsupported database %q; write a file name for SQLite, or "+postgresURL, scheme)
	}
	if _, err := url.Parse(v); err != nil {
		return "invalid PostgreSQL URL; write " + postgresURL // v may contain a password
	}
	return ""
}

// apiURL does not quote the URL, because it may contain a password.
func (r *reader) apiURL(v string) string {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "invalid URL; write https://restapi.ordergroove.com"
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "the URL has more than a scheme and a host; write https://restapi.ordergroove.com, termed adds the paths"
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return fmt.Sprintf("http would send the API key to %s unencrypted; write https://%s", u.Hostname(), u.Host)
	}
	return ""
}

// webhookURL checks where Ordergroove sends its webhooks.
func (r *reader) webhookURL(v string) string {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
		return "invalid URL; write https://your-host/webhooks/ordergroove"
	}
	return ""
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
