package relay

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"walletd/journal"
	"walletd/journal/filelog"
)

// What an event costs from the lane's reply to the mark that makes it durable, in CPU-µs of this process: entries are handed over
// as trains come, the next when all but a few are durable.
func BenchmarkHandedOver(b *testing.B) {
	const partitions, underWay = 4, 8
	for _, events := range []int{8, 32, 128} { // a partition and train
		b.Run(fmt.Sprintf("events=%d", partitions*events), func(b *testing.B) {
			l, err := filelog.Open(filelog.Config{Dir: b.TempDir(), Partitions: partitions})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var durable [partitions]atomic.Uint64
			marked := make(chan struct{}, 1)
			cfg := Config{Log: l, Outbox: unread{}, Watermark: func(_ context.Context, marks []Mark) error {
				for _, m := range marks {
					durable[m.Partition].Store(m.Seq)
				}
				poke(marked)
				return nil
			}}
			for p := range partitions {
				c, err := Claim(b.Context(), l, journal.Cursor{Partition: p}, 1, "bench", 1, nil)
				if err != nil {
					b.Fatal(err)
				}
				cfg.Cursors = append(cfg.Cursors, c)
			}
			r, err := New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error)
			go func() { done <- r.Run(ctx) }()
			train := trainOf(partitions, events)
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				for next := train.UpTo * uint64(events); next > durable[0].Load()+underWay*uint64(events); {
					<-marked
				}
				if !r.Offer(train) {
					b.Fatalf("not taken: %+v", r.Stats())
				}
				advance(train)
			}
			b.ReportMetric(float64(cpu(b)-before)/1000/float64(b.N*partitions*events), "CPU-µs/event")
			b.ReportMetric(float64(r.Stats().Events)/float64(r.Stats().Frames), "events/frame")
			cancel()
			<-done
		})
	}
}

// unread is an outbox that has nothing.
type unread struct{}

func (unread) Next(ctx context.Context) (Batch, error) {
	<-ctx.Done()
	return Batch{}, ctx.Err()
}

func (unread) Trim(context.Context, uint64) error { return nil }

// trainOf is an entry with so many payments in each partition.
func trainOf(partitions, events int) *Batch {
	b := &Batch{UpTo: 1}
	for p := range partitions {
		s := Section{Place: 1, Partition: p, FirstSeq: 1, Block: journal.Block{TimeMS: 1, Epoch: 1, Count: events}}
		for i := range events {
			row := journal.Row{Op: journal.OpPay, Account: journal.HandleOf(fmt.Sprint(p, i)), To: journal.HandleOf("payee"), Amount: 1, Key: fmt.Appendf(nil, "key-%012d", i)}
			s.Events = append(row.Append(s.Events), byte(journal.Confirmed))
		}
		b.Sections = append(b.Sections, s)
	}
	return b
}

// advance makes the entry the next one.
func advance(b *Batch) {
	b.UpTo++
	for i := range b.Sections {
		s := &b.Sections[i]
		s.Place, s.FirstSeq = b.UpTo, s.LastSeq()+1
	}
}

// cpu is what this process has used, ns.
func cpu(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
