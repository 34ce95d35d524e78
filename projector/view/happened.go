package view

import (
	"fmt"

	"walletd/journal"
)

// Happened is what an event did to one account: the number-th of its changes, from 1. Of Before and After it has no flags, status seq and
// limit. It shares memory with the store and is good until fn returns.
type Happened struct {
	Event  *journal.Event
	Row    *journal.Row
	Number int
	journal.Change
}

// Changes calls fn for everything that the partition's events from a seq on have done to accounts, in the journal's order, until fn answers
// false. The journal itself is not asked: the store has its events, and each account as each of them left it.
func (r *Reading) Changes(partition int, from uint64, fn func(*Happened) (bool, error)) error {
	if err := r.openChunks(); err != nil {
		return err
	}
	h := Happened{}
	return r.chunks.each(partition, max(from, 1), func(e *stored) (bool, error) {
		if !e.Status.Accepted() {
			return true, nil
		}
		h.Event, h.Row, h.Number = &e.Event, &e.row, 0
		return r.changed(&h, fn)
	})
}

// changed goes through the accounts that an event has changed.
func (r *Reading) changed(h *Happened, fn func(*Happened) (bool, error)) (more bool, err error) {
	row := h.Row
	one := func(c journal.Change, leg int) (bool, error) {
		h.Change = c
		if err := r.fill(h, leg); err != nil {
			return false, err
		}
		h.Number++
		return fn(h)
	}
	switch row.Op {
	case journal.OpOpen, journal.OpAlter:
		return one(journal.Change{Account: row.Account, Of: row.Op}, 0)
	case journal.OpReserve, journal.OpPay:
		return one(journal.Change{Account: row.Account, Of: row.Op, ID: row.ID, Other: row.To, Amount: row.Amount}, 0)
	case journal.OpTransfer:
		more, err = one(journal.Change{Account: row.Account, Of: row.Op, ID: row.ID, Other: row.To, Amount: row.Amount}, 0)
		if !more || err != nil {
			return more, err
		}
		return one(journal.Change{Account: row.To, Of: row.Op, ID: row.ID, Other: row.Account, Amount: row.Amount}, 0)
	case journal.OpDeliver:
		for i := range row.LegCount {
			l := row.Leg(i)
			if more, err = one(journal.Change{Account: l.Payee, Of: l.Of, ID: l.ID, Other: l.Payer, Amount: l.Amount, After: journal.Account{Asset: l.Asset}}, i); !more || err != nil {
				return more, err
			}
		}
	case journal.OpConfirm:
		return r.confirmed(row, one)
	case journal.OpCancel, journal.OpExpire:
		if h.Event.Status == journal.Tombstone {
			return true, nil
		}
		of := journal.OpCancel
		if h.Event.Status == journal.Expired {
			of = journal.OpExpire
		}
		k, err := r.reservation(row.ID)
		if err != nil {
			return false, err
		}
		return one(journal.Change{Account: k.Payer, Of: of, ID: row.ID, Other: k.To}, 0)
	}
	return true, nil
}

func (r *Reading) confirmed(row *journal.Row, one func(journal.Change, int) (bool, error)) (bool, error) {
	k, err := r.reservation(row.Reservation)
	if err != nil {
		return false, err
	}
	more, err := one(journal.Change{Account: k.Payer, Of: row.Op, ID: row.Reservation, Other: row.To}, 0)
	if !more || err != nil || row.Verdict != journal.VerdictLocal {
		return more, err
	}
	return one(journal.Change{Account: row.To, Of: row.Op, ID: row.Reservation, Other: k.Payer}, 0)
}

func (r *Reading) reservation(id journal.ID) (kept, error) {
	k, ok, err := r.kept(id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: reservation %x, which an event names, is not there", ErrStore, id)
	}
	return k, err
}

// fill adds what the account's line says. A delivered credit may have gone to the suspense account.
func (r *Reading) fill(h *Happened, leg int) error {
	e, accounts := h.Event, []journal.Handle{h.Account}
	if h.Row.Op == journal.OpDeliver {
		accounts = append(accounts, journal.SuspenseHandle(e.Partition, h.After.Asset))
	}
	for _, s := range [...]span{{fromMS: e.TimeMS, beforeMS: e.TimeMS + 1}, {}} { // everywhere only where a clock went back, which it never does
		for _, account := range accounts {
			if ok, err := r.fillFrom(h, account, s, leg); ok || err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%w: event %v has no line at account %x", ErrStore, e.Position, h.Account)
}

func (r *Reading) fillFrom(h *Happened, account journal.Handle, s span, leg int) (ok bool, err error) {
	_, err = r.linesOf(h.Event.Partition, account, s, func(a *journal.Account, l *Line) (bool, error) {
		if l.Seq != h.Event.Seq || l.Leg != leg {
			return l.Seq >= h.Event.Seq, nil
		}
		ok = true
		h.Account, h.Flagged = account, l.Flagged
		h.After = journal.Account{Available: l.AvailableAfter, Reserved: l.ReservedAfter, Version: l.Version, Asset: a.Asset}
		h.Before = journal.Account{Available: l.AvailableAfter - l.AvailableChange, Reserved: l.ReservedAfter - l.ReservedChange, Version: l.Version - 1, Asset: a.Asset}
		switch h.Row.Op {
		case journal.OpCancel, journal.OpExpire:
			h.Amount = l.AvailableChange
		case journal.OpConfirm: // what the payer loses, or its payee gets
			h.Amount = max(l.AvailableChange+l.ReservedChange, -l.AvailableChange-l.ReservedChange)
		}
		return false, nil
	})
	return ok, err
}

// Name is the account's id, "" where it is not folded here, or not that far.
func (r *Reading) Name(h journal.Handle) (string, error) {
	if _, here := r.partitionOf(h); !here || h.IsZero() {
		return "", nil
	}
	createdMS, d, err := r.details(h)
	if err == nil && d.ID == "" && createdMS != 0 {
		return fmt.Sprintf("handle:%x", h), nil // it was opened with details that are none
	}
	return d.ID, err
}
