package view

import (
	"fmt"

	"walletd/journal"
)

// Listener is told what a fold does to accounts. All calls come on the fold's goroutine.
type Listener interface {
	// Changed is told of a change when it is taken, before it is committed: the number-th of its event, from 1. Event and row are
	// good during the call only.
	Changed(e *journal.Event, r *journal.Row, number int, c journal.Change)
	// Committed says that everything told so far can be read.
	Committed()
	// Dropped says that what was told since the last commit is forgotten, and told again.
	Dropped()
}

// Listen gives the fold a listener, before it takes anything.
func (f *Fold) Listen(l Listener) { f.listener = l }

// Hasten has the partition's fold look at once, if it is folded.
func (v *View) Hasten(partition int) {
	w := &v.waits[partition]
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hasten != nil {
		w.hasten()
	}
}

// ID is the account's id, "" where it is not folded here, or not that far.
func (r *Reading) ID(h journal.Handle) (string, error) {
	if _, here := r.partitionOf(h); !here || h.IsZero() {
		return "", nil
	}
	_, d, err := r.details(h)
	return d.ID, err
}

// Version is the account's newest version, 0 where the projection knows none.
func (r *Reading) Version(h journal.Handle) (uint64, error) {
	p, ok := r.partitionOf(h)
	if !ok {
		return 0, nil
	}
	it, err := r.accounts(p)
	if err != nil {
		return 0, err
	}
	a, _, err := newestGroup(it, p, h)
	return a.Version, err
}

// Versions calls fn for the account's changes behind a version, oldest first, with what a Listener is told of each; of Before and After they
// have balances, version and asset. It answers false, and calls nothing, when there are more than limit of them.
func (r *Reading) Versions(h journal.Handle, behind uint64, limit int, fn func(e *journal.Event, row *journal.Row, number int, c journal.Change) error) (bool, error) {
	p, ok := r.partitionOf(h)
	if !ok {
		return true, nil
	}
	it, err := r.accounts(p)
	if err != nil {
		return false, err
	}
	a, ok, err := newestGroup(it, p, h)
	if err != nil || !ok || a.Version <= behind {
		return err == nil, err
	}
	if a.Version-behind > uint64(limit) {
		return false, nil
	}
	lines := make([]Line, 0, a.Version-behind)
	_, err = r.lines(p, h, span{}, func(l *Line) (bool, error) {
		if l.Version > behind {
			lines = append(lines, *l)
		}
		return l.Version > behind+1, nil
	})
	if err == nil && uint64(len(lines)) != a.Version-behind {
		err = fmt.Errorf("%w: account %x has version %d, and %d lines behind version %d", ErrStore, h, a.Version, len(lines), behind)
	}
	for i := len(lines) - 1; i >= 0 && err == nil; i-- {
		err = r.version(p, h, a.Asset, &lines[i], fn)
	}
	return err == nil, err
}

// version tells one line as the change that it was.
func (r *Reading) version(partition int, h journal.Handle, asset journal.Asset, l *Line, fn func(*journal.Event, *journal.Row, int, journal.Change) error) error {
	e, err := r.entry(partition, h, l)
	if err != nil {
		return err
	}
	of, err := r.event(partition, l.Seq)
	if err != nil {
		return err
	}
	number := 1
	switch row := &of.row; {
	case row.Op == journal.OpDeliver:
		number = l.Leg + 1
	case row.Op == journal.OpTransfer && h == row.To, row.Op == journal.OpConfirm && l.ReservedChange == 0:
		number = 2
	}
	after := journal.Account{Available: l.AvailableAfter, Reserved: l.ReservedAfter, Version: l.Version, Asset: asset}
	before := after
	before.Available, before.Reserved, before.Version = after.Available-l.AvailableChange, after.Reserved-l.ReservedChange, l.Version-1
	return fn(&of.Event, &of.row, number, journal.Change{Account: h, Of: e.Of, ID: e.ID, Other: e.Counterparty, Amount: e.Amount,
		Before: before, After: after, Flagged: l.Flagged})
}
