package lane

import (
	"testing"

	"walletd/journal"
	"walletd/luascripts"
)

// TestNothingRunsWhileTheJournalIsAway: what would have to be journaled is refused before it runs, so it can be tried again
// under its key; reads go on, and so do the partitions whose events the journal takes.
func TestNothingRunsWhileTheJournalIsAway(t *testing.T) {
	w := newWorld(t, 2, nil, nil)
	bank := w.open(0, "bank", journal.Issuance)
	shop := w.open(0, "shop", 0)
	other := w.open(1, "other", journal.Issuance)
	till := w.open(1, "till", 0)
	before := w.seq(0)
	mark := func(epoch uint32, away bool) {
		w.lanes.Mark([]luascripts.Mark{{Partition: 0, Epoch: epoch, Seq: before, Away: away}})
	}
	mark(1, true)
	if o := w.ask(0, transfer(bank, shop, "k", 5)); o.Status != journal.JournalUnavailable {
		t.Fatalf("a transfer while the journal is away: %v", o.Status)
	}
	if o := w.ask(0, journal.Row{Op: journal.OpRead, Account: shop}); o.Status != journal.OK {
		t.Errorf("a read: %v", o.Status)
	}
	if o := w.ask(0, journal.Row{Op: journal.OpCheck, Account: shop, Amount: 1}); o.Status != journal.OK {
		t.Errorf("a check: %v", o.Status)
	}
	if got := w.seq(0); got != before {
		t.Errorf("%d events came about", got-before)
	}
	s := newSink()
	moved := w.send(s, 1, transfer(other, till, "k", 5))
	w.eventually("it ran", func() bool { return w.stats().Held == 1 })
	w.lanes.Mark([]luascripts.Mark{{Partition: 1, Epoch: 1, Seq: w.seq(1)}})
	if o := s.wait(t, 1)[moved]; o.Status != journal.Confirmed {
		t.Errorf("in a partition that is well: %v", o.Status)
	}

	mark(0, false) // of an epoch that is over: it says nothing
	if o := w.ask(0, transfer(bank, shop, "k", 5)); o.Status != journal.JournalUnavailable {
		t.Errorf("after a mark of an older epoch: %v", o.Status)
	}
	mark(1, false)
	stop := w.durable()
	if o := w.ask(0, transfer(bank, shop, "k", 5)); o.Status != journal.Confirmed || o.Replayed {
		t.Errorf("when it is back: %v, replayed %t", o.Status, o.Replayed)
	}
	stop()

	mark(1, true) // a new owner begins without that
	w.load(0, 2)
	w.republish(0, 2, "")
	w.eventually("the new epoch is known", func() bool { return !w.lanes.parts[0].held.journalAway() })
}
