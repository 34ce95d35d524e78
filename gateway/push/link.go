package push

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"walletd/journal/public"
)

// LinkPath is a projector's route for gateways of the same wallet; no gateway serves it.
const LinkPath = "/internal/pushes"

// LinkWallet names, in a header, the wallet that a gateway is of: another one has none of its accounts.
const LinkWallet = "Wallet-Name"

// Both ends send one gob value a message. A field that the other end does not know is passed over.
type (
	// ask is what a gateway wants.
	ask struct {
		Watch, Unwatch []string
		Since          *question
	}
	question struct {
		ID      uint64
		Account string
		Version uint64
		Limit   int
	}
	// tell is what a projector says. Without anything in it, it is there.
	tell struct {
		Partition int
		News      []public.News
		Answer    *answer
	}
	answer struct {
		ID      uint64
		News    []public.News
		TooMany bool
		Error   string
	}
)

const (
	linkSilence  = 5 * time.Second        // of either end: a message a second is due
	linkAgain    = 200 * time.Millisecond // between two tries
	linkQueueMax = 64 << 20               // bytes that wait for a gateway that does not read, about
	linkWatches  = 500                    // accounts named in one message
	linkAskMax   = 1 << 20                // bytes of a message to a projector
)

// Link is a Feed from a projector in another process. What is watched is watched again whenever the link is made anew.
type Link struct {
	url    string
	header http.Header
	log    *slog.Logger
	wake   chan struct{} // capacity 1: there is something to send

	mu      sync.Mutex // guards the rest
	watched map[string]Sink
	up      bool
	out     []ask
	open    map[uint64]chan answer
	last    uint64
}

// NewLink makes a link to a projector's ws:// address; Run keeps it.
func NewLink(url, token, wallet string, log *slog.Logger) *Link {
	h := http.Header{LinkWallet: {wallet}}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return &Link{url: url, header: h, log: log, wake: make(chan struct{}, 1), watched: map[string]Sink{}, open: map[uint64]chan answer{}}
}

// Watch implements Feed, as the methods below do: the account's version is told when the link is there.
func (l *Link) Watch(account string, to Sink) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watched[account] = to
	l.sendLocked(ask{Watch: []string{account}})
	return nil
}

// Unwatch implements Feed.
func (l *Link) Unwatch(account string, _ Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watched, account)
	l.sendLocked(ask{Unwatch: []string{account}})
}

// Since implements Feed.
func (l *Link) Since(ctx context.Context, account string, version uint64, limit int) ([]public.News, error) {
	reply := make(chan answer, 1)
	l.mu.Lock()
	if !l.up {
		l.mu.Unlock()
		return nil, errDown
	}
	l.last++
	id := l.last
	l.open[id] = reply
	l.sendLocked(ask{Since: &question{id, account, version, limit}})
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.open, id)
		l.mu.Unlock()
	}()
	select {
	case a, ok := <-reply:
		switch {
		case !ok:
			return nil, errDown
		case a.TooMany:
			return nil, ErrTooMany
		case a.Error != "":
			return nil, errors.New(a.Error)
		}
		return a.News, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("ask the projector: %w", ctx.Err())
	}
}

var errDown = errors.New("the projector does not answer")

func (l *Link) sendLocked(a ask) {
	if l.up {
		l.out = append(l.out, a)
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Run keeps the link until ctx ends.
func (l *Link) Run(ctx context.Context) error {
	said := ""
	for ctx.Err() == nil {
		if err := l.once(ctx); err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			l.log.Warn("the link to the projector is lost: pushes wait until it is made again", "projector", l.url, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(linkAgain):
		}
	}
	return nil
}

// once makes the link and serves it until it is lost.
func (l *Link) once(ctx context.Context) error {
	dialer := websocket.Dialer{HandshakeTimeout: linkSilence, Proxy: http.ProxyFromEnvironment}
	ws, reply, err := dialer.DialContext(ctx, l.url, l.header)
	if reply != nil {
		defer reply.Body.Close()
	}
	if err != nil {
		if reply != nil {
			return fmt.Errorf("%w: %s", err, reply.Status)
		}
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ws.Close() })
	defer stop()
	ended, written := make(chan struct{}), make(chan struct{})
	l.goUp()
	go func() {
		defer close(written)
		pump(ws, ended, l.wake, l.take)
	}()
	err = l.read(ws)
	l.goDown()
	close(ended)
	_ = ws.Close() // the writer notices
	<-written
	return err
}

func (l *Link) goUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = true
	var a ask
	for account := range l.watched {
		if a.Watch = append(a.Watch, account); len(a.Watch) == linkWatches {
			l.sendLocked(a)
			a = ask{}
		}
	}
	if len(a.Watch) > 0 {
		l.sendLocked(a)
	}
}

func (l *Link) goDown() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.out = false, nil
	for id, reply := range l.open {
		close(reply)
		delete(l.open, id)
	}
}

// pump sends what take answers whenever it is woken, and an empty message where there is long nothing to say, until the link has ended.
func pump[T any](ws *websocket.Conn, ended, wake <-chan struct{}, take func() []T) {
	alive := time.NewTicker(linkSilence / 5)
	defer alive.Stop()
	for {
		var out []T
		select {
		case <-ended:
			return
		case <-wake:
			out = take()
		case <-alive.C:
			out = make([]T, 1)
		}
		for i := range out {
			if send(ws, &out[i]) != nil {
				_ = ws.Close() // the reader notices
				<-ended
				return
			}
		}
	}
}

// take is what waits to be sent.
func (l *Link) take() []ask {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.out
	l.out = nil
	return out
}

func (l *Link) read(ws *websocket.Conn) error {
	for {
		var t tell
		if err := receive(ws, &t); err != nil {
			return err
		}
		if t.Answer != nil {
			l.mu.Lock()
			if reply := l.open[t.Answer.ID]; reply != nil {
				reply <- *t.Answer
				delete(l.open, t.Answer.ID)
			}
			l.mu.Unlock()
		}
		if len(t.News) == 0 {
			continue
		}
		l.mu.Lock()
		var to Sink // one gateway has one hub
		for _, to = range l.watched {
			break
		}
		l.mu.Unlock()
		if to != nil {
			to.Told(t.Partition, t.News)
		}
	}
}

func send[T any](ws *websocket.Conn, value *T) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(value); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_ = ws.SetWriteDeadline(time.Now().Add(linkSilence))
	return ws.WriteMessage(websocket.BinaryMessage, b.Bytes())
}

func receive[T any](ws *websocket.Conn, into *T) error {
	_ = ws.SetReadDeadline(time.Now().Add(linkSilence))
	_, b, err := ws.ReadMessage()
	if err != nil {
		return err
	}
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(into); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}
