package reconcile

import (
	"fmt"
	"syscall"
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

// BenchmarkMillion audits a wallet of a million accounts: its journal, its shards, its projection. CPU seconds.
func BenchmarkMillion(b *testing.B) {
	h := history.NewBusy(history.BusyConfig{Partitions: 8, Accounts: 1_000_000, Transfers: 1_000_000, CrossIn8: 4, FrameBytes: 64 << 10})
	var list dumps
	for p := range h.Partitions {
		book := journal.NewBook(p, h.Partitions)
		_, err := h.Log.Read(b.Context(), p, 0, func(_ int64, record []byte) error {
			f, err := journal.ParseFrame(record)
			must(b, err)
			return f.EachEvent(func(e *journal.Event) error { return book.Apply(e, nil) })
		})
		must(b, err)
		list = append(list, Dump{Partition: p, Shard: "s", Before: book.Seq, After: book.Seq, Epoch: 1, State: book.State.(*journal.Memory)})
	}
	v, _ := projected(b, h.Log, 1)
	defer func() { must(b, v.Close()) }()
	for name, c := range map[string]Config{"journal": {Log: h.Log}, "projection": {Log: h.Log, View: v}, "shards": {Log: h.Log, Shards: list}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cpu := cpuTime(b)
				c.Assets = journal.DevAssets
				r, err := Run(b.Context(), c)
				must(b, err)
				if !r.OK() {
					b.Fatal(r.Text())
				}
				b.ReportMetric((cpuTime(b) - cpu).Seconds(), "CPU-s")
			}
		})
	}
}

// BenchmarkReplay is `journal replay`: every event of a wallet under load, folded.
func BenchmarkReplay(b *testing.B) {
	for _, accounts := range []int{10_000, 1_000_000} {
		h := history.NewBusy(history.BusyConfig{Partitions: 8, Accounts: accounts, Transfers: 1_000_000, CrossIn8: 4, FrameBytes: 64 << 10})
		b.Run(fmt.Sprint(accounts), func(b *testing.B) {
			for b.Loop() {
				cpu := cpuTime(b)
				_, err := Replay(b.Context(), ReplayConfig{Log: h.Log, Fold: true}, func(*Replayed) error { return nil })
				must(b, err)
				b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/float64(h.Events+accounts), "CPU-ns/event")
			}
		})
	}
}

// cpuTime is what this process has used so far: on a shared machine the clock says little.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
