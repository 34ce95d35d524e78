package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
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
	answered, warned := time.Now(), ""
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		durable, expected := r.marks.all(), r.held.served() // before the look: what is durable has happened in the shard
		look, err := r.look(ctx)
		if err != nil {
			if away := time.Since(answered); away >= r.cfg.Unreachable {
				r.isAway(r.addr)
				return fmt.Errorf("%w for %v: %w", errUnreachable, away.Round(time.Millisecond), err)
			}
			continue
		}
		answered = time.Now()
		if err := r.stillOurs(look, expected, durable); err != nil {
			return r.lost(ctx, err)
		}
		if n%settingsEvery == 0 {
			if err := r.stillFit(ctx, &warned); err != nil {
				return err
			}
		}
	}
}

// look looks at the shard, and leaves time for a second look before it counts as away.
func (r *reign) look(ctx context.Context) (luascripts.Look, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Unreachable/3)
	defer cancel()
	return r.shard.Look(ctx, r.epoch)
}

// stillFit looks at the settings on which the shard depends. One that was allowed to evict is not believed again: what is
// missing cannot be seen. What else is wrong is warned about, once, until it is put right or something else is wrong.
func (r *reign) stillFit(ctx context.Context, warned *string) error {
	if evicted, err := r.shard.Evicted(ctx); err == nil && evicted != r.evicted { // in between they may have been others
		return r.lost(ctx, fmt.Errorf("%w: it evicted keys, %d before and %d now", errShardLost, r.evicted, evicted))
	}
	err := r.shard.CheckSettings(ctx)
	switch {
	case errors.Is(err, luascripts.ErrEviction):
		return r.lost(ctx, fmt.Errorf("%w: %w", errShardLost, err))
	case err != nil && !errors.Is(err, luascripts.ErrSettings):
		return nil // it did not answer
	}
	now := ""
	if err != nil {
		now = err.Error()
	}
	switch {
	case now == *warned:
	case now == "":
		r.cfg.Log.Warn("settings are right again")
	default:
		r.cfg.Log.Warn("settings are wrong: the shard goes on, and would not be taken over like this", "error", err)
	}
	*warned = now
	return nil
}

// stillOurs looks at the partitions that were expected before the look, and have not left meanwhile.
func (r *reign) stillOurs(look luascripts.Look, expected []luascripts.Owned, durable []luascripts.Mark) error {
	parts := look.Parts
	for _, o := range expected {
		part, ok := parts[o.Partition]
		switch {
		case ok && part.Epoch == o.Epoch, !r.held.serves(o):
		case !ok:
			return fmt.Errorf("%w: partition %d is not there", errShardLost, o.Partition)
		case part.Epoch > o.Epoch:
			return fmt.Errorf("%w: the shard serves partition %d in epoch %d, ours is %d", errDeposed, o.Partition, part.Epoch, o.Epoch)
		default:
			return fmt.Errorf("%w: partition %d is in epoch %d again, ours is %d", errShardLost, o.Partition, part.Epoch, o.Epoch)
		}
	}
	switch {
	case !look.Primary:
		return fmt.Errorf("%w: it became a replica", errShardLost)
	case look.Keeper > r.epoch:
		return fmt.Errorf("%w: the shard was taken over in epoch %d, ours is %d", errDeposed, look.Keeper, r.epoch)
	case look.Keeper < r.epoch: // also where no partition would be missed: the outbox begins anew, and we would wait behind its end
		return fmt.Errorf("%w: it does not know us any more", errShardLost)
	case !look.Admitted: // with whatever data: what it ran last may be missing
		return fmt.Errorf("%w: it has been started again, or its scripts were flushed", errShardLost)
	}
	for _, m := range durable {
		if seq := parts[m.Partition].Seq; seq < m.Seq && r.held.serves(luascripts.Owned{Partition: m.Partition, Epoch: m.Epoch}) {
			return fmt.Errorf("%w: partition %d is at seq %d, %d is durable", errShardLost, m.Partition, seq, m.Seq)
		}
	}
	return nil
}

// lostTimeout bounds what is done about a shard that lost us.
const lostTimeout = time.Second

// lost ends the reign over a shard that is not what it was: no train runs there any more, and it is not adopted again. If we
// have a successor, it was he, and we leave him alone.
func (r *reign) lost(ctx context.Context, reason error) error {
	if !errors.Is(reason, errShardLost) {
		return reason
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lostTimeout)
	defer cancel()
	if epoch, err := r.successor(ctx); err == nil && epoch > 0 {
		return fmt.Errorf("%w: epoch %d has started (%v)", errDeposed, epoch, reason)
	}
	if len(r.held.partitions()) == 0 { // no log tells whether we have a successor, whose trains these may be; none is ours
		r.distrusts(true)
		return reason
	}
	r.condemn(ctx)
	return reason
}

// condemn stops the shard's trains and lets no reign adopt it.
func (r *reign) condemn(ctx context.Context) {
	r.distrusts(true)
	if _, err := r.shard.Stop(ctx); err != nil {
		r.cfg.Log.Debug("trains not stopped", "error", err)
	}
}

// successor is the highest epoch above ours that has started in the log, 0 if none.
func (r *reign) successor(ctx context.Context) (epoch uint32, err error) {
	for _, o := range r.held.served() {
		own, held := r.held.get(o.Partition)
		if !held {
			continue
		}
		_, err := r.cfg.Journal.Read(ctx, o.Partition, own.at.Load(), func(_ int64, record []byte) error {
			f, err := journal.ParseFrame(record)
			if err == nil && f.Kind == journal.FrameEpochStarted && f.Epoch > o.Epoch {
				epoch = max(epoch, f.Epoch)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return epoch, nil
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
		for _, p := range r.held.shown(m.PartitionsOf(r.cfg.Shard)) {
			r.moves.left(p, m.Partitions[p].Epoch)
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
