package keeper

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"walletd/luascripts"
)

// ReplicaStats is one replica of a shard that is served.
type ReplicaStats struct {
	Addr   string
	Linked bool   // it has the primary's data, and gets what is new
	Reason string // why not
}

// keepReplicas keeps replication as the map says, and looks at it every so often. A replica never serves: it has no scripts.
func (r *reign) keepReplicas(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.ReplicasEvery)
	defer tick.Stop()
	said := map[string]string{} // what was said last, by address
	for {
		var all []ReplicaStats
		if m := r.cfg.Map.Current(); m != nil {
			for _, addr := range m.Shards[r.cfg.Shard].Replicas {
				all = append(all, r.tend(ctx, addr))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.say(said, all)
		slices.SortFunc(all, func(a, b ReplicaStats) int { return cmp.Compare(a.Addr, b.Addr) })
		r.count(func(s *Stats) { s.Replicas = all })
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// say logs what has changed about the replicas.
func (r *reign) say(said map[string]string, all []ReplicaStats) {
	for _, s := range all {
		before, known := said[s.Addr]
		said[s.Addr] = s.Reason
		switch {
		case known && before == s.Reason:
		case s.Linked:
			r.cfg.Log.Info("replica is linked", "replica", s.Addr)
		default:
			r.cfg.Log.Warn("replica is not linked", "replica", s.Addr, "reason", s.Reason)
		}
	}
}

// tend looks at one, and makes it a replica of our primary if it is none.
func (r *reign) tend(ctx context.Context, addr string) ReplicaStats {
	linked, err := r.link(ctx, addr)
	s := ReplicaStats{Addr: addr, Linked: linked && err == nil}
	switch {
	case err != nil:
		s.Reason = err.Error()
	case !linked:
		s.Reason = "its link to the primary is not up (yet)"
	}
	return s
}

func (r *reign) link(ctx context.Context, addr string) (linked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*candidateWithin)
	defer cancel()
	shard, err := r.cfg.Open(addr)
	if err != nil {
		return false, err
	}
	defer func() { _ = shard.Close() }()
	role, err := shard.Role(ctx)
	if err != nil || role.Of == r.addr {
		return role.Linked, err
	}
	return false, r.enlist(ctx, shard)
}

// enlist makes a Redis our replica. What it has may be an old primary's, whose trains are stopped first: nothing that it does
// was ever seen. If a later owner serves there, it is not ours to touch; we ask for one in the log, and at the place itself.
func (r *reign) enlist(ctx context.Context, shard Shard) error {
	parts, err := shard.Parts(ctx)
	if err != nil {
		return err
	}
	for p, part := range parts {
		if part.Epoch > r.epoch {
			return fmt.Errorf("%w: partition %d is there in epoch %d, ours is %d", luascripts.ErrOvertaken, p, part.Epoch, r.epoch)
		}
	}
	if err := r.prove(ctx); err != nil {
		return err
	}
	if _, err := shard.Stop(ctx); err != nil {
		return err
	}
	return shard.Follow(ctx, r.addr)
}
