//go:build planted

package sim

import (
	"testing"

	"walletd/deploy/trial"
	"walletd/journal/planted"
)

// TestPlanted: each bug that a run can meet is caught within 200 seeds, and the seed that catches it goes well without it.
func TestPlanted(t *testing.T) {
	for _, bug := range []planted.Bug{
		planted.AnswerBeforeLog, planted.SeqAfterFailure, planted.OffsetUnchecked, planted.DeliverUndurable, planted.SettledEarly,
		planted.AdoptUncompared, planted.EpochUnchecked, planted.DeliverNoCompare, planted.NoTombstone, planted.FundsBeforeKey,
		planted.EvictUnfiltered, planted.LeaseForever, planted.SnapshotNoKeys, planted.ProjectionOffset,
	} {
		t.Run(string(bug), func(t *testing.T) {
			trial.Caught(t, bug, 200, func(tb testing.TB, seed uint64) {
				if r := run(t, seed, false); r.failure != nil {
					tb.Fatal(r.failure)
				}
			})
		})
	}
}
