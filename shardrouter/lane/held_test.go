package lane

import (
	"slices"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// order is a sink that remembers in what order it was told.
type order struct{ tags []uint64 }

func (o *order) Settle(outs []rows.Outcome) {
	for i := range outs {
		tag := outs[i].Tag
		if outs[i].Status == journal.OutcomeUnknown {
			tag += 1000
		}
		o.tags = append(o.tags, tag)
	}
}

// TestHeld plays marks and outcomes against each other, one step a line: an outcome is a tag with the seq that it needs, in
// an epoch. A tag above 1000 is one that nobody knows.
func TestHeld(t *testing.T) {
	type step struct {
		mark  bool
		epoch uint32
		seq   uint64 // mark: durable; else needed
		tag   uint64
		told  []uint64 // by this step
	}
	hold := func(epoch uint32, need, tag uint64, told ...uint64) step { return step{false, epoch, need, tag, told} }
	mark := func(epoch uint32, seq uint64, told ...uint64) step { return step{true, epoch, seq, 0, told} }
	for name, steps := range map[string][]step{
		"rising marks release in order":                           {mark(1, 5), hold(1, 6, 1), hold(1, 7, 2), hold(1, 9, 3), mark(1, 6, 1), mark(1, 8, 2), mark(1, 8), mark(1, 20, 3)},
		"durable already":                                         {mark(1, 5), hold(1, 5, 1, 1)},
		"an older mark says nothing":                              {mark(1, 9), mark(1, 5), hold(1, 9, 1, 1), hold(1, 10, 2), mark(1, 9)},
		"a check behind what waits goes with it":                  {hold(1, 9, 1), hold(1, 2, 2), mark(1, 5), mark(1, 9, 1, 2)},
		"a later epoch ends the earlier":                          {mark(1, 5), hold(1, 6, 1), hold(1, 7, 2), mark(2, 100, 1001, 1002)},
		"a map ends it too":                                       {mark(1, 5), hold(1, 6, 1), mark(2, 0, 1001)},
		"what an epoch has durable is not known at its start":     {mark(1, 100), mark(2, 0), hold(2, 50, 1), mark(2, 49), mark(2, 50, 1)},
		"an outcome of an epoch that the marks do not know waits": {mark(1, 100), hold(2, 50, 1), mark(1, 200), mark(2, 0), mark(2, 60, 1)},
		"an outcome of an epoch that is over is lost":             {mark(2, 100), hold(1, 50, 1, 1001)},
		"a mark of an epoch that is over says nothing":            {mark(2, 5), hold(2, 6, 1), mark(1, 100), mark(2, 6, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			var h held
			o := &order{}
			in := &ledger{open: &open{none: make(chan struct{}, 1)}, max: 1, wake: make(chan struct{}, 1)}
			for i, s := range steps {
				o.tags = nil
				if s.mark {
					h.mark(s.epoch, s.seq, false)
				} else {
					b := newBulk(s.epoch, time.Now(), in)
					b.add(&rows.Outcome{Tag: s.tag, Op: journal.OpTransfer, Status: journal.Confirmed}, wait{o, s.seq})
					in.open.rows.Add(1)
					h.hold(b)
				}
				if !slices.Equal(o.tags, s.told) {
					t.Fatalf("step %d: told %v, want %v", i, o.tags, s.told)
				}
			}
			if n := int64(len(h.bulks)); in.held.Load() != n || in.open.rows.Load() != n {
				t.Errorf("%d held, %d open, %d bulks", in.held.Load(), in.open.rows.Load(), len(h.bulks))
			}
		})
	}
}

// TestLastMarksOfTheEpochBefore come after the next epoch is known, as they may when a partition moves; what they do not cover
// is lost in the end.
func TestLastMarksOfTheEpochBefore(t *testing.T) {
	h := held{grace: time.Hour}
	o := &order{}
	in := &ledger{open: &open{none: make(chan struct{}, 1)}, max: 1, wake: make(chan struct{}, 1)}
	hold := func(epoch uint32, need, tag uint64) {
		b := newBulk(epoch, time.Now(), in)
		b.add(&rows.Outcome{Tag: tag, Op: journal.OpTransfer, Status: journal.Confirmed}, wait{o, need})
		in.open.rows.Add(1)
		h.hold(b)
	}
	told := func(what string, want ...uint64) {
		t.Helper()
		if !slices.Equal(o.tags, want) {
			t.Fatalf("%s: told %v, want %v", what, o.tags, want)
		}
		o.tags = nil
	}
	h.mark(1, 5, false)
	hold(1, 6, 1)
	hold(1, 8, 2)
	h.mark(2, 100, false)
	told("a later epoch")
	h.mark(1, 7, false)
	told("a late mark", 1)
	hold(2, 101, 3)
	h.mark(2, 200, false)
	told("a mark that says nothing of those in front")
	h.until = time.Time{}
	h.giveUp(time.Time{})
	told("the end of the waiting", 1002, 3)
}
