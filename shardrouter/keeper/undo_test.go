package keeper

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"walletd/luascripts"
	"walletd/shardrouter"
)

// unheard is a shard that begins to load a partition once without saying so, and then does not answer what it has of it.
type unheard struct {
	*luascripts.Shard
	joined, asked atomic.Bool
	meanwhile     func()
}

func (u *unheard) Join(ctx context.Context, keeper uint32, partition, partitions int) (luascripts.Loading, error) {
	l, err := u.Shard.Join(ctx, keeper, partition, partitions)
	if err == nil && !u.joined.Swap(true) {
		return nil, fmt.Errorf("%w: the reply is lost", luascripts.ErrUnknown)
	}
	return l, err
}

func (u *unheard) Asides(ctx context.Context) (map[int]luascripts.Aside, error) {
	if u.joined.Load() && !u.asked.Swap(true) {
		u.meanwhile()
		return nil, fmt.Errorf("%w: the reply is lost", luascripts.ErrUnknown)
	}
	return u.Shard.Asides(ctx)
}

// What an arrival left in the shard is removed also when the shard does not answer at first, and the partition does not come any
// more: as long as the shard takes it for one that is being loaded, no slice of the key window is dropped.
func TestWhatCameHalfwayIsRemoved(t *testing.T) {
	s2 := &unheard{}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: func(k *Config) {
		if k.Shard == "s2" {
			k.Open = func(addr string) (Shard, error) {
				s, err := luascripts.Open(luascripts.Config{Addr: addr})
				s2.Shard = s
				return s2, err
			}
		}
	}})
	s2.meanwhile = func() { c.must(shardrouter.AbortMove(c.Context(), c.static, 0)) }
	c.keepAll()
	c.bank(1, 100)
	c.must(shardrouter.RequestMove(c.Context(), c.static, 0, "s2"))
	c.eventually("the move is taken back", s2.asked.Load)
	real := c.shard(1)
	c.eventually("nothing is left of it", func() bool {
		asides, err := real.Asides(c.Context())
		c.must(err)
		return len(asides) == 0
	})
	c.rest()
}
