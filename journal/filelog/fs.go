package filelog

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is what the log asks of a file system; tests put faults in between. A path has the log's directory in front.
type FS interface {
	// MkdirAll makes dir and its parents, durably.
	MkdirAll(dir string) error
	OpenFile(name string, flag int) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// List answers the names in dir, in any order.
	List(dir string) ([]string, error)
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
	// Lock takes the file for this process alone until the Closer is closed; ErrLocked when another has it.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Datasync makes the content durable, and the length if it changed.
	Datasync() error
}

// ErrLocked says that another process writes to this journal.
var ErrLocked = errors.New("in use by another process")

// Disk is the machine's own file system.
func Disk() FS { return osFS{} }

type osFS struct{}

func (osFS) MkdirAll(dir string) error    { return MakeDir(dir, 0o750) }
func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(name string) error     { return os.Remove(name) }

func (osFS) OpenFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o640)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MakeDir makes a directory and the parents that it lacks. Their names are durable when it returns: what is synced within a
// directory is lost with its name.
func MakeDir(dir string, perm fs.FileMode) error {
	dir = filepath.Clean(dir)
	made := []string{dir} // also when it is there: whoever made it may have died before its name was durable
	for d := filepath.Dir(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, perm); err != nil {
		return err
	}
	for _, d := range made {
		err := osFS{}.SyncDir(filepath.Dir(d))
		if err != nil && !(len(made) == 1 && errors.Is(err, fs.ErrPermission)) { // a parent that is not ours, with dir in it
			return err
		}
	}
	return nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// readFile answers the whole of a small file; fs.ErrNotExist when there is none.
func readFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	const smallFileMax = 1 << 20
	if size > smallFileMax {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("too large for what it should be")}
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, err
	}
	return b, nil
}

// writeFile puts b under name durably, or leaves what was there.
func writeFile(fsys FS, dir, name string, b []byte) error {
	tmp := join(dir, name+".tmp")
	f, err := fsys.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Datasync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, join(dir, name)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

func join(dir, name string) string { return dir + string(os.PathSeparator) + name }
