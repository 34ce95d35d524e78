package lane

import (
	"fmt"
	"testing"
	"time"

	"walletd/journal"
	"walletd/luascripts"
)

// seq is how far a partition has come in its shard.
func (w *world) seq(partition int) uint64 {
	w.Helper()
	for _, s := range w.shards {
		parts, err := s.Parts(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		if p, ok := parts[partition]; ok {
			return p.Seq
		}
	}
	w.Fatalf("partition %d is nowhere", partition)
	return 0
}

// TestNothingLeavesBeforeItIsDurable: the output-commit rule (design section 4).
func TestNothingLeavesBeforeItIsDurable(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	before := w.seq(1)

	s := newSink()
	moved := w.send(s, 1, transfer(bank, shop, "k", 5))
	w.eventually("the transfer ran", func() bool { return w.seq(1) == before+1 })
	// All of these ran behind it, and would tell what it did.
	again, other, read, look := moved+1, moved+2, moved+3, moved+4
	for i, r := range []journal.Row{transfer(bank, shop, "k", 5), transfer(bank, shop, "k", 6),
		{Op: journal.OpRead, Account: shop}, {Op: journal.OpLook, ID: journal.IDOf(bank, "k")}} {
		w.stage.Add(1, &r, s, again+uint64(i))
	}
	w.lanes.Submit(w.stage)
	w.eventually("all ran", func() bool { return w.stats().Held == 5 })

	w.lanes.Mark([]luascripts.Mark{{Partition: 1, Epoch: 1, Seq: before}, {Partition: 2, Epoch: 1, Seq: 1 << 40}})
	if n := s.count(); n != 0 {
		t.Fatalf("%d outcomes left before they were durable", n)
	}
	w.lanes.Mark([]luascripts.Mark{{Partition: 1, Epoch: 1, Seq: before + 1}})
	outs := s.wait(t, 5)
	for tag, want := range map[uint64]journal.Status{moved: journal.Confirmed, again: journal.Confirmed, other: journal.KeyReusedAmount,
		read: journal.OK, look: journal.OK} {
		if outs[tag].Status != want || (tag == again) != outs[tag].Replayed {
			t.Errorf("row %d: %v replayed %t, want %v", tag, outs[tag].Status, outs[tag].Replayed, want)
		}
	}
	out := outs[read]
	if a, _, err := out.Account(); err != nil || a.Available != 5 {
		t.Errorf("read %d, %v", a.Available, err)
	}
	if p := outs[moved].Position; p != (journal.Position{Partition: 1, Epoch: 1, Seq: before + 1}) {
		t.Errorf("position %v", p)
	}
	if s.runs > 2 { // two trains
		t.Errorf("%d calls for 5 outcomes that became durable together", s.runs)
	}
}

// TestRepeatDoesNotRunAhead: a first outcome that has long been durable is told again only when what the shard did since is
// durable, too: the answer's record, and that it was a repeat, may depend on it.
func TestRepeatDoesNotRunAhead(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	stop := w.durable()
	w.ask(1, transfer(bank, shop, "old", 5))
	stop()
	before := w.seq(1)
	s := newSink()
	moved := w.send(s, 1, transfer(bank, shop, "new", 5))
	w.eventually("it ran", func() bool { return w.seq(1) == before+1 })
	again := w.send(s, 1, transfer(bank, shop, "old", 5))
	w.eventually("both are held", func() bool { return w.stats().Held == 2 })
	w.lanes.Mark([]luascripts.Mark{{Partition: 1, Epoch: 1, Seq: before}})
	if n := s.count(); n != 0 {
		t.Fatalf("%d outcomes left", n)
	}
	w.lanes.Mark([]luascripts.Mark{{Partition: 1, Epoch: 1, Seq: before + 1}})
	if outs := s.wait(t, 2); !outs[again].Replayed || outs[moved].Replayed || outs[again].Position.Seq != before {
		t.Errorf("%+v", outs)
	}
}

// TestMarkOfAnotherEpochReleasesNothing: what ran in an epoch that is over is not known to be in the journal, even when
// a later epoch is durable far behind it.
func TestMarkOfAnotherEpochReleasesNothing(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	before := w.seq(1)
	s := newSink()
	moved := w.send(s, 1, transfer(bank, shop, "k", 5))
	w.eventually("the transfer ran", func() bool { return w.seq(1) == before+1 })
	read := w.send(s, 1, journal.Row{Op: journal.OpRead, Account: shop})
	check := w.send(s, 1, journal.Row{Op: journal.OpCheck, Account: shop, Amount: 1})
	if out := s.wait(t, 1)[check]; out.Status != journal.OK {
		t.Fatalf("a check waits only for the account's status: %v", out.Status)
	}
	w.eventually("both are held", func() bool { return w.stats().Held == 2 })
	w.lanes.Mark([]luascripts.Mark{{Partition: 1, Epoch: 2, Seq: before + 100}})
	outs := s.wait(t, 3)
	if outs[moved].Status != journal.OutcomeUnknown || outs[read].Status != journal.ShardUnavailable {
		t.Errorf("transfer %v, read %v", outs[moved].Status, outs[read].Status)
	}
	if len(outs[read].Record) > 0 || outs[moved].Position.Seq != 0 {
		t.Errorf("they tell something: %+v", outs)
	}
}

// TestMapWithAnotherEpochEndsTheWaiting: the same when the news comes by the map.
func TestMapWithAnotherEpochEndsTheWaiting(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	s := newSink()
	w.send(s, 1, transfer(bank, shop, "k", 5))
	w.eventually("it is held", func() bool { return w.stats().Held == 1 })
	w.republish(0, 2, "")
	if out := s.wait(t, 1)[w.tag]; out.Status != journal.OutcomeUnknown {
		t.Errorf("%v", out.Status)
	}
}

// TestWaitingHasABound: a journal that says nothing leaves nobody waiting for ever.
func TestWaitingHasABound(t *testing.T) {
	w := newWorld(t, 1, nil, func(c *Config) { c.HeldFor = 300 * time.Millisecond })
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	began := time.Now()
	if out := w.ask(1, transfer(bank, shop, "k", 5)); out.Status != journal.OutcomeUnknown {
		t.Errorf("%v", out.Status)
	}
	if took := time.Since(began); took < 200*time.Millisecond || took > 3*time.Second {
		t.Errorf("after %v", took)
	}
	w.durable()
	if out := w.ask(1, transfer(bank, shop, "k", 5)); out.Status != journal.Confirmed || !out.Replayed {
		t.Errorf("asked again with the same key: %v, replayed %t", out.Status, out.Replayed)
	}
}

// TestCheckWaitsForTheStatus: money may come and go undurably on the payee, its opening may not.
func TestCheckWaitsForTheStatus(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	s := newSink()
	shop := account(1, "shop")
	opened := w.send(s, 1, journal.Row{Op: journal.OpOpen, Account: shop, Text: []byte(`{}`)})
	w.eventually("it ran", func() bool { return w.seq(1) == 1 })
	w.stage.AddCheck(1, &journal.Row{Op: journal.OpCheck, Account: shop, Amount: 1}, &journal.Row{Op: journal.OpLook, ID: journal.ID{7}}, s, s, 77)
	w.lanes.Submit(w.stage)
	w.eventually("both are held", func() bool { return w.stats().Held == 2 })
	if s.count() != 0 {
		t.Fatal("the check left before the opening was durable")
	}
	w.lanes.Mark([]luascripts.Mark{{Partition: 1, Epoch: 1, Seq: 1}})
	outs := s.wait(t, 2)
	out := outs[77]
	var carried journal.Row
	if _, err := carried.Parse(out.Carry); err != nil || carried.ID != (journal.ID{7}) || out.Owner != s {
		t.Errorf("the check came back with %x (%v), owner %v", out.Carry, err, out.Owner)
	}
	if outs[opened].Status != journal.Opened || out.Status != journal.OK || out.Detail != 1 {
		t.Errorf("%v, %v with status seq %d", outs[opened].Status, out.Status, out.Detail)
	}
}

// TestPublishedMarksAreHeard: marks come by the shard, too.
func TestPublishedMarksAreHeard(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	s := newSink()
	w.send(s, 1, journal.Row{Op: journal.OpOpen, Account: account(1, "shop"), Text: []byte(`{}`)})
	w.eventually("it is answered", func() bool {
		if _, err := w.shards[0].PublishMarks(t.Context(), []luascripts.Mark{{Partition: 1, Epoch: 1, Seq: 1}}); err != nil {
			t.Fatal(err)
		}
		return s.count() == 1
	})
}

// TestHeldOutcomesAreBounded: when the journal stands, no further train leaves, and what waits is bounded, too.
func TestHeldOutcomesAreBounded(t *testing.T) {
	w := newWorld(t, 1, nil, func(c *Config) { c.HeldRows, c.QueueActs = 100, 1024 })
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	s := newSink()
	n := 0
	send := func(rows int) {
		for range rows {
			n++
			r := transfer(bank, shop, fmt.Sprint(n), 1)
			w.stage.Add(1, &r, s, uint64(n))
		}
		w.lanes.Submit(w.stage)
	}
	send(150)
	w.eventually("they are held", func() bool { return w.stats().Held == 150 })
	trains := w.stats().Trains
	send(1000)
	send(100)
	if s.count() != 100 {
		t.Errorf("%d rows were refused, want those beyond the queue", s.count())
	}
	time.Sleep(20 * paceMax) // a train would leave within paceMax
	if st := w.stats(); st.Trains != trains || st.Held != 150 || st.Queued != 1000 {
		t.Errorf("%d more trains left: %d held, %d queued", st.Trains-trains, st.Held, st.Queued)
	}
	w.durable()
	for _, o := range s.wait(t, n) {
		if o.Status != journal.Confirmed && o.Status != journal.Overloaded {
			t.Errorf("%v", o.Status)
		}
	}
	if got := w.available(shop); got != 1150 {
		t.Errorf("%d moved", got)
	}
}

// TestEndAnswersWhatIsHeld: nobody is left without an answer.
func TestEndAnswersWhatIsHeld(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	s := newSink()
	held := w.send(s, 1, transfer(bank, shop, "k", 1))
	w.eventually("it is held", func() bool { return w.stats().Held == 1 })
	w.end()
	late := w.send(s, 1, transfer(bank, shop, "late", 1))
	outs := s.wait(t, 2)
	if outs[held].Status != journal.OutcomeUnknown || outs[late].Status != journal.Draining {
		t.Errorf("held: %v, late: %v", outs[held].Status, outs[late].Status)
	}
}
