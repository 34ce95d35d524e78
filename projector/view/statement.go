package view

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"walletd/journal"
)

// EntriesOptions choose from a statement. What is empty chooses nothing away.
type EntriesOptions struct {
	Cursor string // Next of the page before; "": from the newest
	Limit  int    // 1 … LimitMax; 0: LimitDefault
	FromMS int64  // from ≤ time; 0: from the opening
	ToMS   int64  // time < to; 0: no end

	Direction            Direction
	Kind                 string         // as Entry.Kind
	Counterparty         journal.Handle // zeros: any
	AmountMin, AmountMax journal.Amount // both included; 0: no bound
	ID                   journal.ID     // of the transfer or reservation; zeros: any
	Reference            string
}

// Bounds of lists.
const (
	LimitDefault = 50
	LimitMax     = 1000
	scanMax      = 20_000 // entries looked at for one page: a page of what is rare may end early, with a Next
	scanLookUp   = 20     // a look-up by id counts for so many
)

// ErrBadCursor says that a cursor is none of ours.
var ErrBadCursor = errors.New("bad cursor")

// Page is a part of a list.
type Page[T any] struct {
	Data     []T
	Next     string           // "" at the end
	Position journal.Position // that the answer reflects
}

// Statement is a page of entries, and the balances at the ends of the period that it is of: of every entry in it, chosen or not. A walk
// with cursors closes on every page as on the first, whatever is written meanwhile.
type Statement struct {
	Page[Entry]
	Asset            journal.Asset
	Opening, Closing Balance // version 0: the account was not open yet
	// Homes are partitions that are not folded far enough to know the references of their transfers, here or anywhere.
	Homes []int
}

// Entries answers a page of the account's statement, newest first; false when the projection knows no such account.
func (v *View) Entries(h journal.Handle, o EntriesOptions) (Statement, bool, error) {
	return reading(v, func(r *Reading) (Statement, bool, error) { return r.Entries(h, o) })
}

// Entries is as View.Entries.
func (r *Reading) Entries(h journal.Handle, o EntriesOptions) (st Statement, ok bool, err error) {
	a, ok, err := r.Account(h)
	if err != nil || !ok {
		return st, ok, err
	}
	at, err := parseEntriesCursor(o.Cursor)
	if err != nil {
		return st, false, err
	}
	st.Position, st.Asset = a.Position, a.Asset
	period := span{fromMS: max(o.FromMS, 0), beforeMS: max(o.ToMS, 0)}
	if top := at.top; top != (line{}) && (period.beforeMS == 0 || top.timeMS < period.beforeMS) {
		period.beforeMS, period.beforeVersion = top.timeMS, top.version+1
	}
	if err := r.balances(&a, &st, period); err != nil {
		return st, false, err
	}
	page, last := period, at.last
	if last != (line{}) && (page.beforeMS == 0 || last.timeMS < page.beforeMS || last.timeMS == page.beforeMS && last.version < page.beforeVersion) {
		page.beforeMS, page.beforeVersion = last.timeMS, last.version
	}
	return st, true, r.page(h, &st, page, &o)
}

// balances reads those at the ends of a period.
func (r *Reading) balances(a *Account, st *Statement, period span) error {
	one := func(before span) (b Balance, err error) {
		b = Balance{Account: a.Handle, ID: a.Details.ID, Asset: a.Asset, Position: a.Position}
		_, err = r.lines(a.Position.Partition, a.Handle, before, func(l *Line) (bool, error) {
			b.Available, b.Reserved, b.Version, b.TimeMS = l.AvailableAfter, l.ReservedAfter, l.Version, l.TimeMS
			return false, nil
		})
		return b, err
	}
	var err error
	before := period
	before.fromMS = 0
	if st.Closing, err = one(before); err != nil {
		return err
	}
	if period.fromMS == 0 {
		st.Opening = Balance{Account: a.Handle, ID: a.Details.ID, Asset: a.Asset, Position: a.Position}
		return nil
	}
	if st.Opening, err = one(span{beforeMS: period.fromMS}); err == nil && st.Opening.Version > st.Closing.Version {
		st.Opening = st.Closing // from is not before to
	}
	return err
}

// page reads the entries of a page.
func (r *Reading) page(h journal.Handle, st *Statement, s span, o *EntriesOptions) error {
	limit, names, seen := limited(o.Limit), r.names(), 0
	var last line
	more, err := r.lines(st.Position.Partition, h, s, func(l *Line) (bool, error) {
		last = line{l.TimeMS, l.Version}
		seen++
		if o.Direction != Neither && direction(l.AvailableChange, l.ReservedChange) != o.Direction {
			return seen < scanMax, nil
		}
		e, err := r.entry(st.Position.Partition, h, l)
		if err == nil && o.chooses(&e) {
			if e.Of != journal.OpOpen && e.Of != journal.OpAlter && e.Reference == "" {
				seen += scanLookUp
				err = r.refer(st, &e)
			}
			if err == nil && (o.Reference == "" || e.Reference == o.Reference) {
				if e.CounterpartyID, err = r.counterparty(names, &e); err == nil {
					st.Data = append(st.Data, e)
				}
			}
		}
		return len(st.Data) < limit && seen < scanMax, err
	})
	if more {
		st.Next = entriesCursor{last, line{st.Closing.TimeMS, st.Closing.Version}}.text()
	}
	return errors.Join(err, names.err)
}

// chooses reports whether an entry is wanted, but for its direction and reference.
func (o *EntriesOptions) chooses(e *Entry) bool {
	return (o.Kind == "" || e.Kind() == o.Kind) && (o.Counterparty.IsZero() || e.Counterparty == o.Counterparty) &&
		e.Amount >= o.AmountMin && (o.AmountMax == 0 || e.Amount <= o.AmountMax) && (o.ID == journal.ID{} || e.ID == o.ID)
}

// refer takes the reference of what another event decided from its first row.
func (r *Reading) refer(st *Statement, e *Entry) error {
	home := e.ID.Partition(r.view.config.Partitions)
	if e.ID == (journal.ID{}) || e.Of == journal.OpTransfer || e.Of == journal.OpReserve || e.Position.Partition == home && e.Of == journal.OpPay {
		return nil // it has none: its own row would say
	}
	k, ok, err := r.keyed(e.ID)
	switch {
	case err != nil:
		return err
	case ok:
		e.Reference = string(k.row.Reference)
	case !slices.Contains(st.Homes, home):
		st.Homes = append(st.Homes, home)
	}
	return nil
}

// line names a line of a statement.
type line struct {
	timeMS  int64
	version uint64
}

// entriesCursor is behind the last entry of a page; top is the newest line of the first page's period.
type entriesCursor struct{ last, top line }

func (c entriesCursor) text() string {
	return cursorText(c.last.timeMS, c.last.version) + "." + cursorText(c.top.timeMS, c.top.version)
}

func parseEntriesCursor(text string) (c entriesCursor, err error) {
	if text == "" {
		return c, nil
	}
	last, top, ok := strings.Cut(text, ".")
	c.last.timeMS, c.last.version, err = parseCursor(last)
	if err == nil && ok { // those of before had no top
		c.top.timeMS, c.top.version, err = parseCursor(top)
	}
	if err != nil {
		return c, fmt.Errorf("%w: %q", ErrBadCursor, text)
	}
	return c, nil
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
