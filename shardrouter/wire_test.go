package shardrouter

import (
	"encoding/binary"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// wire is a cable between a client and a server that can be cut without either
// noticing: cut, bytes wait, and connections are accepted and stay silent.
type wire struct {
	addr string

	deaf atomic.Bool // the server's watch events do not arrive

	mu    sync.Mutex
	open  chan struct{} // closed while bytes flow
	ended bool
	conns []net.Conn
	ln    net.Listener
	wg    sync.WaitGroup
}

func newWire(t testing.TB, target string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: ln.Addr().String(), open: make(chan struct{}), ln: ln}
	close(w.open)
	w.wg.Add(1)
	go w.accept(target)
	t.Cleanup(w.end)
	return w
}

func (w *wire) accept(target string) {
	defer w.wg.Done()
	for {
		in, err := w.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", target)
		if err != nil {
			_ = in.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, in, out)
		if w.ended {
			_, _ = in.Close(), out.Close()
		}
		w.wg.Add(2)
		w.mu.Unlock()
		go w.pump(in, out, false)
		go w.pump(out, in, true)
	}
}

// pump carries bytes one way. What the server says is carried packet by packet:
// a length, then a number that is -1 for a watch event.
func (w *wire) pump(from, to net.Conn, packets bool) {
	defer w.wg.Done()
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		var n int
		var err error
		if packets {
			buf, err = packet(from)
			n = len(buf)
		} else {
			n, err = from.Read(buf)
		}
		if err != nil {
			return
		}
		w.mu.Lock()
		open := w.open
		w.mu.Unlock()
		<-open
		if packets && w.deaf.Load() && n >= 8 && binary.BigEndian.Uint32(buf[4:]) == math.MaxUint32 {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func packet(from io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head))
	_, err := io.ReadFull(from, body)
	return append(head, body...), err
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = make(chan struct{})
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.open:
	default:
		close(w.open)
	}
}

// drop ends all connections, as a restarted switch does; new ones work.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func (w *wire) end() {
	_ = w.ln.Close()
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.mend()
	w.drop()
	w.wg.Wait()
}
