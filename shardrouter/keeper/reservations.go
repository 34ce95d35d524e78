package keeper

import (
	"fmt"

	"walletd/journal"
)

// open is what the keeper remembers of a reservation as long as it is open: what a leg of its confirm needs, and when it
// expires.
type open struct {
	payer     journal.Handle
	remaining journal.Amount
	asset     journal.Asset
	expiresMS int64
}

// reservations follows the open reservations of some partitions through their events, without the rest of a Book. It
// also says what an event sends elsewhere: a confirm names neither payer nor asset, its reservation does.
type reservations struct {
	open map[journal.ID]open
	// opened and closed, when set, are told of changes.
	opened func(journal.ID, open)
	closed func(journal.ID)
}

func newReservations() *reservations { return &reservations{open: map[journal.ID]open{}} }

// errUnknownReservation says that an event needs a reservation whose reserve has not been seen.
var errUnknownReservation = fmt.Errorf("%w: a confirm of a reservation that is not open", journal.ErrDamaged)

// follow takes the partition's next event and answers the leg that it decides for another partition, if it does. r is
// the event's row.
func (s *reservations) follow(e *journal.Event, r *journal.Row) (l journal.Leg, ok bool, err error) {
	if !e.Status.Accepted() {
		return l, false, nil
	}
	switch r.Op {
	case journal.OpPay:
		return journal.Leg{Of: journal.OpPay, ID: r.ID, Payer: r.Account, Payee: r.To, Amount: r.Amount, Asset: r.Asset}, true, nil
	case journal.OpReserve:
		s.begin(r.ID, open{payer: r.Account, remaining: r.Amount, asset: r.Asset, expiresMS: e.TimeMS + 1000*int64(r.ExpiresInS)})
	case journal.OpConfirm:
		return s.confirm(e, r)
	case journal.OpCancel, journal.OpExpire:
		if e.Status != journal.Tombstone {
			s.end(r.ID)
		}
	default: // neither reserves nor pays elsewhere
	}
	return l, false, nil
}

func (s *reservations) confirm(e *journal.Event, r *journal.Row) (l journal.Leg, ok bool, err error) {
	o, known := s.open[r.Reservation]
	if !known {
		return l, false, errUnknownReservation
	}
	amount := r.Amount
	if amount == 0 {
		amount = o.remaining
	}
	if e.Status == journal.Confirmed {
		s.end(r.Reservation)
	} else {
		o.remaining -= amount
		s.open[r.Reservation] = o
	}
	if r.Verdict == journal.VerdictLocal {
		return l, false, nil
	}
	return journal.Leg{Of: journal.OpConfirm, ID: r.Reservation, Payer: o.payer, Payee: r.To, Amount: amount, Asset: o.asset}, true, nil
}

func (s *reservations) begin(id journal.ID, o open) {
	s.open[id] = o
	if s.opened != nil {
		s.opened(id, o)
	}
}

func (s *reservations) end(id journal.ID) {
	if _, known := s.open[id]; !known {
		return
	}
	delete(s.open, id)
	if s.closed != nil {
		s.closed(id)
	}
}
