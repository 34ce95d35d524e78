package filelog

import "sort"

// Bounds of the index: memory grows by one entry of 16 bytes per partition and indexStride of log, and a look-up in
// old history walks at most indexStride of it. The last indexRecent records of a partition are found exactly: readers
// that follow the end come back for every new record, or for those of some seconds, between which lie the other partitions'.
const (
	indexStride = 1 << 20
	indexRecent = 1024
)

// index finds a partition's records.
type index struct {
	next   int64 // offset behind the last record
	sparse []indexEntry
	recent []location // of offset o at o % indexRecent
}

type indexEntry struct {
	offset int64
	at     location
}

// add notes the place of the record x.next.
func (x *index) add(at location) {
	if x.recent == nil {
		x.recent = make([]location, indexRecent)
	}
	x.recent[x.next%indexRecent] = at
	if n := len(x.sparse); n == 0 || x.sparse[n-1].at.segment() != at.segment() ||
		at.pos()-x.sparse[n-1].at.pos() >= indexStride {
		x.sparse = append(x.sparse, indexEntry{x.next, at})
	}
	x.next++
}

// find answers a place from which a walk comes to the record: the record itself, or one of the partition before it.
// The record must exist.
func (x *index) find(offset int64) location {
	if offset >= x.next-indexRecent {
		return x.recent[offset%indexRecent]
	}
	i := sort.Search(len(x.sparse), func(i int) bool { return x.sparse[i].offset > offset })
	return x.sparse[i-1].at
}

// recently appends the places of the records from an offset on to dst, and answers the offset of the first that is known.
func (x *index) recently(dst []location, from int64) (places []location, first int64) {
	first = max(from, x.next-indexRecent)
	for o := first; o < x.next; o++ {
		dst = append(dst, x.recent[o%indexRecent])
	}
	return dst, first
}
