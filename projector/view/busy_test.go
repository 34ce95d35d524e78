package view

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"walletd/projector/internal/history"
)

// BenchmarkBusy folds a wallet under load, half of whose transfers go to another partition, over many and few accounts: CPU a
// transfer, everything that the store does in the background included, bytes on disk and allocations.
// live: a commit for four frames of 64 KB, as 80,000 transfers a second make it; rebuild: for every 32 of them.
func BenchmarkBusy(b *testing.B) {
	for _, accounts := range []int{10_000, 1_000_000} {
		h := history.NewBusy(history.BusyConfig{Partitions: 8, Accounts: accounts, Transfers: 1_000_000, CrossIn8: 4, FrameBytes: 64 << 10})
		for name, frames := range map[string]int{"live": 4, "rebuild": 32} {
			b.Run(fmt.Sprintf("%d_%s", accounts, name), func(b *testing.B) {
				for b.Loop() {
					busyFold(b, h, frames)
				}
			})
		}
	}
}

func busyFold(b *testing.B, h *history.Busy, frames int) {
	b.StopTimer()
	dir := filepath.Join(b.TempDir(), "view")
	v, err := Open(Config{Dir: dir, Wallet: "test", Partitions: h.Partitions})
	must(b, err)
	folds := make([]*Fold, h.Partitions)
	for p := range folds {
		folds[p], err = v.Fold(p)
		must(b, err)
	}
	rounds := func(of func(p int) (from, to int)) {
		for at, more := 0, true; more; at += frames {
			more = false
			for p, f := range folds {
				from, to := of(p)
				for i := from + at; i < min(from+at+frames, to); i++ {
					_, err := f.Take(int64(i), h.Log.Records(p)[i])
					must(b, err)
					more = true
				}
				must(b, f.Commit())
			}
		}
	}
	rounds(func(p int) (int, int) { return 0, h.Opened[p] }) // accounts are opened first; what is measured are the transfers behind them
	opened := diskUsed(b, dir)
	runtime.GC()
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	cpu := cpuTime(b)
	b.StartTimer()
	rounds(func(p int) (int, int) { return h.Opened[p], len(h.Log.Records(p)) })
	for _, f := range folds {
		must(b, f.Close())
	}
	must(b, v.Close())
	b.StopTimer()
	transfers := float64(h.Transfers)
	used := cpuTime(b) - cpu
	runtime.ReadMemStats(&m1)
	b.ReportMetric(float64(used.Microseconds())/transfers, "CPU-µs/transfer")
	b.ReportMetric(float64(m1.Mallocs-m0.Mallocs)/transfers, "allocs/transfer")
	b.ReportMetric(float64(diskUsed(b, dir)-opened)/transfers, "disk-B/transfer")
	b.ReportMetric(float64(h.Bytes)/transfers, "journal-B/transfer")
	must(b, os.RemoveAll(dir))
	b.StartTimer()
}

func diskUsed(b *testing.B, dir string) (n int64) {
	must(b, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			n += i.Size()
		}
		return err
	}))
	return n
}
