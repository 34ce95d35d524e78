package push

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/public"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// fakeFeed has one account's versions 1 … version and loses, repeats and reorders what it tells.
type fakeFeed struct {
	mu      sync.Mutex
	version uint64
	fail    error
	sinks   map[string]Sink
	asked   int
}

func newFakeFeed() *fakeFeed { return &fakeFeed{sinks: map[string]Sink{}} }

func (f *fakeFeed) Watch(account string, to Sink) error {
	f.mu.Lock()
	f.sinks[account] = to
	v := f.version
	f.mu.Unlock()
	to.Told(0, []public.News{{Account: journal.HandleOf(account), Version: v}})
	return nil
}

func (f *fakeFeed) Unwatch(account string, _ Sink) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sinks, account)
}

func (f *fakeFeed) watched() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sinks)
}

func (f *fakeFeed) Since(_ context.Context, account string, version uint64, limit int) (news []public.News, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked++; f.fail != nil {
		return nil, f.fail
	}
	if f.version > version && f.version-version > uint64(limit) {
		return nil, ErrTooMany
	}
	for v := version + 1; v <= f.version; v++ {
		news = append(news, event(account, v))
	}
	return news, nil
}

func (f *fakeFeed) set(version uint64, fail error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version, f.fail = version, fail
}

func event(account string, v uint64) public.News {
	h := journal.HandleOf(account)
	return public.News{Account: h, Version: v, Event: &public.Event{Type: public.AccountChanged, Account: h, Version: v}}
}

// outlet keeps what a session is told.
type outlet struct {
	mu       sync.Mutex
	lines    []string
	answered []bool
	cut      bool
}

func (o *outlet) Push(messages []byte, _ int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, strings.Split(strings.TrimSuffix(string(messages), "\n"), "\n")...)
}

func (o *outlet) Answered(_ uint64, stands bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answered = append(o.answered, stands)
}

func (o *outlet) Cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cut = true
}

// told reads the outlet: the reply, and the versions pushed behind it.
func (o *outlet) told(t *testing.T) (recovered bool, snapshot uint64, versions []uint64, code string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, l := range o.lines {
		var m struct {
			OK *struct {
				Recovered bool
				Snapshot  struct{ Version uint64 }
			}
			Error *struct{ Code string }
			Push  *struct {
				Version uint64
				Event   struct{ Version uint64 }
			}
		}
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("%v in %s", err, l)
		}
		switch {
		case m.Push != nil && m.Push.Version == m.Push.Event.Version && i > 0:
			versions = append(versions, m.Push.Version)
		case m.OK != nil && i == 0:
			recovered, snapshot = m.OK.Recovered, m.OK.Snapshot.Version
		case m.Error != nil && i == 0:
			code = m.Error.Code
		default:
			t.Fatalf("line %d: %s", i, l)
		}
	}
	return recovered, snapshot, versions, code
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func hubOf(t *testing.T, f Feed, c Config) *Hub {
	t.Helper()
	c.Partitions, c.Feed, c.Assets, c.Logger = 1, f, journal.DevAssets, slog.New(slog.DiscardHandler)
	c.Name = func(context.Context, journal.Handle) (string, error) { return "", errors.New("nobody is named") }
	h := New(c)
	t.Cleanup(h.Close)
	return h
}

// begin subscribes while the shard is at a version, and waits for the reply.
func begin(t *testing.T, h *Hub, since uint64, resumes bool, version uint64) (*Subscription, *outlet) {
	t.Helper()
	o := &outlet{}
	s, err := h.Subscribe(o, 7, "alice", since, resumes)
	if err != nil {
		t.Fatal(err)
	}
	s.Opened(3, &wire.BalanceReply{Account: "alice", Asset: "USD", Version: version})
	until(t, "the reply", func() bool { o.mu.Lock(); defer o.mu.Unlock(); return len(o.answered) == 1 })
	return s, o
}

// follows fails unless the versions are from+1, from+2, …, to.
func follows(t *testing.T, versions []uint64, from, to uint64) {
	t.Helper()
	for i, v := range versions {
		if v != from+uint64(i)+1 {
			t.Fatalf("behind %d comes %v", from, versions)
		}
	}
	if from+uint64(len(versions)) != to {
		t.Fatalf("behind %d come %d versions, want all up to %d", from, len(versions), to)
	}
}

// TestNothingIsLostOnTheWay: news are lost, repeated, reordered, told without events; the projection is ahead of the shard's reading or behind
// it. Every subscriber has every version behind its beginning, once and in order.
func TestNothingIsLostOnTheWay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		f := newFakeFeed()
		f.set(uint64(rng.IntN(20)), nil)
		h := hubOf(t, f, Config{})
		type subscriber struct {
			*outlet
			sub *Subscription
		}
		var subs []subscriber
		version := f.version
		const last = 300
		for version < last {
			if rng.IntN(20) == 0 {
				shard := max(int(version)+rng.IntN(5)-2, 1)
				sub, o := begin(t, h, uint64(rng.IntN(shard+3)), rng.IntN(2) == 0, uint64(shard))
				subs = append(subs, subscriber{o, sub})
			}
			var news []public.News
			for range 1 + rng.IntN(4) {
				version++
				switch n := event("alice", version); rng.IntN(8) {
				case 0: // lost
				case 1:
					news = append(news, n, n)
				case 2:
					n.Event = nil
					news = append(news, n)
				case 3:
					news = append([]public.News{n}, news...)
				default:
					news = append(news, n)
				}
			}
			f.set(version, nil)
			h.Told(0, news)
		}
		h.Told(0, []public.News{{Account: journal.HandleOf("alice"), Version: version}})
		for _, s := range subs {
			want := func() uint64 {
				recovered, snapshot, versions, _ := s.told(t)
				from := snapshot
				if recovered {
					from = s.sub.since
				}
				return from + uint64(len(versions))
			}
			until(t, "the last version", func() bool { return want() >= version })
			recovered, snapshot, versions, _ := s.told(t)
			if recovered != (s.sub.resumes && snapshot == 0) {
				t.Fatalf("recovered %t with snapshot %d", recovered, snapshot)
			}
			if recovered {
				snapshot = s.sub.since
			}
			follows(t, versions, snapshot, version)
			s.sub.Close()
		}
		if f.watched() != 0 || h.Stats().Subscriptions != 0 {
			t.Errorf("%d accounts are watched by %d subscriptions, want none", f.watched(), h.Stats().Subscriptions)
		}
	}
}

// TestHowASubscriptionBegins: exact at every version; a snapshot where the version is of the future, too old, or not named.
func TestHowASubscriptionBegins(t *testing.T) {
	f := newFakeFeed()
	f.set(50, nil)
	h := hubOf(t, f, Config{ResumeMax: 40})
	for since := range uint64(60) {
		s, o := begin(t, h, since, true, 50)
		recovered, snapshot, versions, _ := o.told(t)
		if want := since >= 10 && since <= 50; recovered != want || !want && (snapshot != 50 || len(versions) != 0) {
			t.Errorf("since %d: recovered %t, snapshot %d, events %v", since, recovered, snapshot, versions)
		} else if want {
			follows(t, versions, since, 50)
		}
		s.Close()
	}
	s, o := begin(t, h, 0, false, 50)
	if recovered, snapshot, versions, _ := o.told(t); recovered || snapshot != 50 || len(versions) != 0 {
		t.Errorf("without since: recovered %t, snapshot %d, events %v", recovered, snapshot, versions)
	}
	s.Close()
	f.set(50, errors.New("the projection is down"))
	_, o = begin(t, h, 20, true, 50)
	if _, _, _, code := o.told(t); code != "projection_behind" || o.answered[0] || h.Stats().Subscriptions != 0 {
		t.Errorf("without a projection: %s, stands %v, %d subscriptions", code, o.answered, h.Stats().Subscriptions)
	}
	o = &outlet{}
	s, err := h.Subscribe(o, 7, "nobody", 0, false)
	if err != nil {
		t.Fatal(err)
	}
	s.Refused(1, &wire.Problem{Code: "account_not_found"})
	until(t, "the refusal", func() bool { o.mu.Lock(); defer o.mu.Unlock(); return len(o.answered) == 1 })
	if _, _, _, code := o.told(t); code != "account_not_found" || h.Stats().Subscriptions != 0 {
		t.Errorf("an account that is not there: %s, %d subscriptions", code, h.Stats().Subscriptions)
	}
}

// TestWhatIsOwedAndCannotBeHadEndsTheSession: a gap that is too large, a projection that stays away. One that comes back in time does not.
func TestWhatIsOwedAndCannotBeHadEndsTheSession(t *testing.T) {
	f := newFakeFeed()
	f.set(5, nil)
	h := hubOf(t, f, Config{ResumeMax: 10, GiveUp: 200 * time.Millisecond})
	cut := func(o *outlet) func() bool {
		return func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.cut }
	}
	s, o := begin(t, h, 0, false, 5)
	f.set(16, nil)
	h.Told(0, []public.News{event("alice", 16)})
	until(t, "the end of the session", cut(o))
	s.Close()

	s, o = begin(t, h, 0, false, 16)
	f.set(17, errors.New("away"))
	h.Told(0, []public.News{{Account: journal.HandleOf("alice"), Version: 17}})
	until(t, "the end of the session", cut(o))
	s.Close()

	h.cfg.GiveUp = time.Hour
	f.set(17, nil)
	s, o = begin(t, h, 0, false, 17)
	f.set(19, errors.New("away"))
	h.Told(0, []public.News{event("alice", 19)})
	until(t, "some questions", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.asked > 6 })
	f.set(20, nil)
	until(t, "the events", func() bool { _, _, versions, _ := o.told(t); return len(versions) == 3 })
	_, _, versions, _ := o.told(t)
	follows(t, versions, 17, 20)
	h.Told(0, []public.News{event("alice", 21)})
	until(t, "the next", func() bool { _, _, versions, _ := o.told(t); return len(versions) == 4 })
	if s.Close(); o.cut {
		t.Error("a session was ended though everything came")
	}
	h.Told(0, []public.News{event("alice", 22)})
	if _, _, versions, _ := o.told(t); len(versions) != 4 {
		t.Error("there was a push behind Close")
	}
}

// TestSubscriptionsAreBounded, and those that end make room.
func TestSubscriptionsAreBounded(t *testing.T) {
	h := hubOf(t, newFakeFeed(), Config{SubscriptionsMax: 2})
	a, _ := begin(t, h, 0, false, 1)
	begin(t, h, 0, false, 1)
	if _, err := h.Subscribe(&outlet{}, 1, "alice", 0, false); !errors.Is(err, ErrFull) {
		t.Errorf("a third one: %v", err)
	}
	a.Close()
	a.Close()
	if _, err := h.Subscribe(&outlet{}, 1, "alice", 0, false); err != nil {
		t.Errorf("with room: %v", err)
	}
}

// TestSomebodyComesWhileTheLastOneGoes: the feed is just telling somebody else when an account's last subscriber goes and another one comes. What
// happened between the two was for nobody, and is told all the same.
func TestSomebodyComesWhileTheLastOneGoes(t *testing.T) {
	f := newFakeFeed()
	f.set(5, nil)
	h := hubOf(t, f, Config{})
	first, _ := begin(t, h, 0, false, 5)
	until(t, "the account to be watched", func() bool { return f.watched() == 1 })

	first.part.feeding.Lock()
	gone := make(chan struct{})
	go func() { first.Close(); close(gone) }()
	until(t, "nobody to be there", func() bool {
		first.part.mu.Lock()
		defer first.part.mu.Unlock()
		return len(first.part.topics) == 0
	})
	f.set(6, nil)
	h.Told(0, []public.News{event("alice", 6)})
	o := &outlet{}
	second, err := h.Subscribe(o, 7, "alice", 0, false)
	if err != nil {
		t.Fatal(err)
	}
	second.Opened(3, &wire.BalanceReply{Account: "alice", Asset: "USD", Version: 5}) // read before the event
	until(t, "the reply", func() bool { o.mu.Lock(); defer o.mu.Unlock(); return len(o.lines) > 0 })
	first.part.feeding.Unlock()
	<-gone

	until(t, "the event", func() bool { _, _, versions, _ := o.told(t); return len(versions) == 1 })
	second.Close()
	if f.watched() != 0 {
		t.Errorf("%d accounts are watched by nobody", f.watched())
	}
}
