package luascripts

import (
	"errors"
	"maps"
	"slices"

	"walletd/journal"
)

// filterPairs is how many blocks of the filter one call of a load adds.
const filterPairs = FilterBlocksMax

// sliceWord is the time slice that a shard gets which has none yet.
func (s *Shard) sliceWord() []byte { return appendU56(nil, uint64(s.keySlice.Milliseconds())) }

// slice is where a key record goes.
func (l *loader) slice(k *journal.KeyRecord) int64 {
	n := k.TimeMS / l.sliceMS
	l.used[n] = true
	return n
}

// sliced is the ids of the key records by time slice.
func (l *loader) sliced(m *journal.Memory) map[int64][]journal.ID {
	by := map[int64][]journal.ID{}
	for id, k := range m.Keys {
		slice := l.slice(&k)
		by[slice] = append(by[slice], id)
	}
	return by
}

// filterOf is what the shard's filter gets of a Book: the ids that were evicted, and those in the window, whatever slice
// they go to: a slice may be sealed while it is loaded.
func filterOf(m *journal.Memory) *journal.Filter {
	var all journal.Filter
	_ = m.Filter.Each(func(n int, b *journal.FilterBlock) error { all.Merge(n, b); return nil })
	for id := range m.Keys {
		all.Add(id)
	}
	return &all
}

var errEnough = errors.New("enough")

// filter yields a partition's blocks as fields.
func (l *loader) filter(partition int, f *journal.Filter) func(yield func(field, value []byte) bool) {
	return func(yield func(field, value []byte) bool) {
		_ = f.Each(func(n int, b *journal.FilterBlock) error {
			l.filtered = true
			if !yield([]byte(FilterPlace{partition, n}.field()), b[:]) {
				return errEnough
			}
			return nil
		})
	}
}

// loaded is what the window has got, for slices.lua.
func (l *loader) loaded() []byte {
	b := []byte{0}
	if l.filtered {
		b[0] = 1
	}
	for _, slice := range slices.Sorted(maps.Keys(l.used)) {
		b = appendU56(b, uint64(slice))
	}
	return b
}
