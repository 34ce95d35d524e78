package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/gateway/push"
	"walletd/journal"
	"walletd/journal/public"
)

// tap is a feed that says what a test wants.
type tap struct {
	mu      sync.Mutex
	sink    push.Sink
	watched map[string]bool
}

func (f *tap) Watch(account string, to push.Sink) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sink, f.watched[account] = to, true
	return nil
}

func (f *tap) Unwatch(account string, _ push.Sink) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watched, account)
}

func (f *tap) Since(context.Context, string, uint64, int) ([]public.News, error) { return nil, nil }

func (f *tap) watches() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watched)
}

// says tells an account's next version, with a reference of that many bytes.
func (f *tap) says(d *door, account string, version uint64, size int) {
	f.mu.Lock()
	to := f.sink
	f.mu.Unlock()
	h := journal.HandleOf(account)
	e := &public.Event{Type: public.TransferSent, Of: journal.OpPay, Account: h, Version: version, Counterparty: journal.HandleOf("bob"),
		Reference: []byte(strings.Repeat("x", size))}
	to.Told(h.Partition(len(d.shards.books)), []public.News{{Account: h, Version: version, Event: e, Counterparty: "bob"}})
}

func subscribing(t *testing.T, change func(*Config)) (*door, *tap) {
	f := &tap{watched: map[string]bool{}}
	d := openDoor(t, func(c *Config) {
		c.Feed = f
		if change != nil {
			change(c)
		}
	})
	d.fund("alice", "bob", "carol")
	return d, f
}

func (l *line) subscribe(id int, account string) float64 {
	l.t.Helper()
	l.send(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"account:%s"}}`, id, account))
	ok, is := l.next()["ok"].(map[string]any)
	if !is || ok["recovered"] != false || ok["channel"] != "account:"+account {
		l.t.Fatalf("subscribe answered %v", ok)
	}
	return ok["snapshot"].(map[string]any)["version"].(float64)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestSessionSubscribes(t *testing.T) {
	d, f := subscribing(t, func(c *Config) { c.ChannelsMax = 2 })
	l := d.connect()
	if v := l.subscribe(2, "alice"); v != 2 {
		t.Errorf("the snapshot has version %v", v)
	}
	l.send(`{"id":3,"subscribe":{"channel":"account:alice"}}`)
	l.wantError("malformed")
	l.send(`{"id":4,"subscribe":{"channel":"account:nobody"}}`)
	l.wantError("account_not_found")
	l.send(`{"id":5,"subscribe":{"channel":"alice"}}`)
	l.wantError("malformed")
	l.subscribe(6, "bob")
	l.send(`{"id":7,"subscribe":{"channel":"account:carol"}}`)
	l.wantError("limit_exceeded")
	f.says(d, "alice", 3, 5)
	p := l.next()["push"].(map[string]any)
	if e := p["event"].(map[string]any); p["channel"] != "account:alice" || p["version"] != 3.0 || e["type"] != "transfer.sent" || e["counterparty"] != "bob" {
		t.Errorf("pushed %v", p)
	}
	for range 2 { // the second has nothing to end
		l.send(`{"id":8,"unsubscribe":{"channel":"account:alice"}}`)
		if r := l.next(); r["ok"] == nil {
			t.Errorf("unsubscribe answered %v", r)
		}
	}
	f.says(d, "alice", 4, 5)
	l.subscribe(9, "carol") // there is room again, and no push came before
	l.ws.Close()
	until(t, "the end of what is watched", func() bool { return f.watches() == 0 })
}

// A subscription that is ended before it has its reply still has one: who waits for replies by their ids would wait for ever.
func TestUnsubscribeOvertakesItsSubscribe(t *testing.T) {
	d, f := subscribing(t, nil)
	l := d.connect()
	for i := range 50 {
		l.send(`{"id":2,"subscribe":{"channel":"account:alice"}}` + "\n" + `{"id":3,"unsubscribe":{"channel":"account:alice"}}`)
		answered := map[float64]bool{}
		for range 2 {
			r := l.next()
			id, is := r["id"].(float64)
			if !is || answered[id] || r["ok"] == nil {
				t.Fatalf("time %d: %v comes, answered before: %v", i, r, answered)
			}
			answered[id] = true
		}
	}
	l.ws.Close()
	until(t, "the end of what is watched", func() bool { return f.watches() == 0 })
}

// A session that does not read is cut, whatever the others do, and what waited for it is let go.
func TestSlowSubscriberIsCut(t *testing.T) {
	d, f := subscribing(t, func(c *Config) { c.PushesMax = 64 << 10 })
	slow, quick := d.connect(), d.connect()
	slow.subscribe(2, "alice")
	quick.subscribe(2, "alice")
	version := uint64(2)
	for d.server.Sessions() == 2 {
		if version++; version > 200_000 {
			t.Fatal("nobody is cut")
		}
		f.says(d, "alice", version, 20_000)
		if p := quick.next()["push"].(map[string]any); p["version"] != float64(version) {
			t.Fatalf("pushed %v", p["version"])
		}
	}
	until(t, "that nothing waits", func() bool { return d.server.unsent.Load() == 0 })
	if n := d.server.hub.Stats().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions", n)
	}
}

// When all together have too much unsent, those that are behind go.
func TestUnsentPushesAreBoundedTogether(t *testing.T) {
	d, f := subscribing(t, func(c *Config) { c.PushesMax, c.UnsentMax = 1<<30, 200<<10 })
	slow, quick := d.connect(), d.connect()
	slow.subscribe(2, "alice")
	quick.subscribe(2, "alice")
	for version := uint64(3); d.server.Sessions() == 2; version++ {
		f.says(d, "alice", version, 20_000)
		quick.next()
	}
}

// A drain ends subscribers with 1012, upon which they go elsewhere.
func TestDrainEndsSubscribers(t *testing.T) {
	d, f := subscribing(t, nil)
	l := d.connect()
	l.subscribe(2, "alice")
	go d.server.Drain(t.Context())
	if code := l.closed(); code != 1012 {
		t.Errorf("closed with %d", code)
	}
	until(t, "the end of what is watched", func() bool { return f.watches() == 0 })
}
