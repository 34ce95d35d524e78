package filelog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"walletd/journal"
)

// How a journal that is about to be damaged was left.
const (
	stopped = "stopped"            // by Close: an end mark stands
	killed  = "killed"             // SIGKILL: everything written is there, `durable` too
	noPower = "killed, no durable" // the machine died: `durable` is older than the data
)

// aJournal makes a journal of three segments and 2 partitions and leaves it in one of these ways.
func aJournal(t *testing.T, how string) *disk {
	t.Helper()
	d := newDisk()
	l := mustOpen(t, d, 2)
	for segmentsOf(d) < 3 {
		fill(t, l, 1, 300)
	}
	fill(t, l, 2, 300)
	if how == stopped {
		mustClose(t, l)
		return d.killed()
	}
	image := d.killed()
	mustClose(t, l)
	if how == noPower {
		delete(image.names, filepath.Join(dir, durableFile))
	}
	return image
}

func seg(n uint32) string { return filepath.Join(dir, segmentName(n)) }

func TestDamage(t *testing.T) {
	// The last segment's records come in pairs: one write for both partitions.
	for _, c := range []struct {
		name  string
		how   string
		spoil func(t *testing.T, d *disk) (file string, at int64) // and where the refusal must point
		says  string
	}{
		{"a bit flipped in the first segment", stopped, flipRecord(1, 3, 100), "checksum"},
		{"a bit flipped in the first segment", killed, flipRecord(1, 3, 100), "checksum"},
		{"a bit flipped in the first segment", noPower, flipRecord(1, 3, 100), "checksum"},
		{"a length changed", killed, flipRecord(2, 2, 9), "went on"},
		{"a magic changed", noPower, flipRecord(2, 2, 0), "no record"},
		{"a bit flipped in the last record", stopped, flipRecord(3, -1, 200), "end mark"},
		{"a bit flipped in the last record", killed, flipRecord(3, -1, 200), "was durable"},
		{"a bit flipped in the write before the last", noPower, flipRecord(3, -3, 200), "later write"},
		{"the last record cut off", stopped, cutRecord(-1), "end mark"},
		{"the last record cut off", killed, cutRecord(-1), "was durable"},
		{"half of the last record cut off", stopped, cutInside(-1), "end mark"},
		{"half of the last record cut off", killed, cutInside(-1), "was durable"},
		{"the segment in the middle is missing", stopped, lose(2), "missing"},
		{"the segment in the middle is missing", noPower, lose(2), "missing"},
		{"the first segment is missing", noPower, lose(1), "missing"},
		{"the last segment is missing", stopped, loseLast, "end mark"},
		{"the last segment is missing", killed, loseLast, "was durable"},
		{"all segments are missing", stopped, loseAll, "no segment"},
		{"all segments are missing", killed, loseAll, "no segment"},
		{"a segment ends early at a record", noPower, zeroFrom(2, -1), "went on"},
		{"a segment's head is overwritten", noPower, flipAt(2, 12), "checksum"},
		{"a segment's magic is overwritten", stopped, flipAt(3, 0), "head"},
		{"a segment in another's place", stopped, copySegment(1, 2), "number 1"},
		{"a partition's record is left out", noPower, leaveOut, "offset"},
		{"something behind the end mark", stopped, addBehind, "behind the end mark"},
		{"the end mark is garbage", stopped, garbage(endFile), "end mark"},
		{"the meta file is garbage", stopped, garbage(metaFile), ""},
		{"the meta file is missing", stopped, loseFile(metaFile), "missing"},
	} {
		t.Run(c.how+"/"+c.name, func(t *testing.T) {
			d := aJournal(t, c.how)
			file, at := c.spoil(t, d)
			_, err := Open(Config{Dir: dir, Partitions: 2, SegmentBytes: smallSegments, FS: d.killed()})
			damage := isDamage(err)
			if damage == nil {
				t.Fatalf("open: %v, want damage", err)
			}
			if damage.File != file || damage.Offset != at || !strings.Contains(damage.Reason, c.says) {
				t.Errorf("%v\nwant %s at byte %d, …%s…", damage, file, at, c.says)
			}
			if c.name == "the meta file is missing" {
				return // there is no journal to read
			}
			if _, err := openReader(d.killed(), dir); isDamage(err) == nil || isDamage(err).Offset != at {
				t.Errorf("read-only: %v, want the same damage", err)
			}
		})
	}
}

func TestDamageNamesPartitionAndSeq(t *testing.T) {
	d := aJournal(t, killed)
	rec := rawRecords(t, d, 1)[3]
	flipRecord(1, 3, 150)(t, d)
	_, err := Open(Config{Dir: dir, FS: d})
	damage := isDamage(err)
	if damage == nil || damage.Partition != rec.partition || damage.Epoch != 7 || damage.Seq != uint64(rec.offset)+1 {
		t.Fatalf("%+v, want partition %d epoch 7 seq %d", damage, rec.partition, rec.offset+1)
	}
	want := fmt.Sprintf("journal/00000001.seg at byte %d, partition %d epoch 7 seq %d", rec.at, rec.partition, rec.offset+1)
	if !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
}

// What a crash leaves is cut behind the last whole record, and said.
func TestTornTail(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, d *disk) (file string, at int64)
		lost  int // records of the last pair that go
	}{
		{"nothing torn", func(*testing.T, *disk) (string, int64) { return "", 0 }, 0},
		{"the last record's end", flipRecord(3, -1, 200), 1},
		{"the last record's head", flipRecord(3, -1, 0), 1},
		{"the last write's first record", flipRecord(3, -2, 200), 2},
		{"the last write's first length", flipRecord(3, -2, 9), 2},
		{"zeros within the last record", zeroFrom(3, -1), 1},
		{"the file ends within the last record", cutInside(-1), 1},
		{"the file ends between two records of the last write", cutRecord(-1), 1},
		{"the last write never came", cutRecord(-2), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := aJournal(t, noPower)
			records := 0
			for n := range segmentsOf(d) {
				records += len(rawRecords(t, d, n+1))
			}
			file, at := c.spoil(t, d)
			var says logLines
			l, err := Open(Config{Dir: dir, FS: d, Logger: says.logger(), SegmentBytes: smallSegments})
			if err != nil {
				t.Fatal(err)
			}
			if got := int(l.Stats().Frames); got != records-c.lost {
				t.Errorf("%d records, want %d", got, records-c.lost)
			}
			cleanCut := c.lost == 0 || strings.HasPrefix(c.name, "the last write never") || strings.HasPrefix(c.name, "the file ends between")
			if told := strings.Contains(says.buf.String(), fmt.Sprintf("file=%s offset=%d", file, at)); told == cleanCut {
				t.Errorf("the log says %q", says.buf.String())
			}
			// What comes next is read back, and nothing of the torn write with it.
			ends := l.offsets()
			fill(t, l, 3, 100)
			mustClose(t, l)
			l, err = Open(Config{Dir: dir, FS: d.killed(), SegmentBytes: smallSegments})
			if err != nil {
				t.Fatal(err)
			}
			for p, end := range ends {
				if got := readAll(t, l, p, 0); len(got) != int(end)+3 {
					t.Errorf("partition %d: %d records, want %d", p, len(got), end+3)
				}
			}
			mustClose(t, l)
		})
	}
}

// A whole record of a torn write must not come back behind a later record that ends just before it.
func TestTornWriteStaysCut(t *testing.T) {
	d := aJournal(t, noPower)
	first := pick(t, d, 3, -2)
	flipRecord(3, -2, 200)(t, d)
	l := mustOpen(t, d, 2)
	ends := l.offsets()
	mustAppend(t, l, journal.Record{Partition: first.partition, Bytes: payload(first.partition, 99, int(first.size)-recordHeadSize)})
	ends[first.partition]++
	image := d.killed()
	mustClose(t, l)
	l = mustOpen(t, image, 2)
	if got := l.offsets(); !equal(got, ends) {
		t.Errorf("ends %v, want %v", got, ends)
	}
	mustClose(t, l)
}

// Damage that appears while the log runs is found by whoever reads it.
func TestDamageUnderARunningLog(t *testing.T) {
	d := newDisk()
	l := mustOpen(t, d, 2)
	fill(t, l, 8, 300)
	rec := rawRecords(t, d, 1)[4]
	flipRecord(1, 4, 150)(t, d)
	next, err := l.Read(t.Context(), rec.partition, 0, func(int64, []byte) error { return nil })
	if damage := isDamage(err); damage == nil || damage.Offset != rec.at || damage.Seq != uint64(rec.offset)+1 || next != rec.offset {
		t.Errorf("read: %d, %v", next, err)
	}
	if got := readAll(t, l, 1-rec.partition, 0); len(got) != 8 {
		t.Errorf("the other partition: %d records, want 8", len(got))
	}
	mustClose(t, l)
}

func TestEndMarkGoesBeforeTheFirstAppend(t *testing.T) {
	d := aJournal(t, stopped)
	mark := filepath.Join(dir, endFile)
	l := mustOpen(t, d, 2)
	if d.file(mark) == nil {
		t.Error("the end mark is gone before anything was appended")
	}
	mustClose(t, l)
	if !d.synced(mark) {
		t.Error("the end mark is gone after a run that appended nothing")
	}
	l = mustOpen(t, d, 2)
	d.setFault(func(op, name string, done bool) error {
		if op == "write" && strings.HasSuffix(name, segmentSuffix) && !done && d.synced(mark) {
			if b := d.file(seg(3)).live; int64(len(b)) >= smallSegments { // zeros may go out before
				t.Error("a record is written while the end mark may still stand")
			}
		}
		return nil
	})
	fill(t, l, 1, 100)
	if d.synced(mark) {
		t.Error("the end mark still stands after an append")
	}
	d.setFault(nil)
	mustClose(t, l)
	if !d.synced(mark) {
		t.Error("no end mark after a clean stop")
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Config{Dir: dir, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Config{Dir: dir, Partitions: 1})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) || strings.Contains(err.Error(), "\n") {
		t.Errorf("second open: %q, want one line with the owner's pid", err)
	}
	mustClose(t, l)
	l, err = Open(Config{Dir: dir, Partitions: 1})
	if err != nil {
		t.Fatalf("after the first closed: %v", err)
	}
	mustClose(t, l)
}

func TestMismatch(t *testing.T) {
	d := newDisk()
	mustClose(t, mustOpen(t, d, 4))
	if _, err := Open(Config{Dir: dir, Partitions: 8, FS: d}); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "4 partitions") {
		t.Errorf("other number of partitions: %v", err)
	}
	l, err := Open(Config{Dir: dir, FS: d})
	if err != nil || l.Partitions() != 4 {
		t.Fatalf("number not configured: %v", err)
	}
	mustClose(t, l)
	if _, err := Open(Config{Dir: dir, FS: newDisk()}); err == nil {
		t.Error("no journal and no number of partitions: no error")
	}
	err = Config{Partitions: -1, SegmentBytes: 1}.validate()
	for _, want := range []string{"no directory", "-1 partitions", "segments of 1 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("validate: %v, want also %q", err, want)
		}
	}
}

func TestReaderBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReadOnly(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where there is no journal: %v", err)
	}
	l, err := Open(Config{Dir: dir, Partitions: 2, SegmentBytes: smallSegments})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 5, 300)
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Tail().Clean || r.Tail().Torn {
		t.Errorf("beside a writer: %+v", r.Tail())
	}
	expectFilled(t, r, 5, 300)
	fill(t, l, 20, 300) // over several segments
	expectFilled(t, r, 25, 300)
	if _, err := r.Append(t.Context(), []journal.Record{{Bytes: []byte("x")}}); !errors.Is(err, journal.ErrNotAppended) {
		t.Errorf("append: %v", err)
	}
	done := make(chan error)
	go func() { done <- r.Wait(t.Context(), 1, 25) }()
	fill(t, l, 1, 300)
	if err := <-done; err != nil {
		t.Errorf("wait: %v", err)
	}
	mustClose(t, l)
	again, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Tail().Clean {
		t.Errorf("after a clean stop: %+v", again.Tail())
	}
	expectFilled(t, again, 26, 300)
}

// A process that is killed leaves the real files so that the next one goes on.
func TestKilledOnRealFiles(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Config{Dir: dir, Partitions: 2, SegmentBytes: smallSegments})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 20, 300)
	image := copyDir(t, dir)
	mustClose(t, l)
	for range 2 {
		again, err := Open(Config{Dir: image, SegmentBytes: smallSegments})
		if err != nil {
			t.Fatal(err)
		}
		expectFilled(t, again, 20, 300)
		mustClose(t, again)
	}
}
