package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"walletd/journal"
)

// memLog is a log in memory.
type memLog struct {
	mu      sync.Mutex
	records [][][]byte // by partition
}

func newMemLog(partitions int) *memLog { return &memLog{records: make([][][]byte, partitions)} }

func (l *memLog) Partitions() int { return len(l.records) }

func (l *memLog) Append(_ context.Context, records []journal.Record) ([]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	offsets := make([]int64, len(records))
	for i, r := range records {
		offsets[i] = int64(len(l.records[r.Partition]))
		l.records[r.Partition] = append(l.records[r.Partition], bytes.Clone(r.Bytes))
	}
	return offsets, nil
}

func (l *memLog) Read(_ context.Context, p int, from int64, fn func(int64, []byte) error) (int64, error) {
	l.mu.Lock()
	records := l.records[p][from:]
	l.mu.Unlock()
	for _, r := range records {
		if err := fn(from, r); err != nil {
			return from, err
		}
		from++
	}
	return from, nil
}

func (l *memLog) End(_ context.Context, p int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.records[p])), nil
}

func (l *memLog) Wait(context.Context, int, int64) error { return errors.ErrUnsupported }

// faultLog is a log on the other side of a bad network: it refuses, loses requests and replies, does half of a request, does it
// late, and fails reads. What it does is told by a seed.
type faultLog struct {
	journal.Log

	mu     sync.Mutex
	rnd    *rand.Rand
	faults float64 // share of requests that go wrong
	late   [][]journal.Record
	away   map[int]bool // partitions whose broker is gone: nothing is appended there, and the reply never comes
	seen   map[string]int
}

func newFaultLog(inner journal.Log, seed uint64, faults float64) *faultLog {
	return &faultLog{Log: inner, rnd: rand.New(rand.NewPCG(seed, 1)), faults: faults, away: map[int]bool{}, seen: map[string]int{}}
}

var errLost = errors.New("no reply")

func noOffsets(n int) []int64 {
	none := make([]int64, n)
	for i := range none {
		none[i] = -1
	}
	return none
}

// The faults, in the order of their numbers.
var faultNames = []string{"refused", "request lost", "reply lost", "done later", "half done", "half done, half refused"}

// Append does what the seed says. It holds the lock all the while, so that requests of several keepers have an order.
func (l *faultLog) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.late) > 0 && l.rnd.Float64() < 0.5 { // what was given up before lands now
		late := l.late[0]
		l.late = l.late[1:]
		if _, err := l.Log.Append(ctx, late); err != nil {
			return noOffsets(len(records)), err
		}
	}
	if len(l.away) > 0 {
		return l.without(ctx, records)
	}
	if l.rnd.Float64() >= l.faults {
		return l.Log.Append(ctx, records)
	}
	fault := l.rnd.IntN(len(faultNames))
	l.seen[faultNames[fault]]++
	switch fault {
	case 0:
		return noOffsets(len(records)), fmt.Errorf("refused: %w", journal.ErrNotAppended)
	case 1:
		return noOffsets(len(records)), errLost
	case 2:
		if _, err := l.Log.Append(ctx, records); err != nil {
			return noOffsets(len(records)), err
		}
		return noOffsets(len(records)), errLost
	case 3:
		l.late = append(l.late, cloneRecords(records))
		return noOffsets(len(records)), errLost
	}
	offsets, err := l.Log.Append(ctx, records[:len(records)/2])
	if err != nil {
		return noOffsets(len(records)), err
	}
	offsets = append(offsets, noOffsets(len(records)-len(offsets))...)
	if fault == 5 {
		return offsets, fmt.Errorf("refused: %w", journal.ErrNotAppended)
	}
	return offsets, errLost
}

// without appends what is not away.
func (l *faultLog) without(ctx context.Context, records []journal.Record) ([]int64, error) {
	out := noOffsets(len(records))
	var err error
	for i, r := range records {
		if l.away[r.Partition] {
			err = errLost
			continue
		}
		offsets, failed := l.Log.Append(ctx, []journal.Record{r})
		if failed != nil {
			return out, failed
		}
		out[i] = offsets[0]
	}
	return out, err
}

func cloneRecords(records []journal.Record) []journal.Record {
	c := slices.Clone(records)
	for i := range c {
		c[i].Bytes = bytes.Clone(c[i].Bytes)
	}
	return c
}

func (l *faultLog) Read(ctx context.Context, p int, from int64, fn func(int64, []byte) error) (int64, error) {
	l.mu.Lock()
	lost := l.away[p] || l.rnd.Float64() < l.faults/4
	l.mu.Unlock()
	if lost {
		return from, errLost
	}
	return l.Log.Read(ctx, p, from, fn)
}

// heal ends the faults; what was given up lands now.
func (l *faultLog) heal(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = 0
	clear(l.away)
	for _, late := range l.late {
		if _, err := l.Log.Append(ctx, late); err != nil {
			return err
		}
	}
	l.late = nil
	return nil
}

func (l *faultLog) lose(partitions ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range partitions {
		l.away[p] = true
	}
}
