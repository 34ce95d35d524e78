package keeper

import (
	"context"
	"sync"
	"testing"

	"walletd/journal"
)

// slowReader is a log whose first reading takes as long as somebody wants.
type slowReader struct {
	journal.Log
	once    sync.Once
	reached chan struct{}
	goOn    chan struct{}
}

func (l *slowReader) Read(ctx context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	l.once.Do(func() {
		close(l.reached)
		select {
		case <-l.goOn:
		case <-ctx.Done():
		}
	})
	return l.Log.Read(ctx, partition, from, fn)
}

// A keeper is elected while its predecessor serves, and reads for long; meanwhile the predecessor gives a partition away. The keeper's
// partitions were right when it began, and are not when it has an epoch: it starts none in the log of the one that has left.
func TestAMoveEndsWhileASuccessorReads(t *testing.T) {
	reading := &slowReader{reached: make(chan struct{}), goOn: make(chan struct{})}
	lead := &abdication{shard: "s1"}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2,
		journalOf: func(name string, log journal.Log) journal.Log {
			if name != "k-next" {
				return log
			}
			reading.Log = log
			return reading
		},
		config: func(k *Config) {
			if k.Name == "k-s1" {
				lead.Election = k.Election
				k.Election = lead
			}
		}})
	c.keepAll()
	b := c.bank(1, 100)
	lead.l.Load().Resign()
	next := c.keep(0, "k-next")
	c.eventually("it reads", func() bool {
		select {
		case <-reading.reached:
			return true
		default:
			return false
		}
	})
	c.moveTo(0, "s2")
	close(reading.goOn)
	c.eventually("the successor has tried", func() bool { return next.Stats().State == Serving || c.keepers["k-s2"].Stats().Reigns > 1 })
	a := c.asker()
	if s := a.move(b.customers[0], b.customers[1], "after", 1, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	c.eventually("the successor serves what is left", func() bool { return next.Stats().State == Serving })
	if s := c.keepers["k-s2"].Stats(); s.Reigns != 1 {
		t.Errorf("the partition's new shard has begun %d reigns", s.Reigns)
	}
	c.rest()
}
