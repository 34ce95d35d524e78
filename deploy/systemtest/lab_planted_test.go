//go:build planted

package systemtest

import (
	"path/filepath"
	"strconv"
	"testing"

	"walletd/deploy/trial"
	"walletd/journal/planted"
)

// What random trains catch in a shard, schedules of faults catch in a wallet, by what its clients are told and by its journal.
func TestPlantedInAWallet(t *testing.T) {
	f := newInprocess(t, 1, false)
	dir, runs := t.TempDir(), 0
	for _, bug := range []planted.Bug{planted.NoTombstone, planted.FundsBeforeKey, planted.LossyNumbers, planted.EvictUnfiltered} {
		timing := f.timing
		timing.length, timing.lasts, timing.faultsMax = timing.length/2, timing.lasts/2, 4 // a quick look will do
		if bug != planted.EvictUnfiltered {
			timing.window = 0 // nobody waits until keys have gone
		}
		t.Run(string(bug), func(t *testing.T) {
			trial.Caught(t, bug, 200, func(t testing.TB, seed uint64) {
				runs++ // one that is made again without the bug begins anew, too
				keep := filepath.Join(dir, strconv.Itoa(runs))
				o := runSchedule(t, f, newSchedule("inprocess", seed, f.can(), timing), 0, keep)
				if o.failure != "" {
					t.Fatal(o.failure)
				}
			})
		})
	}
}
