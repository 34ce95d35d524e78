package filelog

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"walletd/journal"
)

func TestAppendAndReadBack(t *testing.T) {
	d := newDisk()
	l := mustOpen(t, d, 3)
	fill(t, l, 40, 200)
	expectFilled(t, l, 40, 200)
	if n := segmentsOf(d); n < 5 {
		t.Fatalf("%d segments, want several", n)
	}
	for from := int64(0); from <= 40; from++ {
		if got := readAll(t, l, 1, from); len(got) != int(40-from) {
			t.Fatalf("from %d: %d records", from, len(got))
		}
	}
	mustClose(t, l)

	l = mustOpen(t, d, 3)
	expectFilled(t, l, 40, 200)
	fill(t, l, 5, 200)
	expectFilled(t, l, 45, 200)
	mustClose(t, l)
}

func TestOldHistoryIsFoundByTheSparseIndex(t *testing.T) {
	l := mustOpen(t, newDisk(), 2)
	const n = 3 * indexRecent
	fill(t, l, n, 100)
	for _, from := range []int64{0, 1, 17, n / 2, n - indexRecent - 1, n - indexRecent, n - 1} {
		got := readAll(t, l, 1, from)
		if len(got) != int(n-from) || !bytes.Equal(got[0], payload(1, from, 100)) {
			t.Fatalf("from %d: %d records", from, len(got))
		}
	}
	if entries := len(l.index[0].sparse); entries >= n {
		t.Fatalf("%d index entries for %d records", entries, n)
	}
	mustClose(t, l)
}

func TestOffsetsAreDenseAndInOrderOfRecords(t *testing.T) {
	l := mustOpen(t, newDisk(), 4)
	defer mustClose(t, l)
	rec := func(p int) journal.Record { return journal.Record{Partition: p, Bytes: payload(p, 0, 100)} }
	for i, want := range [][]int64{{0, 0}, {1, 0, 0}, {1, 2}} {
		records := [][]journal.Record{{rec(2), rec(1)}, {rec(1), rec(0), rec(3)}, {rec(0), rec(1)}}[i]
		if got := mustAppend(t, l, records...); !equal(got, want) {
			t.Fatalf("append %d: offsets %v, want %v", i, got, want)
		}
	}
}

func equal(a, b []int64) bool {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestAppendRefusesWhatCanNeverBeAppended(t *testing.T) {
	l := mustOpen(t, newDisk(), 2)
	good := payload(0, 0, 100)
	for name, c := range map[string]struct {
		ctx     context.Context
		records []journal.Record
	}{
		"unknown partition":    {t.Context(), []journal.Record{{Partition: 2, Bytes: good}}},
		"negative partition":   {t.Context(), []journal.Record{{Partition: -1, Bytes: good}}},
		"empty record":         {t.Context(), []journal.Record{{Partition: 0}}},
		"record too large":     {t.Context(), []journal.Record{{Partition: 0, Bytes: make([]byte, recordBytesMax+1)}}},
		"partition twice":      {t.Context(), []journal.Record{{Partition: 0, Bytes: good}, {Partition: 0, Bytes: good}}},
		"context ended before": {canceled(), []journal.Record{{Partition: 0, Bytes: good}}},
	} {
		offsets, err := l.Append(c.ctx, c.records)
		if !errors.Is(err, journal.ErrNotAppended) {
			t.Errorf("%s: %v, want ErrNotAppended", name, err)
		}
		for _, o := range offsets {
			if o >= 0 {
				t.Errorf("%s: offset %d", name, o)
			}
		}
	}
	if offsets, err := l.Append(t.Context(), nil); err != nil || len(offsets) != 0 {
		t.Errorf("append of nothing: %v, %v", offsets, err)
	}
	if got := mustAppend(t, l, journal.Record{Partition: 0, Bytes: make([]byte, recordBytesMax)}); got[0] != 0 {
		t.Errorf("largest record: offset %d, want 0", got[0])
	}
	mustClose(t, l)
	if _, err := l.Append(t.Context(), []journal.Record{{Partition: 0, Bytes: good}}); !errors.Is(err, journal.ErrNotAppended) {
		t.Errorf("after close: %v, want ErrNotAppended", err)
	}
}

func TestReadOfWhatIsNotThere(t *testing.T) {
	l := mustOpen(t, newDisk(), 1)
	defer mustClose(t, l)
	fill(t, l, 3, 100)
	never := func(int64, []byte) error { t.Error("called"); return nil }
	if next, err := l.Read(t.Context(), 0, 3, never); next != 3 || err != nil {
		t.Errorf("at the end: %d, %v", next, err)
	}
	if _, err := l.Read(t.Context(), 0, 4, never); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("behind the end: %v, want ErrDamaged", err)
	}
	if _, err := l.Read(t.Context(), 7, 0, never); err == nil || errors.Is(err, journal.ErrDamaged) {
		t.Errorf("unknown partition: %v", err)
	}
	stop := errors.New("enough")
	if next, err := l.Read(t.Context(), 0, 0, func(o int64, _ []byte) error {
		if o == 1 {
			return stop
		}
		return nil
	}); next != 1 || !errors.Is(err, stop) {
		t.Errorf("fn's error: %d, %v", next, err)
	}
}

func TestWait(t *testing.T) {
	l := mustOpen(t, newDisk(), 2)
	fill(t, l, 1, 100)
	if err := l.Wait(t.Context(), 0, 0); err != nil {
		t.Fatalf("for what is there: %v", err)
	}
	if err := l.Wait(canceled(), 0, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("with an ended context: %v", err)
	}
	done := make(chan error, 2)
	go func() { done <- l.Wait(t.Context(), 1, 1) }()
	mustAppend(t, l, journal.Record{Partition: 0, Bytes: payload(0, 1, 100)}) // not the one
	mustAppend(t, l, journal.Record{Partition: 1, Bytes: payload(1, 1, 100)})
	if err := <-done; err != nil {
		t.Fatalf("for an append: %v", err)
	}
	go func() { done <- l.Wait(t.Context(), 1, 99) }()
	mustClose(t, l)
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatalf("over a close: %v, want ErrClosed", err)
	}
}

// Appends that come while a write is under way share the next one: one write, one fdatasync.
func TestGroupCommit(t *testing.T) {
	const waiting = 16
	d := newDisk()
	l, err := Open(Config{Dir: dir, Partitions: waiting + 1, FS: d}) // large segments: none is made ahead
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, l)

	syncing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.setFault(func(op, name string, done bool) error {
		if op == "sync" && !done {
			once.Do(func() { close(syncing); <-release })
		}
		return nil
	})
	before := l.Stats()
	var wg sync.WaitGroup
	add := func(p int) {
		wg.Go(func() {
			if _, err := l.Append(t.Context(), []journal.Record{{Partition: p, Bytes: payload(p, 0, 100)}}); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	add(0)
	<-syncing
	for p := 1; p <= waiting; p++ {
		add(p)
	}
	waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.pending.records) == waiting })
	close(release)
	wg.Wait()
	after := l.Stats()
	if writes, fsyncs := after.Writes-before.Writes, after.Fsyncs-before.Fsyncs; writes != 2 || fsyncs != 2 {
		t.Errorf("%d appends took %d writes and %d fsyncs, want 2 and 2", waiting+1, writes, fsyncs)
	}
	if after.Appended != waiting+1 || after.Frames != waiting+1 {
		t.Errorf("stats %+v", after)
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("the condition does not come true")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAppendsBeyondTheBoundWaitForRoom(t *testing.T) {
	d := newDisk()
	const n = pendingBytesMax/recordBytesMax + 8
	l, err := Open(Config{Dir: dir, Partitions: n, FS: d})
	if err != nil {
		t.Fatal(err)
	}
	syncing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.setFault(func(op, name string, done bool) error {
		if op == "sync" && !done {
			once.Do(func() { close(syncing); <-release })
		}
		return nil
	})
	var wg sync.WaitGroup
	add := func(p int) {
		wg.Go(func() {
			if _, err := l.Append(t.Context(), []journal.Record{{Partition: p, Bytes: make([]byte, recordBytesMax)}}); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	add(0)
	<-syncing
	for p := 1; p < n; p++ {
		add(p)
	}
	pending := func() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.pending.buf) }
	waitFor(t, func() bool { return pending() > pendingBytesMax-recordBytesMax-recordHeadSize })
	if got := pending(); got > pendingBytesMax {
		t.Errorf("%d bytes pending, the bound is %d", got, pendingBytesMax)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, []journal.Record{{Partition: 0, Bytes: make([]byte, recordBytesMax)}}); !errors.Is(err, journal.ErrNotAppended) {
		t.Errorf("one that gave up waiting for room: %v, want ErrNotAppended", err)
	}
	close(release)
	wg.Wait()
	mustClose(t, l)
}

// A context that ends while the write is under way leaves the outcome unknown; the record is there.
func TestContextEndsDuringTheWrite(t *testing.T) {
	d := newDisk()
	l := mustOpen(t, d, 1)
	syncing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.setFault(func(op, name string, done bool) error {
		if op == "sync" && !done {
			once.Do(func() { close(syncing); <-release })
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		offsets, err := l.Append(ctx, []journal.Record{{Partition: 0, Bytes: payload(0, 0, 100)}})
		if offsets[0] != -1 {
			t.Errorf("offset %d of an unknown outcome", offsets[0])
		}
		done <- err
	}()
	<-syncing
	cancel()
	if err := <-done; err == nil || errors.Is(err, journal.ErrNotAppended) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want unknown", err)
	}
	close(release)
	if err := l.Wait(t.Context(), 0, 0); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
}

func TestWritersAndReadersAtOnce(t *testing.T) {
	const partitions, each = 6, 150
	dir := t.TempDir()
	l, err := Open(Config{Dir: dir, Partitions: partitions, SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for p := range partitions {
		wg.Go(func() {
			for n := range int64(each) {
				offsets, err := l.Append(t.Context(), []journal.Record{{Partition: p, Bytes: payload(p, n, 300)}})
				if err != nil || offsets[0] != n {
					t.Errorf("append %d: %v, %v", n, offsets, err)
					return
				}
			}
		})
		wg.Go(func() { follow(t, l, p, each) })
	}
	reader, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { follow(t, reader, 0, each) })
	wg.Wait()
	if s := l.Stats(); s.Writes > s.Appended {
		t.Errorf("%d writes for %d records", s.Writes, s.Appended)
	}
	mustClose(t, l)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
}

// follow reads a partition as it grows, as a projector does.
func follow(t testing.TB, l journal.Log, partition int, n int64) {
	for next := int64(0); next < n; {
		if err := l.Wait(t.Context(), partition, next); err != nil {
			t.Errorf("wait: %v", err)
			return
		}
		got, err := l.Read(t.Context(), partition, next, func(o int64, b []byte) error {
			if !bytes.Equal(b, payload(partition, o, 300)) {
				t.Errorf("partition %d offset %d: another record", partition, o)
			}
			return nil
		})
		if err != nil || got == next {
			t.Errorf("read from %d: %d, %v", next, got, err)
			return
		}
		next = got
	}
}
