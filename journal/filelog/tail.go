package filelog

import "context"

// Bounds of the tail: what is kept in memory of what was written last, and how much of it a reader takes at once.
const (
	tailBytes = 1 << 20
	tailRead  = 64 << 10
)

// tail is the end of the segment that is being written, in memory: whoever follows the log gets what has just become durable
// without a system call. Guarded by store.mu.
type tail struct {
	ring     []byte // a byte at pos is at pos % tailBytes
	segment  uint32
	from, to int64 // of the positions that it has
}

// add takes a write that is durable.
func (t *tail) add(segment uint32, pos int64, b []byte) {
	if t.ring == nil {
		t.ring = make([]byte, tailBytes)
	}
	end := pos + int64(len(b))
	if t.segment != segment || t.to != pos {
		t.segment, t.from = segment, pos
	}
	t.to, t.from = end, max(t.from, end-tailBytes)
	if skip := t.from - pos; skip > 0 {
		pos, b = t.from, b[skip:]
	}
	n := copy(t.ring[pos%tailBytes:], b)
	copy(t.ring, b[n:])
}

// take appends n bytes from a place on to dst; false when they are not there.
func (t *tail) take(dst []byte, at location, n int64) ([]byte, bool) {
	pos := at.pos()
	if at.segment() != t.segment || pos < t.from || pos+n > t.to {
		return dst, false
	}
	i := pos % tailBytes
	first := t.ring[i:min(i+n, tailBytes)]
	return append(append(dst, first...), t.ring[:n-int64(len(first))]...), true
}

// record appends the record at a place to dst; false when it is not all there.
func (t *tail) record(dst []byte, at location) ([]byte, bool) {
	begin := len(dst)
	dst, ok := t.take(dst, at, recordHeadSize)
	if !ok {
		return dst, false
	}
	r, err := parseRecordHead(dst[begin:])
	if err != nil {
		return dst[:begin], false
	}
	if dst, ok = t.take(dst[:begin], at, r.size()); !ok {
		return dst[:begin], false
	}
	return dst, true
}

// lately appends records of a partition to dst, from one offset up to another, as many as are in memory and one reader takes.
func (s *store) lately(dst []byte, partition int, from, end int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &s.index[partition]
	for o := max(from, 0); o < end && o >= x.next-indexRecent && len(dst) < tailRead; o++ {
		var ok bool
		if dst, ok = s.tail.record(dst, x.recent[o%indexRecent]); !ok {
			break
		}
	}
	return dst
}

// inMemory reads what the tail has from r.next on. What it has not is in the segments.
func (r *reading) inMemory(ctx context.Context) error {
	buf := windowBuffers.Get().(*[]byte)
	defer windowBuffers.Put(buf)
	for r.next < r.end && ctx.Err() == nil {
		*buf = r.s.lately((*buf)[:0], r.partition, r.next, r.end)
		if len(*buf) == 0 {
			return nil
		}
		for b := *buf; len(b) > 0; {
			rec, err := parseRecordHead(b)
			if err != nil || rec.partition != r.partition || rec.offset != r.next {
				return nil // the segments tell what is wrong
			}
			if err := r.fn(rec.offset, b[recordHeadSize:rec.size()]); err != nil {
				return err
			}
			r.next++
			b = b[rec.size():]
		}
	}
	return ctx.Err()
}
