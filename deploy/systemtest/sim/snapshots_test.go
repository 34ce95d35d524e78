package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"walletd/journal"
	"walletd/projector/snapshot"
	"walletd/shardrouter/keeper"
)

// shelf is where snapshots are kept: production code but for the store itself.
type shelf struct {
	*world
	files map[string][]byte
	snapshot.Shelf
	last time.Time
}

func newShelf(w *world) *shelf {
	s := &shelf{world: w, files: map[string][]byte{}}
	s.Shelf = snapshot.Shelf{Store: s, Wallet: "sim", Partitions: partitions}
	return s
}

// Put implements snapshot.Store, as the methods below do.
func (s *shelf) Put(_ context.Context, name string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	s.files[name] = b.Bytes()
	return nil
}

func (s *shelf) Get(_ context.Context, name string) (io.ReadCloser, error) {
	b, there := s.files[name]
	if !there {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (s *shelf) List(context.Context) (all []snapshot.Object, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		all = append(all, snapshot.Object{Name: name, Size: int64(len(s.files[name]))})
	}
	return all, nil
}

func (s *shelf) Delete(_ context.Context, name string) error {
	delete(s.files, name)
	return nil
}

func (s *shelf) String() string { return "memory" }

// take takes a snapshot whose partitions are cut anywhere, each somewhere else.
func (s *shelf) take() {
	if ms := time.Millisecond; time.Now().Truncate(ms).Equal(s.last.Truncate(ms)) {
		return // its name would be drawn
	}
	s.last = time.Now()
	s.note("  a snapshot is taken")
	ctx, parts := context.Background(), make([]*snapshot.Folded, partitions)
	for p := range parts {
		var err error
		until := 1 + s.rng.Int64N(int64(len(s.log.records[p])))
		if parts[p], err = snapshot.Fold(ctx, snapshot.FoldConfig{Log: s.log, Partition: p, Until: until}); err != nil {
			s.fail("a snapshot: %v", err)
			return
		}
	}
	t := snapshot.Taking{Shelf: &s.Shelf, By: "sim", Policy: snapshot.Policy{Newest: 2}}
	if _, err := t.Take(ctx, snapshot.FromFolds(parts)); err != nil {
		s.fail("a snapshot: %v", err)
	}
}

// spoil damages a file, or removes one.
func (s *shelf) spoil() {
	names := slices.Sorted(maps.Keys(s.files))
	if len(names) == 0 {
		return
	}
	name := pick(s.rng, names...)
	if s.rng.IntN(2) == 0 {
		s.note("  %s is lost", name[len(name)-10:])
		delete(s.files, name)
		return
	}
	b := slices.Clone(s.files[name])
	b[s.rng.IntN(len(b))] ^= 1 << s.rng.IntN(8)
	s.files[name] = b
	s.note("  %s is damaged", name[len(name)-10:])
}

// beginnings hands snapshots to the keepers of a process.
type beginnings struct{ from *process }

var _ keeper.Snapshots = beginnings{}

// Newest implements keeper.Snapshots.
func (b beginnings) Newest(ctx context.Context, partition int) (*keeper.Beginning, error) {
	w := b.from.world
	r := request{from: b.from, label: fmt.Sprintf("%s snapshot of %d", b.from.name, partition), faults: &w.weather.read, timeout: journalTimeout, lost: errNotRead}
	l, err := ask(ctx, r, func() (*snapshot.Loaded, error) {
		l, err := w.shelf.Newest(context.Background(), partition)
		if err == nil && l != nil {
			w.begun++
			w.note("  it was cut at %d", l.Header.Cursor.Offset)
		}
		return l, err
	})
	if l == nil || err != nil {
		return nil, err
	}
	begin := &keeper.Beginning{Name: "snapshot", Cursor: l.Header.Cursor, Last: l.Header.Last, Book: l.Book, Behind: make([]uint64, partitions)}
	for q, seq := range l.Behind {
		begin.Behind[q] = seq
	}
	for _, s := range l.Legs {
		begin.Legs = append(begin.Legs, keeper.Sent(s))
	}
	return begin, nil
}

// The ledger is a journal.Log for those who are not on the network.
var _ journal.Log = (*ledger)(nil)

// Partitions implements journal.Log, as the methods below do.
func (l *ledger) Partitions() int { return partitions }

func (l *ledger) Read(_ context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	for ; from < int64(len(l.records[partition])); from++ {
		if err := fn(from, l.records[partition][from]); err != nil {
			return from, err
		}
	}
	return from, nil
}

func (l *ledger) End(_ context.Context, partition int) (int64, error) {
	return int64(len(l.records[partition])), nil
}

var errReadOnly = errors.New("nobody writes here")

func (l *ledger) Append(context.Context, []journal.Record) ([]int64, error) { return nil, errReadOnly }

func (l *ledger) Wait(context.Context, int, int64) error { return errReadOnly }
