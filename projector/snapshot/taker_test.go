package snapshot

import (
	"context"
	"errors"
	"testing"
	"time"

	"walletd/projector/internal/history"
)

// TestSchedule: a snapshot is taken at its time of day, when there is anything new, and after so many events.
func TestSchedule(t *testing.T) {
	h := history.New(shape(1))
	v := viewAt(t, h, []int64{10, 10, 10})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	taker := func(s Schedule, store Store) *Taker {
		k, err := NewTaker(TakerConfig{View: v, Log: h.Log, Schedule: s, Taking: Taking{Shelf: shelfOf(store, 3), Policy: Policy{Newest: 9}, Now: func() time.Time { return now }}})
		must(t, err)
		return k
	}
	due := func(what string, k *Taker, want bool) {
		t.Helper()
		got, err := k.due(t.Context())
		must(t, err)
		if got != want {
			t.Fatalf("%s: due is %t", what, got)
		}
		if want {
			if _, err := k.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	store := NewDir(t.TempDir())
	k := taker(Schedule{At: "11:30"}, store)
	due("there is none", k, true)
	due("just taken", k, false)
	now = now.Add(23 * time.Hour)
	due("not yet", k, false)
	now = now.Add(time.Hour)
	due("nothing is new", k, false)
	advance(t, v, h.Log, 0, 20)
	due("the next day", taker(Schedule{At: "11:30"}, store), true)
	due("another process took it", k, false)

	k = taker(Schedule{Every: 5}, store)
	due("no events", k, false)
	advance(t, v, h.Log, 0, 30)
	due("events", k, true)
	due("no more", k, false)
	due("no schedule", taker(Schedule{}, store), false)
	if err := (Schedule{At: "25:00"}).Validate(); err == nil {
		t.Error("25:00 is taken")
	}
}

// TestRunTakes: the schedule runs until it is told to stop, over failures of the store.
func TestRunTakes(t *testing.T) {
	h := history.New(shape(1))
	v := viewAt(t, h, []int64{10, 10, 10})
	store := &failing{Store: NewDir(t.TempDir()), left: 3}
	k, err := NewTaker(TakerConfig{View: v, Log: h.Log, Schedule: Schedule{Every: 1}, Look: time.Millisecond, Settle: time.Millisecond, Taking: Taking{Shelf: shelfOf(store, 3)}})
	must(t, err)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	for ctx.Err() == nil {
		all, err := shelfOf(store.Store, 3).List(t.Context())
		must(t, err)
		if len(all) == 1 && all[0].Err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Error("nothing was taken")
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// failing is a store that does not list at first.
type failing struct {
	Store
	left int // owned by Run
}

func (f *failing) List(ctx context.Context) ([]Object, error) {
	if f.left > 0 {
		f.left--
		return nil, errors.New("away")
	}
	return f.Store.List(ctx)
}

// TestOneAtATime: who asks while one is taken is told so.
func TestOneAtATime(t *testing.T) {
	h := history.New(shape(1))
	k, err := NewTaker(TakerConfig{View: viewAt(t, h, []int64{10, 10, 10}), Log: h.Log, Taking: Taking{Shelf: shelfOf(NewDir(t.TempDir()), 3)}})
	must(t, err)
	k.busy <- struct{}{}
	if _, err := k.Take(t.Context()); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	<-k.busy
	if _, err := k.Take(t.Context()); err != nil {
		t.Error(err)
	}
}
