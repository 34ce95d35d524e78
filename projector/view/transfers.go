package view

import (
	"encoding/binary"
	"errors"
	"fmt"

	"walletd/journal"
)

// Transfer is a keyed act and its first outcome: a transfer, a pay, a reserve, a confirm, or a tombstone (Of cancel).
type Transfer struct {
	ID     journal.ID
	Of     journal.Op
	Status journal.Status // confirmed, tried, tombstone, or the refusal
	Detail uint64         // as journal.KeyRecord's: insufficient_funds: what is missing, …

	Key       string
	Reference string
	Payer     journal.Handle // zeros: a confirm of a reservation that is not there
	PayerID   string         // "" when it is not known here
	Payee     journal.Handle // zeros: a reservation whose payee comes with its confirm
	PayeeID   string
	Amount    journal.Amount // minor units; an accepted confirm: what it captured; a refused one: as asked, 0 for all
	Asset     journal.Asset

	Reservation journal.ID // confirm: what it confirms
	Final       bool       // confirm
	ExpiresInS  uint32     // reserve

	TimeMS   int64
	Event    journal.Position // of the outcome's event
	Legs     []Leg            // TransferWithLegs; none for what moved nothing from account to account
	Position journal.Position // that the answer reflects, of the home partition
}

// IDText is the id as clients see it: tr_… or, of a reserve, rs_….
func (t *Transfer) IDText() string {
	if t.Of == journal.OpReserve {
		return t.ID.Text(journal.ReservationPrefix)
	}
	return t.ID.Text(journal.TransferPrefix)
}

// Phase is how far a leg has come.
type Phase string

// A leg is tried until the delivery that carries it is in the journal of its partition (semantics section 3).
const (
	PhaseTried     Phase = "tried"
	PhaseConfirmed Phase = "confirmed"
)

// Leg is one account's part of a transfer.
type Leg struct {
	Account   journal.Handle
	AccountID string
	Direction Direction
	Amount    journal.Amount
	Partition int
	Phase     Phase
}

// keyed reads the event that made the key record under an id; it is good until the next event is read.
func (r *Reading) keyed(id journal.ID) (e stored, ok bool, err error) {
	home := id.Partition(r.view.config.Partitions)
	d, known := r.runs[home]
	if !known {
		if d, err = readDirectory(r.snap, home); err != nil {
			return e, false, err
		}
		if r.runs == nil {
			r.runs = map[int]directory{}
		}
		r.runs[home] = d
	}
	if err := r.openChunks(); err != nil {
		return e, false, err
	}
	return r.chunks.keyed(r.snap, home, &d, id)
}

// keyed finds the event that made the key record under an id.
func (c *chunks) keyed(r reader, partition int, d *directory, id journal.ID) (e stored, ok bool, err error) {
	seqs, err := d.find(r, partition, id)
	if err != nil {
		return e, false, err
	}
	for _, seq := range seqs {
		e, ok, err = c.event(partition, seq)
		if err == nil && !ok {
			err = fmt.Errorf("%w: event %d of partition %d, which an id names, is not there", ErrStore, seq, partition)
		}
		if err != nil {
			return e, false, err
		}
		if of, keyed := e.keyed(); keyed && of == id {
			return e, true, nil
		}
	}
	return e, false, nil
}

// findKey reads a key record from a state of the store.
func findKey(r reader, partition int, d *directory, id journal.ID) (k journal.KeyRecord, row []byte, ok bool, err error) {
	c, err := openChunks(r)
	if err != nil {
		return k, nil, false, err
	}
	e, ok, err := c.keyed(r, partition, d, id)
	if ok {
		row = append(row, e.Packed...)
		k = e.record()
		k.Content = journal.Content(row)
	}
	return k, row, ok, errors.Join(err, c.close())
}

// Keyed answers an act's key record and its row as it came, for auditors.
func (r *Reading) Keyed(id journal.ID) (k journal.KeyRecord, row []byte, ok bool, err error) {
	e, ok, err := r.keyed(id)
	if err != nil || !ok {
		return k, nil, false, err
	}
	row = append(row, e.Packed...)
	k = e.record()
	k.Content = journal.Content(row)
	return k, row, true, nil
}

// Transfer answers what is known under an id, without legs.
func (v *View) Transfer(id journal.ID) (Transfer, bool, error) {
	return reading(v, func(r *Reading) (Transfer, bool, error) { return r.Transfer(id) })
}

// TransferWithLegs answers what is known under an id, and how far each leg has come.
func (v *View) TransferWithLegs(id journal.ID) (Transfer, bool, error) {
	return reading(v, func(r *Reading) (Transfer, bool, error) { return r.TransferWithLegs(id) })
}

// Transfer is as View.Transfer.
func (r *Reading) Transfer(id journal.ID) (t Transfer, ok bool, err error) {
	home := id.Partition(r.view.config.Partitions)
	k, ok, err := r.keyed(id)
	if err != nil || !ok {
		return t, ok, err
	}
	if t.Position, err = r.Position(home); err != nil {
		return t, false, err
	}
	row := &k.row
	t.ID, t.Of, t.Status, t.Detail = id, row.Op, k.Status, k.detail
	t.Key, t.Reference, t.PayeeID = string(row.Key), string(row.Reference), string(row.ToText)
	t.Payer, t.Payee, t.Amount, t.Asset = row.Account, row.To, row.Amount, row.Asset
	t.Reservation, t.Final, t.ExpiresInS = row.Reservation, row.Final, row.ExpiresInS
	t.TimeMS, t.Event = k.TimeMS, k.Position
	if row.Op == journal.OpConfirm {
		if err := r.ofReservation(&t); err != nil {
			return t, false, err
		}
	}
	names := r.names()
	t.PayerID = names.of(t.Payer)
	if id := names.of(t.Payee); t.PayeeID == "" {
		t.PayeeID = id
	}
	return t, true, names.err
}

// ofReservation takes what a confirm does not say itself from its reservation.
func (r *Reading) ofReservation(t *Transfer) error {
	home := t.Event.Partition
	res, ok, err := r.kept(t.Reservation)
	if err != nil || !ok {
		return err
	}
	t.Payer, t.Asset = res.Payer, res.Asset
	if t.Status.Accepted() {
		c, _, err := get(r.snap, captureKey(nil, home, t.Reservation, t.Event.Seq), parseCapture)
		t.Amount = c.amount
		return err
	}
	return nil
}

// TransferWithLegs is as View.TransferWithLegs.
func (r *Reading) TransferWithLegs(id journal.ID) (t Transfer, ok bool, err error) {
	t, ok, err = r.Transfer(id)
	if err != nil || !ok || !t.Status.Accepted() || !moves(t.Of) {
		return t, ok, err
	}
	home := t.Event.Partition
	t.Legs = []Leg{{t.Payer, t.PayerID, Debit, t.Amount, home, PhaseConfirmed}, {t.Payee, t.PayeeID, Credit, t.Amount, 0, ""}}
	t.Legs[1].Partition, t.Legs[1].Phase, err = r.phase(t.Event, t.Payee)
	return t, true, err
}

func moves(of journal.Op) bool {
	return of == journal.OpTransfer || of == journal.OpPay || of == journal.OpConfirm
}

// phase tells whether a credit that was decided at this position has arrived.
func (r *Reading) phase(decided journal.Position, payee journal.Handle) (partition int, p Phase, err error) {
	q := payee.Partition(r.view.config.Partitions)
	if q == decided.Partition {
		return q, PhaseConfirmed, nil
	}
	d, err := r.Delivered(q, decided.Partition)
	if err != nil || d < decided.Seq {
		return q, PhaseTried, err
	}
	return q, PhaseConfirmed, nil
}

// Delivered is the seq of the source partition's journal up to which its legs have been credited in the partition.
func (r *Reading) Delivered(partition, source int) (uint64, error) {
	d, _, err := get(r.snap, numberKey(nil, keyDelivered, partition, source), func(b []byte) (uint64, error) {
		if len(b) != 8 {
			return 0, badRecord("delivered", b)
		}
		return binary.BigEndian.Uint64(b), nil
	})
	return d, err
}

// Flagged answers the credits that went to a closed account, or to a suspense account, in a partition: newest first, at
// most limit.
func (v *View) Flagged(partition, limit int) (list []Entry, err error) {
	r := v.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Flagged(partition, limit)
}

// Flagged is as View.Flagged.
func (r *Reading) Flagged(partition, limit int) (list []Entry, err error) {
	p := prefix(nil, keyFlagged, partition)
	names, more := r.names(), false
	err = backwards(r.snap, within(p), func(_, value []byte) (bool, error) {
		h, timeMS, version, err := parseFlagged(value)
		if err != nil {
			return false, err
		}
		e, ok, err := r.Entry(h, timeMS, version)
		if err != nil || !ok {
			return false, errors.Join(err, badRecord("flagged", value))
		}
		if e.CounterpartyID, err = r.counterparty(names, &e); err != nil {
			return false, err
		}
		list = append(list, e)
		return len(list) < limited(limit), nil
	}, &more)
	return list, errors.Join(err, names.err)
}
