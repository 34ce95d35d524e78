package shardrouter

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Source is a reader's side of the map. Both methods may be called from any
// goroutine.
type Source interface {
	// Current returns the newest map seen, nil before the first. It never blocks.
	Current() *Map
	// Watch calls fn with the current map and then with every newer one, skipping
	// those that were replaced meanwhile, until ctx ends. fn runs in the caller's
	// goroutine.
	Watch(ctx context.Context, fn func(*Map))
}

// Store is a keeper's side of the map.
type Store interface {
	// NextEpoch gives out an epoch that is higher than any ever given in this
	// cluster and than any that the map shows for the partitions, and is durable
	// when it returns. An error leaves at worst an epoch unused: call again.
	// Errors: ErrUnknownShard, ErrInvalid (no such partition), ErrVersion (too many
	// rivals), ErrUnavailable.
	NextEpoch(ctx context.Context, shard string, partitions []int) (epoch uint32, err error)
	// Publish replaces the map by what change makes of it, by compare-and-set.
	// change may be called several times, on newer maps, and must be a function of
	// its argument; a nil map or one that says the same changes nothing, an error
	// ends it. The version is numbered by the store.
	// Errors: ErrDeposed, ErrInvalid, ErrVersion (too many rivals), ErrUnavailable
	// (unknown whether it happened; repeat), and what change returned.
	Publish(ctx context.Context, change func(*Map) (*Map, error)) error
}

// Election lets one of several processes keep a shard. It serves liveness only
// (see the package comment): the log decides who owned what.
type Election interface {
	// Elect blocks until me leads the shard, or ctx ends. ctx bounds the waiting,
	// not the leadership.
	Elect(ctx context.Context, shard, me string) (*Leadership, error)
}

// advances tells whether a map of a newer version may replace the old one
// (design.md section 8): partitions are fixed for ever, epochs never fall, and a
// partition changes its shard only in a higher epoch. A keeper that has been
// replaced meets ErrDeposed.
func advances(old, next *Map) error {
	if len(old.Partitions) != len(next.Partitions) {
		return fmt.Errorf("%w: %d partitions instead of %d, their number is fixed for ever", ErrInvalid, len(next.Partitions), len(old.Partitions))
	}
	for p, was := range old.Partitions {
		switch is := next.Partitions[p]; {
		case is.Epoch < was.Epoch:
			return fmt.Errorf("%w: partition %d is in epoch %d, published with %d", ErrDeposed, p, was.Epoch, is.Epoch)
		case is.Shard != was.Shard && is.Epoch == was.Epoch:
			return fmt.Errorf("%w: partition %d belongs to shard %s in epoch %d, shard %s needs a higher one", ErrDeposed, p, was.Shard, was.Epoch, is.Shard)
		}
	}
	for id, was := range old.Shards {
		if is, stays := next.Shards[id]; stays && is.Epoch < was.Epoch {
			return fmt.Errorf("%w: shard %s is in epoch %d, published with %d", ErrDeposed, id, was.Epoch, is.Epoch)
		}
	}
	return nil
}

// successor runs change on a map and returns what is to be published, numbered,
// or nil when there is nothing to do.
func successor(old *Map, change func(*Map) (*Map, error)) (*Map, error) {
	next, err := change(old)
	if err != nil {
		return nil, err
	}
	if next == nil || (next.fault == nil && next.sameContent(old)) {
		return nil, nil
	}
	next = next.withVersion(old.Version + 1)
	if err := next.Validate(); err != nil {
		return nil, err
	}
	return next, advances(old, next)
}

// highestEpoch of what the map shows for a shard and partitions.
func (m *Map) highestEpoch(shard string, partitions []int) (uint32, error) {
	s, known := m.Shards[shard]
	if !known {
		return 0, fmt.Errorf("%w %q", ErrUnknownShard, shard)
	}
	highest := s.Epoch
	for _, p := range partitions {
		if p < 0 || p >= len(m.Partitions) {
			return 0, fmt.Errorf("%w: there is no partition %d", ErrInvalid, p)
		}
		highest = max(highest, m.Partitions[p].Epoch)
	}
	return highest, nil
}

// cell holds the newest map and wakes those who wait for a newer one. It is the
// Source half of both implementations.
type cell struct {
	current atomic.Pointer[Map]

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed at the next change, nil while nobody waits
}

// Current implements Source.
func (c *cell) Current() *Map { return c.current.Load() }

// advance stores a map that is newer than the current one and tells whether it
// did: a version never goes back.
func (c *cell) advance(m *Map) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.current.Load(); old != nil && m.Version <= old.Version {
		return false
	}
	c.current.Store(m)
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
	return true
}

// next returns a channel that is closed at the next change.
func (c *cell) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// Watch implements Source.
func (c *cell) Watch(ctx context.Context, fn func(*Map)) {
	var told int32
	for ctx.Err() == nil {
		changed := c.next() // before the look, so that no change falls between
		if m := c.Current(); m != nil && m.Version > told {
			told = m.Version
			fn(m)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
