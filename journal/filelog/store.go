package filelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"walletd/journal"
)

// store is the readable side: which segments there are and where a partition's records lie. The writing log and the
// read-only one both stand on it.
type store struct {
	// immutable
	fs         FS
	dir        string
	partitions int

	mu       sync.Mutex // guards all below
	ends     []int64    // of the segments 1, 2, …: behind the last record that counts
	heads    []segmentHead
	index    []index // per partition
	waiting  map[int]chan struct{}
	tail     tail
	records  uint64
	closed   bool
	dataSize int64
}

func newStore(fsys FS, dir string, partitions int) *store {
	return &store{
		fs: fsys, dir: dir, partitions: partitions,
		index: make([]index, partitions), waiting: make(map[int]chan struct{}),
	}
}

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("the log is closed")

func (s *store) segmentPath(number uint32) string { return join(s.dir, segmentName(number)) }

func (s *store) checkPartition(p int) error {
	if p < 0 || p >= s.partitions {
		return fmt.Errorf("no partition %d, there are %d", p, s.partitions)
	}
	return nil
}

// Partitions is the number of partitions, fixed for ever.
func (s *store) Partitions() int { return s.partitions }

// End answers the offset behind the partition's last durable record.
func (s *store) End(_ context.Context, partition int) (int64, error) {
	if err := s.checkPartition(partition); err != nil {
		return 0, fmt.Errorf("filelog: end: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, fmt.Errorf("filelog: end: %w", ErrClosed)
	}
	return s.index[partition].next, nil
}

// add counts a record in. s.mu is held.
func (s *store) add(partition int, at location, size int64) {
	s.index[partition].add(at)
	s.ends[at.segment()-1] = at.pos() + size
	s.records++
	s.dataSize += size
}

// wake lets those go on that wait for the partition. s.mu is held.
func (s *store) wake(partition int) {
	if c := s.waiting[partition]; c != nil {
		close(c)
		delete(s.waiting, partition)
	}
}

// await answers a channel that is closed when the partition's end is no longer at or before offset, nil when it is
// not now.
func (s *store) await(partition int, offset int64) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.index[partition].next > offset {
		return nil, nil
	}
	c := s.waiting[partition]
	if c == nil {
		c = make(chan struct{})
		s.waiting[partition] = c
	}
	return c, nil
}

// stop lets everybody go who waits; nothing is answered any more.
func (s *store) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for p := range s.waiting {
		s.wake(p)
	}
}

// Read calls fn for every record of the partition from offset from on, up to its end at the time of the call, and
// answers the offset behind the last one read. Errors: fn's own, as it is; *DamageError, also when from lies behind the
// end; ErrClosed.
func (s *store) Read(ctx context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	if err := s.checkPartition(partition); err != nil {
		return from, fmt.Errorf("filelog: read: %w", err)
	}
	r := reading{s: s, partition: partition, next: from, fn: fn}
	at, err := r.start()
	if err != nil || r.next == r.end {
		return from, err
	}
	if err := r.inMemory(ctx); err != nil || r.next == r.end {
		return r.next, err
	}
	if end := r.end; r.next > from { // it was overtaken
		if at, err = r.start(); err != nil {
			return r.next, err
		}
		r.end = end
	}
	for r.next < r.end {
		if err := r.segment(ctx, at); err != nil {
			return r.next, err
		}
		at = locationOf(at.segment()+1, segmentHeadSize)
	}
	return r.next, nil
}

// reading is one Read under way.
type reading struct {
	s         *store
	partition int
	next, end int64
	fn        func(int64, []byte) error
	ends      []int64

	places []location // of the records from offset first on, as far as they are known
	first  int64
}

func (r *reading) start() (at location, err error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &s.index[r.partition]
	r.end = x.next
	switch {
	case s.closed:
		return 0, fmt.Errorf("filelog: read: %w", ErrClosed)
	case r.next < 0 || r.next > r.end:
		return 0, fmt.Errorf("%w: %s: partition %d is read from offset %d, but ends at %d", journal.ErrDamaged, s.dir, r.partition, r.next, r.end)
	case r.next == r.end:
		return 0, nil
	}
	r.ends = s.ends // entries before the last never change again, and the last only grows
	r.places, r.first = x.recently(r.places[:0], r.next)
	return x.find(r.next), nil
}

// segment reads what the partition has in one segment from at on.
func (r *reading) segment(ctx context.Context, at location) error {
	number := at.segment()
	if int(number) > len(r.ends) {
		return &DamageError{File: r.s.segmentPath(number), Partition: r.partition, Reason: fmt.Sprintf("offset %d is nowhere", r.next)}
	}
	f, err := r.s.fs.OpenFile(r.s.segmentPath(number), os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("filelog: read: %w", err)
	}
	defer f.Close()
	w := newWindow(f)
	defer w.release()
	last := int(number) == len(r.ends)
	for pos := at.pos(); r.next < r.end && (last || pos < r.ends[number-1]); {
		if err := ctx.Err(); err != nil {
			return err
		}
		size, err := r.step(w, number, pos)
		if err != nil {
			return err
		}
		pos = r.jump(w, number, pos+size)
	}
	return nil
}

// jump answers where the next record is, if that is known and lies farther than pos: what is between is other partitions'.
func (r *reading) jump(w *window, number uint32, pos int64) int64 {
	if i := r.next - r.first; i >= 0 && i < int64(len(r.places)) {
		if at := r.places[i]; at.segment() == number && at.pos() > pos {
			w.skip()
			return at.pos()
		}
	}
	return pos
}

// step reads the record at pos, or passes over one of another partition, and answers its size.
func (r *reading) step(w *window, number uint32, pos int64) (int64, error) {
	rec, bad, err := w.head(pos)
	if bad == nil && err == nil {
		if rec.partition != r.partition || rec.offset < r.next {
			return rec.size(), nil
		}
		rec, bad, err = w.record(pos)
	}
	if err != nil {
		return 0, fmt.Errorf("filelog: read %s: %w", r.s.segmentPath(number), err)
	}
	if bad == nil && rec.offset != r.next {
		bad = fmt.Errorf("offset %d follows %d", rec.offset, r.next-1)
	}
	if bad != nil {
		b, _ := w.at(pos, recordHeadSize+journal.FrameHeadSize)
		d := &DamageError{File: r.s.segmentPath(number), Offset: pos, Reason: bad.Error()}
		return 0, d.locate(b, r.s.partitions)
	}
	if err := r.fn(rec.offset, rec.content); err != nil {
		return 0, err
	}
	r.next++
	return rec.size(), nil
}
