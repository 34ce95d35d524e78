package snapshot

import (
	"context"
	"io"
	"io/fs"
)

// Store keeps files by name; names are paths with slashes. It may be shared by several processes.
type Store interface {
	// Put makes a file of what write writes: afterwards it is there, durable and whole, or (on an error or a crash) there is
	// what there was before.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	// Get opens a file; fs.ErrNotExist when there is none.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List answers all files, sorted by name.
	List(ctx context.Context) ([]Object, error)
	// Delete removes a file; one that is not there is no error.
	Delete(ctx context.Context, name string) error
	// String is where it is, for people.
	String() string
}

// Object is a file in a Store.
type Object struct {
	Name string
	Size int64
}

var errNotThere = fs.ErrNotExist
