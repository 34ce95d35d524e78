package settle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
	"walletd/projector/reconcile"
)

// Movement is one credit that the wallet decided: a transfer, or a confirm of a reservation.
type Movement struct {
	Record
	ID            journal.ID // of the transfer or the reservation
	Reservation   bool
	Position      journal.Position
	TimeMS        int64
	Payer, Payee  journal.Handle
	outsidePeriod bool // it may be matched, and is not missed
}

// IDText is the id as clients see it.
func (m *Movement) IDText() string {
	if m.Reservation {
		return m.ID.Text(journal.ReservationPrefix)
	}
	return m.ID.Text(journal.TransferPrefix)
}

// opened is what a confirm needs of its reservation.
type opened struct {
	payer     journal.Handle
	remaining journal.Amount
	asset     journal.Asset
	reference string
}

// wallet collects movements of the journal.
type wallet struct {
	config    *Config
	zone      *time.Location
	account   journal.Handle
	from, to  int32 // days, both included; NoDay: no bound
	open      map[journal.ID]opened
	movements []Movement
	known     bool // the account has been heard of
	room      int  // for movements
}

// errTooMany says that Config.Max is reached.
var errTooMany = errors.New("too many lines and transfers to hold")

// read goes through the journal, whose names it answers.
func (w *wallet) read(ctx context.Context) (reconcile.Names, error) {
	names := reconcile.Names{}
	w.open = map[journal.ID]opened{}
	_, err := reconcile.Replay(ctx, reconcile.ReplayConfig{Log: w.config.Log, Progress: func(done, total int64) { w.config.Progress("journal", done, total) }},
		func(r *reconcile.Replayed) error {
			names = r.Names
			if r.Event == nil {
				return nil
			}
			return w.take(r.Event, &r.Row)
		})
	return names, err
}

func (w *wallet) take(e *journal.Event, r *journal.Row) error {
	m := Movement{ID: r.ID, Position: e.Position, TimeMS: e.TimeMS, Payer: r.Account, Payee: r.To}
	m.Amount, m.Asset = r.Amount, r.Asset
	reference, key := bytes.TrimSpace(r.Reference), bytes.TrimSpace(r.Key) // as the file's are
	switch {
	case r.Op == journal.OpOpen:
		w.known = w.known || r.Account == w.account
		return nil
	case (r.Op == journal.OpTransfer || r.Op == journal.OpPay) && e.Status == journal.Confirmed:
	case r.Op == journal.OpReserve && e.Status == journal.Tried:
		w.open[r.ID] = opened{r.Account, r.Amount, r.Asset, string(reference)}
		return nil
	case r.Op == journal.OpConfirm && (e.Status == journal.Confirmed || e.Status == journal.Tried):
		res, ok := w.open[r.Reservation]
		if !ok {
			return fmt.Errorf("%w: event %v confirms a reservation that is not open", journal.ErrDamaged, e.Position)
		}
		m.ID, m.Reservation, m.Payer, m.Asset = r.Reservation, true, res.payer, res.asset
		if m.Amount == 0 {
			m.Amount = res.remaining
		}
		if len(reference) == 0 {
			reference = []byte(res.reference)
		}
		if res.remaining -= m.Amount; e.Status == journal.Tried {
			w.open[r.Reservation] = res
		} else {
			delete(w.open, r.Reservation)
		}
	case (r.Op == journal.OpCancel && e.Status == journal.Cancelled) || r.Op == journal.OpExpire:
		delete(w.open, r.ID)
		return nil
	default:
		return nil
	}
	return w.add(m, reference, key)
}

// add keeps a movement that is asked about.
func (w *wallet) add(m Movement, reference, key []byte) error {
	c := w.config
	if c.Account != "" {
		switch w.account {
		case m.Payer:
			m.Direction = Debit
		case m.Payee:
			m.Direction = Credit
		default:
			return nil
		}
		if !c.Mapping.directed() {
			m.Direction = Undirected
		}
	}
	m.Day = dayOf(time.UnixMilli(m.TimeMS).In(w.zone))
	switch before, after := int64(w.from)-int64(m.Day), int64(m.Day)-int64(w.to); {
	case w.from != NoDay && before > int64(c.Days) || w.to != NoDay && after > int64(c.Days):
		return nil
	default:
		m.outsidePeriod = w.from != NoDay && before > 0 || w.to != NoDay && after > 0
	}
	if c.Mapping.Date == "" {
		m.Day = NoDay
	}
	switch c.MatchOn {
	case OnKey:
		m.Key = string(key)
	case OnID:
		m.Key = m.IDText()
	default:
		m.Key = string(reference)
	}
	if w.room--; w.room < 0 {
		return errTooMany
	}
	w.movements = append(w.movements, m)
	return nil
}
