package filelog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"walletd/journal"
)

// history is what a test knows of a journal: per partition the records that were acknowledged, and those whose append
// ended unknown, in the order in which they were tried.
type history struct {
	acked   [][][]byte
	unknown [][][]byte
	tries   int64
}

func newHistory(partitions int) *history {
	return &history{acked: make([][][]byte, partitions), unknown: make([][][]byte, partitions)}
}

// append tries to append to a random choice of partitions, and books the outcome.
func (h *history) append(t *testing.T, l *Log, rnd *rand.Rand) error {
	t.Helper()
	var records []journal.Record
	for p := range h.acked {
		if len(records) == 0 || rnd.IntN(2) == 0 {
			h.tries++
			records = append(records, journal.Record{Partition: p, Bytes: payload(p, h.tries, 84+rnd.IntN(900))})
		}
	}
	offsets, err := l.Append(t.Context(), records)
	for i, r := range records {
		switch {
		case err == nil:
			h.acked[r.Partition] = append(h.acked[r.Partition], r.Bytes)
			if want := int64(len(h.acked[r.Partition]) - 1); offsets[i] != want {
				t.Fatalf("partition %d: offset %d, want %d", r.Partition, offsets[i], want)
			}
		case offsets[i] != -1:
			t.Fatalf("offset %d with %v", offsets[i], err)
		case !errors.Is(err, journal.ErrNotAppended):
			h.unknown[r.Partition] = append(h.unknown[r.Partition], r.Bytes)
		}
	}
	return err
}

// check compares a journal with what is known, and settles what was unknown: all that was acknowledged is there, in
// order; behind it at most what was unknown, in order; nothing else.
func (h *history) check(t *testing.T, l journal.Log) {
	t.Helper()
	for p := range h.acked {
		got := readAll(t, l, p, 0)
		want := slices.Concat(h.acked[p], h.unknown[p])
		if len(got) < len(h.acked[p]) || len(got) > len(want) {
			t.Fatalf("partition %d: %d records; acknowledged %d, unknown %d", p, len(got), len(h.acked[p]), len(h.unknown[p]))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("partition %d: record %d is not the one that was appended", p, i)
			}
		}
		h.acked[p], h.unknown[p] = got, nil
	}
}

// powerFails makes every operation from the n-th on fail, before or after its effect.
func powerFails(n int, after bool) func(op, name string, done bool) error {
	return func(_, _ string, done bool) error {
		if done == after {
			n--
		}
		if n < 0 {
			return errors.New("no power")
		}
		return nil
	}
}

// Whatever the moment at which the power fails or the process dies, what was acknowledged is there, and the journal opens.
func TestPowerFailure(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			d, h := newDisk(), newHistory(3)
			for range 4 {
				var says logLines
				d.setFault(powerFails(rnd.IntN(60), rnd.IntN(2) == 0))
				l, err := Open(Config{Dir: dir, Partitions: 3, SegmentBytes: smallSegments, FS: d, Logger: says.logger()})
				if isDamage(err) != nil {
					t.Fatal(err)
				}
				if err == nil {
					fault := d.setFault(nil)
					h.check(t, l)
					d.setFault(fault)
					for n := 0; n < 40 && err == nil; n++ {
						err = h.append(t, l, rnd)
					}
					_ = l.Close() // the power is gone, or goes now
				}
				d.setFault(nil)
				if rnd.IntN(3) > 0 { // else only the process died
					d = d.powerFailed(rnd)
				}
			}
			l := mustOpen(t, d, 3)
			h.check(t, l)
			mustClose(t, l)
			expectClean(t, d)
		})
	}
}

func expectClean(t *testing.T, d *disk) {
	t.Helper()
	r, err := openReader(d.killed(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Tail().Clean {
		t.Fatalf("after a clean stop: %+v", r.Tail())
	}
}

// The n-th operation fails, before or after its effect, for every n: no acknowledged record is lost, none that was said
// to be not appended is there, and after a failure that leaves the disk unknown nothing more is written.
func TestEveryOperationFails(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, errHalf} {
		for _, after := range []bool{false, true} {
			for n := 0; ; n++ {
				if !failNth(t, n, after, cause) {
					if n < 40 {
						t.Fatalf("only %d operations were seen", n)
					}
					break
				}
			}
		}
	}
}

func failNth(t *testing.T, n int, after bool, cause error) (failed bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("operation %d, after its effect: %t, %v", n, after, cause)
		}
	}()
	rnd := rand.New(rand.NewPCG(uint64(n), 2))
	d, h := newDisk(), newHistory(2)
	mustClose(t, mustOpen(t, d, 2))
	var count int
	var stopped atomic.Bool
	var hit atomic.Bool // the fault may meet the goroutine that makes segments
	var op atomic.Pointer[string]
	d.setFault(func(o, name string, done bool) error {
		if stopped.Load() && o == "write" && strings.HasSuffix(name, segmentSuffix) {
			t.Errorf("%s is written after a failure that leaves the disk unknown", name)
		}
		if done != after {
			return nil
		}
		if count++; count == n+1 {
			op.Store(&o)
			hit.Store(true)
			return cause
		}
		return nil
	})
	l, err := Open(Config{Dir: dir, SegmentBytes: smallSegments, FS: d})
	if err != nil {
		if isDamage(err) != nil {
			t.Fatal(err)
		}
		return hit.Load()
	}
	for range 12 {
		err := h.append(t, l, rnd)
		stopped.Store(l.Failure() != nil)
		if stopped.Load() && err == nil {
			t.Fatal("an append succeeds on a stopped log")
		}
		if err != nil && !errors.Is(err, journal.ErrNotAppended) && !stopped.Load() {
			t.Fatalf("the log goes on after %v", err)
		}
	}
	if errors.Is(cause, syscall.ENOSPC) && onWrite(op.Load()) && !after && l.Failure() != nil {
		t.Fatalf("a full disk stopped the log for good: %v", l.Failure())
	}
	_ = l.Close()
	d.setFault(nil)
	d = d.killed()
	l = mustOpen(t, d, 2)
	h.check(t, l)
	if err := h.append(t, l, rnd); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	return hit.Load()
}

func TestFullDiskRecovers(t *testing.T) {
	d, h := newDisk(), newHistory(2)
	rnd := rand.New(rand.NewPCG(3, 3))
	l := mustOpen(t, d, 2)
	var full atomic.Bool
	d.setFault(func(op, _ string, done bool) error {
		if full.Load() && op == "write" && !done {
			return syscall.ENOSPC
		}
		return nil
	})
	for round := range 3 {
		for range 6 {
			if err := h.append(t, l, rnd); err != nil {
				t.Fatal(err)
			}
		}
		full.Store(true)
		for range 3 {
			if err := h.append(t, l, rnd); !errors.Is(err, journal.ErrNotAppended) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("round %d, on a full disk: %v", round, err)
			}
		}
		full.Store(false)
		h.check(t, l)
	}
	if l.Failure() != nil {
		t.Fatal(l.Failure())
	}
	if err := h.append(t, l, rnd); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	l = mustOpen(t, d.killed(), 2)
	h.check(t, l)
	mustClose(t, l)
}

// A segment that may have a successor already is never written to again, even if the record would fit.
func TestFailedRollClosesTheSegment(t *testing.T) {
	d := newDisk()
	l := mustOpen(t, d, 1)
	fill(t, l, 3, 1000)
	var failed atomic.Bool
	d.setFault(func(op, _ string, done bool) error {
		if op == "rename" && done && failed.CompareAndSwap(false, true) {
			return syscall.EIO
		}
		return nil
	})
	if _, err := l.Append(t.Context(), []journal.Record{{Bytes: payload(0, 3, 2000)}}); !errors.Is(err, journal.ErrNotAppended) {
		t.Fatalf("an append that needs the next segment: %v", err)
	}
	mustAppend(t, l, journal.Record{Bytes: payload(0, 3, 800)})
	image := d.killed()
	mustClose(t, l)
	l = mustOpen(t, image, 1)
	if got := readAll(t, l, 0, 0); len(got) != 4 {
		t.Fatalf("%d records, want 4", len(got))
	}
	mustClose(t, l)
}

// A rename that failed may have been done. A log that is closed then leaves no end mark, which would say that there is no such
// segment: the next Open would take the journal for damaged.
func TestClosedAfterAFailedRoll(t *testing.T) {
	d := newDisk()
	l := mustOpen(t, d, 1)
	fill(t, l, 3, 1000)
	d.setFault(func(op, _ string, done bool) error {
		if op == "rename" && done {
			return syscall.EIO
		}
		return nil
	})
	if _, err := l.Append(t.Context(), []journal.Record{{Bytes: payload(0, 3, 2000)}}); !errors.Is(err, journal.ErrNotAppended) {
		t.Fatalf("an append that needs the next segment: %v", err)
	}
	d.setFault(nil)
	mustClose(t, l)
	l = mustOpen(t, d, 1)
	expectFilled(t, l, 3, 1000)
	mustAppend(t, l, journal.Record{Bytes: payload(0, 3, 2000)})
	mustClose(t, l)
}

// A batch that waits behind one that fails has not been written, and says so.
func TestWhatWaitsBehindAFailedWriteIsNotAppended(t *testing.T) {
	d := newDisk()
	l := mustOpen(t, d, 2)
	syncing, release := make(chan struct{}), make(chan struct{})
	d.setFault(func(op, _ string, done bool) error {
		if op == "sync" && !done {
			close(syncing)
			<-release
			return syscall.EIO
		}
		return nil
	})
	outcome := make(chan error, 2)
	add := func(p int) {
		_, err := l.Append(t.Context(), []journal.Record{{Partition: p, Bytes: payload(p, 0, 100)}})
		outcome <- err
	}
	go add(0)
	<-syncing
	go add(1)
	waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.pending.records) == 1 })
	close(release)
	unknown, not := <-outcome, <-outcome
	if errors.Is(unknown, journal.ErrNotAppended) {
		unknown, not = not, unknown
	}
	if unknown == nil || errors.Is(unknown, journal.ErrNotAppended) || !errors.Is(unknown, syscall.EIO) {
		t.Errorf("the failed one: %v, want unknown", unknown)
	}
	if !errors.Is(not, journal.ErrNotAppended) {
		t.Errorf("the one behind: %v, want ErrNotAppended", not)
	}
	if _, err := l.Append(t.Context(), []journal.Record{{Partition: 1, Bytes: payload(1, 0, 100)}}); !errors.Is(err, journal.ErrNotAppended) || !errors.Is(err, syscall.EIO) {
		t.Errorf("a later one: %v, want ErrNotAppended with the cause", err)
	}
	if err := l.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v, want the cause", err)
	}
}

func onWrite(op *string) bool { return op != nil && *op == "write" }
