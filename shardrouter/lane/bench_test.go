package lane

import (
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
)

// window hears outcomes, counts them, and bounds what is under way.
type window struct {
	answered atomic.Int64
	wrong    atomic.Int64
	room     chan struct{}
}

func (w *window) Settle(outs []rows.Outcome) {
	for i := range outs {
		if outs[i].Status != journal.Confirmed {
			w.wrong.Add(1)
		}
	}
	w.answered.Add(int64(len(outs)))
	signal(w.room)
}

// BenchmarkTransfers is the lane's share of a transfer within one partition, Redis and marks included, with so many
// under way and a stage of at most 64 rows. What it allocates a row is the reply's and the clients'.
func BenchmarkTransfers(b *testing.B) {
	for _, underWay := range []int64{1, 64, 4096} {
		b.Run(fmt.Sprint(underWay, "-under-way"), func(b *testing.B) {
			w := newWorld(b, 1, nil, nil)
			bank, shop := w.open(1, "bank", journal.Issuance), w.open(1, "shop", 0)
			w.durable()
			hear := &window{room: make(chan struct{}, 1)}
			r := transfer(bank, shop, "k", 1)
			key := make([]byte, 0, 16)
			b.ReportAllocs()
			b.ResetTimer()
			for sent := int64(0); sent < int64(b.N); {
				for n := min(64, underWay-(sent-hear.answered.Load()), int64(b.N)-sent); n > 0; n-- {
					key = strconv.AppendInt(key[:0], sent, 10)
					r.ID = journal.IDOf(bank, key)
					w.stage.Add(1, &r, hear, 0)
					sent++
				}
				w.lanes.Submit(w.stage)
				if sent-hear.answered.Load() >= underWay {
					<-hear.room
				}
			}
			for hear.answered.Load() < int64(b.N) {
				<-hear.room
			}
			b.StopTimer()
			s := w.stats()
			b.ReportMetric(float64(s.Acts)/float64(s.Trains), "acts/train")
			if n := hear.wrong.Load(); n > 0 {
				b.Fatalf("%d of %d transfers were not confirmed", n, b.N)
			}
		})
	}
}

// TestARowAllocatesNothing: what a train allocates does not depend on its rows, once buffers have grown.
func TestARowAllocatesNothing(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	bank, shop := w.open(1, "bank", journal.Issuance), w.open(1, "shop", 0)
	hear := &window{room: make(chan struct{}, 1)}
	r, key, sent := transfer(bank, shop, "k", 1), make([]byte, 0, 16), int64(0)
	marks := []luascripts.Mark{{Partition: 1, Epoch: 1}}
	w.lanes.Mark(marks)
	seq := w.seq(1)
	trip := func(n int64) { // one train, there and back
		for range n {
			sent++
			key = strconv.AppendInt(key[:0], sent, 10)
			r.ID, r.Key = journal.IDOf(bank, key), key
			w.stage.Add(1, &r, hear, 0)
		}
		w.lanes.Submit(w.stage)
		w.eventually("the train is back", func() bool { return w.lanes.parts[1].lane.Load().held.Load() == n })
		marks[0].Seq = seq + uint64(sent)
		w.lanes.Mark(marks)
		for hear.answered.Load() < sent {
			<-hear.room
		}
	}
	allocs := func(n int64) uint64 {
		const trips = 20
		var before, after runtime.MemStats
		trip(n)
		runtime.ReadMemStats(&before)
		for range trips {
			trip(n)
		}
		runtime.ReadMemStats(&after)
		return (after.Mallocs - before.Mallocs) / trips
	}
	trip(512)
	few, many := allocs(1), allocs(512)
	t.Logf("a train of one row: %d allocations, of 512: %d", few, many)
	if many > few+50 { // a row would make 511
		t.Errorf("a train of one row makes %d allocations, of 512 rows %d", few, many)
	}
	if n := hear.wrong.Load(); n > 0 {
		t.Errorf("%d transfers were not confirmed", n)
	}
}
