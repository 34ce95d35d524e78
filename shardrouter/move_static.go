package shardrouter

import (
	"context"
	"fmt"
	"maps"
)

// Moves implements Moves.
func (s *Static) Moves(ctx context.Context) (map[int]Move, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.moves), ctx.Err()
}

// WatchMoves implements Moves.
func (s *Static) WatchMoves(ctx context.Context, fn func(map[int]Move)) {
	for ctx.Err() == nil {
		s.mu.Lock()
		all, changed := maps.Clone(s.moves), s.moved
		s.mu.Unlock()
		fn(all)
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// ChangeMove implements Moves.
func (s *Static) ChangeMove(ctx context.Context, partition int, change func(*Map, *Move) (*Move, error)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("move of partition %d: %w", partition, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, none, err := changed(s.Current(), partition, s.moveOf(partition), change)
	if err == nil && !none {
		err = s.save(s.epoch, s.Current(), s.movesWith(partition, next))
	}
	if err != nil {
		return fmt.Errorf("move of partition %d: %w", partition, err)
	}
	return nil
}

// EndMove implements Moves.
func (s *Static) EndMove(ctx context.Context, as Move, change func(*Map) (*Map, error)) error {
	fault := func(err error) error { return fmt.Errorf("end the move of partition %d: %w", as.Partition, err) }
	if err := ctx.Err(); err != nil {
		return fault(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.moveOf(as.Partition)
	same := now != nil && *now == as
	next, err := successor(s.Current(), change)
	switch {
	case err != nil:
		return fault(err)
	case next == nil && !same: // done before
		return nil
	case next == nil:
		next = s.Current()
	case !same:
		return fault(ErrMoveChanged)
	}
	if err := s.save(s.epoch, next, s.movesWith(as.Partition, nil)); err != nil {
		return fault(err)
	}
	return nil
}

// moveOf is a partition's move, nil if there is none. Guarded by mu, as below.
func (s *Static) moveOf(partition int) *Move {
	if m, there := s.moves[partition]; there {
		return &m
	}
	return nil
}

// movesWith are the moves with another one of the partition, or with none.
func (s *Static) movesWith(partition int, m *Move) map[int]Move {
	next := maps.Clone(s.moves)
	delete(next, partition)
	if m != nil {
		next[partition] = *m
	}
	return next
}
