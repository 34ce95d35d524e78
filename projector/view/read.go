package view

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// Reading is one state of the store. Close it soon: it keeps what has been overwritten since.
type Reading struct {
	view   *View
	snap   *pebble.Snapshot
	chunks *chunks                  // nil: no event has been read yet
	runs   map[int]directory        // of partitions in which an id has been looked up
	groups map[int]*pebble.Iterator // over partitions' groups
}

// Read takes a state of the store.
func (v *View) Read() *Reading { return &Reading{view: v, snap: v.db.NewSnapshot()} }

// Close gives it up.
func (r *Reading) Close() (err error) {
	if r.chunks != nil {
		err = r.chunks.close()
	}
	for _, it := range r.groups {
		if e := it.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("%w: read accounts: %w", ErrStore, e))
		}
	}
	if e := r.snap.Close(); e != nil {
		err = errors.Join(err, fmt.Errorf("%w: close snapshot: %w", ErrStore, e))
	}
	return err
}

// event reads an event; what it answers is good until the next one is read.
func (r *Reading) event(partition int, seq uint64) (stored, error) {
	if err := r.openChunks(); err != nil {
		return stored{}, err
	}
	e, ok, err := r.chunks.event(partition, seq)
	if err == nil && !ok {
		err = fmt.Errorf("%w: event %d of partition %d is not there", ErrStore, seq, partition)
	}
	return e, err
}

func (r *Reading) openChunks() (err error) {
	if r.chunks == nil {
		r.chunks, err = openChunks(r.snap)
	}
	return err
}

// accounts is an iterator over a partition's groups.
func (r *Reading) accounts(partition int) (*pebble.Iterator, error) {
	if it := r.groups[partition]; it != nil {
		return it, nil
	}
	p := prefix(nil, keyGroup, partition)
	it, err := r.snap.NewIter(within(p))
	if err != nil {
		return nil, fmt.Errorf("%w: read accounts: %w", ErrStore, err)
	}
	if r.groups == nil {
		r.groups = map[int]*pebble.Iterator{}
	}
	r.groups[partition] = it
	return it, nil
}

// newestGroup reads an account as its newest group has it.
func newestGroup(it *pebble.Iterator, partition int, h journal.Handle) (a journal.Account, ok bool, err error) {
	if !it.SeekPrefixGE(handleKey(nil, keyGroup, partition, h)) {
		if err := it.Error(); err != nil {
			return a, false, fmt.Errorf("%w: read account: %w", ErrStore, err)
		}
		return a, false, nil
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return a, false, fmt.Errorf("%w: read account: %w", ErrStore, err)
	}
	g, err := parseGroup(it.Key(), value)
	return g.account, err == nil, err
}

// reading runs fn on one state of the store.
func reading[T any](v *View, fn func(*Reading) (T, bool, error)) (t T, ok bool, err error) {
	r := v.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	return fn(r)
}

// Position is the partition's last event that the projection reflects.
func (v *View) Position(partition int) (journal.Position, error) {
	p, _, err := reading(v, func(r *Reading) (journal.Position, bool, error) {
		p, err := r.Position(partition)
		return p, true, err
	})
	return p, err
}

// Position is as View.Position.
func (r *Reading) Position(partition int) (journal.Position, error) {
	if partition < 0 || partition >= r.view.config.Partitions {
		return journal.Position{}, fmt.Errorf("position: there is no partition %d", partition)
	}
	g, err := r.view.progress(r.snap, partition)
	return g.book.position(partition), err
}

// Cursor is where the log would be read on.
func (r *Reading) Cursor(partition int) (journal.Cursor, error) {
	g, err := r.view.progress(r.snap, partition)
	return g.cursor, err
}

// Account is an account as the projection has it.
type Account struct {
	Handle journal.Handle
	journal.Account
	Details   journal.AccountDetails
	CreatedMS int64
	Position  journal.Position // that the answer reflects
}

// Account answers the account, false when the projection knows none. A suspense account has details of the view's making.
func (v *View) Account(h journal.Handle) (Account, bool, error) {
	return reading(v, func(r *Reading) (Account, bool, error) { return r.Account(h) })
}

// Account is as View.Account.
func (r *Reading) Account(h journal.Handle) (a Account, ok bool, err error) {
	p, ok := r.partitionOf(h)
	if !ok {
		return a, false, nil
	}
	a.Handle = h
	it, err := r.accounts(p)
	if err != nil {
		return a, false, err
	}
	if a.Account, ok, err = newestGroup(it, p, h); err != nil || !ok {
		return a, ok, err
	}
	if a.CreatedMS, a.Details, err = r.details(h); err != nil {
		return a, false, err
	}
	a.Position, err = r.Position(p)
	return a, true, err
}

// partitionOf is false for a suspense handle that names a partition which the wallet does not have.
func (r *Reading) partitionOf(h journal.Handle) (int, bool) {
	p := h.Partition(r.view.config.Partitions)
	return p, p < r.view.config.Partitions
}

// details reads what an account was opened with. Details that are no JSON give none: the id is then unknown.
func (r *Reading) details(h journal.Handle) (createdMS int64, d journal.AccountDetails, err error) {
	if p, asset, ok := h.Suspense(); ok {
		return 0, journal.AccountDetails{ID: SuspenseID(p, asset)}, nil
	}
	p, _ := r.partitionOf(h)
	_, _, err = get(r.snap, handleKey(nil, keyDetails, p, h), func(b []byte) (struct{}, error) {
		if len(b) < 7 {
			return struct{}{}, badRecord("details", b)
		}
		createdMS = int64(binary.BigEndian.Uint64(append([]byte{0}, b[:7]...)))
		if json.Unmarshal(b[7:], &d) != nil {
			d = journal.AccountDetails{}
		}
		return struct{}{}, nil
	})
	return createdMS, d, err
}

// SuspenseID is how a suspense account is called in answers; no client can have an account of that name (it has a colon).
func SuspenseID(partition int, asset journal.Asset) string {
	return fmt.Sprintf("suspense:%d:%d", partition, asset)
}

// names remembers the ids of the accounts that an answer mentions.
type names struct {
	r     *Reading
	known map[journal.Handle]string
	err   error
}

func (r *Reading) names() *names { return &names{r: r, known: map[journal.Handle]string{}} }

// of is the account's id, else "". It is unknown when the account's partition is not folded here, or not that far.
func (n *names) of(h journal.Handle) string {
	id, ok := n.known[h]
	if _, here := n.r.partitionOf(h); ok || h.IsZero() || !here {
		return id
	}
	_, d, err := n.r.details(h)
	if err != nil && n.err == nil {
		n.err = err
	}
	n.known[h] = d.ID
	return d.ID
}
