package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// answerBytesMax bounds what one answer of the server may hold: a server sends
// no more than 1 MiB of data, and children lists here are short.
const answerBytesMax = 2 << 20

// handle is one connection of the library and the means to end it for certain.
type handle struct {
	zk     *zk.Conn
	loop   <-chan zk.Event // closed when the library's loop has ended
	authed chan struct{}   // closed when the credential has been accepted
	done   chan struct{}   // closed when authenticate has returned

	mu   sync.Mutex
	shut bool
	tcp  net.Conn // the latest
}

var errShut = errors.New("connection is being closed")

// open makes a new connection of the library, which connects by itself.
func (c *Conn) open() (*handle, error) {
	h := &handle{authed: make(chan struct{}), done: make(chan struct{})}
	conn, loop, err := zk.Connect(c.servers(), c.cfg.SessionTimeout,
		zk.WithLogger(libraryLog{c.log}), // not to the standard logger
		zk.WithLogInfo(false),            // errors are enough, and they are debug to us
		zk.WithDialer(h.dialer(c.cfg.dial, c.cfg.SessionTimeout)),
		zk.WithMaxBufferSize(answerBytesMax), // the default is unbounded
		zk.WithEventCallback(func(e zk.Event) { // the channel holds 6 events and drops the rest
			if e.Type == zk.EventSession {
				c.notify()
			}
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	h.zk, h.loop = conn, loop
	go h.authenticate(c)
	return h, nil
}

// authenticate presents the credential until it has been accepted once; from then
// on the library repeats it by itself whenever it connects.
func (h *handle) authenticate(c *Conn) {
	defer close(h.done)
	for c.cfg.User != "" {
		err := h.zk.AddAuth("digest", []byte(c.cfg.User+":"+c.cfg.Password))
		if err == nil {
			break
		}
		if h.closing() {
			return
		}
		c.log.Debug("zookeeper credential not accepted yet", "error", err)
		c.sleep(context.Background(), heartbeatEvery)
	}
	close(h.authed)
	c.notify()
}

// close ends the session if the server answers within a second or so, else only
// the connection, and returns when the library's goroutines are gone.
func (h *handle) close() {
	h.mu.Lock()
	h.shut = true
	h.mu.Unlock()
	h.zk.Close()
	h.mu.Lock()
	if h.tcp != nil {
		_ = h.tcp.Close() // Close of the library waits for the server; this does not
	}
	h.mu.Unlock()
	for range h.loop { // drained until the library closes it, at its very end
	}
	<-h.done
}

func (h *handle) closing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shut
}

// dialer makes connections whose reads always have an end and that close can cut.
func (h *handle) dialer(dial zk.Dialer, readMax time.Duration) zk.Dialer {
	if dial == nil {
		dial = net.DialTimeout
	}
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		if h.closing() {
			return nil, errShut
		}
		conn, err := dial(network, address, timeout)
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.shut {
			_ = conn.Close()
			return nil, errShut
		}
		h.tcp = conn
		return boundedConn{conn, readMax}, nil
	}
}

// boundedConn cuts read deadlines down to a session timeout. The library lets a
// server that accepts and stays silent (a frozen process) take seven session
// timeouts for the handshake before it tries the next one, and its body for ever.
type boundedConn struct {
	net.Conn
	readMax time.Duration
}

func (b boundedConn) SetReadDeadline(t time.Time) error {
	if latest := time.Now().Add(b.readMax); t.IsZero() || t.After(latest) {
		t = latest
	}
	return b.Conn.SetReadDeadline(t)
}

// libraryLog sends the library's messages to debug: what matters of them is said
// by this package, once.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(format string, args ...any) {
	l.log.Debug("zookeeper client", "message", fmt.Sprintf(format, args...))
}
