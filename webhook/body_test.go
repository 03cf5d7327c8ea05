package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/webhook"
)

// forged is a well-formed signature of somebody who does not have the key.
func forged() string { return ordergroove.Sign(now, []byte("another body"), "another key") }

// Nothing of a body is read before its delivery has a well-formed signature.
func TestHeaderBeforeBody(t *testing.T) {
	t.Log("FAULT | bodies without a signature, or with a malformed one | I6 I11: not a byte of them is read")
	for _, test := range []struct {
		name    string
		headers []string
	}{
		{"missing", nil},
		{"repeated", []string{forged(), forged()}},
		{"malformed", []string{"ts=1,sig=xyz"}},
		{"too long", []string{strings.Repeat("a=b,", 300) + forged()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newReceiver(t)
			request := httptest.NewRequest(http.MethodPost, webhook.Path, unread{t})
			request.Header[ordergroove.SignatureHeader] = test.headers
			answer := httptest.NewRecorder()
			d.ServeHTTP(answer, request)
			if answer.Code != http.StatusUnauthorized || answer.Header().Get("Connection") != "close" {
				t.Errorf("answered %d, Connection %q", answer.Code, answer.Header().Get("Connection"))
			}
		})
	}
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// listenBare serves a receiver without any limits but its own.
func listenBare(t *testing.T, o webhook.Options) (*webhook.Receiver, string) {
	t.Helper()
	o.Keys = []string{key}
	o.Now = func() time.Time { return now }
	receiver, err := webhook.New(&inbox{}, o)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: receiver.Handler()}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return receiver, listener.Addr().String()
}

// post sends the beginning of a delivery with a signature, and answers its connection.
func post(t *testing.T, address, signature string, announced int, part []byte) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s: %s\r\n\r\n",
		webhook.Path, announced, ordergroove.SignatureHeader, signature)
	_, _ = c.Write(part) // it may be refused before it is through
	return c
}

// status is what a connection is answered, 0 where it is not within the time.
func status(c net.Conn, within time.Duration) int {
	_ = c.SetReadDeadline(time.Now().Add(within))
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// Forged deliveries whose bodies do not end take all the memory that large bodies may have. Small honest ones are
// stored meanwhile, and the others give the memory back when they are cut.
func TestBodiesInFlight(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | large bodies with forged signatures stall on many connections | I5 I11: small deliveries are stored," +
		" the others are cut after 4 s")
	receiver, address := listenBare(t, webhook.Options{InFlight: 1 << 20})
	part := bytes.Repeat([]byte("x"), 100<<10)
	var stalled []net.Conn
	for range 6 {
		stalled = append(stalled, post(t, address, forged(), 1<<20, part))
	}
	full := func() bool { return receiver.BytesInFlight() >= 6*7*(16<<10) } // seven buffers each
	for start := time.Now(); !full() && time.Since(start) < 3*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	if !full() {
		t.Fatalf("%d bytes in flight", receiver.BytesInFlight())
	}
	if got := status(post(t, address, forged(), 1<<20, part), 2*time.Second); got != http.StatusServiceUnavailable {
		t.Errorf("one large body more: answered %d, want 503", got)
	}
	body := []byte(`{"id":"e1","type":"order.success","created":1}`)
	honest := ordergroove.Sign(now, body, key)
	if got := status(post(t, address, honest, len(body), body), 2*time.Second); got != http.StatusOK {
		t.Errorf("a small delivery: answered %d, want 200", got)
	}
	if n := receiver.Refused(webhook.Overloaded); n != 1 {
		t.Errorf("%d refused as overloaded, want 1", n)
	}
	for _, c := range stalled {
		if got := status(c, 6*time.Second); got != http.StatusBadRequest {
			t.Errorf("a body that stalls: answered %d, want 400", got)
		}
	}
	if n := receiver.BytesInFlight(); n != 0 {
		t.Errorf("%d bytes in flight in the end", n)
	}
}

// Two thousand connections send a megabyte each.
func TestMemoryOfManyBodies(t *testing.T) {
	t.Log("FAULT | 2,000 connections send a megabyte each, unsigned or with a forged signature | I11: under 200 MB more" +
		" of memory")
	const connections = 2000
	raiseFileLimit(t, 2*connections+500)
	before := resident(t)
	part := bytes.Repeat([]byte("x"), 1<<20)
	for name, signature := range map[string]string{"unsigned": "", "forged": forged()} {
		receiver, address := listenBare(t, webhook.Options{})
		most := int64(0)
		ctx, stop := context.WithCancel(t.Context())
		var all, watching sync.WaitGroup
		watching.Go(func() {
			for ctx.Err() == nil {
				most = max(most, resident(t)-before)
				time.Sleep(5 * time.Millisecond)
			}
		})
		for range connections {
			all.Go(func() {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", webhook.Path, len(part))
				if signature != "" {
					fmt.Fprintf(c, "%s: %s\r\n", ordergroove.SignatureHeader, signature)
				}
				_, _ = c.Write([]byte("\r\n"))
				_, _ = c.Write(part[:len(part)-1]) // it never ends
				_, _ = io.Copy(io.Discard, c)
			})
		}
		all.Wait()
		stop()
		watching.Wait()
		if most > 200<<20 && !underRace {
			t.Errorf("%s: %d MB more resident, want under 200", name, most>>20)
		}
		t.Logf("%s: %d MB more resident; %d refused by signature, %d overloaded", name, most>>20,
			receiver.Refused(webhook.InvalidSignature), receiver.Refused(webhook.Overloaded))
	}
}

// resident is the memory of this process, in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("memory is measured where /proc is")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		t.Error(err)
	}
	return kilobytes << 10
}

func raiseFileLimit(t *testing.T, want uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < want {
		t.Skipf("only %d files may be open", limit.Max)
	}
	limit.Cur = max(limit.Cur, want)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Skip("the limit of open files cannot be raised")
	}
}
