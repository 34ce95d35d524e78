package faultproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	pieceBytes  = 64 << 10 // read at once
	piecesMax   = 64       // under way in one direction of a connection
	windowBytes = 1 << 20  // of a plain request that match gets to see
	dialLimit   = 5 * time.Second
)

// link is one connection and its other half to the target.
//
//	client ── readRequests ──> toServer ── deliver ──> server
//	       <── deliver ── toClient <── readReplies ──
type link struct {
	p      *Proxy
	client net.Conn
	done   chan struct{} // closed by end

	toServer, toClient chan piece

	mu     sync.Mutex // guards server, and sinceReply
	server net.Conn   // nil before it is dialled
	window []byte     // plain connections: what the client sent since the server last spoke

	// dropping is set together with the sending of the request that it is about.
	dropMu   sync.Mutex
	dropping *drop
	resp     bool // how the end of that request's execution is told

	once      sync.Once
	swallowed bool // guarded by p.mu: a black hole took something of it
}

// piece is what one side sent.
type piece struct {
	bytes []byte
	due   time.Time // not to be delivered before

	drop *drop // this request's reply is to be dropped
	resp bool

	end   bool // the side will send no more
	reset bool // and the connection broke
}

func newLink(p *Proxy, client net.Conn) *link {
	return &link{p: p, client: client, done: make(chan struct{}),
		toServer: make(chan piece, piecesMax), toClient: make(chan piece, piecesMax)}
}

// run serves the connection until it ends.
func (l *link) run() {
	defer func() {
		l.end(false)
		l.p.mu.Lock()
		delete(l.p.links, l)
		l.p.mu.Unlock()
	}()
	if hole := l.p.swallow(l, 0); hole != nil {
		l.leadNowhere(hole)
		return
	}
	server, err := net.DialTimeout("tcp", l.p.target, dialLimit)
	if err != nil {
		l.p.count(func(c *Counts) { c.Unreachable++ })
		return
	}
	if !l.adopt(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(l.readRequests)
	both.Go(l.readReplies)
	var ways sync.WaitGroup
	ways.Go(func() { l.deliver(l.toServer, server, func(c *Counts, n int64) { c.RequestBytes += n }) })
	ways.Go(func() { l.deliver(l.toClient, l.client, func(c *Counts, n int64) { c.ReplyBytes += n }) })
	ways.Wait()
	l.end(false) // both ways have ended: the readers have nothing left to read
	both.Wait()
}

// adopt makes server the other half, unless the link has ended meanwhile.
func (l *link) adopt(server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		_ = server.Close()
		return false
	default:
		l.server = server
		return true
	}
}

// end closes both halves; by a fault or because the connection is over.
func (l *link) end(fault bool) {
	l.once.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.done)
		_ = l.client.Close()
		if l.server != nil {
			_ = l.server.Close()
		}
		if fault {
			l.p.count(func(c *Counts) { c.Cut++ })
		}
	})
}

// readRequests reads the client, request by request.
func (l *link) readRequests() {
	var split splitter
	buf := make([]byte, pieceBytes)
	for {
		n, err := l.client.Read(buf)
		requests := split.add(buf[:n])
		if err != nil {
			requests = append(requests, split.rest()...)
		}
		for _, request := range requests {
			seen := request
			if !split.resp {
				seen = l.grow(request)
			}
			d := l.p.takeDrop(seen)
			if !l.send(l.toServer, piece{bytes: request, drop: d, resp: split.resp}) || d != nil && split.resp {
				return
			}
		}
		if err != nil {
			l.send(l.toServer, piece{end: true, reset: !errors.Is(err, io.EOF)})
			return
		}
	}
}

// readReplies reads the server.
func (l *link) readReplies() {
	buf := make([]byte, pieceBytes)
	for {
		n, err := l.server.Read(buf)
		if n > 0 {
			l.shrink()
		}
		// In RESP the server was told that nothing more comes: it has executed everything
		// when it closes the connection. Else the first byte tells.
		if d, resp := l.toDrop(); d != nil {
			if err == nil && (resp || n == 0) {
				continue
			}
			l.end(true)
			l.p.count(func(c *Counts) { c.DroppedReplies++ })
			close(d.done)
			return
		}
		if n > 0 && !l.send(l.toClient, piece{bytes: append([]byte(nil), buf[:n]...)}) {
			return
		}
		if err != nil {
			l.send(l.toClient, piece{end: true, reset: !errors.Is(err, io.EOF)})
			return
		}
	}
}

// send queues a piece; false when the link has ended.
func (l *link) send(way chan<- piece, p piece) bool {
	if delay := l.p.delayNow(); delay > 0 {
		p.due = time.Now().Add(delay)
	}
	select {
	case way <- p:
		return true
	case <-l.done:
		return false
	}
}

// deliver writes the pieces of one way, each when it is due, until that way or the link ends.
func (l *link) deliver(way <-chan piece, to net.Conn, add func(*Counts, int64)) {
	for {
		var p piece
		select {
		case p = <-way:
		case <-l.done:
			return
		}
		if !l.awaitDue(p.due) {
			return
		}
		if hole := l.p.swallow(l, len(p.bytes)); hole != nil {
			if p.end { // not even that passes
				l.awaitEndOf(hole)
				return
			}
			continue
		}
		if p.end {
			if p.reset || closeWrite(to) != nil {
				l.end(false)
			}
			return
		}
		if l.write(to, p) != nil {
			l.end(false)
			return
		}
		l.p.count(func(c *Counts) { add(c, int64(len(p.bytes))) })
	}
}

// write writes one piece. With the request whose reply is to be dropped the reader of
// replies learns of it, not before the request is on its way.
func (l *link) write(to net.Conn, p piece) error {
	if p.drop == nil {
		_, err := to.Write(p.bytes)
		return err
	}
	l.dropMu.Lock()
	defer l.dropMu.Unlock()
	l.dropping, l.resp = p.drop, p.resp
	_, err := to.Write(p.bytes)
	if err == nil && p.resp {
		err = closeWrite(to)
	}
	return err
}

func (l *link) toDrop() (d *drop, resp bool) {
	l.dropMu.Lock()
	defer l.dropMu.Unlock()
	return l.dropping, l.resp
}

// awaitDue waits for the time of a delayed piece; false when the link has ended.
func (l *link) awaitDue(due time.Time) bool {
	if due.IsZero() {
		return true
	}
	l.p.count(func(c *Counts) { c.DelayedPieces++ })
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

// leadNowhere swallows what the client sends until the black hole ends, which cuts the link.
func (l *link) leadNowhere(hole <-chan struct{}) {
	buf := make([]byte, pieceBytes)
	for {
		n, err := l.client.Read(buf)
		l.p.count(func(c *Counts) { c.SwallowedBytes += int64(n) })
		if err != nil {
			l.awaitEndOf(hole)
			return
		}
	}
}

func (l *link) awaitEndOf(hole <-chan struct{}) {
	select {
	case <-hole:
		l.end(true)
	case <-l.done:
	}
}

// grow adds to the window of a plain connection and returns all of it.
func (l *link) grow(b []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window = append(l.window, b[:min(len(b), windowBytes-len(l.window))]...)
	return l.window
}

// shrink empties the window: the server spoke.
func (l *link) shrink() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window = nil
}

// swallow tells whether a black hole takes n bytes of l: the channel is closed when it ends.
func (p *Proxy) swallow(l *link, n int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blackHole != nil {
		l.swallowed = true
		p.counts.SwallowedBytes += int64(n)
	}
	return p.blackHole
}

func (p *Proxy) delayNow() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

func closeWrite(c net.Conn) error { return c.(*net.TCPConn).CloseWrite() }
