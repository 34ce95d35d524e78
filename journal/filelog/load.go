package filelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// loader walks the segments from the first on and fills the store's index. It may stand at the end of a journal that
// another process is writing, and go on later.
type loader struct {
	s   *store
	seg uint32 // segment it stands in, 0 = there is none yet
	pos int64  // behind the last whole record
	why error  // why there is no further record
}

func (l *loader) at() location { return locationOf(l.seg, l.pos) }

// damage describes what is wrong where the loader stands.
func (l *loader) damage(w *window, reason string) *DamageError {
	d := &DamageError{File: l.s.segmentPath(l.seg), Offset: l.pos, Partition: -1, Reason: reason}
	if w == nil {
		return d
	}
	b, _ := w.at(l.pos, recordHeadSize+16)
	return d.locate(b, l.s.partitions)
}

// checkNames refuses a journal that lacks a segment in between.
func (l *loader) checkNames() error {
	names, err := l.s.fs.List(l.s.dir)
	if err != nil {
		return err
	}
	var numbers []uint32
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != uint32(i+1) {
			return &DamageError{File: l.s.segmentPath(uint32(i + 1)), Partition: -1, Reason: "the segment is missing; there are later ones"}
		}
	}
	return nil
}

// run goes on to the end of the journal as it is now.
func (l *loader) run() error {
	for {
		if l.seg > 0 {
			if err := l.segment(); err != nil {
				return err
			}
		}
		head, err := l.nextHead()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if l.seg > 0 && head.previousEnd > l.pos { // its writer may have gone on since we looked: look again
			if err := l.segment(); err != nil {
				return err
			}
		}
		if l.seg > 0 && head.previousEnd != l.pos {
			return l.brokenOff(head)
		}
		l.enter(head)
	}
}

// brokenOff is the damage of a segment that does not end where the next one says it does.
func (l *loader) brokenOff(next segmentHead) error {
	f, err := l.s.fs.OpenFile(l.s.segmentPath(l.seg), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	w := newWindow(f)
	defer w.release()
	return l.damage(w, fmt.Sprintf("%v; the segment went on to byte %d", l.why, next.previousEnd))
}

func (l *loader) nextHead() (h segmentHead, err error) {
	name := l.s.segmentPath(l.seg + 1)
	f, err := l.s.fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return h, err
	}
	defer f.Close()
	b := make([]byte, segmentHeadSize)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return h, err
	}
	if h, err = parseSegmentHead(b); err == nil && (h.number != l.seg+1 || h.partitions != l.s.partitions) {
		err = fmt.Errorf("the segment calls itself number %d of a journal of %d partitions", h.number, h.partitions)
	}
	if err != nil {
		return h, &DamageError{File: name, Partition: -1, Reason: err.Error()}
	}
	return h, nil
}

// enter moves to the start of the next segment.
func (l *loader) enter(h segmentHead) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.seg, l.pos = h.number, segmentHeadSize
	l.s.heads = append(l.s.heads, h)
	l.s.ends = append(l.s.ends, l.pos)
}

// segment takes in every whole record from where the loader stands.
func (l *loader) segment() error {
	name := l.s.segmentPath(l.seg)
	f, err := l.s.fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	w := newWindow(f)
	defer w.release()
	for {
		r, bad, err := w.record(l.pos)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if l.why = bad; bad != nil {
			return nil
		}
		if err := l.take(w, &r); err != nil {
			return err
		}
		l.pos += r.size()
	}
}

func (l *loader) take(w *window, r *record) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if r.partition >= l.s.partitions {
		return l.damage(w, fmt.Sprintf("partition %d of %d", r.partition, l.s.partitions))
	}
	if next := l.s.index[r.partition].next; r.offset != next {
		return l.damage(w, fmt.Sprintf("offset %d stands where %d should", r.offset, next))
	}
	l.s.add(r.partition, l.at(), r.size())
	l.s.wake(r.partition)
	return nil
}

// judge tells what the end is, where the loader stands: clean or not, torn or not. end is the end mark (nil without
// one), durable how far the journal certainly was on disk.
func (l *loader) judge(end *endMark, durable location) (torn bool, err error) {
	if end != nil && (locationOf(end.Segment, end.Position) != l.at() || !slices.Equal(end.Offsets, l.offsets())) {
		return false, l.notReached(fmt.Sprintf("the end mark stands at segment %d byte %d, offsets %v; there are offsets %v",
			end.Segment, end.Position, end.Offsets, l.offsets()))
	}
	if durable > l.at() {
		return false, l.notReached(fmt.Sprintf("the journal was durable up to segment %d byte %d", durable.segment(), durable.pos()))
	}
	if l.seg == 0 {
		return false, nil
	}
	f, err := l.s.fs.OpenFile(l.s.segmentPath(l.seg), os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	w := newWindow(f)
	defer w.release()
	later, dirty, err := w.laterWrite(l.pos)
	switch {
	case err != nil:
		return false, err
	case later >= 0:
		return false, l.damage(w, fmt.Sprintf("%v; a whole record of a later write follows at byte %d", l.why, later))
	case dirty && end != nil:
		return false, l.damage(w, fmt.Sprintf("%v; something stands behind the end mark", l.why))
	}
	return dirty, nil
}

// notReached is the damage of a journal that ends too early (or, with an end mark, too late).
func (l *loader) notReached(reason string) error {
	if l.seg == 0 {
		return &DamageError{File: l.s.segmentPath(1), Partition: -1, Reason: "there is no segment; " + reason}
	}
	f, err := l.s.fs.OpenFile(l.s.segmentPath(l.seg), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	w := newWindow(f)
	defer w.release()
	return l.damage(w, fmt.Sprintf("%v; %s", l.why, reason))
}

// offsets are the partitions' ends.
func (l *loader) offsets() []int64 {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.offsets()
}

// offsets are the partitions' ends. s.mu is held.
func (s *store) offsets() []int64 {
	out := make([]int64, len(s.index))
	for p := range s.index {
		out[p] = s.index[p].next
	}
	return out
}
