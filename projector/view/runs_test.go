package view

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"walletd/journal"
)

// However many ids the commits had: each is found by its hash, newest first, runs stay few, and what was merged is gone.
func TestRunsFindEveryID(t *testing.T) {
	v := opened(t, 1)
	s := folding(t, v, 0).state
	rng := rand.New(rand.NewPCG(1, 5))
	seqs := map[journal.ID][]uint64{}
	var all []journal.ID
	seq := uint64(0)
	for commit := range 700 {
		n := 1 + rng.IntN(3)
		if commit%50 == 0 {
			n = 5000
		}
		ids := make([]idAt, 0, n)
		for range n {
			seq += 1 + uint64(rng.IntN(3))
			var id journal.ID
			binary.BigEndian.PutUint64(id[4:], rng.Uint64())
			if len(all) > 0 && rng.IntN(100) == 0 {
				id = all[rng.IntN(len(all))] // which no shard would do
			}
			all = append(all, id)
			seqs[id] = append([]uint64{seq}, seqs[id]...)
			ids = append(ids, idAt{HashOf(id), seq})
		}
		s.runs = s.addIDs(s.runs, ids)
		must(t, s.err)
		must(t, v.db.Apply(s.batch, noSync))
		s.renew()
		if parsed, err := parseDirectory(s.runs.append(nil)); err != nil || !slices.Equal(parsed.runs, s.runs.runs) || parsed.next != s.runs.next {
			t.Fatalf("the directory %v is read as %v, %v", s.runs, parsed, err)
		}
		if n := len(s.runs.runs); n > 4*fanOut {
			t.Fatalf("%d runs after %d commits", n, commit)
		}
	}
	for id, want := range seqs {
		have, err := s.runs.find(v.db, 0, id)
		must(t, err)
		if !slices.Equal(have, want) {
			t.Fatalf("id %x: seqs %v, want %v", id, have, want)
		}
	}
	if have, err := s.runs.find(v.db, 0, journal.ID{4: 1}); err != nil || len(have) > 0 {
		t.Fatalf("an id that is not there: %v, %v", have, err)
	}
	stored := 0
	must(t, scan(v.db, prefix(nil, keyRun, 0), func(_, value []byte) error {
		stored += len(value) / bucketItem
		return nil
	}))
	equal(t, "ids in the store", stored, len(all))
}

// A run is no larger than it may be: what does not fit together stays apart.
func TestRunsDoNotGrowForEver(t *testing.T) {
	var d directory
	for range 1000 {
		n, level := d.merging(runMax / 20)
		ids := uint32(runMax / 20)
		for _, r := range d.runs[len(d.runs)-n:] {
			ids += r.ids
		}
		d.runs = append(d.runs[:len(d.runs)-n:len(d.runs)-n], run{level: level, ids: ids})
		if ids > runMax {
			t.Fatalf("a run of %d ids", ids)
		}
	}
	if len(d.runs) > 1000/fanOut+2*fanOut {
		t.Fatalf("%d runs", len(d.runs))
	}
}

func TestSortIDs(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 5))
	for _, n := range []int{1, 2, 3, 4, 7, 8, 100, 5000} {
		for _, hash := range []func() uint64{rng.Uint64, func() uint64 { return 0 }, func() uint64 { return rng.Uint64N(3) << 62 }, func() uint64 { return ^uint64(0) - rng.Uint64N(5) }} {
			ids := make([]idAt, n)
			for i := range ids {
				ids[i] = idAt{hash(), uint64(i)}
			}
			want := slices.Clone(ids)
			slices.SortFunc(want, func(a, b idAt) int {
				if a.before(b) {
					return -1
				}
				return 1
			})
			if have := sortIDs(ids, make([]idAt, n)); !slices.Equal(have, want) {
				t.Fatalf("%d ids: %v, want %v", n, have, want)
			}
		}
	}
}

// A window of many ids is given sorted, however many passes it takes.
func TestAWindowIsSortedInPasses(t *testing.T) {
	whole := passIDs
	defer func() { passIDs = whole }()
	h := historyOfKeys()
	v := opened(t, 1)
	project(t, v, h)
	for _, at := range []int{whole, sampleEvery, 4 * sampleEvery} {
		passIDs = at
		c := v.Cut()
		var ids keysOnly
		must(t, c.Each(0, &ids))
		must(t, c.Close())
		want := h.Books[0].State.(*journal.Memory).Keys
		if len(ids) != len(want) || !slices.IsSortedFunc(ids, func(a, b journal.ID) int { return slices.Compare(a[:], b[:]) }) {
			t.Fatalf("passes of %d: %d ids, want %d, sorted", at, len(ids), len(want))
		}
		for _, id := range ids {
			if _, ok := want[id]; !ok {
				t.Fatalf("passes of %d: %x is not in the window", at, id)
			}
		}
	}
}
