package view

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// BenchmarkFold folds a busy wallet into a store on disk: events/s, bytes of journal an event.
func BenchmarkFold(b *testing.B) {
	h := history.New(history.Config{Seed: 1, Partitions: 4, Accounts: 2500, Steps: 500_000, Assets: 1, FrameMax: 500, Plain: true})
	events, bytes := 0, 0
	for p := range h.Partitions {
		events += len(h.Events[p])
		for _, r := range h.Log.Records(p) {
			bytes += len(r)
		}
	}
	for b.Loop() {
		b.StopTimer()
		dir := filepath.Join(b.TempDir(), "view")
		v, err := Open(Config{Dir: dir, Wallet: "test", Partitions: h.Partitions})
		must(b, err)
		b.StartTimer()
		start, cpu := time.Now(), cpuTime(b)
		for p := range h.Partitions {
			f, err := v.Fold(p)
			must(b, err)
			_, err = h.Log.Read(b.Context(), p, 0, func(offset int64, record []byte) error {
				if _, err := f.Take(offset, record); err != nil {
					return err
				}
				if f.Size() > 1<<20 {
					return f.Commit()
				}
				return nil
			})
			must(b, err)
			must(b, f.Commit())
			must(b, f.Close())
		}
		b.ReportMetric(float64(events)/time.Since(start).Seconds(), "events/s")
		b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(events), "CPU-µs/event")
		b.StopTimer()
		must(b, v.Close())
		must(b, os.RemoveAll(dir))
		b.StartTimer()
	}
	b.ReportMetric(float64(bytes)/float64(events), "journal-B/event")
}

// cpuTime is what this process has used so far, compactions included: on a shared machine the clock says little.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBook is the same fold in memory: what the store costs is the difference.
func BenchmarkBook(b *testing.B) {
	h := history.New(history.Config{Seed: 1, Partitions: 4, Accounts: 2500, Steps: 100_000, Assets: 1, FrameMax: 500, Plain: true})
	events := 0
	for b.Loop() {
		start := time.Now()
		events = 0
		for p := range h.Partitions {
			book := journal.NewBook(p, h.Partitions)
			for i := range h.Events[p] {
				must(b, book.Apply(&h.Events[p][i], nil))
			}
			events += len(h.Events[p])
		}
		b.ReportMetric(float64(events)/time.Since(start).Seconds(), "events/s")
	}
}

// BenchmarkCommit commits every frame by itself, as an idle wallet makes the projector do.
func BenchmarkCommit(b *testing.B) {
	h := history.New(history.Config{Seed: 1, Partitions: 1, Accounts: 1000, Steps: 100_000, Assets: 1, FrameMax: 20, Plain: true})
	records := h.Log.Records(0)
	v, err := Open(Config{Dir: filepath.Join(b.TempDir(), "view"), Wallet: "test", Partitions: 1})
	must(b, err)
	f, err := v.Fold(0)
	must(b, err)
	cpu, n := cpuTime(b), 0
	for b.Loop() {
		if n == len(records) {
			break
		}
		_, err := f.Take(int64(n), records[n])
		must(b, err)
		must(b, f.Commit())
		n++
	}
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(n), "CPU-µs/commit")
	must(b, f.Close())
	must(b, v.Close())
}
