package shardrouter

import (
	"fmt"
	"maps"
	"slices"
)

// PartitionsMax is the largest number of partitions of a cluster (design.md
// section 11).
const PartitionsMax = 1024

// States of a shard. A state is for operators and for keepers among themselves:
// whether a row is accepted is decided by the shard's own epochs. The map takes
// any lower-case word of up to 32 letters and '_', so that a newer keeper can
// use one that an older gateway does not know.
const (
	StateNew        = "new"        // no keeper has owned it yet
	StateRebuilding = "rebuilding" // a keeper makes it equal to the journal
	StateServing    = "serving"
	StateDraining   = "draining" // its partitions are being moved away
	StateDown       = "down"
)

// Partition says who owns a partition: a shard, in an epoch. Epoch 0 means that
// no keeper has owned it yet.
type Partition struct {
	Shard string `json:"shard"`
	Epoch uint32 `json:"epoch"`
}

// Shard is one Redis primary and its replicas, each of which can become the
// primary. Primary and Replicas are host:port; Primary may be empty while the
// shard has none. Epoch is the epoch of
// the keeper that published this entry.
type Shard struct {
	ID       string   `json:"id"`
	Primary  string   `json:"primary"`
	Replicas []string `json:"replicas"`
	Epoch    uint32   `json:"epoch"`
	State    string   `json:"state"`
}

// Map says which shard owns which partition (design.md section 2). It is an
// immutable value: it is shared between goroutines without a lock, so nobody
// changes a field of a map that he did not make; the With methods return
// changed copies. Version rises by one with every published map, from 1.
type Map struct {
	Version    int32            `json:"version"`
	Partitions []Partition      `json:"partitions"`
	Shards     map[string]Shard `json:"shards"`
	// Spares are host:port of Redis servers that no shard has. A shard whose own
	// have all failed takes one: it moves to the shard's Replicas in one change of
	// the map, so that no two shards ever have the same.
	Spares []string `json:"spares,omitempty"`

	// fault is the first wrong use of a With method. It is kept here, and told by
	// Validate, so that the methods can be chained and nothing panics.
	fault error
}

// NewMap returns the first map of a cluster: the partitions dealt out in turn to
// the shards in the order given, all at epoch 0. A shard without a State is
// StateNew.
func NewMap(partitions int, shards ...Shard) (*Map, error) {
	if partitions < 1 || partitions > PartitionsMax {
		return nil, fmt.Errorf("new map: %w: %d partitions, 1 to %d are possible", ErrInvalid, partitions, PartitionsMax)
	}
	if len(shards) == 0 {
		return nil, fmt.Errorf("new map: %w: no shards", ErrInvalid)
	}
	m := &Map{Version: 1, Partitions: make([]Partition, partitions), Shards: make(map[string]Shard, len(shards))}
	for _, s := range shards {
		if _, twice := m.Shards[s.ID]; twice {
			return nil, fmt.Errorf("new map: %w: shard %q is given twice", ErrInvalid, s.ID)
		}
		if s.State == "" {
			s.State = StateNew
		}
		m.Shards[s.ID] = s.clone()
	}
	for p := range m.Partitions {
		m.Partitions[p].Shard = shards[p%len(shards)].ID
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("new map: %w", err)
	}
	return m, nil
}

// ShardOf returns the shard that owns partition p, or the zero Shard (empty ID)
// when there is no such partition.
func (m *Map) ShardOf(p int) Shard {
	if p < 0 || p >= len(m.Partitions) {
		return Shard{}
	}
	return m.Shards[m.Partitions[p].Shard]
}

// PartitionsOf returns the partitions that a shard owns, in rising order.
func (m *Map) PartitionsOf(shard string) []int {
	var owned []int
	for p := range m.Partitions {
		if m.Partitions[p].Shard == shard {
			owned = append(owned, p)
		}
	}
	return owned
}

// Equal tells whether two maps say the same, version included. No replicas and
// nil replicas are the same.
func (m *Map) Equal(o *Map) bool {
	if m == nil || o == nil {
		return m == o
	}
	return m.Version == o.Version && m.sameContent(o)
}

func (m *Map) sameContent(o *Map) bool {
	return slices.Equal(m.Partitions, o.Partitions) && maps.EqualFunc(m.Shards, o.Shards, Shard.equal) && slices.Equal(m.Spares, o.Spares)
}

// WithShard returns a copy in which the shard is added or replaced. Its Epoch is
// the caller's own: the epoch in which it makes this claim.
func (m *Map) WithShard(s Shard) *Map {
	next := m.clone()
	next.Shards[s.ID] = s.clone()
	return next
}

// WithoutShard returns a copy without the shard. A map in which a partition
// still names it is not valid.
func (m *Map) WithoutShard(id string) *Map {
	next := m.clone()
	delete(next.Shards, id)
	return next
}

// WithPartitions returns a copy in which the partitions belong to the shard in
// that epoch. A partition that does not exist makes the copy invalid.
func (m *Map) WithPartitions(shard string, epoch uint32, partitions ...int) *Map {
	next := m.clone()
	for _, p := range partitions {
		if p < 0 || p >= len(next.Partitions) {
			next.fail(fmt.Errorf("%w: there is no partition %d", ErrInvalid, p))
			continue
		}
		next.Partitions[p] = Partition{Shard: shard, Epoch: epoch}
	}
	return next
}

// WithSpares returns a copy with other spares.
func (m *Map) WithSpares(spares ...string) *Map {
	next := m.clone()
	next.Spares = slices.Clone(spares)
	return next
}

// Has reports whether some shard has the address, as its primary or a replica.
func (m *Map) Has(addr string) bool {
	for _, s := range m.Shards {
		if s.Primary == addr || slices.Contains(s.Replicas, addr) {
			return true
		}
	}
	return false
}

// withVersion returns a copy of that version. Only the stores number maps.
func (m *Map) withVersion(v int32) *Map {
	next := m.clone()
	next.Version = v
	return next
}

func (m *Map) fail(err error) {
	if m.fault == nil {
		m.fault = err
	}
}

func (m *Map) clone() *Map {
	next := &Map{Version: m.Version, Partitions: slices.Clone(m.Partitions), Shards: maps.Clone(m.Shards), Spares: m.Spares, fault: m.fault}
	if next.Shards == nil {
		next.Shards = make(map[string]Shard, 1)
	}
	return next
}

func (s Shard) clone() Shard {
	s.Replicas = slices.Clone(s.Replicas)
	return s
}

func (s Shard) equal(o Shard) bool {
	return s.ID == o.ID && s.Primary == o.Primary && s.Epoch == o.Epoch && s.State == o.State &&
		slices.Equal(s.Replicas, o.Replicas)
}
