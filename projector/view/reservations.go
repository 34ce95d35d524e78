package view

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// Reservation is a reservation as the projection has it.
type Reservation struct {
	ID journal.ID
	journal.Reservation
	PayerID   string
	ToID      string // as it came with the reserve; "" when it comes with the confirm
	Key       string
	Reference string
	Tombstone bool // it was cancelled before its Try came: nothing but id, key, payer and status is known
	Captures  []Capture
	Event     journal.Position // of its last change
	ChangedMS int64
	Position  journal.Position // that the answer reflects
}

// Capture is one confirm of a reservation.
type Capture struct {
	ID     journal.ID // the confirm's
	Key    string
	To     journal.Handle
	ToID   string
	Amount journal.Amount
	TimeMS int64
	Event  journal.Position
	Phase  Phase // of the credit
}

// Reservation answers a reservation with its captures. A tombstone is, by its id, a cancelled reservation.
func (v *View) Reservation(id journal.ID) (Reservation, bool, error) {
	return reading(v, func(r *Reading) (Reservation, bool, error) { return r.Reservation(id) })
}

// Reservation is as View.Reservation.
func (r *Reading) Reservation(id journal.ID) (res Reservation, ok bool, err error) {
	home := id.Partition(r.view.config.Partitions)
	k, kept, err := r.kept(id)
	if err != nil {
		return res, false, err
	}
	act, seen, err := r.keyed(id)
	if err != nil || (!kept && (!seen || act.Status != journal.Tombstone)) {
		return res, false, err
	}
	if res.Position, err = r.Position(home); err != nil {
		return res, false, err
	}
	res.ID, res.Key, res.Reference, res.ToID = id, string(act.row.Key), string(act.row.Reference), string(act.row.ToText)
	if kept {
		res.Reservation, res.Event, res.ChangedMS = k.Reservation, k.changed.position(home), k.changed.timeMS
	} else {
		res.Tombstone = true
		res.Status, res.Payer = journal.Cancelled, act.row.Account
		res.Event, res.ChangedMS, res.CreatedMS = act.Position, act.TimeMS, act.TimeMS
	}
	if kept {
		res.Captures, err = r.captures(home, id)
	}
	names := r.names()
	res.PayerID = names.of(res.Payer)
	if id := names.of(res.To); res.ToID == "" {
		res.ToID = id
	}
	return res, true, errors.Join(err, names.err)
}

// kept reads a reservation, be it evicted or not.
func (r *Reading) kept(id journal.ID) (k kept, ok bool, err error) {
	home := id.Partition(r.view.config.Partitions)
	if k, ok, err = get(r.snap, idKey(nil, keyLive, home, id), parseKept); ok || err != nil {
		return k, ok, err
	}
	return get(r.snap, idKey(nil, keyReservation, home, id), parseKept)
}

func (r *Reading) captures(home int, id journal.ID) (list []Capture, err error) {
	err = scan(r.snap, idKey(nil, keyCapture, home, id), func(_, value []byte) error {
		c, err := parseCapture(value)
		if err != nil {
			return err
		}
		list = append(list, Capture{ID: c.id, Amount: c.amount})
		return nil
	})
	for i := range list {
		c := &list[i]
		act, ok, e := r.keyed(c.ID)
		if e != nil || !ok {
			return list, errors.Join(err, e, fmt.Errorf("%w: confirm %x of reservation %x: found %v", ErrStore, c.ID, id, ok))
		}
		c.Key, c.To, c.ToID, c.TimeMS, c.Event = string(act.row.Key), act.row.To, string(act.row.ToText), act.TimeMS, act.Position
		if _, c.Phase, e = r.phase(c.Event, c.To); e != nil {
			return list, errors.Join(err, e)
		}
	}
	return list, err
}

// ReservationsOptions choose from the reservations of an account.
type ReservationsOptions struct {
	Status journal.Status // tried, confirmed, cancelled, expired; 0: all
	Cursor string         // Next of the page before; "": from the newest
	Limit  int            // 1 … LimitMax; 0: LimitDefault
}

// Reservations answers a page of the reservations that the account pays for, newest first; false when the projection
// knows no such account. Tombstones are not among them.
func (v *View) Reservations(payer journal.Handle, o ReservationsOptions) (Page[Reservation], bool, error) {
	return reading(v, func(r *Reading) (Page[Reservation], bool, error) { return r.Reservations(payer, o) })
}

// Reservations is as View.Reservations.
func (r *Reading) Reservations(payer journal.Handle, o ReservationsOptions) (page Page[Reservation], ok bool, err error) {
	a, ok, err := r.Account(payer)
	if err != nil || !ok {
		return page, ok, err
	}
	page.Position = a.Position
	bounds := within(append(handleKey(nil, keyListing, a.Position.Partition, payer), byte(o.Status)))
	if o.Cursor != "" {
		ms, id, err := parseListCursor(o.Cursor)
		if err != nil {
			return page, false, err
		}
		bounds.UpperBound = listingKey(nil, a.Position.Partition, payer, o.Status, ms, id)
	}
	var next string
	var more bool
	err = backwards(r.snap, bounds, func(key, _ []byte) (bool, error) {
		createdMS, id := parseListingKey(key)
		res, ok, err := r.Reservation(id)
		if err != nil || !ok {
			return false, errors.Join(err, fmt.Errorf("%w: listed reservation %x: found %v", ErrStore, id, ok))
		}
		page.Data = append(page.Data, res)
		next = listCursorText(createdMS, id)
		return len(page.Data) < limited(o.Limit), nil
	}, &more)
	if more {
		page.Next = next
	}
	return page, true, err
}

func listCursorText(createdMS int64, id journal.ID) string {
	return cursorText(createdMS, 0) + "-" + id.Text("")
}

func parseListCursor(text string) (createdMS int64, id journal.ID, err error) {
	const tail = 1 + 26
	if len(text) < tail {
		return 0, id, fmt.Errorf("%w: %q", ErrBadCursor, text)
	}
	createdMS, _, err = parseCursor(text[:len(text)-tail])
	id, err2 := journal.ParseID("-", text[len(text)-tail:])
	if err != nil || err2 != nil {
		return 0, id, fmt.Errorf("%w: %q", ErrBadCursor, text)
	}
	return createdMS, id, nil
}

// within are the bounds of the keys that begin with p.
func within(p []byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: p, UpperBound: behind(p)}
}
