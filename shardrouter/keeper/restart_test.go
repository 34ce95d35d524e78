package keeper

import (
	"fmt"
	"testing"
	"time"

	"walletd/journal"
	"walletd/luascripts"
	"walletd/shardrouter/lane"
)

// told are the transfers that a client was told are confirmed; each must be in the log.
func (c *cluster) told(b *bank, keys []string) {
	c.Helper()
	in := c.rest()
	for _, key := range keys {
		if got := in.key(journal.IDOf(b.customers[0], key)); got != journal.Confirmed {
			c.Errorf("%s: the client was told confirmed, the log says %v", key, got)
		}
	}
	if got, want := in.account(b.customers[1]).Available, journal.Amount(100+len(keys)); got != want {
		c.Errorf("the payee has %d, was told %d", got, want)
	}
}

// TestOlderDataInTheSameEpoch: a Redis dies and comes back with what somebody had saved before, in the epoch in which it is
// served. Seqs that are durable would be given again, and their outcomes would leave although nobody journals them.
func TestOlderDataInTheSameEpoch(t *testing.T) {
	for what, stopped := range map[string]bool{"under its keeper": false, "while nobody keeps it": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, clusterOptions{servers: 1, partitions: 1, lanes: impatient})
			c.keepAll()
			b := c.bank(2, 100)
			c.rest()
			a := c.asker()
			c.redisCLI(0, "save") // as an AOF has it that is fsynced every second, or a replica that lags
			var told []string
			for i := range 5 {
				key := fmt.Sprint("before", i)
				if s := a.move(b.customers[0], b.customers[1], key, 1, a.sure); s != journal.Confirmed {
					t.Fatal(s)
				}
				told = append(told, key)
			}
			c.rest()
			first := c.keepers["k-s1"].Stats().Epoch
			if stopped {
				c.stopKeepers()
			}
			c.redis[0].Kill()
			c.must(c.redis[0].Restart(t.Context()))
			parts, err := c.shard(0).Parts(t.Context())
			c.must(err)
			once := func(i int) {
				key := fmt.Sprint("after", i)
				if s := a.move(b.customers[0], b.customers[1], key, 1, a.ask); s == journal.Confirmed {
					told = append(told, key)
				}
			}
			if stopped { // nobody watches: the shard itself must not run anything
				if parts[0].Epoch != first || parts[0].Seq == 0 {
					t.Fatalf("it came back with %+v: the test shows nothing", parts)
				}
				once(0)
				if len(told) != 5 {
					t.Error("a transfer was confirmed without a keeper")
				}
				if now, err := c.shard(0).Parts(t.Context()); err != nil || now[0] != parts[0] {
					t.Errorf("a train ran: %+v, then %+v, %v", parts, now, err)
				}
				c.keep(0, "next")
			}
			for i := 1; i < 41; i++ {
				once(i)
			}
			c.told(b, told)
			for name, k := range c.keepers {
				if s := k.Stats(); s.Epoch == first || s.Adopted > 0 || s.Rebuilt == 0 {
					t.Errorf("keeper %s: %+v", name, s)
				}
			}
			t.Logf("%d confirmed", len(told))
		})
	}
}

// TestScriptsFlushedUnderLoad costs reigns, and nothing else.
func TestScriptsFlushedUnderLoad(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 4})
	c.keepAll()
	b := c.bank(2, 500)
	all := b.run(8, func() {
		for i := range 4 {
			time.Sleep(100 * time.Millisecond) // traffic
			k := c.keepers["k-"+shardName(i%2)]
			before := k.Stats().Reigns
			c.redisCLI(i%2, "script", "flush")
			c.eventually("another reign", func() bool { s := k.Stats(); return s.State == Serving && s.Reigns > before })
		}
		time.Sleep(100 * time.Millisecond)
	})
	b.check(t, c.rest(), 500, all)
	for name, k := range c.keepers {
		if s := k.Stats(); s.Adopted != 0 || s.Rebuilt != s.Reigns {
			t.Errorf("keeper %s adopted a shard of which it knew nothing: %+v", name, s)
		}
	}
}

// TestTrainsOfAnOldEpochAfterATakeover: whoever still has the map of before gets nothing executed.
func TestTrainsOfAnOldEpochAfterATakeover(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2})
	c.keepAll()
	b := c.bank(1, 100)
	c.rest()
	old := c.shard(0)
	epoch := c.keepers["k-s1"].Stats().Epoch
	c.stopKeepers()
	k := c.keep(0, "next")
	c.eventually("it serves", func() bool { return k.Stats().State == Serving })
	if s := k.Stats(); s.Adopted != 1 {
		t.Errorf("%+v", s)
	}
	look := func() luascripts.Look {
		l, err := old.Look(t.Context(), epoch)
		c.must(err)
		return l
	}
	before := look()
	for _, in := range []uint32{epoch, k.Stats().Epoch} { // even for rows of the partition's own epoch
		var tr luascripts.Train
		tr.Section(0, in)
		tr.Add((&journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(b.issuers[0], "x"), Account: b.issuers[0], To: b.customers[0], Amount: 1}).Append(nil))
		if _, err := old.Run(t.Context(), &tr); !luascripts.NothingMoved(err) {
			t.Errorf("a train of epoch %d: %v", epoch, err)
		}
	}
	if after := look(); after.Admitted || after.Parts[0] != before.Parts[0] {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestReplicaForAWhile: somebody makes a primary a replica of one that knows less; it is made a primary again, and rebuilt,
// though it has its scripts.
func TestReplicaForAWhile(t *testing.T) {
	t.Parallel()
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1, lanes: impatient})
	c.keepAll()
	b := c.bank(2, 100)
	c.rest()
	k := c.keepers["k-s1"]
	first := k.Stats().Epoch
	c.redisCLI(0, "replicaof", "127.0.0.1", "1")
	c.eventually("it is noticed", func() bool { s := k.Stats(); return s.Epoch > first && s.State == Serving })
	a := c.asker()
	if s := a.move(b.customers[0], b.customers[1], "after", 1, a.sure); s != journal.Confirmed {
		t.Error(s)
	}
	c.told(b, []string{"after"})
	if s := k.Stats(); s.Adopted != 0 || s.Rebuilt != 2 {
		t.Errorf("%+v", s)
	}
}

// impatient lanes give rows up soon.
func impatient(c *lane.Config) {
	c.RetryFor, c.HeldFor, c.UnsureFor = time.Second, time.Second, time.Second
}
