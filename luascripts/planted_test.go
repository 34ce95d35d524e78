//go:build planted

package luascripts

import (
	"testing"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
	"walletd/deploy/trial"
	"walletd/journal/planted"
)

// Every bug that is planted in a shard's scripts or its client is caught by random trains held against the Book.
func TestPlanted(t *testing.T) {
	for _, bug := range []planted.Bug{
		planted.NoTombstone, planted.FundsBeforeKey, planted.LossyNumbers, planted.EpochUnchecked, planted.DeliverNoCompare,
		planted.ConfirmNeedsMemory, planted.ClientRetries, planted.EvictUnfiltered,
	} {
		t.Run(string(bug), func(t *testing.T) {
			server := local.Redis(t)
			proxy := faultproxy.ForTest(t, server.Addr)
			trial.Caught(t, bug, 200, func(t testing.TB, seed uint64) { faultyTrains(t, server, proxy, seed) })
		})
	}
}

// A shard that does not look at its lease is caught by the lease's own story: time does not differ from seed to seed.
func TestPlantedLeaseForever(t *testing.T) {
	trial.Caught(t, planted.LeaseForever, 1, func(t testing.TB, _ uint64) { leaseOver(t) })
}
