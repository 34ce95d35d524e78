package keeper

import (
	"testing"

	"walletd/journal"
)

// A keeper that decided to rebuild stalls before its Wipe; another serves the shard meanwhile.
func TestAZombiesWipeDoesNothing(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2})
	c.keepAll()
	b := c.bank(1, 100)
	a := c.asker()
	c.rest()
	k := c.keepers["k-s1"]
	before := k.Stats().Reigns
	zombie := c.shard(0) // the client of a keeper in epoch 1, whose next line is Wipe
	_ = zombie.Wipe(t.Context(), k.Stats().Epoch-1)
	if o := a.ask(0, journal.Row{Op: journal.OpRead, Account: b.customers[0]}); o.Status != journal.OK {
		t.Errorf("read: %v", o.Status)
	}
	c.eventually("serves", func() bool { return k.Stats().State == Serving })
	if n := k.Stats().Reigns; n != before {
		t.Errorf("a zombie's wipe ended the reign of the one that serves: %d reigns", n)
	}
}
