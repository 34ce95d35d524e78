package tcc

import (
	"walletd/journal"
	"walletd/journal/rows"
)

// elder decides what becomes of a row whose id a shard may have evicted, by what the journal knows of it. It answers as the
// shard would if it remembered everything: the acts' own rules (journal.Book) decide on the old records. What these say
// never changes any more: a key's first outcome stands for ever, and an evicted reservation is resolved.
type elder struct {
	*asked
	partitions int
	row        *journal.Row
	known      []Known // of the row's id; of a confirm's reservation
}

type fate int

const (
	answered    fate = iota
	goesOn           // the row goes to its shard again: nothing that it needs has been evicted
	nobodyKnows      // now
)

func (e *elder) decide() (rows.Outcome, fate) {
	for i := range e.known {
		if e.known[i].Behind {
			return e.refuse(journal.ProjectionBehind), nobodyKnows
		}
	}
	id, about := &e.known[0], &e.known[len(e.known)-1]
	elsewhere := e.payee(about)
	switch {
	case id.Seen && e.row.Op != journal.OpLook && e.row.Op != journal.OpCancel: // the first answer
	case e.otherwise != journal.None:
		return e.refuse(e.otherwise), answered
	case elsewhere:
		return e.refuse(journal.ConditionFailed), answered
	case about.Reserved && about.Reservation.Status == journal.Tried:
		if e.row.Op == journal.OpConfirm && e.out.Op == journal.OpConfirm {
			return e.again() // the shard has it, too
		}
		return e.refuse(journal.ProjectionBehind), nobodyKnows // it came about meanwhile
	case e.row.Op == journal.OpLook:
		return e.look(), answered
	case !id.Seen && (e.row.Op == journal.OpTransfer || e.row.Op == journal.OpPay || e.row.Op == journal.OpReserve):
		return e.again()
	case !id.Seen && !id.Reserved && e.row.ByKey:
		return e.again()
	}
	return e.first()
}

// payee gives a confirm that names none its reservation's payee, as a look at it would have done, and reports whether it is to
// go to nobody, or to another.
func (e *elder) payee(about *Known) (elsewhere bool) {
	if e.row.Op != journal.OpConfirm || !about.Reserved {
		return false
	}
	if e.row.To.IsZero() {
		e.row.To = about.Reservation.To
	}
	return e.row.To.IsZero() || (!about.Reservation.To.IsZero() && e.row.To != about.Reservation.To)
}

// again sends the row on, marked as cleared up to a cut-off, which is one as the shard has evicted something.
func (e *elder) again() (rows.Outcome, fate) {
	if e.known[0].EvictedMS > e.row.ClearedMS {
		return rows.Outcome{}, goesOn
	}
	return e.refuse(journal.ProjectionBehind), nobodyKnows
}

func (e *elder) refuse(s journal.Status) rows.Outcome {
	out := e.out
	out.Op, out.Status = e.row.Op, s
	return out
}

// first is what the act would have answered with the old records.
func (e *elder) first() (rows.Outcome, fate) {
	book := e.book()
	if e.row.Op == journal.OpConfirm { // a payee's state is no matter any more
		e.row.Verdict = uint8(journal.OK)
	}
	d, err := book.Decide(e.row.Append(nil), 0)
	if err != nil || d.Status == journal.KeyOld {
		return e.refuse(journal.ProjectionBehind), nobodyKnows
	}
	out := e.refuse(d.Status)
	out.Replayed, out.Detail = d.Replayed, d.Detail
	if d.Replayed {
		out.TimeMS = d.First.TimeMS
		out.Position.Epoch, out.Position.Seq = d.First.Epoch, d.First.Seq
	}
	about := &e.known[len(e.known)-1]
	ended := e.row.Op == journal.OpCancel && (!e.row.ByKey || !about.Seen || about.Key.Status == journal.Tried)
	if about.Reserved && d.Status.Accepted() && (e.row.Op == journal.OpConfirm || ended) {
		out.Record = about.Reservation.Append(nil)
	}
	return out, answered
}

// book is the partition as if nothing but these records had ever been.
func (e *elder) book() *journal.Book {
	b := journal.NewBook(e.out.Position.Partition, e.partitions)
	ids := [...]journal.ID{e.row.ID, e.row.Reservation}
	for i := range e.known {
		k := &e.known[i]
		if k.Seen {
			b.State.SetKey(ids[i], k.Key)
		}
		if k.Reserved {
			b.State.SetReservation(ids[i], k.Reservation)
		}
	}
	return b
}

// look is the answer of a look: the reservation behind its length, then the key record.
func (e *elder) look() rows.Outcome {
	k := &e.known[0]
	if !k.Seen && !k.Reserved {
		return e.refuse(journal.ReservationNotFound)
	}
	out := e.refuse(journal.OK)
	out.Record = []byte{0}
	if k.Reserved {
		out.Record = k.Reservation.Append([]byte{journal.ReservationSize})
	}
	if k.Seen {
		out.Record = k.Key.Append(out.Record)
	}
	return out
}
