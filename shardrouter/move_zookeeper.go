package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"
)

// Moves implements Moves.
func (z *ZooKeeper) Moves(ctx context.Context) (map[int]Move, error) {
	names, err := z.conn.children(ctx, z.paths.moves())
	if err != nil {
		return nil, fmt.Errorf("read moves: %w", err)
	}
	all := map[int]Move{}
	for _, name := range names {
		p, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(p) != name {
			return nil, fmt.Errorf("read moves: %w: node %q is no partition", ErrInvalid, name)
		}
		at, err := z.readMove(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("read moves: %w", err)
		}
		if at.move != nil {
			all[p] = *at.move
		}
	}
	return all, nil
}

// WatchMoves implements Moves. It looks, often while something moves and seldom
// otherwise, and sets no watch.
func (z *ZooKeeper) WatchMoves(ctx context.Context, fn func(map[int]Move)) {
	var told map[int]Move
	var why string
	for ctx.Err() == nil {
		all, err := z.Moves(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil: // what was told last stays
			if why != err.Error() {
				why = err.Error()
				z.conn.log.Warn("moves cannot be read", "error", err)
			}
		case told == nil || !maps.Equal(all, told):
			told, why = all, ""
			fn(maps.Clone(all))
		}
		every := movesIdle
		for _, m := range told {
			if m.State != MoveFailed { // those stay until people have looked
				every = movesBusy
			}
		}
		t := time.NewTimer(every)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// moveAt is a move and what identifies that state of its node; a nil move: there is none.
type moveAt struct {
	move    *Move
	version int32
}

func (z *ZooKeeper) readMove(ctx context.Context, partition int) (moveAt, error) {
	n, err := z.conn.get(ctx, z.paths.move(partition))
	if errors.Is(err, ErrNoNode) {
		return moveAt{}, nil
	}
	if err != nil {
		return moveAt{}, err
	}
	m, err := DecodeMove(n.data)
	if err == nil && m.Partition != partition {
		err = fmt.Errorf("%w: a move of partition %d stands at partition %d", ErrInvalid, m.Partition, partition)
	}
	return moveAt{&m, n.version}, err
}

// ChangeMove implements Moves. The map's version is checked in the same
// transaction.
func (z *ZooKeeper) ChangeMove(ctx context.Context, partition int, change func(*Map, *Move) (*Move, error)) error {
	err := z.contend(ctx, func() error {
		m, version, err := z.readMap(ctx)
		if err != nil {
			return err
		}
		at, err := z.readMove(ctx, partition)
		if err != nil {
			return err
		}
		next, none, err := changed(m, partition, at.move, change)
		if err != nil || none {
			return err
		}
		w := write{path: z.paths.move(partition), create: at.move == nil, version: at.version, remove: next == nil}
		if next != nil {
			if w.data, err = next.Encode(); err != nil {
				return err
			}
		}
		return gone(z.conn.transact(ctx, write{path: z.paths.clusterMap(), version: version, check: true}, w))
	})
	if err != nil {
		return fmt.Errorf("move of partition %d: %w", partition, err)
	}
	return nil
}

// EndMove implements Moves.
func (z *ZooKeeper) EndMove(ctx context.Context, as Move, change func(*Map) (*Map, error)) error {
	err := z.contend(ctx, func() error { return z.endMove(ctx, as, change) })
	if err != nil {
		return fmt.Errorf("end the move of partition %d: %w", as.Partition, err)
	}
	return nil
}

func (z *ZooKeeper) endMove(ctx context.Context, as Move, change func(*Map) (*Map, error)) error {
	at, err := z.readMove(ctx, as.Partition)
	if err != nil {
		return err
	}
	same := at.move != nil && *at.move == as
	remove := write{path: z.paths.move(as.Partition), version: at.version, remove: true}
	next, writes, err := z.successorWrites(ctx, change)
	switch {
	case err != nil:
		return err
	case next == nil && !same: // done before
		return nil
	case next == nil:
		return gone(z.conn.transact(ctx, remove))
	case !same:
		return ErrMoveChanged
	}
	if err := gone(z.conn.transact(ctx, append(writes, remove)...)); err != nil {
		return err
	}
	z.advance(next)
	return nil
}

// gone says of a node that has gone what is said of one that has changed: look again.
func gone(err error) error {
	if errors.Is(err, ErrNoNode) {
		return fmt.Errorf("%w: %w", ErrVersion, err)
	}
	return err
}
