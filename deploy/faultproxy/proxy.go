package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// connsMax bounds the connections at one time; what comes above it is closed at once and
// counted as cut.
const connsMax = 4096

// listenLimit bounds how long a listener that was closed may linger: a process that is being started has a copy of it
// until the system has made it the other program.
const listenLimit = 5 * time.Second

// Proxy passes TCP connections on to one target and breaks them when told. Its methods may
// be called from several goroutines.
type Proxy struct {
	target string         // immutable
	port   *heldPort      // immutable; ours also while nobody listens
	wg     sync.WaitGroup // accept loops and links

	mu        sync.Mutex // guards what follows
	detach    func() bool
	closed    bool
	listener  net.Listener // nil while connections are refused
	links     map[*link]struct{}
	drops     []*drop // armed, in order
	delay     time.Duration
	blackHole chan struct{} // nil without; closed when it ends
	counts    Counts
}

// Counts is what a proxy did since it was made.
type Counts struct {
	Accepted       int64 // connections
	Unreachable    int64 // connections closed because the target could not be reached
	Cut            int64 // connections ended by a fault
	DroppedReplies int64 // by DropNextReply
	DelayedPieces  int64
	SwallowedBytes int64 // by BlackHole, in both directions
	RequestBytes   int64 // passed on to the target
	ReplyBytes     int64 // passed on to clients
}

// drop is one DropNextReply.
type drop struct {
	match func(request []byte) bool
	done  chan struct{} // closed when the connection has been cut
}

// New starts a proxy on a free port of 127.0.0.1 for the target ("127.0.0.1:port"), which
// need not be up. It lives until ctx ends or Close is called.
func New(ctx context.Context, target string) (*Proxy, error) {
	port, err := holdPort()
	if err != nil {
		return nil, fmt.Errorf("fault proxy for %s: %w", target, err)
	}
	p := &Proxy{target: target, port: port, links: map[*link]struct{}{}}
	if err := p.listen(); err != nil {
		port.release()
		return nil, fmt.Errorf("fault proxy for %s: %w", target, err)
	}
	p.mu.Lock() // Close, which may run at once, must see detach
	defer p.mu.Unlock()
	p.detach = context.AfterFunc(ctx, p.Close)
	return p, nil
}

// ForTest is New for a test: it fails the test instead of returning an error, and ends with
// it.
func ForTest(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := New(context.WithoutCancel(t.Context()), target) // cleanups may still use it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Addr is where clients connect instead of to the target: "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.port.addr }

// Close ends the proxy and all its connections, and returns when nothing of it is left.
func (p *Proxy) Close() {
	p.mu.Lock()
	first, detach := !p.closed, p.detach
	p.closed = true
	p.mu.Unlock()
	if first {
		detach()
		p.unlisten()
		p.endLinks(false, everyLink)
	}
	p.wg.Wait()
	if first {
		p.port.release()
	}
}

// DropNextReply arms a fault for the next request that match accepts (nil: any): it is
// passed on and executed, its reply is dropped, and the connection is cut, so that the
// client cannot know the outcome. Replies of the same connection that are still under way
// are lost with it; requests behind it in the same connection are not executed. Each call
// arms one more; Heal disarms. The channel is closed when it has happened.
//
// match must not keep the bytes; it is called with the proxy locked and must not call it.
func (p *Proxy) DropNextReply(match func(request []byte) bool) <-chan struct{} {
	if match == nil {
		match = func([]byte) bool { return true }
	}
	d := &drop{match: match, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drops = append(p.drops, d)
	return d.done
}

// Cut ends all connections at once. New ones are accepted: see Refuse.
func (p *Proxy) Cut() { p.endLinks(true, everyLink) }

// Refuse makes the operating system refuse new connections, as when the server is down, and
// (false) accepts them again on the same port. Existing ones go on: see Cut.
func (p *Proxy) Refuse(on bool) {
	if on {
		p.unlisten()
		return
	}
	if err := p.listen(); err != nil {
		// The port is held by us: only a bug of this package comes here.
		panic(fmt.Sprintf("fault proxy: %v", err))
	}
}

// Delay makes every piece take d longer, each way: a round trip 2·d. Order and throughput
// stay. What a client sent before it gave up still arrives late, as in a real network. 0
// ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// BlackHole swallows everything, in both directions, without closing anything: not even the
// end of a connection passes. New connections are accepted and lead nowhere. When it ends
// (false), the connections that lost something by it are cut; the others go on.
func (p *Proxy) BlackHole(on bool) {
	p.mu.Lock()
	was := p.blackHole
	switch {
	case on && was == nil:
		p.blackHole = make(chan struct{})
	case !on && was != nil:
		p.blackHole = nil
	}
	p.mu.Unlock()
	if !on && was != nil {
		p.endLinks(true, func(l *link) bool { return l.swallowed })
		close(was)
	}
}

// Heal switches all faults off, armed ones too.
func (p *Proxy) Heal() {
	p.mu.Lock()
	p.drops = nil
	p.delay = 0
	p.mu.Unlock()
	p.BlackHole(false)
	p.Refuse(false)
}

// Counts is a copy of what the proxy did so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// count changes the counts under their lock.
func (p *Proxy) count(change func(c *Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.counts)
}

// listen accepts connections; it does nothing when that is so, or when the proxy is closed.
func (p *Proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.listener != nil {
		return nil
	}
	if err := p.port.share(true); err != nil {
		return err
	}
	l, err := net.Listen("tcp4", p.port.addr)
	for deadline := time.Now().Add(listenLimit); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		l, err = net.Listen("tcp4", p.port.addr)
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p.listener = l
	p.wg.Go(func() { p.accept(l) })
	return nil
}

func (p *Proxy) unlisten() {
	p.mu.Lock()
	defer p.mu.Unlock() // whoever listens again must not meet the end of this
	if p.listener != nil {
		_ = p.port.share(false) // before the listener goes; it does not fail on a socket of ours
		_ = p.listener.Close()
		p.listener = nil
	}
}

// accept serves l until it is closed.
func (p *Proxy) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // the client is gone again, or no descriptor is free
			time.Sleep(time.Millisecond)
			continue
		}
		link := newLink(p, conn)
		p.mu.Lock()
		full := p.closed || len(p.links) >= connsMax
		p.counts.Accepted++
		if full {
			p.counts.Cut++
		} else {
			p.links[link] = struct{}{}
			p.wg.Go(link.run)
		}
		p.mu.Unlock()
		if full {
			_ = conn.Close()
		}
	}
}

func everyLink(*link) bool { return true }

// endLinks ends the links that which accepts; it is asked with the proxy locked.
func (p *Proxy) endLinks(fault bool, which func(*link) bool) {
	p.mu.Lock()
	var chosen []*link
	for l := range p.links {
		if which(l) {
			chosen = append(chosen, l)
		}
	}
	p.mu.Unlock()
	for _, l := range chosen {
		l.end(fault)
	}
}

// takeDrop returns the first armed fault that accepts the request, disarmed, or nil.
func (p *Proxy) takeDrop(request []byte) *drop {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, d := range p.drops {
		if d.match(request) {
			p.drops = append(p.drops[:i:i], p.drops[i+1:]...)
			return d
		}
	}
	return nil
}
