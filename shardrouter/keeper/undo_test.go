package keeper

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"walletd/luascripts"
	"walletd/shardrouter"
)

// unheard is a shard that begins to load a partition once without saying so, or stops one, and then once does not answer what it has
// of it.
type unheard struct {
	*luascripts.Shard
	joined, frozen, asked atomic.Bool
	meanwhile             func()
}

// at is the shard for the keeper of one.
func (u *unheard) at(shard string) func(*Config) {
	return func(k *Config) {
		if k.Shard == shard {
			k.Open = func(addr string) (Shard, error) {
				s, err := luascripts.Open(luascripts.Config{Addr: addr})
				u.Shard = s
				return u, err
			}
		}
	}
}

func (u *unheard) Freeze(ctx context.Context, keeper uint32, partition int, epoch uint32) (luascripts.Part, error) {
	p, err := u.Shard.Freeze(ctx, keeper, partition, epoch)
	u.frozen.Store(err == nil)
	return p, err
}

func (u *unheard) Join(ctx context.Context, keeper uint32, partition, partitions int) (luascripts.Loading, error) {
	l, err := u.Shard.Join(ctx, keeper, partition, partitions)
	if err == nil && !u.joined.Swap(true) {
		return nil, fmt.Errorf("%w: the reply is lost", luascripts.ErrUnknown)
	}
	return l, err
}

func (u *unheard) Asides(ctx context.Context) (map[int]luascripts.Aside, error) {
	if (u.joined.Load() || u.frozen.Load()) && !u.asked.Swap(true) {
		u.meanwhile()
		return nil, fmt.Errorf("%w: the reply is lost", luascripts.ErrUnknown)
	}
	return u.Shard.Asides(ctx)
}

// What an arrival left in the shard is removed also when the shard does not answer at first, and the partition does not come any
// more: as long as the shard takes it for one that is being loaded, no slice of the key window is dropped.
func TestWhatCameHalfwayIsRemoved(t *testing.T) {
	s2 := &unheard{}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: s2.at("s2")})
	s2.meanwhile = func() { c.must(shardrouter.AbortMove(c.Context(), c.static, 0)) }
	c.keepAll()
	c.bank(1, 100)
	c.must(shardrouter.RequestMove(c.Context(), c.static, 0, "s2"))
	c.eventually("the move is taken back", s2.asked.Load)
	c.nothingLeft(1)
	c.rest()
}

// So is what a partition that has left had there.
func TestWhatHasLeftIsRemoved(t *testing.T) {
	s1 := &unheard{meanwhile: func() {}}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: s1.at("s1")})
	c.keepAll()
	c.bank(1, 100)
	c.moveTo(0, "s2")
	c.eventually("it is asked what is left", s1.asked.Load)
	c.nothingLeft(0)
	c.rest()
}

// nothingLeft waits until a server has records of its own partitions only.
func (c *cluster) nothingLeft(server int) {
	c.Helper()
	s := c.shard(server)
	c.eventually("nothing is left", func() bool {
		asides, err := s.Asides(c.Context())
		c.must(err)
		return len(asides) == 0
	})
}
