package view

import (
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// room lets the store wait for a full disk. Pebble takes a write that fails for a reason to end the process; a read model
// is none: its writes wait until there is room, the folds wait behind them, and reads go on.
type room struct {
	mu      sync.Mutex
	open    bool          // the store is open: before, a full disk is an error like others
	waiting int           // writes
	cause   error         // of the last that had no room
	full    chan struct{} // closed while writes wait
}

func newRoom() *room { return &room{full: make(chan struct{})} }

// noRoom tells the errors of a full disk, a used-up quota and a limit of file sizes from others.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// Between two attempts at a write, doubling.
const (
	roomAgain    = 50 * time.Millisecond
	roomAgainMax = time.Second
)

// try repeats a write that has no room until it has.
func (r *room) try(write func() error) error {
	err := write()
	if !noRoom(err) || !r.enter(err) {
		return err
	}
	defer r.leave()
	for pause := roomAgain; noRoom(err); pause = min(2*pause, roomAgainMax) {
		time.Sleep(pause)
		err = write()
	}
	return err
}

func (r *room) enter(cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return false
	}
	r.cause = cause
	if r.waiting++; r.waiting == 1 {
		close(r.full)
		slog.Error("the projection waits: make room on its disk", "err", cause)
	}
	return true
}

func (r *room) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.full, r.cause = make(chan struct{}), nil
		slog.Warn("the projection goes on: its disk has room again")
	}
}

// opened makes later writes wait.
func (r *room) opened() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = true
}

// trouble is why writes wait, nil when they do not, with a channel that is closed while they do.
func (r *room) trouble() (full <-chan struct{}, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.full, r.cause
}

// roomFS is a file system whose writes wait for room. A write or sync that fails for another reason ends the store here: Pebble
// would panic, in places under locks. A failed sync is not repeated: what it lost is lost.
type roomFS struct {
	vfs.FS
	room *room
	dead *dead
}

// write repeats a write that has no room, and does not return one that fails on an open store.
func (f roomFS) write(name string, do func() error) error {
	err := f.room.try(do)
	if err != nil && f.dead.isOpen() {
		f.dead.end(name + ": " + err.Error())
	}
	return err
}

func (f roomFS) Create(name string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	return f.file(name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f roomFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f roomFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(to, func() (vfs.File, error) { return f.FS.ReuseForWrite(from, to, c) })
}

func (f roomFS) file(name string, open func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.write(name, func() (err error) { file, err = open(); return err })
	if err != nil {
		return nil, err
	}
	return roomFile{file, f, name}, nil
}

func (f roomFS) Link(from, to string) error {
	return f.room.try(func() error { return f.FS.Link(from, to) })
}

func (f roomFS) Rename(from, to string) error {
	return f.room.try(func() error { return f.FS.Rename(from, to) })
}

// Unwrap lets Pebble find the machine's own file system.
func (f roomFS) Unwrap() vfs.FS { return f.FS }

type roomFile struct {
	vfs.File
	fs   roomFS
	name string
}

// Write goes on behind what was written before the disk was full.
func (f roomFile) Write(b []byte) (n int, err error) {
	err = f.fs.write(f.name, func() error {
		m, err := f.File.Write(b[n:])
		n += m
		return err
	})
	return n, err
}

func (f roomFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.fs.write(f.name, func() error {
		m, err := f.File.WriteAt(b[n:], at+int64(n))
		n += m
		return err
	})
	return n, err
}

func (f roomFile) Preallocate(at, length int64) error {
	return f.fs.room.try(func() error { return f.File.Preallocate(at, length) })
}

func (f roomFile) Sync() error     { return f.synced(f.File.Sync()) }
func (f roomFile) SyncData() error { return f.synced(f.File.SyncData()) }

func (f roomFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.synced(err)
}

func (f roomFile) synced(err error) error {
	if err != nil && f.fs.dead.isOpen() {
		f.fs.dead.end(f.name + ": " + err.Error())
	}
	return err
}
