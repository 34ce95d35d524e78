package shardrouter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// StaticConfig makes a Static.
type StaticConfig struct {
	// Initial is the map of the first start. At later starts only its number of
	// partitions matters: it must be that of Saved.
	Initial *Map
	// Saved is what Persist was given last, nil at the first start.
	Saved []byte
	// Persist makes the state durable before it returns; a state that it refuses
	// does not come about. Nil keeps the state in memory: then epochs begin again
	// with every start, which only a journal in memory allows.
	Persist func(state []byte) error
}

// Static is the Source, Store and Election of a cluster that lives in one
// process. It keeps the rules of the one in ZooKeeper: versions and epochs rise,
// an epoch is durable before it is used, a deposed keeper cannot publish.
type Static struct {
	cell
	persist func([]byte) error

	mu    sync.Mutex // one change at a time
	epoch uint32     // guarded by mu; the highest ever given
	moves map[int]Move
	moved chan struct{} // closed and renewed when moves change
}

// staticState is what Persist gets, as JSON.
type staticState struct {
	Epoch uint32          `json:"epoch"`
	Map   json.RawMessage `json:"map"`
	Moves []Move          `json:"moves,omitempty"` // in order of partitions
}

// NewStatic returns the router of a cluster in one process.
// Errors: ErrInvalid (a map or state that is none), ErrMismatch (Saved has another
// number of partitions than Initial), and what Persist returns.
func NewStatic(cfg StaticConfig) (*Static, error) {
	if cfg.Initial == nil {
		return nil, fmt.Errorf("static map: %w: no initial map", ErrInvalid)
	}
	if err := cfg.Initial.Validate(); err != nil {
		return nil, fmt.Errorf("static map: %w", err)
	}
	s := &Static{persist: cfg.Persist, moves: map[int]Move{}, moved: make(chan struct{})}
	if s.persist == nil {
		s.persist = func([]byte) error { return nil }
	}
	if len(cfg.Saved) == 0 {
		if err := s.save(0, cfg.Initial, nil); err != nil {
			return nil, fmt.Errorf("static map: %w", err)
		}
		return s, nil
	}
	if err := s.load(cfg.Saved); err != nil {
		return nil, fmt.Errorf("static map: %w", err)
	}
	if has, wants := len(s.Current().Partitions), len(cfg.Initial.Partitions); has != wants {
		return nil, fmt.Errorf("static map: %w", &MismatchError{Field: "partitions", Has: fmt.Sprint(has), Wants: fmt.Sprint(wants)})
	}
	return s, nil
}

// Update replaces the map if its version is still the given one, and numbers the
// new one. Errors: ErrVersion, ErrInvalid, ErrDeposed, and what Persist returns.
func (s *Static) Update(version int32, next *Map) error {
	err := s.change(func(old *Map) (*Map, error) {
		if old.Version != version {
			return nil, fmt.Errorf("%w: it is %d, not %d", ErrVersion, old.Version, version)
		}
		return next, nil
	})
	if err != nil {
		return fmt.Errorf("update map: %w", err)
	}
	return nil
}

// Health is that of a router which needs nobody: always nil.
func (s *Static) Health() error { return nil }

// Publish implements Store.
func (s *Static) Publish(ctx context.Context, change func(*Map) (*Map, error)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publish map: %w", err)
	}
	if err := s.change(change); err != nil {
		return fmt.Errorf("publish map: %w", err)
	}
	return nil
}

// NextEpoch implements Store.
func (s *Static) NextEpoch(ctx context.Context, shard string, partitions []int) (uint32, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("next epoch of shard %s: %w", shard, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shown, err := s.Current().highestEpoch(shard, partitions)
	if err != nil {
		return 0, fmt.Errorf("next epoch: %w", err)
	}
	epoch, err := epochAfter(s.epoch, shown)
	if err != nil {
		return 0, fmt.Errorf("next epoch of shard %s: %w", shard, err)
	}
	if err := s.save(epoch, s.Current(), s.moves); err != nil {
		return 0, fmt.Errorf("next epoch of shard %s: %w", shard, err)
	}
	return epoch, nil
}

// Elect implements Election: in one process everybody who asks leads, and the log
// tells them apart as everywhere. Only Resign ends it.
func (s *Static) Elect(ctx context.Context, shard, me string) (*Leadership, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("elect keeper of shard %s: %w", shard, err)
	}
	if !validName(shard, shardIDBytesMax) {
		return nil, fmt.Errorf("elect: %w shard id %q", ErrInvalid, shard)
	}
	l, tenure := newLeadership()
	context.AfterFunc(tenure, func() {
		l.end(ErrResigned)
		close(l.done)
	})
	return l, nil
}

func (s *Static) change(change func(*Map) (*Map, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := successor(s.Current(), change)
	if err != nil || next == nil {
		return err
	}
	return s.save(s.epoch, next, s.moves)
}

// save makes a state durable and then current.
func (s *Static) save(epoch uint32, m *Map, moves map[int]Move) error {
	data, err := m.Encode()
	if err != nil {
		return err
	}
	saved := staticState{Epoch: epoch, Map: data}
	for _, p := range slices.Sorted(maps.Keys(moves)) {
		saved.Moves = append(saved.Moves, moves[p])
	}
	state, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	if err := s.persist(state); err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	s.epoch = epoch
	s.advance(m)
	if moves != nil && !maps.Equal(moves, s.moves) {
		s.moves = moves
		close(s.moved)
		s.moved = make(chan struct{})
	}
	return nil
}

func (s *Static) load(saved []byte) error {
	var state staticState
	if err := decodeNode("state", saved, &state); err != nil {
		return err
	}
	m, err := DecodeMap(state.Map)
	if err != nil {
		return err
	}
	again, err := json.Marshal(state)
	if err != nil {
		return errors.Join(ErrInvalid, err)
	}
	if err := sameForm("state", saved, again); err != nil {
		return err
	}
	for i, move := range state.Moves {
		if err := move.Validate(); err != nil {
			return err
		}
		if move.Partition >= len(m.Partitions) || (i > 0 && move.Partition <= state.Moves[i-1].Partition) {
			return fmt.Errorf("%w: moves out of order, or of a partition that does not exist", ErrInvalid)
		}
		s.moves[move.Partition] = move
	}
	s.epoch = state.Epoch
	s.advance(m)
	return nil
}
