package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"walletd/luascripts"
	"walletd/shardrouter"
)

// A shard has candidates, each of which can become its primary: the replicas that the map lists for it, then the wallet's
// spares. A keeper offers those of its configuration; the map remembers them.

// candidateWithin bounds how long a candidate, or a primary that is believed dead, may take to say something.
const candidateWithin = 500 * time.Millisecond

// candidate is one that answered and is fit.
type candidate struct {
	addr    string
	spare   bool
	replica bool // of anybody: its data may be worth keeping
	epoch   uint32
	seqs    uint64 // of all partitions: how far it is
}

// offered is a map in which the configuration's candidates stand where nobody has them yet. home is the shard.
func (k *Keeper) offered(m *shardrouter.Map, s shardrouter.Shard) (*shardrouter.Map, shardrouter.Shard) {
	for _, addr := range k.cfg.Candidates {
		if addr != s.Primary && !slices.Contains(s.Replicas, addr) && !m.Has(addr) && len(s.Replicas) < replicasMax {
			s.Replicas = append(slices.Clone(s.Replicas), addr)
		}
	}
	m = m.WithShard(s)
	spares := slices.DeleteFunc(slices.Clone(m.Spares), m.Has)
	for _, addr := range k.cfg.Spares {
		if !m.Has(addr) && !slices.Contains(spares, addr) {
			spares = append(spares, addr)
		}
	}
	if !slices.Equal(spares, m.Spares) {
		m = m.WithSpares(spares...)
	}
	return m, s
}

// replicasMax is how many a shard may have in the map.
const replicasMax = 16

// hasCandidates reports whether there is anything to fail over to.
func (k *Keeper) hasCandidates() bool {
	m := k.cfg.Map.Current()
	return len(k.cfg.Candidates) > 1 || len(k.cfg.Spares) > 0 || (m != nil && (len(m.Shards[k.cfg.Shard].Replicas) > 0 || len(m.Spares) > 0))
}

// candidates are those that answer and are fit: replicas before spares, the most advanced first.
func (r *reign) candidates(ctx context.Context) ([]candidate, error) {
	if err := r.offer(ctx); err != nil {
		return nil, err
	}
	m := r.cfg.Map.Current()
	var all []candidate
	for _, addr := range m.Shards[r.cfg.Shard].Replicas {
		all = append(all, candidate{addr: addr})
	}
	for _, addr := range m.Spares {
		all = append(all, candidate{addr: addr, spare: true})
	}
	fit := make([]bool, len(all))
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() {
			if err := r.ask(ctx, &all[i]); err != nil {
				r.cfg.Log.Warn("candidate cannot take over", "candidate", all[i].addr, "error", err)
				return
			}
			fit[i] = true
		})
	}
	asked.Wait()
	var found []candidate
	for i, c := range all {
		if fit[i] {
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, better)
	return found, ctx.Err()
}

// better orders candidates, the best first.
func better(a, b candidate) int {
	switch {
	case a.spare != b.spare && a.spare:
		return 1
	case a.spare != b.spare:
		return -1
	case a.epoch != b.epoch:
		return int(int64(b.epoch) - int64(a.epoch))
	case a.seqs < b.seqs:
		return 1
	case a.seqs > b.seqs:
		return -1
	}
	return 0
}

// ask finds out how a candidate is.
func (r *reign) ask(ctx context.Context, c *candidate) error {
	shard, err := r.cfg.Open(c.addr)
	if err != nil {
		return err
	}
	defer func() { _ = shard.Close() }()
	ctx, cancel := context.WithTimeout(ctx, candidateWithin)
	defer cancel()
	if err := shard.Ping(ctx); err != nil {
		return err
	}
	if err := shard.CheckSettings(ctx); err != nil {
		return err
	}
	role, err := shard.Role(ctx)
	if err != nil {
		return err
	}
	c.replica = !role.Primary
	parts, err := shard.Parts(ctx)
	if err != nil {
		return err
	}
	for p := range r.own {
		c.epoch, c.seqs = max(c.epoch, parts[p].Epoch), c.seqs+parts[p].Seq
	}
	return nil
}

// offer puts the configuration's candidates into the map.
func (r *reign) offer(ctx context.Context) error {
	err := r.cfg.Store.Publish(ctx, func(m *shardrouter.Map) (*shardrouter.Map, error) {
		if err := r.movedAway(m); err != nil {
			return nil, err
		}
		next, _ := r.offered(m, m.Shards[r.cfg.Shard])
		return next, nil
	})
	return r.published(err)
}

// take makes a spare the shard's own: in one change of the map, so that no other shard has it, too.
func (r *reign) take(ctx context.Context, addr string) (taken bool, err error) {
	err = r.cfg.Store.Publish(ctx, func(m *shardrouter.Map) (*shardrouter.Map, error) {
		if err := r.movedAway(m); err != nil {
			return nil, err
		}
		s := m.Shards[r.cfg.Shard]
		at := slices.Index(m.Spares, addr)
		if taken = slices.Contains(s.Replicas, addr); taken || at < 0 || len(s.Replicas) >= replicasMax {
			return nil, nil
		}
		taken = true
		s.Replicas = append(slices.Clone(s.Replicas), addr)
		return m.WithSpares(slices.Delete(slices.Clone(m.Spares), at, at+1)...).WithShard(s), nil
	})
	return taken && err == nil, r.published(err)
}

// published says in our words why a map was not published.
func (r *reign) published(err error) error {
	if errors.Is(err, shardrouter.ErrDeposed) {
		return fmt.Errorf("%w: %w", errDeposed, err)
	}
	return err
}

// wrong says why the shard cannot be served where it is, nil when it is not the shard that is to blame. because is why it was
// not settled.
func (r *reign) wrong(ctx context.Context, because error) error {
	for _, e := range []error{luascripts.ErrSettings, luascripts.ErrOutOfMemory, luascripts.ErrReadOnly, luascripts.ErrNotReady, luascripts.ErrBusy} {
		if errors.Is(because, e) {
			return because
		}
	}
	ctx, cancel := context.WithTimeout(ctx, candidateWithin)
	defer cancel()
	return r.shard.Ping(ctx)
}
