package luascripts

import (
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"walletd/journal"
)

// testSlice is a time slice of random runs, whose partitions' time goes on by up to 4,000 s at once.
const testSlice = 20 * time.Minute

// evict is a random eviction, mostly of something, now and then of what cannot be.
func (w *world) evict(p int, r *journal.Row) {
	b := w.books[p]
	r.Op = journal.OpEvict
	r.CutoffMS = b.TimeMS - int64(pick(w, 0, 0, 1, 1000, 61_000, 5_000_000, w.IntN(20_000_000)))
	if w.one(0.3) {
		r.CutoffMS = pick(w, b.EvictedMS, b.EvictedMS+1, b.TimeMS+1)
	}
}

// clear marks a row, now and then, as one that the projection does not know up to some cut-off. It may lie, but never about a
// reservation, which would be opened twice.
func (w *world) clear(p int, packed []byte) []byte {
	var r journal.Row
	if _, err := r.Parse(packed); err != nil || !w.one(0.1) {
		return packed
	}
	_, reserved := w.books[p].State.Reservation(r.ID)
	if (!r.Op.Keyed() && !r.ByKey) || reserved || r.Op == journal.OpReserve && w.sent[r.ID] {
		return packed
	}
	r.ClearedMS = max(1, w.books[p].EvictedMS-int64(pick(w, 0, 0, 0, 1, -1)))
	return r.Append(nil)
}

// tend does one of the things that a keeper does to the window.
func (d *differential) tend() {
	d.t.Helper()
	w, err := d.s.Window(d.t.Context())
	must(d.t, err)
	switch d.IntN(3) {
	case 0:
		d.seal(&w)
	case 1:
		d.drop(&w)
	case 2:
		d.sweep()
	}
}

// seal closes the slices before the partitions' time, as if that were the shard's, and seals them.
func (d *differential) seal(w *Window) {
	d.t.Helper()
	past := int64(math.MaxInt64)
	for _, b := range d.books {
		past = min(past, b.TimeMS/w.SliceMS)
	}
	w.Floor = max(w.Floor, past)
	must(d.t, d.s.client.HSet(d.t.Context(), partsKey, windowField, packWindow(w)).Err())
	for _, slice := range w.Slices {
		if slice >= w.Sealed && slice < w.Floor {
			d.filter(slice)
		}
	}
	must(d.t, d.s.Seal(d.t.Context(), 0, w.Floor))
	if err := d.s.Seal(d.t.Context(), 0, w.Floor+1); !errors.Is(err, ErrOvertaken) {
		d.t.Fatalf("a slice that is not closed was sealed: %v", err)
	}
}

// filter puts the ids of a slice into the filter.
func (d *differential) filter(slice int64) {
	d.t.Helper()
	for cursor := uint64(0); ; {
		ids, next, err := d.s.ReadSlice(d.t.Context(), slice, cursor)
		must(d.t, err)
		blocks := map[FilterPlace]*journal.FilterBlock{}
		for _, id := range ids {
			at := FilterPlace{id.Partition(d.partitions), journal.FilterBlockOf(id)}
			if blocks[at] == nil {
				blocks[at] = new(journal.FilterBlock)
			}
			blocks[at].Add(id)
		}
		for part := range slices.Chunk(slices.Collect(maps.Keys(blocks)), FilterBlocksMax) {
			some := map[FilterPlace]*journal.FilterBlock{}
			for _, at := range part {
				some[at] = blocks[at]
			}
			must(d.t, d.s.AddToFilter(d.t.Context(), 0, some))
		}
		if cursor = next; cursor == 0 {
			return
		}
	}
}

// drop drops what may be dropped, and finds the rest refused.
func (d *differential) drop(w *Window) {
	d.t.Helper()
	for _, slice := range w.Slices {
		may := slice < w.Sealed
		for _, b := range d.books {
			may = may && b.EvictedMS >= (slice+1)*w.SliceMS
		}
		_, err := d.s.DropSlice(d.t.Context(), 0, slice)
		if may != (err == nil) || (err != nil && !errors.Is(err, ErrOvertaken)) {
			d.t.Fatalf("slice %d of %+v: may be dropped %v: %v", slice, w, may, err)
		}
		if n := d.s.client.Exists(d.t.Context(), keysKey(slice)).Val(); may != (n == 0) {
			d.t.Fatalf("slice %d: may be dropped %v, %d are there", slice, may, n)
		}
		if may {
			d.seen["slice dropped"]++
		}
	}
}

func (d *differential) sweep() {
	d.t.Helper()
	for cursor := uint64(0); ; {
		n, next, err := d.s.Sweep(d.t.Context(), 0, d.partitions, cursor, func(p int) int64 { return d.books[p].EvictedMS })
		must(d.t, err)
		d.seen["reservation swept"] += n
		if cursor = next; cursor == 0 {
			return
		}
	}
}

// covered holds the shard's filter against what was evicted.
func (d *differential) covered(shard map[int]*journal.Book) {
	d.t.Helper()
	for p, b := range d.books {
		has, want := &shard[p].State.(*journal.Memory).Filter, &b.State.(*journal.Memory).Filter
		folded := &d.fold[p].State.(*journal.Memory).Filter
		if !has.Covers(want) || folded.Digest() != want.Digest() {
			d.t.Errorf("partition %d: the shard's filter has forgotten something, or the fold's is another", p)
		}
	}
}

func packWindow(w *Window) []byte {
	b := appendU56(appendU56(appendU56(nil, uint64(w.SliceMS)), uint64(w.Floor)), uint64(w.Sealed))
	b = append(b, map[bool]byte{true: 1}[w.Filtered])
	for _, slice := range w.Slices {
		b = appendU56(b, uint64(slice))
	}
	return b
}
