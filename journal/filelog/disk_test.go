package filelog

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// sector is what a disk writes whole, bytes.
const sector = 512

// disk is a machine's disk with a page cache in front: what has not been synced may or may not be there after the power
// fails, sector by sector; names appear in order. fault, if set, is asked before and after every operation.
type disk struct {
	mu      sync.Mutex
	names   map[string]*inode
	durable map[string]*inode
	pending []func(map[string]*inode) // changes of names since the last SyncDir
	locked  map[string]bool

	faultMu sync.Mutex // one question at a time
	fault   func(op, name string, done bool) error
}

type inode struct {
	name         string // the last it got
	live, synced []byte
}

func newDisk() *disk {
	return &disk{names: map[string]*inode{}, durable: map[string]*inode{}, locked: map[string]bool{}}
}

// op runs an operation between the two questions to fault.
func (d *disk) op(op, name string, do func() error) error {
	if err := d.ask(op, name, false); err != nil {
		return err
	}
	d.mu.Lock()
	err := do()
	d.mu.Unlock()
	if err == nil {
		err = d.ask(op, name, true)
	}
	return err
}

func (d *disk) ask(op, name string, done bool) error {
	d.faultMu.Lock()
	defer d.faultMu.Unlock()
	if d.fault == nil {
		return nil
	}
	return d.fault(op, filepath.Base(name), done)
}

// setFault installs what is asked from now on, and answers what was before.
func (d *disk) setFault(fault func(op, name string, done bool) error) (before func(op, name string, done bool) error) {
	d.faultMu.Lock()
	defer d.faultMu.Unlock()
	before, d.fault = d.fault, fault
	return before
}

// file answers a file's content and what the disk has of it, nil when there is none. Nobody may write to it meanwhile.
func (d *disk) file(name string) *inode {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name]
}

// synced tells whether the name will survive a power failure.
func (d *disk) synced(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable[name] != nil
}

// change notes a change of names, now and for the next SyncDir. d.mu is held.
func (d *disk) change(do func(map[string]*inode)) {
	do(d.names)
	d.pending = append(d.pending, do)
}

func (d *disk) MkdirAll(string) error { return nil }

func (d *disk) OpenFile(name string, flag int) (f File, err error) {
	err = d.op("open", name, func() error {
		node := d.names[name]
		switch {
		case node == nil && flag&os.O_CREATE == 0:
			return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		case node == nil:
			node = &inode{name: name}
			d.change(func(names map[string]*inode) { names[name] = node })
		case flag&os.O_TRUNC != 0:
			node.live = nil
		}
		f = &diskFile{d, node}
		return nil
	})
	return f, err
}

func (d *disk) Rename(from, to string) error {
	return d.op("rename", from, func() error {
		node := d.names[from]
		if node == nil {
			return fs.ErrNotExist
		}
		d.change(func(names map[string]*inode) { delete(names, from); names[to] = node })
		node.name = to
		return nil
	})
}

func (d *disk) Remove(name string) error {
	return d.op("remove", name, func() error {
		if d.names[name] == nil {
			return fs.ErrNotExist
		}
		d.change(func(names map[string]*inode) { delete(names, name) })
		return nil
	})
}

func (d *disk) List(dir string) (names []string, err error) {
	err = d.op("list", dir, func() error {
		for name := range d.names {
			names = append(names, filepath.Base(name))
		}
		return nil
	})
	return names, err
}

func (d *disk) SyncDir(dir string) error {
	return d.op("syncdir", dir, func() error {
		for _, do := range d.pending {
			do(d.durable)
		}
		d.pending = nil
		return nil
	})
}

func (d *disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked[name] {
		return nil, ErrLocked
	}
	d.locked[name] = true
	return diskLock{d, name}, nil
}

type diskLock struct {
	d    *disk
	name string
}

func (l diskLock) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	delete(l.d.locked, l.name)
	return nil
}

// killed is the disk as a process finds it after its predecessor was killed: everything written is there.
func (d *disk) killed() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newDisk()
	for name, node := range d.names {
		after.names[name] = &inode{name: name, live: clone(node.live), synced: clone(node.synced)}
		after.durable[name] = after.names[name]
	}
	return after
}

// powerFailed is the disk after the power failed: of what was not synced some sectors are there and some are not.
func (d *disk) powerFailed(rnd *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, do := range d.pending[:rnd.IntN(len(d.pending)+1)] {
		do(d.durable)
	}
	after := newDisk()
	for name, node := range d.durable {
		content := tear(rnd, node.live, node.synced)
		after.names[name] = &inode{name: name, live: content, synced: clone(content)}
		after.durable[name] = after.names[name]
	}
	return after
}

// tear mixes the sectors of two states of a file.
func tear(rnd *rand.Rand, live, synced []byte) []byte {
	size := len(synced)
	if rnd.IntN(2) == 0 {
		size = len(live)
	}
	mode := rnd.IntN(4) // nothing, everything, or a mixture of them
	out := make([]byte, size)
	for at := 0; at < size; at += sector {
		from := synced
		if mode == 1 || mode > 1 && rnd.IntN(2) == 0 {
			from = live
		}
		if at < len(from) {
			copy(out[at:min(at+sector, size)], from[at:])
		}
	}
	return out
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

type diskFile struct {
	d    *disk
	node *inode
}

func (f *diskFile) ReadAt(b []byte, at int64) (n int, err error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if at < int64(len(f.node.live)) {
		n = copy(b, f.node.live[at:])
	}
	if n < len(b) {
		err = io.EOF
	}
	return n, err
}

// errHalf makes a write put down half of what it should before it fails.
var errHalf = errors.New("half")

func (f *diskFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.d.op("write", f.node.name, func() error { n = f.put(b, at); return nil })
	if errors.Is(err, errHalf) {
		f.d.mu.Lock()
		defer f.d.mu.Unlock()
		n = f.put(b[:len(b)/2], at)
	}
	return n, err
}

func (f *diskFile) put(b []byte, at int64) int {
	if need := int(at) + len(b); need > len(f.node.live) {
		f.node.live = append(f.node.live, make([]byte, need-len(f.node.live))...)
	}
	return copy(f.node.live[at:], b)
}

func (f *diskFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.node.live)), nil
}

func (f *diskFile) Truncate(size int64) error {
	return f.d.op("truncate", f.node.name, func() error {
		cut := make([]byte, size)
		copy(cut, f.node.live)
		f.node.live = cut
		return nil
	})
}

func (f *diskFile) Datasync() error {
	return f.d.op("sync", f.node.name, func() error {
		f.node.synced = clone(f.node.live)
		return nil
	})
}

func (f *diskFile) Close() error { return nil }
