package lane

import (
	"fmt"
	"sync/atomic"
	"testing"

	"walletd/journal"
	"walletd/journal/rows"
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
					key = fmt.Appendf(key[:0], "%d", sent)
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
