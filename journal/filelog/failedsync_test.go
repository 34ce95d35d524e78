package filelog

import (
	"errors"
	"strings"
	"testing"

	"walletd/journal"
)

// cleanAfterError is a disk as Linux has it: pages whose write-back failed are clean afterwards. Readers of the cache see
// them, a later fdatasync writes nothing and says that all is well, and only what is written again reaches the disk.
type cleanAfterError struct {
	*disk
	lost map[*inode][2]int // written, marked clean, never on disk
}

type lossyFile struct {
	*diskFile
	fs *cleanAfterError
}

func (c *cleanAfterError) OpenFile(name string, flag int) (File, error) {
	f, err := c.disk.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return &lossyFile{f.(*diskFile), c}, nil
}

func (f *lossyFile) WriteAt(b []byte, at int64) (int, error) {
	if r, ok := f.fs.lost[f.node]; ok && int(at) <= r[0] && int(at)+len(b) >= r[1] {
		delete(f.fs.lost, f.node) // dirty again
	}
	return f.diskFile.WriteAt(b, at)
}

func (f *lossyFile) Datasync() error {
	before := clone(f.node.synced)
	err := f.diskFile.Datasync()
	if err != nil {
		from := 0
		for from < len(before) && from < len(f.node.live) && before[from] == f.node.live[from] {
			from++
		}
		to := len(f.node.live)
		for to > from && to <= len(before) && before[to-1] == f.node.live[to-1] {
			to--
		}
		f.fs.lost[f.node] = [2]int{from, to}
		return err
	}
	if r, ok := f.fs.lost[f.node]; ok {
		copy(f.node.synced[r[0]:r[1]], before[r[0]:])
	}
	return nil
}

// A failed fdatasync, a new process that finds the records in the page cache and counts them, then a power failure.
func TestAFailedSyncIsWrittenAgainByTheNextProcess(t *testing.T) {
	d := &cleanAfterError{disk: newDisk(), lost: map[*inode][2]int{}}
	l := mustOpen(t, d, 1)
	mustAppend(t, l, journal.Record{Partition: 0, Bytes: payload(0, 0, 200)})
	d.setFault(func(op, name string, done bool) error {
		if op == "sync" && strings.HasSuffix(name, ".seg") && !done {
			return errors.New("EIO")
		}
		return nil
	})
	if _, err := l.Append(t.Context(), []journal.Record{{Partition: 0, Bytes: payload(0, 1, 200)}}); err == nil {
		t.Fatal("no error")
	}
	d.setFault(nil)
	_ = l.Close()

	l = mustOpen(t, d, 1)
	end, _ := l.End(t.Context(), 0)
	mustAppend(t, l, journal.Record{Partition: 0, Bytes: payload(0, end, 200)}) // acknowledged
	acked := end + 1
	after := newDisk()
	for name, node := range d.durable {
		after.names[name] = &inode{name: name, live: clone(node.synced), synced: clone(node.synced)}
		after.durable[name] = after.names[name]
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l2, err := Open(Config{Dir: dir, Partitions: 1, SegmentBytes: smallSegments, FS: after})
	if err != nil {
		t.Fatalf("%d records were acknowledged; after the power failure: %v", acked, err)
	}
	defer l2.Close()
	if n, _ := l2.End(t.Context(), 0); n < acked {
		t.Fatalf("%d records were acknowledged, %d are there", acked, n)
	}
}
