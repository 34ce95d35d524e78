package filelog

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// madeSegment is a segment of zeros, without a head or a name.
type madeSegment struct {
	file File
	size int64
	err  error
}

// sizeAfter is the size of the segment that follows one of so many bytes.
func (l *Log) sizeAfter(size int64) int64 {
	return min(l.cfg.SegmentBytes, max(firstSegment, 2*size))
}

// prepareSegments makes segments ahead of their use, so that no Append waits for zeros.
func (l *Log) prepareSegments() {
	defer close(l.noAhead)
	for size := range l.order {
		f, size, err := l.makeSegment(size)
		l.ahead <- madeSegment{f, size, err}
	}
}

// orderAhead has the next segment made once this one is half full.
func (l *Log) orderAhead() {
	if l.pos > l.capacity/2 && l.Short() == nil {
		l.orderNext()
	}
}

func (l *Log) orderNext() {
	if !l.ordered && l.spare.file == nil {
		l.ordered = true
		l.order <- l.sizeAfter(l.capacity)
	}
}

// made takes a segment that was made ahead, or the news that there is no room for it.
func (l *Log) made(s madeSegment) {
	l.ordered = false
	l.shortOf(s.err)
	if s.err == nil {
		l.spare = s
	}
}

// The pause between two attempts to make the next segment on a disk that had no room for it, doubling.
const (
	shortAgain    = 250 * time.Millisecond
	shortAgainMax = 4 * time.Second
)

// shortOf notes whether the journal can grow, and says when that changes. While it cannot it is tried again and again.
func (l *Log) shortOf(err error) {
	was := l.Short()
	switch {
	case err != nil:
		l.short.Store(&err)
		l.pause = min(max(2*l.pause, shortAgain), shortAgainMax)
		l.again.Reset(l.pause)
	case was != nil:
		l.short.Store(nil)
		l.pause = 0
	}
	if (was == nil) == (err == nil) {
		return
	}
	if err != nil {
		l.cfg.Logger.Error("journal: it cannot grow; make room on its disk", "dir", l.dir, "left_bytes", l.capacity-l.pos, "error", err)
		return
	}
	l.cfg.Logger.Info("journal: it can grow again", "dir", l.dir)
}

// makeSegment writes a file of zeros: the blocks are allocated and initialised, so that fdatasync later finds nothing
// but the data to write.
func (l *Log) makeSegment(size int64) (f File, _ int64, err error) {
	name := join(l.dir, nextFile)
	if f, err = l.fs.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR); err != nil {
		return nil, 0, fmt.Errorf("make a segment: %w", err)
	}
	if err = l.zerosInSteps(f, size); err != nil {
		return nil, 0, fmt.Errorf("make a segment: %w", errors.Join(err, f.Close(), l.fs.Remove(name)))
	}
	return f, size, nil
}

// A segment is made in steps, with pauses: whatever goes to the disk in one piece stands before the fdatasync of a write that
// somebody waits for. 32 MiB at once held up each of those for 20 to 40 ms (decision 32).
const (
	zeroStep  = 512 << 10 // bytes
	zeroPause = 2 * time.Millisecond
)

// zerosInSteps writes a file of zeros, durably. It does not pause while the log waits for it.
func (l *Log) zerosInSteps(f File, size int64) error {
	for at := int64(0); at < size; at += zeroStep {
		if at > 0 && !l.hurry.Load() {
			time.Sleep(zeroPause)
		}
		if err := writeZeros(f, at, min(at+zeroStep, size)); err != nil {
			return err
		}
		if err := l.sync(f.Datasync); err != nil {
			return err
		}
	}
	return nil
}

func writeZeros(f File, from, to int64) error {
	zeros := make([]byte, max(0, min(to-from, 1<<20)))
	for at := from; at < to; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// fillZeros gives the segment back the zeros that a clean stop, or a cut, took off. Readers see no difference.
func (l *Log) fillZeros() error {
	size, err := l.file.Size()
	if err == nil && size < l.capacity {
		if err = writeZeros(l.file, size, l.capacity); err == nil {
			err = l.sync(l.file.Datasync)
		}
	}
	if err != nil {
		return fmt.Errorf("extend %s: %w", l.segmentPath(l.number), err)
	}
	return nil
}

// roll goes on to the next segment, which has room for need bytes. An error that is no *stopError leaves this one
// closed for ever and the next one to be made again.
func (l *Log) roll(need int64) error {
	l.mustRoll = true
	need += segmentHeadSize
	l.hurry.Store(true)
	defer l.hurry.Store(false)
	if l.ordered {
		l.made(<-l.ahead)
	}
	made := l.spare
	l.spare = madeSegment{}
	if made.file == nil || made.size < need {
		if made.file != nil {
			_ = made.file.Close() // nothing in it
		}
		made.file, made.size, made.err = l.makeSegment(max(need, l.sizeAfter(l.capacity)))
		l.shortOf(made.err)
		if made.err != nil {
			return made.err
		}
	}
	old := l.file
	if err := l.activate(made.file, made.size); err != nil {
		return err
	}
	_ = old.Close() // all of it is synced
	return nil
}

// activate gives a made segment its head and its name, and writes to it from now on.
func (l *Log) activate(f File, size int64) error {
	head := segmentHead{partitions: l.partitions, number: l.number + 1, capacity: size, previousEnd: l.pos}
	_, err := f.WriteAt(head.pack(), 0)
	if err == nil {
		err = l.sync(f.Datasync)
	}
	if err == nil {
		err = l.fs.Rename(join(l.dir, nextFile), l.segmentPath(head.number))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("start segment %d: %w", head.number, err), f.Close())
	}
	if err := l.sync(func() error { return l.fs.SyncDir(l.dir) }); err != nil {
		return &stopError{errors.Join(fmt.Errorf("start segment %d: %w", head.number, err), f.Close()), false}
	}
	l.file, l.number, l.pos, l.capacity, l.mustRoll = f, head.number, segmentHeadSize, size, false
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads = append(l.heads, head)
	l.ends = append(l.ends, l.pos)
	return nil
}
