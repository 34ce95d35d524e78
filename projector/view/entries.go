package view

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

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
func (e *Entry) Direction() Direction {
	change := e.AvailableChange + e.ReservedChange
	if change == 0 {
		change = e.AvailableChange
	}
	switch {
	case change < 0:
		return Debit
	case change > 0:
		return Credit
	}
	return Neither
}

// EntriesOptions choose from a statement.
type EntriesOptions struct {
	Cursor    string    // Next of the page before; "": from the newest
	Limit     int       // 1 … LimitMax; 0: LimitDefault
	FromMS    int64     // from ≤ time; 0: from the opening
	ToMS      int64     // time < to; 0: no end
	Direction Direction // only these
}

// Bounds of lists.
const (
	LimitDefault = 50
	LimitMax     = 1000
	scanMax      = 20_000 // entries looked at for one page: a page of a rare direction may end early, with a Next
)

// ErrBadCursor says that a cursor is none of ours.
var ErrBadCursor = errors.New("bad cursor")

// Page is a part of a list.
type Page[T any] struct {
	Data     []T
	Next     string           // "" at the end
	Position journal.Position // that the answer reflects
}

// Entries answers a page of the account's statement, newest first; false when the projection knows no such account.
func (v *View) Entries(h journal.Handle, o EntriesOptions) (Page[Entry], bool, error) {
	return reading(v, func(r *Reading) (Page[Entry], bool, error) { return r.Entries(h, o) })
}

// Entries is as View.Entries.
func (r *Reading) Entries(h journal.Handle, o EntriesOptions) (page Page[Entry], ok bool, err error) {
	a, ok, err := r.Account(h)
	if err != nil || !ok {
		return page, ok, err
	}
	s := span{fromMS: max(o.FromMS, 0), beforeMS: max(o.ToMS, 0)}
	if o.Cursor != "" {
		ms, version, err := parseCursor(o.Cursor)
		if err != nil {
			return page, false, err
		}
		if s.beforeMS == 0 || ms < s.beforeMS {
			s.beforeMS, s.beforeVersion = ms, version
		}
	}
	page.Position = a.Position
	limit, names, seen := limited(o.Limit), r.names(), 0
	var last Entry
	more, err := r.entries(a.Position.Partition, h, s, func(e Entry) (bool, error) {
		last = e
		if seen++; o.Direction == Neither || e.Direction() == o.Direction {
			if e.CounterpartyID, err = r.counterparty(names, &e); err != nil {
				return false, err
			}
			page.Data = append(page.Data, e)
		}
		return len(page.Data) < limit && seen < scanMax, nil
	})
	if more {
		page.Next = cursorText(last.TimeMS, last.Version)
	}
	return page, true, errors.Join(err, names.err)
}

// counterparty is the other account's id: from its details, or, where it lives in a partition that is not folded here, as
// the payer wrote it into the row.
func (r *Reading) counterparty(n *names, e *Entry) (string, error) {
	if id := n.of(e.Counterparty); id != "" || e.Counterparty.IsZero() || e.ID == (journal.ID{}) {
		return id, nil
	}
	k, ok, err := r.keyed(e.ID)
	if err != nil || !ok || k.row.To != e.Counterparty {
		return "", err
	}
	return string(k.row.ToText), nil
}

func limited(limit int) int {
	if limit <= 0 {
		return LimitDefault
	}
	return min(limit, LimitMax)
}

func cursorText(timeMS int64, version uint64) string {
	return strconv.FormatInt(timeMS, 36) + "-" + strconv.FormatUint(version, 36)
}

func parseCursor(text string) (timeMS int64, version uint64, err error) {
	a, b, _ := strings.Cut(text, "-")
	timeMS, err1 := strconv.ParseInt(a, 36, 64)
	version, err2 := strconv.ParseUint(b, 36, 64)
	if err1 != nil || err2 != nil || timeMS < 0 || cursorText(timeMS, version) != text {
		return 0, 0, fmt.Errorf("%w: %q", ErrBadCursor, text)
	}
	return timeMS, version, nil
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
		e.ID, e.Amount, e.Counterparty = row.ID, row.Amount, row.To
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

// entries is lines, with what their events say.
func (r *Reading) entries(partition int, h journal.Handle, s span, fn func(Entry) (bool, error)) (more bool, err error) {
	return r.lines(partition, h, s, func(l *Line) (bool, error) {
		e, err := r.entry(partition, h, l)
		if err != nil {
			return false, err
		}
		return fn(e)
	})
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
