package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"walletd/gateway/push"
	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// Close codes of the wallet (surface, "WebSocket"): up to 4499 clients reconnect, from 4500 on they do not.
const (
	closeSlowConsumer   = 4001
	closeSilent         = 4002 // no answer to two pings
	closeInterrupted    = 4003 // pushes that are owed cannot be had here
	closeConnectTimeout = 4408
	closeBadToken       = 4500
)

var noDeadline time.Time

// session is one WebSocket connection: a goroutine that reads and stages, one that writes, and the lanes' goroutines
// that settle replies into its buffer.
type session struct {
	s    *Server
	ws   *websocket.Conn
	id   string
	wake chan struct{} // capacity 1: there is something to write, or the session has ended
	done chan struct{} // closed when the session ends

	// owned by the reader
	msg       *wire.Message
	in        []byte
	stage     *rows.Stage
	connected bool

	lastRead atomic.Int64 // unix nanoseconds
	pings    atomic.Int64 // sent and not answered yet

	mu     sync.Mutex // guards the rest
	out    []byte     // replies, joined by '\n', not written yet
	slots  []slot
	free   []uint32
	used   int
	idle   chan struct{}                 // closed when used falls to 0 while draining
	subs   map[string]*push.Subscription // by channel
	pushed int                           // bytes of pushes in out
	closed bool
	code   int
}

// slot is one act under way.
type slot struct {
	message uint64
	id      journal.ID // of the transfer or reservation
	batch   *batch
	index   int
	ask     *ask // what the reply needs besides; nil for transfers
}

// ask is what the reply to a balance, reserve, confirm, cancel or subscribe needs.
type ask struct {
	account string
	reserve *wire.ReservationReply
	opens   *push.Subscription // a subscribe
}

// batch is one batch under way.
type batch struct {
	message uint64
	items   []wire.ShortReply
	left    int
}

func (s *Server) serveWS(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		writeProblem(w, &wire.Problem{Code: "draining"})
		return
	}
	authorized := s.cfg.Token == "" || s.authenticate(r, "ws") == nil
	if r.Header.Get("Authorization") != "" && !authorized {
		writeProblem(w, &wire.Problem{Code: "unauthenticated"})
		return
	}
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	id, err := uuid.NewV7()
	if err != nil {
		_ = ws.Close()
		return
	}
	ss := &session{s: s, ws: ws, id: id.String(), wake: make(chan struct{}, 1), done: make(chan struct{}),
		msg: wire.NewMessage(s.cfg.Assets), stage: s.tcc.Stage()}
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		ss.code = websocket.CloseServiceRestart
		ss.sayGoodbye()
		return
	}
	s.sessions[ss] = struct{}{}
	s.ended.Add(1)
	s.mu.Unlock()
	s.cfg.Metrics.wsConnections.Inc()
	defer s.ended.Done()

	written := make(chan struct{})
	go func() {
		defer close(written)
		ss.write()
	}()
	ss.read(authorized)
	ss.end(websocket.CloseAbnormalClosure)
	<-written
	ss.closeSubscriptions()
	s.mu.Lock()
	delete(s.sessions, ss)
	s.mu.Unlock()
	s.cfg.Metrics.disconnected(ss.code)
}

// read is the session's reader: it returns when the connection has ended.
func (ss *session) read(authorized bool) {
	ss.ws.SetReadLimit(wire.BodyMax)
	if hook, ok := ss.ws.NetConn().(*hookConn); ok {
		hook.beforeRead = ss.flush
		defer func() { hook.beforeRead = nil }()
	}
	_ = ss.ws.SetReadDeadline(time.Now().Add(ss.s.cfg.ConnectTimeout))
	for {
		kind, r, err := ss.ws.NextReader()
		if err == nil {
			ss.in, err = readAll(ss.in[:0], r)
		}
		if err != nil {
			ss.readFailed(err)
			return
		}
		ss.lastRead.Store(time.Now().UnixNano())
		if kind != websocket.TextMessage {
			ss.end(websocket.CloseUnsupportedData)
			return
		}
		for rest := ss.in; ; {
			line, next, ok := wire.NextLine(rest)
			if !ok {
				break
			}
			rest = next
			if !ss.handle(line, authorized) {
				return
			}
		}
		if _, ok := ss.ws.NetConn().(*hookConn); !ok {
			ss.flush()
		}
	}
}

func readAll(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

func (ss *session) readFailed(err error) {
	var timeout net.Error
	switch {
	case !ss.connected && (errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()):
		ss.end(closeConnectTimeout)
	case errors.Is(err, websocket.ErrReadLimit):
		ss.end(websocket.CloseMessageTooBig) // the library has said so to the client
	}
}

// flush hands over what has been staged; it runs on the reader, just before a read that may block.
func (ss *session) flush() {
	if n := ss.stage.Rows(); n > 0 {
		ss.s.cfg.Metrics.inFlight.Add(float64(n))
		ss.s.tcc.Submit(ss.stage)
		ss.stage = ss.s.tcc.Stage()
	}
}

// write is the session's writer: one frame for everything that waits, a ping now and then.
func (ss *session) write() {
	ping := time.NewTicker(ss.s.cfg.PingEvery)
	defer ping.Stop()
	var buf []byte
	for {
		select {
		case <-ss.wake:
		case <-ss.done:
		case now := <-ping.C:
			if now.UnixNano()-ss.lastRead.Load() > int64(2*ss.s.cfg.PingEvery+ss.s.cfg.PingEvery/2) {
				ss.end(closeSilent)
			}
			ss.pings.Add(1)
			ss.reply(func(dst []byte) []byte { return append(dst, wire.Ping...) })
		}
		ss.mu.Lock()
		buf, ss.out = ss.out, buf[:0]
		closed, pushed := ss.closed, ss.pushed
		ss.pushed = 0
		ss.mu.Unlock()
		if len(buf) > 0 && !ss.writeFrames(buf) {
			ss.end(websocket.CloseAbnormalClosure)
			closed = true
		}
		if pushed > 0 {
			ss.s.unsent.Add(-int64(pushed))
			if cap(buf) > pushBufferKept {
				buf = nil
			}
		}
		if closed {
			ss.sayGoodbye()
			return
		}
	}
}

// writeFrames writes replies in frames of at most 1 MiB, cut between messages.
func (ss *session) writeFrames(buf []byte) bool {
	for len(buf) > 0 {
		n := len(buf)
		if n > wire.BodyMax {
			for n = wire.BodyMax; n > 0 && buf[n-1] != '\n'; n-- {
			}
			if n == 0 {
				n = len(buf) // one message above the limit: a batch of the largest replies
			}
		}
		frame := buf[:n]
		buf = buf[n:]
		if frame[len(frame)-1] == '\n' {
			frame = frame[:len(frame)-1]
		}
		_ = ss.ws.SetWriteDeadline(time.Now().Add(ss.s.cfg.WriteTimeout))
		if err := ss.ws.WriteMessage(websocket.TextMessage, frame); err != nil {
			return false
		}
	}
	return true
}

func (ss *session) sayGoodbye() {
	ss.mu.Lock()
	code := ss.code
	ss.mu.Unlock()
	if code != websocket.CloseAbnormalClosure {
		msg := websocket.FormatCloseMessage(code, closeText[code])
		_ = ss.ws.WriteControl(websocket.CloseMessage, msg, time.Now().Add(time.Second))
	}
	_ = ss.ws.Close()
}

var closeText = map[int]string{
	closeSlowConsumer: "slow consumer: read faster", closeInterrupted: "pushes interrupted: reconnect and subscribe with since", closeSilent: "no answer to two pings", closeConnectTimeout: "no connect in time",
	closeBadToken: "bad token", websocket.CloseUnsupportedData: "this subprotocol speaks text", websocket.CloseServiceRestart: "draining: reconnect",
	websocket.CloseMessageTooBig: "message above 1 MiB",
}

// end closes the session, the first reason wins: the writer sends what waits, says goodbye and closes the connection,
// upon which the reader returns.
func (ss *session) end(code int) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return
	}
	ss.closed, ss.code = true, code
	close(ss.done)
}

// reply appends one message to what waits to be written.
func (ss *session) reply(appendTo func([]byte) []byte) {
	ss.mu.Lock()
	ss.out = append(appendTo(ss.out), '\n')
	ss.wakeLocked()
	ss.mu.Unlock()
}

// wakeLocked wakes the writer, and cuts a session that does not read its replies.
func (ss *session) wakeLocked() {
	if len(ss.out) > ss.s.cfg.OutboundMax {
		ss.cutLocked(closeSlowConsumer)
	}
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// cutLocked ends the session at once: what waits is forgotten.
func (ss *session) cutLocked(code int) {
	if ss.closed {
		return
	}
	ss.closed, ss.code = true, code
	ss.out = ss.out[:0]
	ss.s.unsent.Add(-int64(ss.pushed))
	ss.pushed = 0
	close(ss.done)
	_ = ss.ws.NetConn().SetWriteDeadline(time.Now()) // a writer that is stuck gives up
}

// drain lets the session's acts finish for as long as ctx lasts and then ends it.
func (ss *session) drain(ctx context.Context) {
	ss.mu.Lock()
	idle := make(chan struct{})
	if ss.used == 0 {
		close(idle)
	} else {
		ss.idle = idle
	}
	ss.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	ss.end(websocket.CloseServiceRestart)
}
