package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"walletd/luascripts"
	"walletd/shardrouter"
)

// intentions are the moves as they were seen last, and the partitions that have left us.
type intentions struct {
	mu      sync.Mutex
	all     map[int]shardrouter.Move
	away    map[int]uint32 // the map gives them to another shard, in that epoch
	under   map[int]bool   // we take part
	changed chan struct{}  // closed and renewed
}

func newIntentions() *intentions {
	return &intentions{away: map[int]uint32{}, under: map[int]bool{}, changed: make(chan struct{})}
}

func (i *intentions) change(do func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	do()
	close(i.changed)
	i.changed = make(chan struct{})
}

// left notes that the map gives a partition that we do not serve any more to another shard.
func (i *intentions) left(partition int, epoch uint32) {
	if i != nil {
		i.change(func() { i.away[partition] = epoch })
	}
}

// seen is what is known of a partition's move.
type seen struct {
	move *shardrouter.Move // nil: there is none
	away uint32            // the epoch in which the map gives the partition to another shard; 0: it does not
}

func (s seen) is(state string) bool { return s.move != nil && s.move.State == state }

func (i *intentions) look(partition int) (s seen, changed <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if m, there := i.all[partition]; there {
		s.move = &m
	}
	s.away = i.away[partition]
	return s, i.changed
}

// await waits until what is known of a partition's move is as wanted.
func (i *intentions) await(ctx context.Context, partition int, wanted func(seen) bool) (seen, error) {
	for {
		s, changed := i.look(partition)
		if wanted(s) {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, context.Cause(ctx)
		}
	}
}

// mover is the shard, if its partitions may come and go.
func (r *reign) mover() Mover {
	if m, ok := r.shard.(Mover); ok && r.cfg.Moves != nil {
		return m
	}
	return nil
}

// takeMovesBack lets moves of our partitions begin again where they froze in an earlier reign: a note of where we had stopped is
// not true any more. It comes before the new epoch, so that whoever still acts on such a note has a lower one.
func (r *reign) takeMovesBack(ctx context.Context) error {
	if r.mover() == nil {
		return nil
	}
	r.moves = newIntentions()
	all, err := r.cfg.Moves.Moves(ctx)
	if err != nil {
		return err
	}
	for _, p := range ordered(all) {
		if all[p].From == r.cfg.Shard {
			if err := r.takeBack(ctx, p, r.givenByUs); err != nil {
				return err
			}
		}
	}
	return r.ownsStill(ctx)
}

// ownsStill asks the map as it is kept, which the one that we have seen may lag behind. A move that had ended before we could take
// it back is there; then its partition is another's, and neither its log nor what is frozen of it here is ours to touch.
func (r *reign) ownsStill(ctx context.Context) error {
	return r.cfg.Store.Publish(ctx, func(m *shardrouter.Map) (*shardrouter.Map, error) {
		if own := m.PartitionsOf(r.cfg.Shard); !slices.Equal(own, r.partitions) {
			return nil, fmt.Errorf("%w: shard %s has partitions %v, not %v", errOtherMap, r.cfg.Shard, own, r.partitions)
		}
		return nil, nil // nothing is to be published
	})
}

func (r *reign) givenByUs(m *shardrouter.Move) bool    { return m.From == r.cfg.Shard }
func (r *reign) receivedByUs(m *shardrouter.Move) bool { return m.To == r.cfg.Shard }

// takeBack lets a move begin again, if it had come to a freeze. One that has taken the place of what was seen may be others', or the
// way back.
func (r *reign) takeBack(ctx context.Context, partition int, meant func(*shardrouter.Move) bool) error {
	return r.cfg.Moves.ChangeMove(ctx, partition, func(_ *shardrouter.Map, now *shardrouter.Move) (*shardrouter.Move, error) {
		if now == nil || !meant(now) || (now.State != shardrouter.MoveFreezing && now.State != shardrouter.MoveFrozen) {
			return now, nil
		}
		return &shardrouter.Move{Partition: now.Partition, From: now.From, To: now.To, State: shardrouter.MoveCopying, Copied: now.Copied, Of: now.Of}, nil
	})
}

// unfreeze puts back what an earlier reign froze and the map still gives us: the comparison finds it where it always is. What the
// map does not give us is put aside.
func (r *reign) unfreeze(ctx context.Context) error {
	mover := r.mover()
	if mover == nil {
		return nil
	}
	asides, err := mover.Asides(ctx)
	if err != nil {
		return err
	}
	for _, p := range ordered(r.own) {
		if a, is := asides[p]; is && a.Frozen {
			if err := mover.Unfreeze(ctx, r.epoch, a); err != nil && !errors.Is(err, luascripts.ErrOvertaken) {
				return err
			}
		}
	}
	parts, err := r.shard.Parts(ctx)
	if err != nil {
		return err
	}
	for _, p := range ordered(parts) { // one that came in an earlier reign, whose map was never published
		if _, own := r.own[p]; !own {
			if _, err := mover.Freeze(ctx, r.epoch, p, parts[p].Epoch); err != nil && !errors.Is(err, luascripts.ErrOvertaken) {
				return err
			}
		}
	}
	return nil
}

// followMoves takes part in moves from and to our shard, each on a goroutine of its own, until ctx ends; an error ends the reign.
func (r *reign) followMoves(ctx context.Context) error {
	left, err := r.left(ctx)
	if err != nil {
		return err
	}
	g, inner := errgroup.WithContext(ctx)
	r.later = g.Go
	g.Go(func() error {
		for _, a := range left {
			r.remove(inner, a)
		}
		return nil
	})
	g.Go(func() error {
		r.cfg.Moves.WatchMoves(inner, func(all map[int]shardrouter.Move) { r.moves.change(func() { r.moves.all = all }) })
		return inner.Err()
	})
	g.Go(func() error {
		for {
			begin, changed := r.moves.begin(r.cfg.Shard)
			for _, m := range begin {
				g.Go(func() error {
					defer r.moves.change(func() { delete(r.moves.under, m.Partition) })
					return r.takePart(inner, m)
				})
			}
			select {
			case <-changed:
			case <-inner.Done():
				return inner.Err()
			}
		}
	})
	return g.Wait()
}

// begin answers the moves in which a shard is to take part from now on.
func (i *intentions) begin(shard string) (moves []shardrouter.Move, changed <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range ordered(i.all) {
		if m := i.all[p]; !i.under[p] && m.State != shardrouter.MoveFailed && (m.From == shard || m.To == shard) {
			i.under[p] = true
			moves = append(moves, m)
		}
	}
	return moves, i.changed
}

// takePart does what is ours in a move, until there is no more to do about it.
func (r *reign) takePart(ctx context.Context, m shardrouter.Move) error {
	if m.From == r.cfg.Shard {
		return r.give(ctx, m.Partition)
	}
	return r.receive(ctx, m.Partition)
}

// moveNow is a partition's move as it is kept, nil if there is none.
func (r *reign) moveNow(ctx context.Context, partition int) (now *shardrouter.Move, err error) {
	err = r.patiently(ctx, "look", partition, func() error {
		return r.cfg.Moves.ChangeMove(ctx, partition, func(_ *shardrouter.Map, is *shardrouter.Move) (*shardrouter.Move, error) {
			now = is
			return is, nil
		})
	})
	return now, err
}

// left are partitions of which earlier reigns have left records here, and that are not ours. They are asked for before anybody
// begins to load one again, which makes it another.
func (r *reign) left(ctx context.Context) (left []luascripts.Aside, err error) {
	var asides map[int]luascripts.Aside
	err = r.patiently(ctx, "clear away", -1, func() (err error) {
		asides, err = r.mover().Asides(ctx)
		return err
	})
	for _, p := range ordered(asides) {
		if _, held := r.held.get(p); !held {
			left = append(left, asides[p])
		}
	}
	return left, err
}

// removeLeft removes what is here of a partition that is not ours, if it is what is meant. The shard is asked until it answers: as long
// as it has something of the partition, no slice of the key window is dropped there.
func (r *reign) removeLeft(ctx context.Context, p int, meant func(luascripts.Aside) bool) {
	left, err := r.left(ctx)
	if err != nil {
		r.cfg.Log.Debug("moving: left for the next reign to remove", "partition", p, "error", err)
		return
	}
	for _, a := range left {
		if a.Partition == p && meant(a) {
			r.remove(ctx, a)
		}
	}
}

// remove removes a partition's records that are not served. If it cannot, the next reign does.
func (r *reign) remove(ctx context.Context, a luascripts.Aside) {
	for ctx.Err() == nil {
		err := r.mover().Remove(ctx, a, r.cfg.Partitions)
		if err == nil || errors.Is(err, luascripts.ErrOvertaken) { // or it has come back, or comes
			return
		}
		r.cfg.Log.Debug("records of a partition that has left are not removed yet", "partition", a.Partition, "error", err)
		pause(ctx, r.cfg.RestMax)
	}
}

// epochFor asks for an epoch for one partition, above all that its log has seen.
func (r *reign) epochFor(ctx context.Context, partition int, seen uint32) (uint32, error) {
	for {
		epoch, err := r.cfg.Store.NextEpoch(ctx, r.cfg.Shard, []int{partition})
		if err != nil || epoch > seen {
			return epoch, err
		}
		r.cfg.Log.Warn("the epoch given is lower than one in the log", "given", epoch, "log", seen)
	}
}

// patiently repeats what may be repeated, until it is done or a fault is one that stays.
func (r *reign) patiently(ctx context.Context, what string, partition int, do func() error) error {
	for rest := r.cfg.RestMin; ; rest = min(2*rest, r.cfg.RestMax) {
		err := do()
		if err == nil || stays(err) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.cfg.Log.Warn("moving: tried again", "step", what, "partition", partition, "error", err)
		pause(ctx, rest)
	}
}

// stays reports whether a repetition would meet the same fault.
func stays(err error) bool {
	for _, e := range []error{errDeposed, errShardLost, errOtherMap, shardrouter.ErrDeposed, shardrouter.ErrMoveChanged, luascripts.ErrOvertaken, errNotAlone} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// errNotAlone says that somebody else wrote in the log of a partition that nobody should serve.
var errNotAlone = fmt.Errorf("%w: somebody else has it", shardrouter.ErrMoveChanged)
