package keeper

import (
	"fmt"
	"testing"

	"walletd/journal"
)

// Of a partition that is too large to be summed up while it is frozen, what the source held is held against the journal
// afterwards; what differs is told, and the move stands.
func TestWhatHasLeftIsCompared(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: func(k *Config) { k.sumUpMax = 1 }})
	c.keepAll()
	c.bank(2, 100)
	c.rest()
	c.moveTo(1, "s1")
	c.eventually("what left s2 is as its journal says", func() bool {
		s := c.keepers["k-s2"].Stats()
		return s.MovesAgree == 1 && s.MovesDiffer == 0
	})
	stray := ""
	for i := 0; stray == ""; i++ {
		if h := fmt.Sprintf("%07dstray", i*104729); journal.Handle([]byte(h)).Partition(2) == 0 {
			stray = h
		}
	}
	c.redisCLI(0, "hset", "details", stray, "1234567{}")
	c.moveTo(0, "s2")
	c.eventually("what left s1 is not", func() bool { return c.keepers["k-s1"].Stats().MovesDiffer == 1 })
	c.rest() // the destination has what the journal gives, and the source nothing any more
}

// A partition that has come back before what it left was looked at is there again, and is another: nothing is held against the journal.
func TestWhatHasComeBackIsNotCompared(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: func(k *Config) { k.sumUpMax = 1 }})
	c.keepAll()
	b := c.bank(2, 100)
	c.moveTo(0, "s2")
	c.moveTo(0, "s1")
	a := c.asker()
	if s := a.move(b.customers[0], b.customers[1], "after", 1, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	c.eventually("what left s2 was compared", func() bool { return c.keepers["k-s2"].Stats().MovesAgree == 1 })
	c.rest()
	for name, k := range c.keepers {
		if s := k.Stats(); s.MovesDiffer != 0 {
			t.Errorf("keeper %s: %d differ", name, s.MovesDiffer)
		}
	}
}
