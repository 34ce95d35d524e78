package history

import (
	"context"
	"sync"

	"walletd/journal"
)

// Log is a journal.Log in memory whose records a test may replace.
type Log struct {
	mu      sync.Mutex
	records [][][]byte
	grown   chan struct{} // closed and renewed by every change
	failing error
}

var _ journal.Log = (*Log)(nil)

// NewLog is an empty log of so many partitions.
func NewLog(partitions int) *Log {
	return &Log{records: make([][][]byte, partitions), grown: make(chan struct{})}
}

// Partitions implements journal.Log, as the methods below do.
func (l *Log) Partitions() int { return len(l.records) }

// Append implements journal.Log.
func (l *Log) Append(_ context.Context, records []journal.Record) ([]int64, error) {
	offsets := make([]int64, len(records))
	for i, r := range records {
		offsets[i] = l.Put(r.Partition, r.Bytes)
	}
	return offsets, nil
}

// Put appends one record and answers its offset.
func (l *Log) Put(partition int, record []byte) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records[partition] = append(l.records[partition], append([]byte(nil), record...))
	l.changed()
	return int64(len(l.records[partition]) - 1)
}

func (l *Log) changed() {
	close(l.grown)
	l.grown = make(chan struct{})
}

// Records are the partition's records, shared with the log.
func (l *Log) Records(partition int) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[partition]
}

// SetRecords puts other records in the place of a partition's.
func (l *Log) SetRecords(partition int, records [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records[partition] = records
	l.changed()
}

// Flip inverts the bits of mask in one byte of a record, in a copy of it.
func (l *Log) Flip(partition int, offset int64, at int, mask byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := append([]byte(nil), l.records[partition][offset]...)
	r[at] ^= mask
	l.records[partition][offset] = r
}

// Fail makes every Read fail with err until it is nil again.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = err
	l.changed()
}

// Clone is a log of its own with the same records.
func (l *Log) Clone() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := NewLog(len(l.records))
	for p := range l.records {
		c.records[p] = append([][]byte(nil), l.records[p]...)
	}
	return c
}

// Read implements journal.Log.
func (l *Log) Read(ctx context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	l.mu.Lock()
	records, failing := l.records[partition], l.failing
	l.mu.Unlock()
	if failing != nil {
		return from, failing
	}
	var lent []byte // as the contract says, the bytes are only fn's while it runs
	for ; from < int64(len(records)); from++ {
		if err := ctx.Err(); err != nil {
			return from, err
		}
		lent = append(lent[:0], records[from]...)
		if err := fn(from, lent); err != nil {
			return from, err
		}
		clear(lent)
	}
	return from, nil
}

// End implements journal.Log.
func (l *Log) End(_ context.Context, partition int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.records[partition])), nil
}

// Wait implements journal.Log.
func (l *Log) Wait(ctx context.Context, partition int, offset int64) error {
	for {
		l.mu.Lock()
		n, grown := int64(len(l.records[partition])), l.grown
		l.mu.Unlock()
		if n > offset {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
