package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/luascripts"
	"walletd/shardrouter"
)

// settingsEvery is how many looks at the shard lie between two looks at its settings.
const settingsEvery = 10

// watchShard looks at the shard now and then, and answers what ends the reign: it does not serve us any more, it has
// forgotten events that are durable, or it does not answer for long.
func (r *reign) watchShard(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.WatchEvery)
	defer tick.Stop()
	answered := time.Now()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		durable := r.marks.all() // before the look: what is durable has happened in the shard
		parts, err := r.shard.Parts(ctx)
		if err != nil {
			if away := time.Since(answered); away >= r.cfg.Unreachable {
				return fmt.Errorf("%w for %v: %w", errUnreachable, away.Round(time.Millisecond), err)
			}
			continue
		}
		answered = time.Now()
		if err := r.stillOurs(parts, durable); err != nil {
			return err
		}
		if n%settingsEvery == 0 {
			if err := r.stillFit(ctx); err != nil {
				return err
			}
		}
	}
}

// stillFit looks at the settings on which the shard's money depends. One that was allowed to evict is not believed again:
// what is missing cannot be seen.
func (r *reign) stillFit(ctx context.Context) error {
	err := r.shard.CheckSettings(ctx)
	if !errors.Is(err, luascripts.ErrSettings) {
		return nil // fit, or it did not answer
	}
	r.distrusts(true)
	return fmt.Errorf("%w: %w", errShardLost, err)
}

func (r *reign) stillOurs(parts map[int]luascripts.Part, durable []luascripts.Mark) error {
	for _, p := range r.partitions {
		part, ok := parts[p]
		switch {
		case !ok:
			return fmt.Errorf("%w: partition %d is not there", errShardLost, p)
		case part.Epoch > r.epoch:
			return fmt.Errorf("%w: the shard serves partition %d in epoch %d, ours is %d", errDeposed, p, part.Epoch, r.epoch)
		case part.Epoch < r.epoch:
			return fmt.Errorf("%w: partition %d is in epoch %d again, ours is %d", errShardLost, p, part.Epoch, r.epoch)
		}
	}
	for _, m := range durable {
		if seq := parts[m.Partition].Seq; seq < m.Seq {
			return fmt.Errorf("%w: partition %d is at seq %d, %d is durable", errShardLost, m.Partition, seq, m.Seq)
		}
	}
	return nil
}

// followMap tells the channels of destinations that have a new owner, and answers what ends the reign.
func (r *reign) followMap(ctx context.Context) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	epochs := map[int]uint32{}
	r.cfg.Map.Watch(inner, func(m *shardrouter.Map) {
		if err := r.movedAway(m); err != nil {
			stop(err)
			return
		}
		for q, owner := range m.Partitions {
			if before, known := epochs[q]; known && owner.Epoch > before {
				r.courier.channels.moved(q)
			}
			epochs[q] = owner.Epoch
		}
	})
	return context.Cause(inner)
}
