package view

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/journal/planted"
)

// Fold takes one partition's frames into the store. One goroutine uses it. What it takes becomes visible, all at once and
// with its cursor, by Commit; after an error of Take or Commit only Rollback helps, which returns to the last commit.
type Fold struct {
	view   *View
	state  *state
	book   *journal.Book
	at     progress // as committed
	cursor journal.Cursor
	tally  movements
	events int // since the last commit
	broken bool

	effects  effects  // of the event that is being folded
	listener Listener // nil: nobody listens
}

// Fold opens the partition for writing. Only one Fold of a partition may be open.
func (v *View) Fold(partition int) (*Fold, error) {
	if v.config.ReadOnly || partition < 0 || partition >= v.config.Partitions {
		return nil, fmt.Errorf("fold partition %d of %d (read-only: %v): not possible", partition, v.config.Partitions, v.config.ReadOnly)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.folding[partition] {
		return nil, fmt.Errorf("fold partition %d: it is being folded already", partition)
	}
	at, err := v.progress(v.db, partition)
	if err != nil {
		return nil, fmt.Errorf("fold partition %d: %w", partition, err)
	}
	s, err := newState(v.db, partition, v.config.CacheAccounts/v.config.Partitions)
	if err != nil {
		return nil, fmt.Errorf("fold partition %d: %w", partition, err)
	}
	f := &Fold{view: v, state: s, at: at, book: &journal.Book{Partition: partition, Partitions: v.config.Partitions, State: s}}
	f.effects.f = f
	f.rewind()
	s.accounts.all = at.book.seq == 0
	v.folding[partition] = true
	v.waits[partition].restart()
	return f, nil
}

// rewind puts cursor and Book back to what is committed.
func (f *Fold) rewind() {
	f.cursor = f.at.cursor
	f.book.Epoch, f.book.Seq, f.book.TimeMS, f.book.EvictedMS = f.at.book.epoch, f.at.book.seq, f.at.book.timeMS, f.at.evictedMS
	f.state.window.rewind(&f.at)
	f.tally.reset(f.book.Partition, f.book.Partitions)
	f.events, f.broken = 0, false
}

// Close gives the partition back. What is not committed is forgotten.
func (f *Fold) Close() error {
	f.Hasten(nil)
	f.view.mu.Lock()
	defer f.view.mu.Unlock()
	delete(f.view.folding, f.book.Partition)
	if err := f.state.close(); err != nil {
		return fmt.Errorf("close fold of partition %d: %w", f.book.Partition, err)
	}
	return nil
}

// Cursor is where the log is to be read on.
func (f *Fold) Cursor() journal.Cursor { return f.cursor }

// Position is the last event taken.
func (f *Fold) Position() journal.Position {
	return journal.Position{Partition: f.book.Partition, Epoch: f.book.Epoch, Seq: f.book.Seq}
}

// TimeMS is the time of the last event taken.
func (f *Fold) TimeMS() int64 { return f.book.TimeMS }

// Size is the size of the open batch, bytes, about: what will be written, and what is held until then.
func (f *Fold) Size() int { return f.state.batch.Len() + f.state.held() }

// Hasten gives a function to be called when a reader begins to wait for what is not committed yet. It must return at once, and
// may not call the view.
func (f *Fold) Hasten(fn func()) { f.view.waits[f.book.Partition].tell(fn) }

// Events is the number of events in the open batch.
func (f *Fold) Events() int { return f.events }

// Take folds the record at the cursor's offset. ErrDamaged: the journal is not what its keepers wrote; ErrStore: the
// store failed.
func (f *Fold) Take(offset int64, record []byte) (journal.Verdict, error) {
	if f.broken {
		return "", fmt.Errorf("fold partition %d: roll back first", f.book.Partition)
	}
	frame, verdict, err := f.cursor.Next(offset, record)
	if err == nil && offset == 0 {
		f.setGenesis(record)
	}
	if err == nil && verdict == journal.Accepted {
		if err = frame.EachEvent(f.apply); err == nil && frame.Kind == journal.FrameEvents {
			f.state.putChunk(&frame)
			err = f.state.err
		}
	}
	if err != nil {
		f.broken = true
		if !errors.Is(err, journal.ErrDamaged) && errors.Is(err, journal.ErrBadFrame) {
			err = fmt.Errorf("%w: partition %d offset %d: %w", journal.ErrDamaged, f.book.Partition, offset, err)
		}
		return "", fmt.Errorf("fold: %w", err)
	}
	return verdict, nil
}

func (f *Fold) setGenesis(record []byte) {
	sum := sha256.Sum256(record)
	f.state.put(prefix(nil, keyGenesis, f.book.Partition), sum[:])
}

func (f *Fold) apply(e *journal.Event) error {
	row := &f.effects.row
	if _, err := row.Parse(e.Packed); err != nil {
		return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
	}
	f.state.op, f.state.now = row.Op, place{e.Epoch, e.Seq, max(f.book.TimeMS, e.TimeMS)}
	f.effects.flagged, f.effects.leg, f.effects.number = 0, 0, 0
	err := f.book.ApplyRow(e, row, &f.effects)
	if f.state.err != nil { // then what Apply says stands on answers that were none
		return f.state.err
	}
	if err == nil && row.Op == journal.OpDeliver {
		f.tally.receive(row)
	}
	f.events++
	return err
}

// Commit makes what was taken visible. Without anything taken it does nothing.
func (f *Fold) Commit() error {
	if f.broken {
		return fmt.Errorf("commit partition %d: roll back first", f.book.Partition)
	}
	if f.cursor == f.at.cursor {
		return nil
	}
	at := progress{f.cursor, place{f.book.Epoch, f.book.Seq, f.book.TimeMS}, f.book.EvictedMS, f.state.window.from}
	runs, err := f.state.flush()
	if planted.Is(planted.ProjectionOffset) {
		_ = errors.Join(f.view.db.Set(prefix(nil, keyCursor, f.book.Partition), at.append(nil), noSync), f.view.db.Flush())
	}
	if err == nil {
		f.view.channels.write(f.state, &f.tally)
		f.state.put(prefix(nil, keyCursor, f.book.Partition), at.append(nil))
		err = f.state.err
	}
	if err == nil {
		err = f.publish(at.book.seq)
	}
	if err != nil {
		f.broken = true
		return fmt.Errorf("commit partition %d: %w", f.book.Partition, err)
	}
	f.state.committed(runs)
	f.at = at
	f.tally.reset(f.book.Partition, f.book.Partitions)
	f.events = 0
	f.view.waits[f.book.Partition].advance(at.book.seq)
	if f.listener != nil {
		f.listener.Committed()
	}
	return nil
}

// publish makes the batch visible, and the channels with it: a Cut sees both or neither.
func (f *Fold) publish(seq uint64) error {
	f.view.cutting.RLock()
	defer f.view.cutting.RUnlock()
	if err := f.view.db.Apply(f.state.batch, noSync); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	f.view.channels.commit(&f.tally, seq, f.state)
	return nil
}

// Rollback forgets what was taken since the last commit.
func (f *Fold) Rollback() error {
	if f.listener != nil {
		f.listener.Dropped()
	}
	if err := f.state.dropped(); err != nil {
		return fmt.Errorf("roll back partition %d: %w", f.book.Partition, err)
	}
	f.rewind()
	return nil
}

// Stop says that the partition is folded no further, and why: whoever waits for it is told at once.
func (f *Fold) Stop(why error) { f.view.waits[f.book.Partition].stop(why) }
