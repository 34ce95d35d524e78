package push

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"

	"walletd/journal/public"
)

// LinkServer answers other processes' gateways of the same wallet from a feed.
type LinkServer struct {
	feed   Feed
	wallet string
	up     websocket.Upgrader

	mu    sync.Mutex // guards the rest
	links map[*websocket.Conn]struct{}
	ended bool
	done  sync.WaitGroup
}

// NewLinkServer makes the handler of LinkPath.
func NewLinkServer(f Feed, wallet string) *LinkServer {
	return &LinkServer{feed: f, wallet: wallet, up: websocket.Upgrader{HandshakeTimeout: linkSilence}, links: map[*websocket.Conn]struct{}{}}
}

// ServeHTTP implements http.Handler.
func (l *LinkServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if asked := r.Header.Get(LinkWallet); asked != l.wallet {
		http.Error(w, "this projector is of wallet "+l.wallet+": see the gateway's projector_url", http.StatusForbidden)
		return
	}
	ws, err := l.up.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	ws.SetReadLimit(linkAskMax)
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		_ = ws.Close()
		return
	}
	l.links[ws] = struct{}{}
	l.done.Add(1)
	l.mu.Unlock()
	defer l.done.Done()
	s := &served{feed: l.feed, ws: ws, wake: make(chan struct{}, 1), watched: map[string]bool{}}
	s.serve()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.links, ws)
}

// Close ends all links, and waits for them: behind it the feed is not asked any more.
func (l *LinkServer) Close() {
	l.mu.Lock()
	l.ended = true
	for ws := range l.links {
		_ = ws.Close()
	}
	l.mu.Unlock()
	l.done.Wait()
}

// served is a gateway's link: the Sink of what it watches.
type served struct {
	feed    Feed
	ws      *websocket.Conn
	wake    chan struct{}
	watched map[string]bool // owned by serve

	mu     sync.Mutex // guards the rest
	out    []tell
	size   int // of out, bytes, about
	closed bool
}

// Told implements Sink. A gateway that does not read loses its link, and asks for what it has missed on the next.
func (s *served) Told(partition int, news []public.News) {
	s.queue(tell{Partition: partition, News: append([]public.News(nil), news...)}, 300*len(news))
}

func (s *served) queue(t tell, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.size += size; s.size > linkQueueMax {
		s.closed, s.out = true, nil
		_ = s.ws.Close()
	} else {
		s.out = append(s.out, t)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *served) serve() {
	ended, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		pump(s.ws, ended, s.wake, s.take)
	}()
	for {
		var a ask
		if receive(s.ws, &a) != nil {
			break
		}
		s.answer(&a)
	}
	for account := range s.watched {
		s.feed.Unwatch(account, s)
	}
	close(ended)
	_ = s.ws.Close()
	<-written
}

func (s *served) answer(a *ask) {
	for _, account := range a.Unwatch {
		delete(s.watched, account)
		s.feed.Unwatch(account, s)
	}
	for _, account := range a.Watch {
		s.watched[account] = true
		if s.feed.Watch(account, s) != nil {
			_ = s.ws.Close() // the gateway comes again
		}
	}
	if q := a.Since; q != nil {
		ctx, cancel := context.WithTimeout(context.Background(), sinceWithin)
		defer cancel()
		news, err := s.feed.Since(ctx, q.Account, q.Version, q.Limit)
		reply := &answer{ID: q.ID, News: news, TooMany: errors.Is(err, ErrTooMany)}
		if err != nil {
			reply.Error = err.Error()
		}
		s.queue(tell{Answer: reply}, 300*len(news))
	}
}

// take is what waits to be sent.
func (s *served) take() []tell {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out
	s.out, s.size = nil, 0
	return out
}
