package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"sync/atomic"

	"walletd/journal"
)

// ErrForeign says that a snapshot is another wallet's.
var ErrForeign = errors.New("snapshot of another wallet")

// Shelf is what there is in a Store, for one wallet.
type Shelf struct {
	Store      Store
	Wallet     string
	Partitions int
	Logger     *slog.Logger // nil: none

	damaged atomic.Uint64
}

// Entry is a snapshot on the shelf.
type Entry struct {
	ID       string
	Manifest *Manifest // nil when it cannot be read
	Err      error     // ErrDamaged or ErrForeign: it is passed over; nil: it looks whole
}

func (s *Shelf) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// Damaged counts how often a damaged snapshot was met.
func (s *Shelf) Damaged() uint64 { return s.damaged.Load() }

// List answers the snapshots, newest first. It reads manifests and looks at sizes; Verify reads files.
func (s *Shelf) List(ctx context.Context) ([]Entry, error) {
	objects, err := s.Store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	sizes := map[string]int64{}
	for _, o := range objects {
		sizes[o.Name] = o.Size
	}
	var all []Entry
	for _, o := range objects {
		id, file := path.Split(o.Name)
		if id = path.Clean(id); file != manifestName || id == "." || path.Dir(id) != "." {
			continue
		}
		e := Entry{ID: id}
		if e.Manifest, err = s.manifest(ctx, id); err == nil {
			e.Err = s.judge(e.Manifest, sizes)
		} else if e.Err = err; !errors.Is(err, ErrDamaged) {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(b.ID, a.ID) })
	return all, nil
}

// manifest reads a manifest. What is not one is ErrDamaged.
func (s *Shelf) manifest(ctx context.Context, id string) (m *Manifest, err error) {
	name := path.Join(id, manifestName)
	f, err := s.Store.Get(ctx, name)
	if err != nil {
		if errors.Is(err, errNotThere) { // it is just being deleted
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, manifestMax+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if m, err = parseManifest(id, b); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	return m, nil
}

// judge looks at a manifest, and whether its files are there.
func (s *Shelf) judge(m *Manifest, sizes map[string]int64) error {
	if m.Wallet != s.Wallet || m.Partitions != s.Partitions {
		return fmt.Errorf("%w: %s is of wallet %q with %d partitions, this is %q with %d", ErrForeign, m.ID, m.Wallet, m.Partitions, s.Wallet, s.Partitions)
	}
	for i := range m.Files {
		f := &m.Files[i]
		size, there := sizes[m.path(f)]
		switch {
		case !there:
			return fmt.Errorf("%w: %s is not there", ErrDamaged, m.path(f))
		case size != f.Size:
			return fmt.Errorf("%w: %s has %d bytes, its manifest says %d", ErrDamaged, m.path(f), size, f.Size)
		}
	}
	return nil
}

// open begins to read a partition's file.
func (s *Shelf) open(ctx context.Context, m *Manifest, partition int) (io.ReadCloser, error) {
	f, err := s.Store.Get(ctx, m.path(&m.Files[partition]))
	if errors.Is(err, errNotThere) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return f, err
}

// agree holds a file that is whole in itself against its manifest and this wallet.
func (s *Shelf) agree(m *Manifest, partition int, h *Header, w *Written) error {
	f := &m.Files[partition]
	if h.Wallet != s.Wallet || h.Partitions != s.Partitions || !f.same(h, w) {
		return fmt.Errorf("%w: %s is not the file that its manifest lists: it is of wallet %q at %v, with SHA-256 %x", ErrDamaged, m.path(f), h.Wallet, h.Position(), w.SHA256)
	}
	return nil
}

// Newest loads a partition from the newest snapshot whose file of it is whole; nil when there is none. What it passes over
// is told. ErrDamaged is never answered; other errors are the store's.
func (s *Shelf) Newest(ctx context.Context, partition int) (*Loaded, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		e := &all[i]
		var l *Loaded
		if err := e.Err; err == nil {
			l, err = s.Load(ctx, e.Manifest, partition)
			if err == nil {
				return l, nil
			}
			if !errors.Is(err, ErrDamaged) {
				return nil, err
			}
			e.Err = err
		}
		s.damaged.Add(1)
		s.log().Error("a snapshot cannot be used; an older one is looked for", "snapshot", e.ID, "partition", partition, "error", e.Err)
	}
	return nil, nil //nolint:nilnil // there is none
}

// Load reads a partition's file.
func (s *Shelf) Load(ctx context.Context, m *Manifest, partition int) (*Loaded, error) {
	src, err := s.open(ctx, m, partition)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }() // it was only read
	l, err := Load(src, m.path(&m.Files[partition]))
	if err != nil {
		return nil, err
	}
	l.ID = m.ID
	return l, s.agree(m, partition, &l.Header, &l.File)
}

// check reads a partition's file in little memory; with digest it also folds what it reads into the Book's digest.
func (s *Shelf) check(ctx context.Context, m *Manifest, partition int, digest bool) error {
	src, err := s.open(ctx, m, partition)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // it was only read
	name := m.path(&m.Files[partition])
	r, err := NewReader(src, name)
	if err != nil {
		return err
	}
	h := r.Header()
	var into Records = nothing{}
	d := newDigesting(&h)
	if digest {
		into = d
	}
	w, err := r.Each(into)
	if err != nil {
		return err
	}
	if digest && d.sum() != w.Digest {
		return fmt.Errorf("%w: %s: its records have the digest %x, it says %x", ErrDamaged, name, d.sum(), w.Digest)
	}
	return s.agree(m, partition, &h, &w)
}

// nothing drops records.
type nothing struct{}

func (nothing) Account(journal.Handle, journal.Account)     {}
func (nothing) Details(journal.Handle, []byte)              {}
func (nothing) Key(journal.ID, journal.KeyRecord)           {}
func (nothing) Reservation(journal.ID, journal.Reservation) {}
func (nothing) Delivered(int, uint64)                       {}
func (nothing) Filter(int, *journal.FilterBlock)            {}
func (nothing) Behind(int, uint64)                          {}
func (nothing) Leg(uint64, journal.Leg)                     {}
