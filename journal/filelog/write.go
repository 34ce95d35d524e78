package filelog

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// run is the log goroutine: it takes everything that waits, and makes it durable by one write and one fdatasync.
func (l *Log) run() {
	defer close(l.ended)
	defer l.again.Stop()
	defer l.group.Stop()
	for {
		select {
		case <-l.kick:
			l.gather()
		case made := <-l.ahead:
			l.made(made)
		case <-l.again.C:
			l.orderNext()
		case <-l.quit:
			// Close has shut the door: what is pending now is the last.
			if b := l.take(); b != nil {
				l.settle(b, l.commit(b))
			}
			close(l.order)
			return
		}
		if b := l.take(); b != nil {
			l.settle(b, l.commit(b))
		}
	}
}

// Appends come in company: the shards of a process are served by one timetable, and what their trains did comes within moments.
const (
	groupWait   = 300 * time.Microsecond  // for the others, when one has come
	groupBusy   = 1500 * time.Microsecond // after the last write: else the log is idle, and writes at once
	groupMemory = 20 * time.Millisecond   // since two were under way at once: else there are no others
)

// gather waits a little for the others, so that one write and one fdatasync make all of it durable.
func (l *Log) gather() {
	l.mu.Lock()
	now := time.Now()
	alone := l.under == 1 && !l.late && now.Sub(l.shared) < groupMemory && now.Sub(l.wrote) < groupBusy
	l.mu.Unlock()
	if !alone {
		return
	}
	l.group.Reset(groupWait)
	defer l.group.Stop()
	select {
	case <-l.kick:
	case <-l.group.C:
	case <-l.quit:
	}
}

// take answers everything that waits, nil when nothing does.
func (l *Log) take() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending.records) == 0 {
		return nil
	}
	b := l.pending
	l.renew()
	return b
}

// renew starts an empty batch. l.mu is held.
func (l *Log) renew() {
	var buf []byte
	if n := len(l.free); n > 0 {
		buf, l.free = l.free[n-1], l.free[:n-1]
	}
	l.pending = newBatch(buf)
	close(l.room)
	l.room = make(chan struct{})
}

// stopError is a failure after which nothing may be written any more: nobody knows what is on disk.
type stopError struct {
	err   error
	wrote bool // the batch had reached the disk, or may have
}

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

// commit makes a batch durable. An error that is no *stopError says that nothing of it counts, and the log goes on.
func (l *Log) commit(b *batch) error {
	if err := l.begin(); err != nil {
		return err
	}
	size := int64(len(b.buf))
	if l.mustRoll || l.pos+size > l.capacity {
		if err := l.roll(size); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(b.buf, l.pos); err != nil {
		return l.undo(fmt.Errorf("write %s at byte %d: %w", l.segmentPath(l.number), l.pos, err))
	}
	if err := l.sync(l.file.Datasync); err != nil {
		return &stopError{fmt.Errorf("sync %s: %w", l.segmentPath(l.number), err), true}
	}
	start := l.pos
	l.pos += size
	l.markDurable()
	l.publish(b, start)
	l.orderAhead()
	return nil
}

// begin makes an opened journal ready for its first write: zeros ahead, the end mark gone for certain.
func (l *Log) begin() error {
	if !l.cleanEnd {
		return nil
	}
	if err := l.fillZeros(); err != nil {
		return err
	}
	if err := l.fs.Remove(join(l.dir, endFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the end mark: %w", err)
	}
	if err := l.sync(func() error { return l.fs.SyncDir(l.dir) }); err != nil {
		return &stopError{fmt.Errorf("remove the end mark: %w", err), false}
	}
	l.cleanEnd = false
	return nil
}

// noRoom tells the errors of a full disk, a used-up quota and a limit of file sizes from others: nothing is wrong with what
// lies on the disk.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// undo takes a failed write back. Only a full disk is believed to have done nothing else, and only when the cut is
// durable; everything else leaves the disk unknown.
func (l *Log) undo(cause error) error {
	if !noRoom(cause) {
		return &stopError{cause, true}
	}
	if err := l.file.Truncate(l.pos); err != nil {
		return &stopError{errors.Join(cause, err), true}
	}
	if err := l.sync(l.file.Datasync); err != nil {
		return &stopError{errors.Join(cause, err), true}
	}
	return cause // the next write will have to make room for itself
}

func (l *Log) sync(do func() error) error {
	l.mu.Lock()
	l.stats.Fsyncs++
	l.mu.Unlock()
	return do()
}

// markDurable notes how far the journal is on disk, for an Open after the process was killed. Where that fails, what the
// file said before stays true, or it says nothing: less is proved then, and nothing else is lost.
func (l *Log) markDurable() {
	_, err := l.mark.WriteAt(packDurable(locationOf(l.number, l.pos)), 0)
	if err != nil && !l.markFailed {
		l.cfg.Logger.Warn("journal: cannot note how far it is durable", "file", join(l.dir, durableFile), "error", err)
	}
	l.markFailed = err != nil
}

// publish lets readers have a durable batch that was written at start.
func (l *Log) publish(b *batch, start int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range b.records {
		end := len(b.buf)
		if i+1 < len(b.records) {
			end = b.records[i+1].at
		}
		l.add(r.partition, locationOf(l.number, start+int64(r.at)), int64(end-r.at))
		l.wake(r.partition)
	}
	l.tail.add(l.number, start, b.buf)
	l.stats.Writes++
	l.stats.Appended += uint64(len(b.records))
}

// settle tells those who wait for the batch. After an error also what is pending fails: its offsets stand on this one.
func (l *Log) settle(b *batch, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrote, l.late, l.under = time.Now(), l.pending.appends > 0, l.under-b.appends
	if err != nil {
		b.err = l.fail(err)
	}
	close(b.done)
	const keep = 2 // one being filled, one being written
	if cap(b.buf) <= pendingBytesMax && len(l.free) < keep {
		l.free = append(l.free, b.buf)
	}
	b.buf, b.records = nil, nil
}

// fail answers the error of a failed batch and refuses what stands behind it. l.mu is held.
func (l *Log) fail(err error) error {
	var stop *stopError
	if errors.As(err, &stop) {
		l.failure = fmt.Errorf("the log stopped: %w", stop.err)
		close(l.stopped)
		l.cfg.Logger.Error("journal: stopped after a failed write", "dir", l.dir, "error", stop.err)
	}
	l.next = l.offsets()
	behind := l.pending
	l.under -= behind.appends
	l.renew()
	behind.err = notAppended(fmt.Errorf("behind a failed write: %w", err))
	close(behind.done)
	if stop != nil && stop.wrote {
		return fmt.Errorf("filelog: append: outcome unknown: %w", stop.err)
	}
	return notAppended(err)
}
