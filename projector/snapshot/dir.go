package snapshot

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is a Store in a directory.
type Dir struct {
	root string
	fs   filesystem
}

var _ Store = (*Dir)(nil)

// NewDir is a store in a directory, which is made when something is put there.
func NewDir(root string) *Dir { return &Dir{root: root, fs: disk{}} }

// filesystem is what a Dir needs of one. Tests let it crash.
type filesystem interface {
	Create(path string) (syncedFile, error)
	Open(path string) (io.ReadCloser, error)
	Rename(from, to string) error
	Remove(path string) error
	Mkdir(path string) error // no error when it is there
	SyncDir(path string) error
	List(path string) ([]Object, []string, error) // files and directories in it; none when it is not there
}

type syncedFile interface {
	io.WriteCloser
	Sync() error
}

func (d *Dir) String() string { return d.root }

const unfinished = ".unfinished"

// Put writes beside the final name, and renames when everything is on the disk.
func (d *Dir) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := d.put(ctx, filepath.Join(d.root, filepath.FromSlash(name)), write); err != nil {
		return fmt.Errorf("put %s into %s: %w", name, d, err)
	}
	return nil
}

func (d *Dir) put(ctx context.Context, final string, write func(io.Writer) error) error {
	if err := d.mkdir(filepath.Dir(final)); err != nil {
		return err
	}
	temporary := final + unfinished
	f, err := d.fs.Create(temporary)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	err = write(buffered)
	if err == nil {
		err = errors.Join(buffered.Flush(), ctx.Err())
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.fs.Rename(temporary, final)
	}
	if err != nil {
		return errors.Join(err, d.fs.Remove(temporary))
	}
	return d.fs.SyncDir(filepath.Dir(final))
}

// mkdir makes a directory below the root, and makes it stay.
func (d *Dir) mkdir(dir string) error {
	rel, err := filepath.Rel(filepath.Dir(d.root), dir)
	if err != nil {
		return err
	}
	at := filepath.Dir(d.root)
	for part := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
		if err := d.fs.Mkdir(filepath.Join(at, part)); err != nil {
			return err
		}
		if err := d.fs.SyncDir(at); err != nil {
			return err
		}
		at = filepath.Join(at, part)
	}
	return nil
}

// Get implements Store.
func (d *Dir) Get(_ context.Context, name string) (io.ReadCloser, error) {
	return d.fs.Open(filepath.Join(d.root, filepath.FromSlash(name)))
}

// List implements Store. Unfinished files are none.
func (d *Dir) List(context.Context) ([]Object, error) {
	var all []Object
	var walk func(prefix string) error
	walk = func(prefix string) error {
		files, dirs, err := d.fs.List(filepath.Join(d.root, filepath.FromSlash(prefix)))
		if err != nil {
			return err
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name, unfinished) {
				all = append(all, Object{path.Join(prefix, f.Name), f.Size})
			}
		}
		for _, sub := range dirs {
			if err := walk(path.Join(prefix, sub)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(""); err != nil {
		return nil, fmt.Errorf("list %s: %w", d, err)
	}
	slices.SortFunc(all, func(a, b Object) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Delete removes the file, and its directory when that was the last.
func (d *Dir) Delete(_ context.Context, name string) error {
	final := filepath.Join(d.root, filepath.FromSlash(name))
	for _, p := range []string{final, final + unfinished} {
		if err := d.fs.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete %s from %s: %w", name, d, err)
		}
	}
	dir := filepath.Dir(final)
	if err := d.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s from %s: %w", name, d, err)
	}
	if files, dirs, err := d.fs.List(dir); err == nil && len(files)+len(dirs) == 0 && dir != d.root {
		_ = d.fs.Remove(dir) // an empty directory does no harm
	}
	return nil
}

// disk is the machine's filesystem.
type disk struct{}

func (disk) Create(p string) (syncedFile, error)  { return os.Create(p) }
func (disk) Open(p string) (io.ReadCloser, error) { return os.Open(p) }
func (disk) Rename(from, to string) error         { return os.Rename(from, to) }
func (disk) Remove(p string) error                { return os.Remove(p) }
func (disk) Mkdir(p string) error                 { return os.MkdirAll(p, 0o755) }

func (disk) SyncDir(p string) error {
	d, err := os.Open(p)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (disk) List(p string) (files []Object, dirs []string, err error) {
	entries, err := os.ReadDir(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // somebody tidies up
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		files = append(files, Object{e.Name(), info.Size()})
	}
	return files, dirs, err
}
