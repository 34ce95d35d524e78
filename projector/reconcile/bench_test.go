package reconcile

import (
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// BenchmarkRun audits a busy wallet: alone, and with its projection.
func BenchmarkRun(b *testing.B) {
	h := history.New(history.Config{Seed: 1, Partitions: 4, Accounts: 2500, Steps: 300_000, Assets: 1, FrameMax: 500, Plain: true})
	h.DeliverAll()
	events := 0
	for p := range h.Events {
		events += len(h.Events[p])
	}
	v, _ := projected(b, h.Log, 1)
	defer func() { must(b, v.Close()) }()
	for name, c := range map[string]Config{"journal": {Log: h.Log}, "projection": {Log: h.Log, View: v}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				start := time.Now()
				c.Assets = journal.DevAssets
				r, err := Run(b.Context(), c)
				must(b, err)
				if !r.OK() {
					b.Fatal(r.Text())
				}
				b.ReportMetric(float64(events)/time.Since(start).Seconds(), "events/s")
			}
		})
	}
}
