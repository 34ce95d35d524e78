package events

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
	"walletd/journal/public"
	"walletd/projector/internal/history"
	"walletd/projector/view"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shape(seed uint64) history.Config {
	return history.Config{Seed: seed, Partitions: 3, Accounts: 4, Steps: 800, Assets: 2, FrameMax: 12}
}

func opened(t testing.TB, partitions int) *view.View {
	t.Helper()
	v, err := view.Open(view.Config{Dir: "view", Wallet: "test", Partitions: partitions, CacheBytes: 8 << 20, FS: vfs.NewMem()})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	return v
}

// fold folds partitions of a history to their ends.
func fold(t testing.TB, v *view.View, h *history.History, partitions ...int) {
	t.Helper()
	for _, p := range partitions {
		f, err := v.Fold(p)
		must(t, err)
		_, err = h.Log.Read(t.Context(), p, f.Cursor().Offset, func(offset int64, record []byte) error {
			if _, err := f.Take(offset, record); err != nil {
				return err
			}
			return f.Commit()
		})
		must(t, err)
		must(t, f.Close())
	}
}

func all(h *history.History) (list []int) {
	for p := range h.Partitions {
		list = append(list, p)
	}
	return list
}

// event is a public event as text.
type event struct{ id, account, body string }

// wanted are the public events of a partition as the memory fold has them.
func wanted(h *history.History, partition int) (list []event) {
	name := func(a journal.Handle) string {
		if p, asset, ok := a.Suspense(); ok {
			return view.SuspenseID(p, asset)
		}
		return h.Names[a]
	}
	for i := range h.Events[partition] {
		e := &h.Events[partition][i]
		row, err := e.Row()
		if err != nil {
			panic(err)
		}
		for n, c := range h.Changes[partition][i] {
			x := public.Of(e, &row, n+1, &c)
			list = append(list, event{x.ID.String(), name(x.Account), string(x.AppendJSON(nil, name, journal.DevAssets))})
		}
	}
	return list
}

// topic is a Topic in memory whose n-th append fails, before or behind its effect.
type topic struct {
	mu       sync.Mutex
	records  [][]Record
	calls    int
	failAt   int  // the call that fails; 0: none
	applied  bool // it has happened nevertheless
	appended chan struct{}
}

func newTopic(partitions int) *topic {
	return &topic{records: make([][]Record, partitions), appended: make(chan struct{}, 1)}
}

var errTopic = errors.New("the topic fails")

func (t *topic) Last(_ context.Context, partition int) (string, int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.records[partition])
	if n == 0 {
		return "", 0, nil
	}
	return t.records[partition][n-1].Header(HeaderID), int64(n), nil
}

func (t *topic) At(_ context.Context, partition int, offset int64) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.records[partition][offset].Header(HeaderID), nil
}

func (t *topic) Append(_ context.Context, partition int, records []Record) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	fails := t.calls == t.failAt
	if fails && !t.applied {
		return 0, errTopic
	}
	first := int64(len(t.records[partition]))
	t.records[partition] = append(t.records[partition], records...)
	select {
	case t.appended <- struct{}{}:
	default:
	}
	if fails {
		return 0, errTopic
	}
	return first, nil
}

func (t *topic) has(partition int) []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Record(nil), t.records[partition]...)
}

// publishing runs a publisher until the test, or stop, ends it.
func running(t testing.TB, c PublisherConfig) (p *Publisher, stop func()) {
	t.Helper()
	c.Wallet, c.Logger = "test", slog.New(slog.DiscardHandler)
	p, err := NewPublisher(c)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }() // its error is ctx's
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return p, stop
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
