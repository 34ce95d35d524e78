package view

import (
	"testing"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// plainly is a change without what Changes leaves out.
func plainly(c journal.Change) journal.Change {
	for _, a := range []*journal.Account{&c.Before, &c.After} {
		*a = journal.Account{Available: a.Available, Reserved: a.Reserved, Version: a.Version, Asset: c.After.Asset}
	}
	return c
}

func TestChangesAreWhatTheBookDid(t *testing.T) {
	for seed := range uint64(4) {
		h := history.New(shape(seed))
		v := opened(t, h.Partitions)
		project(t, v, h)
		r := v.Read()
		for p := range h.Partitions {
			seen := 0
			for _, from := range []uint64{0, 1, uint64(len(h.Events[p]) / 2), uint64(len(h.Events[p])), uint64(len(h.Events[p]) + 1)} {
				var want []journal.Change
				var at []journal.Position
				for i := max(from, 1) - 1; i < uint64(len(h.Events[p])); i++ {
					for _, c := range h.Changes[p][i] {
						want, at = append(want, plainly(c)), append(at, h.Events[p][i].Position)
					}
				}
				n := 0
				must(t, r.Changes(p, from, func(x *Happened) (bool, error) {
					if n >= len(want) {
						t.Fatalf("more changes than the %d there are: %v", len(want), x.Event.Position)
					}
					equal(t, "position", x.Event.Position, at[n])
					equal(t, x.Event.String(), x.Change, want[n])
					if x.Number > 1 {
						equal(t, "position before", at[n-1], at[n])
					}
					n++
					return true, nil
				}))
				equal(t, "changes", n, len(want))
				seen += n
			}
			if seen == 0 {
				t.Fatal("the history changes nothing")
			}
		}
		must(t, r.Close())
	}
}

func TestChangesEndWhereTheyAreToldTo(t *testing.T) {
	h := history.New(shape(1))
	v := opened(t, h.Partitions)
	project(t, v, h)
	r := v.Read()
	n := 0
	must(t, r.Changes(0, 1, func(*Happened) (bool, error) { n++; return n < 7, nil }))
	equal(t, "changes", n, 7)
	must(t, r.Close())
}

func TestNamesAreOfAccountsThatAreFolded(t *testing.T) {
	h := history.New(shape(1))
	v := opened(t, h.Partitions)
	r := v.Read()
	for handle := range h.Names {
		name, err := r.Name(handle)
		must(t, err)
		equal(t, "a name before it is folded", name, "")
	}
	must(t, r.Close())
	project(t, v, h)
	r = v.Read()
	for handle, want := range h.Names {
		name, err := r.Name(handle)
		must(t, err)
		equal(t, "name", name, want)
	}
	must(t, r.Close())
}
