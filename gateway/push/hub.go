package push

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/public"
)

// Sink hears of the accounts that it watches. Told returns at once and does not keep the slice.
type Sink interface {
	Told(partition int, news []public.News)
}

// Feed is where news of accounts comes from: the projection, here or in another process.
type Feed interface {
	// Watch begins to tell a sink of an account: at once, or as soon as the feed is reached, which version it has.
	Watch(account string, to Sink) error
	Unwatch(account string, to Sink)
	// Since answers every event of an account behind a version that is folded, oldest first. Errors: ErrTooMany: there are more than
	// limit; others: it cannot be told now.
	Since(ctx context.Context, account string, version uint64, limit int) ([]public.News, error)
}

// ErrTooMany says that more events are asked for than are told at once.
var ErrTooMany = errors.New("more events than are told at once")

// ErrFull says that the gateway has no room for another subscription.
var ErrFull = errors.New("too many subscriptions")

// Outlet is where a subscriber's messages go. All calls return at once and do not call the Hub.
type Outlet interface {
	// Push takes messages, each ended by '\n'; pushes says how many of them are pushes. The bytes are the caller's again.
	Push(messages []byte, pushes int)
	// Answered says that the subscribe of that tag has its reply: the subscription stands, or is closed.
	Answered(tag uint64, stands bool)
	// Cut ends the session for want of what it is owed.
	Cut()
}

// Config says what a hub works with. Zeros take the defaults.
type Config struct {
	Partitions int
	Assets     journal.Assets
	Feed       Feed
	// Name finds an account's id that the feed does not know.
	Name   func(ctx context.Context, account journal.Handle) (string, error)
	Logger *slog.Logger

	SubscriptionsMax int           // 200,000
	ResumeMax        int           // events that are told at once to who resumes, or has a gap: 1,000
	GiveUp           time.Duration // how long an event that is owed may be out of reach: 10 s
}

func (c *Config) withDefaults() {
	if c.SubscriptionsMax == 0 {
		c.SubscriptionsMax = 200_000
	}
	if c.ResumeMax == 0 {
		c.ResumeMax = 1000
	}
	if c.GiveUp == 0 {
		c.GiveUp = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

// Hub has the subscriptions of one gateway. All methods may be called from several goroutines.
type Hub struct {
	cfg   Config
	parts []*part
	jobs  jobs

	count   atomic.Int64 // subscriptions
	pushed  atomic.Uint64
	filled  atomic.Uint64
	resumed atomic.Uint64
	fresh   atomic.Uint64
	cut     atomic.Uint64
}

// part is a partition's topics.
type part struct {
	mu     sync.Mutex // guards topics, all that is in them, and line
	topics map[journal.Handle]*topic
	line   []byte // scratch

	feeding sync.Mutex                // held while the feed is told whom to watch; before mu
	watched map[journal.Handle]*topic // whose sake the feed was last told for
}

// topic is an account that somebody has subscribed to.
type topic struct {
	last uint64 // the newest version that is known of
	subs []*Subscription
}

// New makes a hub.
func New(cfg Config) *Hub {
	cfg.withDefaults()
	h := &Hub{cfg: cfg}
	for range cfg.Partitions {
		h.parts = append(h.parts, &part{topics: map[journal.Handle]*topic{}, watched: map[journal.Handle]*topic{}})
	}
	return h
}

// Stats are what a hub has done.
type Stats struct {
	Subscriptions int64
	Pushed        uint64 // events
	Filled        uint64 // times that something was missing and was asked for
	Resumed       uint64 // subscribes that were answered by the events since
	Snapshots     uint64 // and by a balance
	Cut           uint64 // sessions that were ended for want of what they were owed
}

// Stats answers them.
func (h *Hub) Stats() Stats {
	return Stats{h.count.Load(), h.pushed.Load(), h.filled.Load(), h.resumed.Load(), h.fresh.Load(), h.cut.Load()}
}

type state uint8

const (
	opening state = iota
	live
	filling
	closed
)

// Subscription is one session's interest in one account.
type Subscription struct {
	hub     *Hub
	out     Outlet
	account string
	channel string
	handle  journal.Handle
	part    *part
	message uint64 // of the subscribe
	since   uint64
	resumes bool // since is given

	// guarded by part.mu
	state state
	next  uint64    // version
	owed  time.Time // since when it waits for what cannot be had; zero: it does not
}

// Subscribe begins a subscription: Opened, Refused or Close must follow. message is the id to answer; resumes: every event behind version since is
// asked for. Errors: ErrFull.
func (h *Hub) Subscribe(out Outlet, message uint64, account string, since uint64, resumes bool) (*Subscription, error) {
	if h.count.Add(1) > int64(h.cfg.SubscriptionsMax) {
		h.count.Add(-1)
		return nil, ErrFull
	}
	handle := journal.HandleOf(account)
	return &Subscription{hub: h, out: out, message: message, account: account, channel: wire.ChannelPrefix + account, handle: handle,
		part: h.parts[handle.Partition(h.cfg.Partitions)], since: since, resumes: resumes}, nil
}

// Close ends it. When it returns, nothing is pushed any more.
func (s *Subscription) Close() {
	p := s.part
	p.mu.Lock()
	if s.state == closed {
		p.mu.Unlock()
		return
	}
	s.state = closed
	t := p.topics[s.handle]
	last := false
	if t != nil {
		if i := slices.Index(t.subs, s); i >= 0 {
			t.subs = slices.Delete(t.subs, i, i+1)
			if last = len(t.subs) == 0; last {
				delete(p.topics, s.handle)
			}
		}
	}
	p.mu.Unlock()
	s.hub.count.Add(-1)
	if last {
		_ = s.feed() // Unwatch does not fail
	}
}

// Channel is the subscription's.
func (s *Subscription) Channel() string { return s.channel }

// Account is the account that it is about.
func (s *Subscription) Account() string { return s.account }

// feed brings the feed to watch the account exactly if somebody has subscribed to it. A topic that took another's place meanwhile is
// watched again: what was told in between was for nobody, and the version that the feed has says so.
func (s *Subscription) feed() error {
	p := s.part
	p.feeding.Lock()
	defer p.feeding.Unlock()
	p.mu.Lock()
	wanted := p.topics[s.handle]
	p.mu.Unlock()
	switch {
	case wanted == p.watched[s.handle]:
	case wanted != nil:
		p.watched[s.handle] = wanted
		return s.hub.cfg.Feed.Watch(s.account, s.hub)
	default:
		delete(p.watched, s.handle)
		s.hub.cfg.Feed.Unwatch(s.account, s.hub)
	}
	return nil
}

// Told implements Sink.
func (h *Hub) Told(partition int, news []public.News) {
	p := h.parts[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range news {
		n := &news[i]
		t := p.topics[n.Account]
		if t == nil || n.Version <= t.last {
			continue
		}
		t.last = n.Version
		complete := n.Event != nil && (n.Counterparty != "" || n.Event.Counterparty.IsZero())
		p.line = p.line[:0]
		for _, s := range t.subs {
			switch {
			case s.state != live || n.Version < s.next:
			case n.Version > s.next || !complete:
				s.fillLocked()
			default:
				if len(p.line) == 0 {
					p.line = s.appendPush(p.line, n)
				}
				s.next++
				s.out.Push(p.line, 1)
				h.pushed.Add(1)
			}
		}
	}
	if cap(p.line) > lineKept {
		p.line = nil
	}
}

// lineKept bounds the scratch that a partition keeps, bytes.
const lineKept = 64 << 10

// appendPush appends an event whose counterparty is known, as everybody gets it.
func (s *Subscription) appendPush(dst []byte, n *public.News) []byte {
	dst = wire.OpenPush(dst, s.channel, n.Version)
	dst = n.Event.AppendJSON(dst, func(a journal.Handle) string {
		switch a {
		case s.handle:
			return s.account
		case n.Event.Counterparty:
			return n.Counterparty
		}
		return ""
	}, s.hub.cfg.Assets)
	return append(wire.ClosePush(dst), '\n')
}
