package watch

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

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

func opened(t testing.TB, partitions int) *view.View {
	t.Helper()
	v, err := view.Open(view.Config{Dir: "view", Wallet: "test", Partitions: partitions, CacheBytes: 8 << 20, FS: vfs.NewMem()})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	return v
}

// story is what should be told of every account: its events as JSON, by version.
func story(h *history.History) map[journal.Handle][]string {
	all := map[journal.Handle][]string{}
	for p := range h.Partitions {
		for i := range h.Events[p] {
			e := &h.Events[p][i]
			row, err := e.Row()
			if err != nil {
				panic(err)
			}
			for n, c := range h.Changes[p][i] {
				x := public.Of(e, &row, n+1, &c)
				all[c.Account] = append(all[c.Account], x.ID.String()+string(x.AppendJSON(nil, naming(h), journal.DevAssets)))
			}
		}
	}
	return all
}

func naming(h *history.History) func(journal.Handle) string {
	return func(a journal.Handle) string { return h.Names[a] }
}

// reader is a Sink that does what a subscriber has to: it takes the next version, and asks for what it has missed.
type reader struct {
	t     *testing.T
	watch *Watch
	h     *history.History

	mu    sync.Mutex
	had   map[journal.Handle][]string
	from  map[journal.Handle]uint64 // version behind which it reads
	asks  map[journal.Handle]bool   // it has missed something
	told  int
	empty int
}

func newReader(t *testing.T, w *Watch, h *history.History) *reader {
	return &reader{t: t, watch: w, h: h, had: map[journal.Handle][]string{}, from: map[journal.Handle]uint64{}, asks: map[journal.Handle]bool{}}
}

func (r *reader) Told(partition int, news []public.News) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range news {
		n := &news[i]
		if n.Account.Partition(r.h.Partitions) != partition {
			r.t.Errorf("news of an account of partition %d come from partition %d", n.Account.Partition(r.h.Partitions), partition)
		}
		r.take(n)
	}
}

func (r *reader) take(n *public.News) {
	from, watched := r.from[n.Account]
	next := from + uint64(len(r.had[n.Account])) + 1
	switch {
	case !watched || n.Version < next:
	case n.Version > next || n.Event == nil:
		r.asks[n.Account] = true
		r.empty++
	default:
		r.told++
		r.add(n)
	}
}

func (r *reader) add(n *public.News) {
	names := naming(r.h)
	text := n.Event.ID.String() + string(n.Event.AppendJSON(nil, func(a journal.Handle) string {
		elsewhere := a.Partition(r.h.Partitions) != n.Account.Partition(r.h.Partitions) // where it may not be folded yet: the gateway knows it
		if a == n.Event.Counterparty && (n.Counterparty != "" || !elsewhere) {
			return n.Counterparty
		}
		return names(a)
	}, journal.DevAssets))
	r.had[n.Account] = append(r.had[n.Account], text)
}

// fill asks for what was missed.
func (r *reader) fill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for a := range r.asks {
		news, err := r.watch.Since(r.t.Context(), r.h.Names[a], r.from[a]+uint64(len(r.had[a])), 1<<20)
		must(r.t, err)
		for i := range news {
			r.add(&news[i])
		}
		delete(r.asks, a)
	}
}

func (r *reader) begin(account string, from uint64) {
	r.mu.Lock()
	r.from[journal.HandleOf(account)] = from
	r.mu.Unlock()
	must(r.t, r.watch.Watch(account, r))
}

// folds folds the history in pieces, and calls between before each of them, at commits and in open batches alike.
func folds(t *testing.T, w *Watch, v *view.View, h *history.History, rng *rand.Rand, between func()) {
	t.Helper()
	for p := range h.Partitions {
		f, err := v.Fold(p)
		must(t, err)
		f.Listen(w.Listener(p))
		for done := false; !done; {
			enough := errors.New("enough")
			_, err := h.Log.Read(t.Context(), p, f.Cursor().Offset, func(offset int64, record []byte) error {
				if _, err := f.Take(offset, record); err != nil {
					return err
				}
				between()
				if rng.IntN(4) == 0 {
					return enough
				}
				return nil
			})
			if done = err == nil; err != nil && !errors.Is(err, enough) {
				t.Fatal(err)
			}
			if !done && rng.IntN(5) == 0 {
				must(t, f.Rollback())
				continue
			}
			must(t, f.Commit())
			between()
		}
		must(t, f.Close())
	}
}

// TestEveryVersionIsToldOnce: whenever a watch begins, in an open batch too, and whatever is rolled back, who takes versions in order and asks
// for what is missing has every event behind its version, each as the journal says it.
func TestEveryVersionIsToldOnce(t *testing.T) {
	told, empty := 0, 0
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		h := history.New(history.Config{Seed: seed, Partitions: 3, Accounts: 4, Steps: 800, Assets: 2, FrameMax: 12})
		want := story(h)
		v := opened(t, h.Partitions)
		w := New(v)
		r := newReader(t, w, h)
		var accounts []string
		for _, id := range h.Names {
			accounts = append(accounts, id)
		}
		folds(t, w, v, h, rng, func() {
			if len(accounts) > 0 && rng.IntN(3) == 0 {
				i := rng.IntN(len(accounts))
				id := accounts[i]
				accounts[i] = accounts[len(accounts)-1]
				accounts = accounts[:len(accounts)-1]
				read := v.Read()
				version, err := read.Version(journal.HandleOf(id))
				must(t, errors.Join(err, read.Close()))
				r.begin(id, uint64(rng.Int64N(int64(version)+1)))
			}
			if rng.IntN(3) == 0 {
				r.fill()
			}
		})
		for _, id := range accounts {
			r.begin(id, 0)
		}
		r.fill()
		for a, events := range want {
			if _, watched := r.from[a]; !watched {
				continue // a suspense account
			}
			events = events[r.from[a]:]
			if len(r.had[a]) != len(events) {
				t.Errorf("seed %d: %s was told %d events behind version %d, want %d", seed, h.Names[a], len(r.had[a]), r.from[a], len(events))
				continue
			}
			for i := range events {
				if r.had[a][i] != events[i] {
					t.Errorf("seed %d: %s, version %d:\nhave %s\nwant %s", seed, h.Names[a], r.from[a]+uint64(i)+1, r.had[a][i], events[i])
				}
			}
		}
		told, empty = told+r.told, empty+r.empty
	}
	if told == 0 || empty == 0 {
		t.Errorf("%d events told as they came, %d times asked: both must occur", told, empty)
	}
}

// TestSinceAtEveryVersion: from every version of a history exactly the rest.
func TestSinceAtEveryVersion(t *testing.T) {
	h := history.New(history.Config{Seed: 3, Partitions: 2, Accounts: 2, Steps: 600, Assets: 1, FrameMax: 30})
	v := opened(t, h.Partitions)
	w := New(v)
	folds(t, w, v, h, rand.New(rand.NewPCG(1, 1)), func() {})
	for a, events := range story(h) {
		id := h.Names[a]
		if id == "" {
			continue
		}
		for version := range uint64(len(events)) + 2 {
			r := newReader(t, w, h)
			news, err := w.Since(t.Context(), id, version, len(events))
			must(t, err)
			for i := range news {
				r.add(&news[i])
			}
			want := events[min(version, uint64(len(events))):]
			if len(r.had[a]) != len(want) {
				t.Fatalf("%s since %d: %d events, want %d", id, version, len(r.had[a]), len(want))
			}
			for i := range want {
				if r.had[a][i] != want[i] {
					t.Fatalf("%s since %d:\nhave %s\nwant %s", id, version, r.had[a][i], want[i])
				}
			}
		}
		if _, err := w.Since(t.Context(), id, 0, len(events)-1); !errors.Is(err, ErrTooMany) {
			t.Errorf("%d events where %d are allowed: %v", len(events), len(events)-1, err)
		}
	}
}

// TestNobodyIsToldBehindUnwatch, and what is left behind is nothing.
func TestNobodyIsToldBehindUnwatch(t *testing.T) {
	h := history.New(history.Config{Seed: 4, Partitions: 1, Accounts: 2, Steps: 200, Assets: 1, FrameMax: 30})
	v := opened(t, h.Partitions)
	w := New(v)
	r, other := newReader(t, w, h), newReader(t, w, h)
	var id string
	for _, id = range h.Names {
		r.begin(id, 0)
		w.Unwatch(id, other) // of somebody who never watched
		w.Unwatch(id, r)
	}
	folds(t, w, v, h, rand.New(rand.NewPCG(1, 1)), func() {})
	if w.Watched(0) || w.Accounts() != 0 || r.told+r.empty != 0 || len(w.parts[0].fresh) != 0 {
		t.Errorf("watched %t, %d accounts, %d told, %d fresh", w.Watched(0), w.Accounts(), r.told+r.empty, len(w.parts[0].fresh))
	}
	r.begin(id, 0)
	other.begin(id, 0)
	if r.empty != 1 || other.empty != 1 {
		t.Errorf("a watch that begins tells %d and %d versions, want 1 each", r.empty, other.empty)
	}
}
