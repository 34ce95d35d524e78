package view

import (
	"errors"
	"fmt"

	"walletd/journal"
)

// What auditors ask who hold accounts of elsewhere against the fold, some at a time.

// AccountsBehind answers the partition's accounts behind one, in the order of their handles, at most limit. Nobody is behind the last;
// behind the zero handle is the first.
func (r *Reading) AccountsBehind(partition int, h journal.Handle, limit int) (list []journal.Handle, err error) {
	p := prefix(nil, keyGroup, partition)
	it, err := r.snap.NewIter(within(p))
	if err != nil {
		return nil, fmt.Errorf("%w: read accounts: %w", ErrStore, err)
	}
	defer func() {
		if e := it.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("%w: read accounts: %w", ErrStore, e))
		}
	}()
	for len(list) < limit {
		if !it.SeekGE(behind(handleKey(nil, keyGroup, partition, h))) {
			return list, nil
		}
		if len(it.Key()) != groupKeySize {
			return nil, badRecord("group's key", it.Key())
		}
		h = journal.Handle(it.Key()[prefixSize:])
		list = append(list, h)
	}
	return list, nil
}

// AccountAt answers an account as the event with that seq of its partition left it; false when it was not there yet. Not whole: later
// events have changed it, and of what it was then only Version, Available and Reserved are known.
func (r *Reading) AccountAt(h journal.Handle, seq uint64) (a journal.Account, ok, whole bool, err error) {
	p, here := r.partitionOf(h)
	if !here {
		return a, false, false, nil
	}
	whole = true
	_, err = r.lines(p, h, span{}, func(l *Line) (bool, error) {
		if l.Seq > seq {
			whole = false
			return true, nil
		}
		a.Version, a.Available, a.Reserved, ok = l.Version, l.AvailableAfter, l.ReservedAfter, true
		return false, nil
	})
	if err != nil || !ok || !whole {
		return a, ok, false, err
	}
	it, err := r.accounts(p)
	if err != nil {
		return a, false, false, err
	}
	a, ok, err = newestGroup(it, p, h)
	return a, ok, true, err
}
