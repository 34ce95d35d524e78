package view

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// Entry is one version of an account: a line of its statement. Version 1 is the opening (a suspense account's: its first
// credit), and there are no gaps.
type Entry struct {
	Account        journal.Handle
	Version        uint64
	Of             journal.Op // the act; for a delivered credit the act that decided it
	ID             journal.ID // transfer, or reservation (also for its confirms); zeros for open and alter
	Counterparty   journal.Handle
	CounterpartyID string // "" when it is not known here
	Reference      string // of the transfer or reservation; "" too when its home is not known here
	Amount         journal.Amount
	Flagged        bool // a credit to an account closed meanwhile, or to a suspense account

	AvailableChange journal.Amount
	ReservedChange  journal.Amount
	AvailableAfter  journal.Amount
	ReservedAfter   journal.Amount

	TimeMS   int64
	Position journal.Position // of the event
}

// Kind is the entry's word on the surface: transfer, reserve, confirm, cancel, expire, account.
func (e *Entry) Kind() string {
	switch e.Of {
	case journal.OpOpen, journal.OpAlter:
		return "account"
	case journal.OpPay:
		return journal.OpTransfer.String()
	default:
		return e.Of.String()
	}
}

// IDText is the id as clients see it: tr_… or rs_…; "" for kind account.
func (e *Entry) IDText() string {
	switch e.Of {
	case journal.OpOpen, journal.OpAlter:
		return ""
	case journal.OpTransfer, journal.OpPay:
		return e.ID.Text(journal.TransferPrefix)
	default:
		return e.ID.Text(journal.ReservationPrefix)
	}
}

// Direction tells which way the money went.
type Direction string

// A debit is what lowers available + reserved; where that stays (reserve, cancel, expire), what lowers available.
const (
	Neither Direction = ""
	Debit   Direction = "debit"
	Credit  Direction = "credit"
)

// Direction is the entry's.
func (e *Entry) Direction() Direction { return direction(e.AvailableChange, e.ReservedChange) }

func direction(available, reserved journal.Amount) Direction {
	change := available + reserved
	if change == 0 {
		change = available
	}
	switch {
	case change < 0:
		return Debit
	case change > 0:
		return Credit
	}
	return Neither
}

// entry makes the whole line of a statement: the group's part, and what its event says.
func (r *Reading) entry(partition int, h journal.Handle, l *Line) (e Entry, err error) {
	e = Entry{Account: h, Version: l.Version, TimeMS: l.TimeMS, Flagged: l.Flagged, AvailableChange: l.AvailableChange, ReservedChange: l.ReservedChange,
		AvailableAfter: l.AvailableAfter, ReservedAfter: l.ReservedAfter}
	of, err := r.event(partition, l.Seq)
	if err != nil {
		return e, err
	}
	e.Position, e.Of = of.Position, of.row.Op
	switch row := &of.row; row.Op {
	case journal.OpTransfer, journal.OpPay, journal.OpReserve:
		e.ID, e.Amount, e.Counterparty, e.Reference = row.ID, row.Amount, row.To, string(row.Reference)
		if h != row.Account {
			e.Counterparty = row.Account
		}
	case journal.OpDeliver:
		if l.Leg >= row.LegCount {
			return e, fmt.Errorf("%w: leg %d of event %v", ErrStore, l.Leg, of.Position)
		}
		leg := row.Leg(l.Leg)
		e.Of, e.ID, e.Amount, e.Counterparty = leg.Of, leg.ID, leg.Amount, leg.Payer
	case journal.OpConfirm:
		e.ID, e.Counterparty, e.Amount = row.Reservation, row.To, -(l.AvailableChange + l.ReservedChange)
		if l.ReservedChange == 0 { // the payee's side
			e.Amount = l.AvailableChange
			return e, r.ofPayer(&e)
		}
	case journal.OpCancel, journal.OpExpire:
		e.Of, e.ID, e.Amount = journal.OpCancel, row.ID, l.AvailableChange
		if of.Status == journal.Expired {
			e.Of = journal.OpExpire
		}
		k, _, err := r.kept(row.ID)
		e.Counterparty = k.To
		return e, err
	}
	return e, nil
}

// ofPayer takes the payer of a confirm from its reservation.
func (r *Reading) ofPayer(e *Entry) error {
	k, _, err := r.kept(e.ID)
	e.Counterparty = k.Payer
	return err
}

// span is a part of a statement: fromMS ≤ time, before (beforeMS, beforeVersion), and seq ≤ seqMax. 0: no bound.
type span struct {
	fromMS        int64
	beforeMS      int64
	beforeVersion uint64
	seqMax        uint64
}

func (s *span) behind(l *Line) bool {
	return (s.seqMax != 0 && l.Seq > s.seqMax) || (s.beforeMS != 0 || s.beforeVersion != 0) && (l.TimeMS > s.beforeMS || (l.TimeMS == s.beforeMS && l.Version >= s.beforeVersion))
}

// lines calls fn for the lines of the span, newest first, until it answers false; more: there are others behind.
func (r *Reading) lines(partition int, h journal.Handle, s span, fn func(*Line) (bool, error)) (more bool, err error) {
	return r.linesOf(partition, h, s, func(_ *journal.Account, l *Line) (bool, error) { return fn(l) })
}

// linesOf is lines, with the account as the newest line of the same group left it.
func (r *Reading) linesOf(partition int, h journal.Handle, s span, fn func(*journal.Account, *Line) (bool, error)) (more bool, err error) {
	it, err := r.accounts(partition)
	if err != nil {
		return false, err
	}
	seek := handleKey(nil, keyGroup, partition, h)
	if s.beforeMS != 0 || s.beforeVersion != 0 { // the first group whose oldest line is before the bound
		seek = groupKey(nil, partition, h, s.beforeMS, s.beforeVersion)
	}
	wanted := true
	for ok := it.SeekPrefixGE(seek); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return false, fmt.Errorf("%w: read a statement: %w", ErrStore, err)
		}
		g, err := parseGroup(it.Key(), value)
		if err != nil {
			return false, err
		}
		for {
			l, ok, err := g.next()
			if err != nil {
				return false, err
			}
			if !ok {
				break
			}
			if s.behind(&l) {
				continue
			}
			if l.TimeMS < s.fromMS || !wanted {
				return !wanted && l.TimeMS >= s.fromMS, nil
			}
			if wanted, err = fn(&g.account, &l); err != nil {
				return false, err
			}
		}
	}
	if err := it.Error(); err != nil {
		return false, fmt.Errorf("%w: read a statement: %w", ErrStore, err)
	}
	return false, nil
}

// backwards calls fn for the records within the bounds, last first, until it answers false; then more says whether there
// is another one.
func backwards(r reader, o *pebble.IterOptions, fn func(key, value []byte) (bool, error), more *bool) (err error) {
	it, err := r.NewIter(o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	defer func() {
		if e := it.Close(); err == nil && e != nil {
			err = fmt.Errorf("%w: %w", ErrStore, e)
		}
	}()
	for ok := it.Last(); ok; ok = it.Prev() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
		wanted, err := fn(it.Key(), value)
		if err != nil {
			return err
		}
		if !wanted {
			*more = it.Prev()
			return nil
		}
	}
	return nil
}
