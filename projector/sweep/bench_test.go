package sweep

import (
	"errors"
	"testing"

	"walletd/journal"
	"walletd/projector/internal/history"
	"walletd/projector/view"
)

// BenchmarkCompare is a page of 128 accounts, but for what the shard does.
func BenchmarkCompare(b *testing.B) {
	h := history.New(history.Config{Seed: 9, Partitions: 1, Accounts: 200, Steps: 20_000, Assets: 2, FrameMax: 50})
	v, err := view.Open(view.Config{Dir: b.TempDir(), Wallet: "test", Partitions: 1})
	must(b, err)
	defer func() { must(b, v.Close()) }()
	f, err := v.Fold(0)
	must(b, err)
	for i, record := range h.Log.Records(0) {
		_, err := f.Take(int64(i), record)
		must(b, err)
		if i%20 == 0 {
			must(b, f.Commit())
		}
	}
	must(b, errors.Join(f.Commit(), f.Close()))
	s, err := New(Config{View: v, Live: newShard(h)})
	must(b, err)
	for b.Loop() {
		if _, _, err := s.page(b.Context(), 0, journal.Handle{}); err != nil {
			b.Fatal(err)
		}
	}
}
