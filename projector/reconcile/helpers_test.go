package reconcile

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"walletd/journal"
	"walletd/projector/internal/history"
	"walletd/projector/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, have, want T) {
	t.Helper()
	if have != want {
		t.Fatalf("%s: have %v, want %v", what, have, want)
	}
}

func shape(seed uint64) history.Config {
	return history.Config{Seed: seed, Partitions: 3, Accounts: 4, Steps: 1500, Assets: 2, FrameMax: 10}
}

func audited(t testing.TB, c Config) Report {
	t.Helper()
	c.Assets = journal.DevAssets
	if c.Patience == 0 {
		c.Patience = 50 * time.Millisecond
	}
	r, err := Run(t.Context(), c)
	must(t, err)
	return r
}

// clone is a state of its own.
func clone(m *journal.Memory) *journal.Memory {
	return &journal.Memory{Accounts: maps.Clone(m.Accounts), DetailsOf: maps.Clone(m.DetailsOf), Keys: maps.Clone(m.Keys),
		Reservations: maps.Clone(m.Reservations), DeliveredOf: maps.Clone(m.DeliveredOf)}
}

// dumps are shards whose state was read somehow.
type dumps []Dump

func (d dumps) Dump(context.Context) ([]Dump, error) { return d, nil }

// shards are dumps of a history: each record as some event between two random ones left it.
func shards(t testing.TB, h *history.History, seed uint64) dumps {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	var list dumps
	for p := range h.Partitions {
		n := len(h.Events[p])
		before := n - rng.IntN(n/2)
		after := before + rng.IntN(n-before+1)
		d := Dump{Partition: p, Shard: fmt.Sprintf("s%d", p%2), Before: uint64(before), After: uint64(after), State: journal.NewMemory()}
		var states []*journal.Memory
		b := journal.NewBook(p, h.Partitions)
		for i := range h.Events[p][:after] {
			must(t, b.Apply(&h.Events[p][i], nil))
			if i+1 >= before {
				states = append(states, clone(b.State.(*journal.Memory)))
			}
		}
		d.Epoch = b.Epoch
		at := func() *journal.Memory { return states[rng.IntN(len(states))] }
		last := states[len(states)-1]
		pick(last.Accounts, at, func(m *journal.Memory) map[journal.Handle]journal.Account { return m.Accounts }, d.State.Accounts)
		pick(last.DetailsOf, at, func(m *journal.Memory) map[journal.Handle][]byte { return m.DetailsOf }, d.State.DetailsOf)
		pick(last.Keys, at, func(m *journal.Memory) map[journal.ID]journal.KeyRecord { return m.Keys }, d.State.Keys)
		pick(last.Reservations, at, func(m *journal.Memory) map[journal.ID]journal.Reservation { return m.Reservations }, d.State.Reservations)
		pick(last.DeliveredOf, at, func(m *journal.Memory) map[int]uint64 { return m.DeliveredOf }, d.State.DeliveredOf)
		list = append(list, d)
	}
	return list
}

func pick[K comparable, V any](last map[K]V, at func() *journal.Memory, of func(*journal.Memory) map[K]V, into map[K]V) {
	for k := range last {
		if v, ok := of(at())[k]; ok {
			into[k] = v
		}
	}
}

// projected is a view of the log's records up to a share of each partition; its directory is for forgers.
func projected(t testing.TB, log *history.Log, share float64) (v *view.View, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "view")
	v = openView(t, dir, log.Partitions())
	for p := range log.Partitions() {
		f, err := v.Fold(p)
		must(t, err)
		records := log.Records(p)
		for i, record := range records[:int(float64(len(records))*share)] {
			_, err := f.Take(int64(i), record)
			must(t, err)
		}
		must(t, f.Commit())
		must(t, f.Close())
	}
	return v, dir
}

func openView(t testing.TB, dir string, partitions int) *view.View {
	t.Helper()
	v, err := view.Open(view.Config{Dir: dir, Wallet: "test", Partitions: partitions, CacheBytes: 8 << 20, CacheAccounts: 1000})
	must(t, err)
	return v
}

// expect looks for one difference.
type expect struct {
	where, what string
	partition   int
	position    string // "": any
	account     string
}

func (x expect) in(t testing.TB, r *Report) Difference {
	t.Helper()
	for _, d := range r.Differences {
		if strings.HasPrefix(d.Where, x.where) && strings.Contains(d.What, x.what) && d.Partition == x.partition &&
			(x.position == "" || d.Position == x.position) && (x.account == "" || d.Account == x.account) {
			return d
		}
	}
	t.Fatalf("no difference like %+v in\n%s", x, r.Text())
	return Difference{}
}

// only says that everything found is in these places.
func only(t testing.TB, r *Report, where ...string) {
	t.Helper()
	for _, d := range r.Differences {
		if !slices.ContainsFunc(where, func(w string) bool { return strings.HasPrefix(d.Where, w) }) {
			t.Fatalf("a difference too many: %s\nin\n%s", d.String(), r.Text())
		}
	}
	if r.OK() {
		t.Fatal("it is OK")
	}
}
