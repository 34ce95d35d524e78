package view

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// Whichever read of the store fails while it folds: it is the store's fault and not the journal's, nothing of the batch is
// kept, and after a rollback it goes on as if nothing had been.
func TestAnyReadFails(t *testing.T) {
	h := history.New(history.Config{Seed: 40, Partitions: 1, Accounts: 5, Steps: 300, Assets: 1, FrameMax: 12})
	base := vfs.NewCrashableMem()
	v := open(t, base, h.Partitions)
	f, err := v.Fold(0)
	must(t, err)
	feed(t, f, h.Log, len(h.Log.Records(0))/2)
	must(t, f.Close())
	must(t, v.db.Flush())
	must(t, v.Close())

	failed := 0
	for n := int64(1); ; n++ {
		var armed atomic.Bool
		var left atomic.Int64
		left.Store(n)
		broken := errors.New("the disk does not answer")
		inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if armed.Load() && op.Kind == errorfs.OpFileReadAt && left.Add(-1) == 0 {
				return broken
			}
			return nil
		})
		fs := errorfs.Wrap(base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}), inject)
		v, err := Open(Config{Dir: "view", Wallet: "test", Partitions: 1, CacheBytes: 1, CacheAccounts: 1, FS: fs})
		must(t, err)
		f, err := v.Fold(0)
		must(t, err)
		at := f.Cursor()
		armed.Store(true)
		_, err = h.Log.Read(t.Context(), 0, at.Offset, func(offset int64, record []byte) error {
			_, err := f.Take(offset, record)
			return err
		})
		armed.Store(false)
		if err != nil {
			failed++
			if !errors.Is(err, ErrStore) || errors.Is(err, journal.ErrDamaged) {
				t.Fatalf("read %d: %v", n, err)
			}
			must(t, f.Rollback())
			equal(t, "cursor", f.Cursor(), at)
		}
		for feed(t, f, h.Log, 50) > 0 {
		}
		have, _, e := v.Digest(0)
		must(t, e)
		equal(t, "digest", have, h.Books[0].Digest())
		must(t, errors.Join(f.Commit(), f.Close(), v.Close()))
		if err == nil && left.Load() > 0 {
			break // there are no more reads
		}
	}
	if failed < 5 {
		t.Errorf("only %d reads failed", failed)
	}
}
