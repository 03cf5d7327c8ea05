package webhook

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// bodyWithin is how long a body may take to arrive, once the headers have: a sender that stalls holds memory.
	bodyWithin = 4 * time.Second
	// smallBody is the size of ordinary deliveries. A part of the memory for bodies is theirs alone.
	smallBody    = 64 << 10
	bufferSize   = 16 << 10
	reservedPart = 4 // a fourth is reserved for small bodies
)

// errOverloaded says that the bodies that are being read take all the memory that there is for them.
var errOverloaded = errors.New("too many bytes of bodies are in flight")

// memory bounds the bytes of bodies in flight, of all connections together: counted as they arrive, until their
// delivery is answered.
type memory struct {
	most int64

	mu    sync.Mutex
	used  int64
	large int64 // of used, by bodies that are not small
}

// grow takes memory for a body that had some before, or takes none and says false.
func (m *memory) grow(had, size int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := m.used + size - had
	large := m.large + largePart(size) - largePart(had)
	// safeguard: bodies-in-flight
	if used > m.most || large > m.most-m.most/reservedPart {
		return false
	}
	m.used, m.large = used, large
	return true
}

func (m *memory) release(size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= size
	m.large -= largePart(size)
}

func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// largePart is how much of a body of a size counts as large: all of it, or nothing.
func largePart(size int64) int64 {
	if size <= smallBody {
		return 0
	}
	return size
}

// body is what was read of a body, in buffers that are used again: what nobody has signed leaves no garbage behind.
type body struct {
	memory  *memory
	buffers []*buffer
	size    int
}

type buffer [bufferSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// read reads a body to its end. It takes memory as bytes arrive, whatever length was announced.
func (b *body) read(from io.Reader) error {
	for {
		if b.size == len(b.buffers)*bufferSize {
			held := int64(b.size)
			if !b.memory.grow(held, held+bufferSize) {
				return errOverloaded
			}
			b.buffers = append(b.buffers, buffers.Get().(*buffer))
		}
		last := b.buffers[len(b.buffers)-1]
		n, err := from.Read(last[b.size%bufferSize:])
		b.size += n
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// parts are the bytes that were read.
func (b *body) parts() [][]byte {
	var parts [][]byte
	for left := b.size; left > 0; left -= bufferSize {
		parts = append(parts, b.buffers[len(parts)][:min(left, bufferSize)])
	}
	return parts
}

// bytes copies what was read.
func (b *body) bytes() []byte { return bytes.Join(b.parts(), nil) }

// release gives the memory back.
func (b *body) release() {
	b.memory.release(int64(len(b.buffers)) * bufferSize)
	for _, p := range b.buffers {
		buffers.Put(p)
	}
	b.buffers, b.size = nil, 0
}

// cutStalled ends the reading of a request whose body does not arrive in time.
func cutStalled(w http.ResponseWriter) {
	// safeguard: stalled-body
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWithin)) // a recorder has none
}
