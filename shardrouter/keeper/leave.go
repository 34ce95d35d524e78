package keeper

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
	"walletd/journal/relay"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// A partition leaves (design section 8, decision 13):
//
//	copying ── the destination asks ──> freezing: the shard stops the partition, the relay carries its last events into the
//	log, and where that is, is noted ──> frozen ──> the map names the destination: forgotten, its records removed
//	                                       └──> taken back, or too long: it serves here again, in a new epoch
const (
	frozenMax = 5 * time.Second // then the source takes a move back; the destination may ask again
)

// give gives a partition away, when the destination asks for it.
func (r *reign) give(ctx context.Context, p int) error {
	for {
		s, err := r.moves.await(ctx, p, func(s seen) bool {
			return s.move == nil || s.move.From != r.cfg.Shard || s.is(shardrouter.MoveFailed) || s.is(shardrouter.MoveFreezing)
		})
		if err != nil || !s.is(shardrouter.MoveFreezing) || s.move.From != r.cfg.Shard {
			return err
		}
		own, held := r.held.get(p)
		now, err := r.moveNow(ctx, p) // what is seen may be older than what we did about it
		if err != nil {
			return err
		}
		if !held || own.stage != settled || now == nil || now.State != shardrouter.MoveFreezing {
			pause(ctx, r.cfg.RestMin) // the map, or the moves, are on their way to us
			continue
		}
		gone, err := r.giveNow(ctx, *now, own)
		if err != nil || gone {
			return err
		}
	}
}

// giveNow freezes the partition, says where it stands, and waits for what becomes of it.
func (r *reign) giveNow(ctx context.Context, m shardrouter.Move, own holding) (gone bool, err error) {
	p, began := m.Partition, time.Now()
	end, err := r.freeze(ctx, p, own)
	switch {
	case errors.Is(err, errTooLong):
		return false, r.patiently(ctx, "take back", p, func() error { return r.takeBack(ctx, p, r.givenByUs) })
	case err != nil:
		return false, err
	}
	note := m
	note.State, note.Epoch, note.Seq = shardrouter.MoveFrozen, own.epoch, end.Seq
	note.Chain, note.Digest = hex.EncodeToString(end.Chain[:]), r.digest(ctx, p)
	err = r.patiently(ctx, "note", p, func() error { return r.replaceMove(ctx, m, note) })
	switch {
	case err == nil:
		r.cfg.atStep("noted")
		gone, err = r.awaitEnd(ctx, p, own, began)
	case errors.Is(err, shardrouter.ErrMoveChanged): // taken back; or noted, without a reply, and all is over already
		gone, err = r.isGone(ctx, p, own)
	}
	switch {
	case err != nil:
		return false, err
	case gone:
		r.letGo(ctx, own, end, note.Digest != "", time.Since(began))
		return true, nil
	}
	return false, r.resume(ctx, p, end)
}

// errTooLong says that a freeze was taken back before anybody knew where the partition stands.
var errTooLong = errors.New("it takes too long")

// freeze stops a partition, and has its last events made durable. It answers the log's cursor behind them.
func (r *reign) freeze(ctx context.Context, p int, own holding) (end journal.Cursor, err error) {
	r.held.move(p, leaving)
	r.cfg.atStep("freezing")
	var part luascripts.Part
	err = r.patiently(ctx, "freeze", p, func() (err error) {
		part, err = r.mover().Freeze(ctx, r.epoch, p, own.epoch)
		return err
	})
	if err != nil {
		return end, r.overtaken(ctx, err)
	}
	r.cfg.atStep("frozen")
	soon, cancel := context.WithTimeout(ctx, frozenMax)
	defer cancel()
	end, err = r.relayer.Leave(soon, p, part.Seq)
	if err == nil {
		r.cfg.atStep("left")
		return end, nil
	}
	if soon.Err() == nil || ctx.Err() != nil {
		return end, err
	}
	// The journal is away. Nobody knows yet that we stopped, so nobody else can have begun: the same epoch goes on.
	r.cfg.Log.Warn("moving: the journal does not take the last events; the partition serves again", "partition", p, "error", err)
	err = r.patiently(ctx, "unfreeze", p, func() error {
		asides, err := r.mover().Asides(ctx)
		if a, is := asides[p]; err == nil && is && a.Frozen { // else an earlier try has done it
			err = r.mover().Unfreeze(ctx, r.epoch, a)
		}
		return err
	})
	if err != nil {
		return end, r.overtaken(ctx, err)
	}
	r.held.move(p, settled)
	r.countTaken()
	return end, errTooLong
}

// replaceMove puts a move in the place of one that must be as given, if it is not there already.
func (r *reign) replaceMove(ctx context.Context, as, by shardrouter.Move) error {
	return r.cfg.Moves.ChangeMove(ctx, as.Partition, func(_ *shardrouter.Map, now *shardrouter.Move) (*shardrouter.Move, error) {
		switch {
		case now == nil:
			return nil, shardrouter.ErrMoveChanged
		case *now == by:
			return now, nil
		case now.State != as.State || now.From != as.From || now.To != as.To:
			return nil, shardrouter.ErrMoveChanged
		}
		return &by, nil
	})
}

// away reports whether the map gives the partition to another shard.
func (h holding) away(s seen) bool { return s.away > h.epoch }

// awaitEnd waits until the map names the destination, or the move is taken back, by us when it takes too long.
func (r *reign) awaitEnd(ctx context.Context, p int, own holding, began time.Time) (gone bool, err error) {
	soon, cancel := context.WithDeadline(ctx, began.Add(frozenMax))
	defer cancel()
	noted := false
	_, err = r.moves.await(soon, p, func(s seen) bool {
		frozen := s.is(shardrouter.MoveFrozen)
		noted = noted || frozen
		return own.away(s) || s.move == nil || s.is(shardrouter.MoveFailed) || (noted && !frozen)
	})
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	return r.isGone(ctx, p, own)
}

// isGone reports whether the map names the destination; if not, the move is taken back.
func (r *reign) isGone(ctx context.Context, p int, own holding) (gone bool, err error) {
	// Map and move are changed together, so they are asked together.
	back := false
	err = r.patiently(ctx, "take back", p, func() error {
		return r.cfg.Moves.ChangeMove(ctx, p, func(m *shardrouter.Map, now *shardrouter.Move) (*shardrouter.Move, error) {
			if back = m.Partitions[p].Shard == r.cfg.Shard; !back || now == nil || now.State != shardrouter.MoveFrozen {
				return now, nil
			}
			return &shardrouter.Move{Partition: p, From: now.From, To: now.To, State: shardrouter.MoveCopying, Copied: now.Copied, Of: now.Of}, nil
		})
	})
	if err != nil || back {
		return false, err
	}
	_, err = r.moves.await(ctx, p, own.away)
	return err == nil, err
}

// resume lets a partition that was frozen serve here again, in a new epoch: the destination may have started one of its own.
func (r *reign) resume(ctx context.Context, p int, end journal.Cursor) error {
	r.cfg.atStep("resuming")
	var epoch uint32
	err := r.patiently(ctx, "resume", p, func() (err error) {
		if epoch, err = r.epochFor(ctx, p, max(end.Epoch, epoch)); err != nil {
			return err
		}
		claimed, err := relay.Claim(ctx, r.cfg.Journal, end, epoch, r.cfg.Name, time.Now().UnixMilli(), func(f *journal.Frame, _ journal.Cursor) error {
			if f.Kind == journal.FrameEvents {
				return fmt.Errorf("%w: partition %d was served elsewhere", errOtherMap, p)
			}
			return nil
		})
		var deposed *relay.DeposedError
		switch {
		case errors.As(err, &deposed): // by a destination that gives up: ours is to be higher
			epoch = max(epoch, deposed.By)
		case err == nil:
			end = claimed
		}
		return err
	})
	if err != nil {
		return err
	}
	r.cfg.atStep("reclaimed")
	err = r.patiently(ctx, "thaw", p, func() error { return r.mover().Thaw(ctx, r.epoch, p, epoch) })
	if err != nil {
		return r.overtaken(ctx, err)
	}
	r.held.add(p, epoch, end.Offset, settled)
	r.marks.begin(p, epoch, end.Seq)
	if err := r.relayer.Join(ctx, end); err != nil {
		return err
	}
	r.countTaken()
	r.cfg.Log.Info("a partition that was to move serves here again", "partition", p, "epoch", epoch)
	err = r.patiently(ctx, "publish", p, func() error {
		return r.cfg.Store.Publish(ctx, func(m *shardrouter.Map) (*shardrouter.Map, error) {
			if err := r.movedAway(m); err != nil {
				return nil, err
			}
			return m.WithPartitions(r.cfg.Shard, epoch, p), nil
		})
	})
	return r.published(err)
}

// overtaken says of a shard that does not do as its keeper says that it has lost us.
func (r *reign) overtaken(ctx context.Context, err error) error {
	if errors.Is(err, luascripts.ErrOvertaken) {
		err = fmt.Errorf("%w: %w", errShardLost, err)
	}
	return r.lost(ctx, err)
}

func (r *reign) countTaken() { r.count(func(s *Stats) { s.MovesTaken++ }) }
