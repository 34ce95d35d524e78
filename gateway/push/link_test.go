package push

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"walletd/journal/public"
)

// TestAcrossALinkThatIsLost: a gateway elsewhere has every version, also those of the time without a link.
func TestAcrossALinkThatIsLost(t *testing.T) {
	f := newFakeFeed()
	f.set(5, nil)
	links := NewLinkServer(f, "w")
	server := httptest.NewServer(links)
	defer server.Close()
	l := NewLink("ws"+strings.TrimPrefix(server.URL, "http"), "", "w", slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }() // it answers nil
	defer func() { cancel(); <-done; links.Close() }()
	isUp := func(want bool) func() bool {
		return func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.up == want }
	}
	until(t, "the link", isUp(true))
	h := hubOf(t, l, Config{})
	s, o := begin(t, h, 2, true, 5)
	defer s.Close()
	reached := func(version uint64) func() bool {
		return func() bool { _, _, versions, _ := o.told(t); return 2+uint64(len(versions)) == version }
	}
	until(t, "the events since", reached(5))
	for version := uint64(6); version < 60; version++ {
		until(t, "that the projector watches", func() bool { return f.watched() == 1 })
		f.mu.Lock()
		to := f.sinks["alice"]
		f.version = version
		f.mu.Unlock()
		if version%10 == 0 { // told while the link is away
			to.(*served).ws.Close()
		}
		to.Told(0, []public.News{event("alice", version)})
		until(t, "the event", reached(version))
	}
	_, _, versions, _ := o.told(t)
	follows(t, versions, 2, 59)

	strange := NewLink("ws"+strings.TrimPrefix(server.URL, "http"), "", "another", slog.New(slog.DiscardHandler))
	if err := strange.once(ctx); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a gateway of another wallet: %v", err)
	}
}
