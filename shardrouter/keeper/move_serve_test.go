package keeper

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"walletd/journal"
	"walletd/luascripts"
)

// forgetful is a shard whose reply to the first Serve is lost.
type forgetful struct {
	*luascripts.Shard
	lost *atomic.Bool
}

func (f *forgetful) Join(ctx context.Context, keeper uint32, partition, partitions int) (luascripts.Loading, error) {
	l, err := f.Shard.Join(ctx, keeper, partition, partitions)
	if err != nil {
		return nil, err
	}
	return &forgotten{l, f.lost}, nil
}

type forgotten struct {
	luascripts.Loading
	lost *atomic.Bool
}

func (f *forgotten) Serve(ctx context.Context, b *journal.Book) error {
	err := f.Loading.Serve(ctx, b)
	if err == nil && !f.lost.Swap(true) {
		err = fmt.Errorf("%w: the reply is lost", luascripts.ErrUnknown)
	}
	return err
}

// TestServeWithoutAReply: a partition that came serves, and its keeper does not know. It is taken out again, the move begins again and
// comes to its end, and no reign ends.
func TestServeWithoutAReply(t *testing.T) {
	lost := &atomic.Bool{}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: func(k *Config) {
		k.Open = func(addr string) (Shard, error) {
			s, err := luascripts.Open(luascripts.Config{Addr: addr})
			return &forgetful{s, lost}, err
		}
	}})
	c.keepAll()
	bank := c.bank(2, 300)
	all := bank.run(3, func() {
		c.moveTo(0, "s2")
		c.eventually("the partition has come", func() bool { return c.keepers["k-s2"].Stats().MovesIn == 1 })
	})
	bank.check(t, c.rest(), 300, all)
	for name, k := range c.keepers {
		if s := k.Stats(); s.Reigns != 1 {
			t.Errorf("keeper %s: %d reigns", name, s.Reigns)
		}
	}
}
