package projector

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walletd/journal/public"
	"walletd/projector/internal/history"
	"walletd/projector/view"
	"walletd/projector/watch"
)

// seldom is a projector that looks again after an hour, unless somebody asks.
func seldom(t *testing.T, h *history.History) *running {
	t.Helper()
	return run(t, atRest(openView(t, filepath.Join(t.TempDir(), "view"), h.Partitions), h))
}

func atRest(v *view.View, h *history.History) Config {
	return Config{Log: h.Log, View: v, Logger: slog.New(slog.DiscardHandler), CommitBytes: 1 << 30, CommitEvery: time.Hour}
}

// However seldom a busy partition is looked at, who asks sees what was in the journal when he asked.
func TestNobodySeesTheWait(t *testing.T) {
	h := history.New(history.Config{Seed: 11, Partitions: 2, Accounts: 4, Steps: 40_000, Assets: 1, FrameMax: 400, Plain: true})
	r := seldom(t, h)
	for range 20 {
		must(t, r.CatchUp(t.Context()))
		for p := range h.Partitions {
			at, err := r.view.Position(p)
			must(t, err)
			if want := uint64(len(h.Events[p])); at.Seq != want {
				t.Fatalf("partition %d is at seq %d behind a CatchUp, the journal at %d", p, at.Seq, want)
			}
		}
		h.More(50)
	}
	lag, err := r.Lag(t.Context())
	must(t, err)
	for _, l := range lag {
		if l.Records != 0 || l.Seconds > 5 {
			t.Errorf("who asks for the lag is told of a wait that his question has ended: %+v", l)
		}
	}
}

// All that ask meanwhile are served by one look, and a crowd of them does not make it look all the time.
func TestManyReadersShareALook(t *testing.T) {
	h := history.New(history.Config{Seed: 12, Partitions: 1, Accounts: 4, Steps: 4_000, Assets: 1, FrameMax: 400, Plain: true})
	r := seldom(t, h)
	must(t, r.CatchUp(t.Context()))
	pt := r.parts[0]
	looks := func() uint64 {
		pt.hurry.mu.Lock()
		defer pt.hurry.mu.Unlock()
		return pt.hurry.begun
	}
	before := looks()
	const readers, rounds = 50, 10
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for range rounds {
				if err := r.CatchUp(t.Context(), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := looks() - before; n > readers*rounds/5 {
		t.Errorf("%d readers, %d times each: %d looks", readers, rounds, n)
	}
}

// A reader does not wait for a journal that does not answer, nor for a partition that has stopped, nor for longer than it may.
func TestCatchUpDoesNotHang(t *testing.T) {
	h := history.New(shape(13))
	r := seldom(t, h)
	must(t, r.CatchUp(t.Context()))
	broken := errors.New("no route to the broker")
	h.Log.Fail(broken)
	until(t, "the reader is told", func() bool { return errors.Is(r.CatchUp(t.Context(), 0), broken) })
	h.Log.Fail(nil)
	until(t, "it goes on", func() bool { return r.CatchUp(t.Context(), 0) == nil })

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.CatchUp(gone, 1); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, r.CatchUp(t.Context(), 99)) // not of this projector
	must(t, r.stop())
	if err := r.CatchUp(t.Context()); !errors.Is(err, errEnded) {
		t.Errorf("behind its end: %v", err)
	}
}

// told counts what a subscriber hears.
type told struct{ events atomic.Int64 }

func (s *told) Told(_ int, news []public.News) {
	for i := range news {
		if news[i].Event != nil {
			s.events.Add(1)
		}
	}
}

// The first who watches an account of a partition that rests, as nobody did, ends that rest.
func TestTheFirstWatcherEndsTheRest(t *testing.T) {
	h := history.New(history.Config{Seed: 14, Partitions: 1, Accounts: 2, Steps: 40_000, Assets: 1, FrameMax: 400, Plain: true})
	v := openView(t, filepath.Join(t.TempDir(), "view"), h.Partitions)
	c, w := atRest(v, h), watch.New(v)
	c.Watch = w
	r := run(t, c)
	must(t, r.CatchUp(t.Context()))
	h.More(1000) // it rests for an hour
	var hears told
	for _, name := range h.Names {
		must(t, w.Watch(name, &hears))
	}
	until(t, "what has happened is told", func() bool { return hears.events.Load() > 0 })
}
