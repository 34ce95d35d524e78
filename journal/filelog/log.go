package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"walletd/journal"
)

// Log is a journal on this machine's disk that this process writes. It is a journal.Log.
type Log struct {
	*store // the readable side, and the mutex

	// immutable
	cfg     Config
	lock    io.Closer
	kick    chan struct{}    // something is pending
	quit    chan struct{}    // closed by Close
	ended   chan struct{}    // closed when the log goroutine is gone
	order   chan int64       // sizes of segments to be made ahead, at most one
	ahead   chan madeSegment // and the segment made
	noAhead chan struct{}    // closed when the goroutine that makes them is gone
	stopped chan struct{}    // closed when a write has failed and the log takes nothing any more
	short   atomic.Pointer[error]
	hurry   atomic.Bool // the log waits for the segment that is being made

	// guarded by store.mu
	pending *batch
	next    []int64       // offset of the next record of each partition, pending ones included
	room    chan struct{} // closed when pending is taken
	free    [][]byte      // buffers of batches that are done
	failure error         // why the log stopped
	under   int           // appends under way
	shared  time.Time     // when more than one was, last
	wrote   time.Time     // the last batch
	late    bool          // what is pending missed it: its company has gone
	stats   Stats

	// owned by the log goroutine (before it runs: by Open; when it is gone: by Close)
	file     File // the segment being written
	mark     File // durable
	number   uint32
	pos      int64
	capacity int64
	mustRoll bool        // the segment may have a successor: nothing may be written to it any more
	cleanEnd bool        // the end mark still stands, and the segment ends at pos
	ordered  bool        // a segment is being made ahead
	spare    madeSegment // and has been made; no file: it has not
	again    *time.Timer // to try once more to make one
	group    *time.Timer // for appends that come in company
	pause    time.Duration

	markFailed bool // the last write of mark did
}

var _ journal.Log = (*Log)(nil)

// batch is what one write puts down.
type batch struct {
	buf     []byte
	records []placed
	appends int
	done    chan struct{} // closed when err is final
	err     error
}

type placed struct {
	partition int
	at        int // in buf
}

// Stats counts what the log holds and has done since it was opened.
type Stats struct {
	Bytes    int64  // of records, all segments
	Segments int    // files
	Frames   uint64 // records, all segments
	Appended uint64 // records since Open
	Writes   uint64 // one write and one fdatasync each
	Fsyncs   uint64 // of any kind
}

func newLog(cfg Config, s *store) *Log {
	again, group := time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	again.Stop()
	group.Stop()
	return &Log{
		again: again, group: group,
		store: s, cfg: cfg,
		kick: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
		order: make(chan int64, 1), ahead: make(chan madeSegment, 1), noAhead: make(chan struct{}), stopped: make(chan struct{}),
		pending: newBatch(nil), room: make(chan struct{}),
	}
}

func newBatch(buf []byte) *batch { return &batch{buf: buf[:0], done: make(chan struct{})} }

// notAppended says that nothing of an Append is in the log.
func notAppended(err error) error {
	return fmt.Errorf("filelog: append: %w: %w", journal.ErrNotAppended, err)
}

// Append writes the records, together with whatever else waits, and answers their offsets when they are on disk.
// Errors: a journal.ErrNotAppended, also for everything after a write that failed; any other is unknown. A ctx that
// ends while the write is under way makes it unknown.
func (l *Log) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	offsets := make([]int64, len(records))
	for i := range offsets {
		offsets[i] = -1
	}
	if err := l.check(records); err != nil || len(records) == 0 {
		if err != nil {
			err = notAppended(err)
		}
		return offsets, err
	}
	b, err := l.enqueue(ctx, records, offsets)
	if err != nil {
		return offsets, notAppended(err)
	}
	select {
	case l.kick <- struct{}{}:
	default:
	}
	select {
	case <-b.done:
		err = b.err
	case <-ctx.Done():
		err = fmt.Errorf("filelog: append: not waited for: %w", ctx.Err())
	}
	if err != nil {
		for i := range offsets {
			offsets[i] = -1
		}
	}
	return offsets, err
}

// check refuses what can never be appended.
func (l *Log) check(records []journal.Record) error {
	ascending := true
	for i, r := range records {
		if err := l.checkPartition(r.Partition); err != nil {
			return err
		}
		if len(r.Bytes) == 0 || len(r.Bytes) > recordBytesMax {
			return fmt.Errorf("partition %d: a record of %d bytes, want 1 to %d", r.Partition, len(r.Bytes), recordBytesMax)
		}
		ascending = ascending && (i == 0 || records[i-1].Partition < r.Partition)
	}
	if ascending {
		return nil
	}
	seen := make(map[int]bool, len(records))
	for _, r := range records {
		if seen[r.Partition] {
			return fmt.Errorf("partition %d: two records in one append", r.Partition)
		}
		seen[r.Partition] = true
	}
	return nil
}

// enqueue packs the records behind what is pending and fills in their offsets, which hold if the batch succeeds.
func (l *Log) enqueue(ctx context.Context, records []journal.Record, offsets []int64) (*batch, error) {
	size := 0
	for _, r := range records {
		size += recordHeadSize + len(r.Bytes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.pending.buf) > 0 && len(l.pending.buf)+size > pendingBytesMax && l.refusal(ctx) == nil {
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		l.mu.Lock()
	}
	if err := l.refusal(ctx); err != nil {
		return nil, err
	}
	b := l.pending
	b.appends++
	if l.under++; l.under > 1 {
		l.shared = time.Now()
	}
	for i, r := range records {
		b.records = append(b.records, placed{r.Partition, len(b.buf)})
		b.buf = appendRecord(b.buf, r.Partition, l.next[r.Partition], r.Bytes)
		offsets[i] = l.next[r.Partition]
		l.next[r.Partition]++
	}
	return b, nil
}

// refusal tells why nothing is taken any more, if so. l.mu is held.
func (l *Log) refusal(ctx context.Context) error {
	switch {
	case l.failure != nil:
		return l.failure
	case l.closed:
		return ErrClosed
	}
	return ctx.Err()
}

// Wait blocks until End(partition) > offset, or ctx ends, or the log is closed.
func (l *Log) Wait(ctx context.Context, partition int, offset int64) error {
	if err := l.checkPartition(partition); err != nil {
		return fmt.Errorf("filelog: wait: %w", err)
	}
	for {
		c, err := l.await(partition, offset)
		if err != nil {
			return fmt.Errorf("filelog: wait: %w", err)
		}
		if c == nil {
			return nil
		}
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Stats answers the log's counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Bytes, s.Segments, s.Frames = l.dataSize, len(l.ends), l.records
	return s
}

// Failure answers why the log stopped taking records, nil while it goes on.
func (l *Log) Failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Stopped is closed when a write or fdatasync has failed (Failure says why): nothing is taken any more until the journal is
// opened again, which reads from the disk what is there.
func (l *Log) Stopped() <-chan struct{} { return l.stopped }

// Short implements journal.Shortage: it tells why the journal cannot grow, nil while it can. The next segment is made when
// half of this one is left, so there is still room for what is under way.
func (l *Log) Short() error {
	if err := l.short.Load(); err != nil {
		return *err
	}
	return nil
}

// Close writes out what is pending, leaves the end mark and gives the lock back. After a failed write it leaves no end
// mark and answers the failure. Closing twice is fine.
func (l *Log) Close() error {
	l.mu.Lock()
	already := l.closed
	l.closed = true
	l.mu.Unlock()
	if already {
		<-l.ended
		return nil
	}
	close(l.quit)
	<-l.ended
	l.hurry.Store(true)
	<-l.noAhead
	l.stop()

	err := l.Failure()
	if err == nil {
		err = l.finish()
	}
	if err = errors.Join(err, l.closeFiles(), l.lock.Close()); err != nil {
		return fmt.Errorf("filelog: close %s: %w", l.dir, err)
	}
	return nil
}

// finish cuts the zeros off and leaves the end mark, unless this may not be the last segment: a rename that failed may have been done.
func (l *Log) finish() error {
	if l.cleanEnd || l.mustRoll {
		return nil // nothing was written, or the next Open has to look
	}
	if err := l.file.Truncate(l.pos); err != nil {
		return err
	}
	if err := l.file.Datasync(); err != nil {
		return err
	}
	return writeEnd(l.fs, l.dir, endMark{Version: formatVersion, Segment: l.number, Position: l.pos, Offsets: l.offsets()})
}

func (l *Log) closeFiles() error {
	var errs []error
	for _, f := range []File{l.file, l.mark} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	select {
	case l.spare = <-l.ahead:
	default:
	}
	if l.spare.file != nil {
		errs = append(errs, l.spare.file.Close(), l.fs.Remove(join(l.dir, nextFile)))
	}
	return errors.Join(errs...)
}
