package systemtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"walletd/journal"
)

// ends knows how far the journal counts, partition by partition: it reads on whenever it is asked.
type ends struct {
	log     journal.Log
	mu      sync.Mutex
	cursors []journal.Cursor
}

func newEnds(log journal.Log) *ends {
	e := &ends{log: log}
	for p := range log.Partitions() {
		e.cursors = append(e.cursors, journal.Cursor{Partition: p})
	}
	return e
}

// durable is the last seq that the journal has.
func (e *ends) durable(partition int) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &e.cursors[partition]
	_, err := e.log.Read(context.Background(), partition, c.Offset, func(offset int64, record []byte) error {
		_, _, err := c.Next(offset, record)
		return err
	})
	return c.Seq, err
}

// roughLog is the way of one process to the journal: it may lose replies, refuse, stand still.
type roughLog struct {
	journal.Log

	mu     sync.Mutex
	loses  bool          // appended, its writer is not told
	denies bool          // not appended
	still  chan struct{} // closed when it goes on; nil: it does
}

var errLostReply = errors.New("the reply was lost")

// pass waits while the way stands still.
func (l *roughLog) pass(ctx context.Context) error {
	l.mu.Lock()
	still := l.still
	l.mu.Unlock()
	if still == nil {
		return nil
	}
	select {
	case <-still:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Append implements journal.Log.
func (l *roughLog) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	none := make([]int64, len(records))
	for i := range none {
		none[i] = -1
	}
	if err := l.pass(ctx); err != nil {
		return none, fmt.Errorf("%w: %w", journal.ErrNotAppended, err)
	}
	l.mu.Lock()
	loses, denies := l.loses, l.denies
	l.mu.Unlock()
	if denies {
		return none, fmt.Errorf("%w: refused", journal.ErrNotAppended)
	}
	offsets, err := l.Log.Append(ctx, records)
	if loses && err == nil {
		return none, errLostReply
	}
	return offsets, err
}

// Read implements journal.Log.
func (l *roughLog) Read(ctx context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	if err := l.pass(ctx); err != nil {
		return from, err
	}
	return l.Log.Read(ctx, partition, from, fn)
}

// End implements journal.Log.
func (l *roughLog) End(ctx context.Context, partition int) (int64, error) {
	if err := l.pass(ctx); err != nil {
		return 0, err
	}
	return l.Log.End(ctx, partition)
}

func (l *roughLog) change(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

func (l *roughLog) lose() (heal func()) {
	l.change(func() { l.loses = true })
	return l.whole
}

func (l *roughLog) deny() (heal func()) {
	l.change(func() { l.denies = true })
	return l.whole
}

func (l *roughLog) freeze() (heal func()) {
	l.change(func() {
		if l.still == nil {
			l.still = make(chan struct{})
		}
	})
	return l.whole
}

func (l *roughLog) whole() {
	l.change(func() {
		l.loses, l.denies = false, false
		if l.still != nil {
			close(l.still)
			l.still = nil
		}
	})
}
