package gateway

import (
	"context"
	"net/http"

	"walletd/gateway/tcc"
	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// tryReserve makes the coordinator's request of a parsed reservation.
func tryReserve(q *wire.Reserve) tcc.Try {
	from := journal.HandleOf(q.From)
	t := tcc.Try{ID: journal.IDOf(from, q.Key), From: from, Amount: q.Amount, Asset: q.Asset, ExpiresInS: q.ExpiresInS,
		Key: q.Key, ToText: q.To, Reference: q.Reference}
	if len(q.To) > 0 {
		t.To = journal.HandleOf(q.To)
	}
	return t
}

func confirmOf(q *wire.Confirm) tcc.Confirm {
	c := tcc.Confirm{ID: journal.ConfirmIDOf(q.Reservation, q.Key), Reservation: q.Reservation, Amount: q.Amount, Final: q.Final, Key: q.Key, ToText: q.To}
	if len(q.To) > 0 {
		c.To = journal.HandleOf(q.To)
	}
	return c
}

func (s *Server) postReservation(w http.ResponseWriter, r *http.Request) *wire.Problem {
	b, key, p := bodyAndKey(w, r)
	if p != nil {
		return p
	}
	q, f := wire.ParseReserve(b, key, s.cfg.Assets)
	if f != nil {
		return faulty(f)
	}
	t := tryReserve(&q)
	o := s.desk.one(r.Context(), func(st *rows.Stage, sink rows.Sink) { s.tcc.Reserve(st, &t, sink, 0) })
	s.cfg.Metrics.settled(o.Status)
	if o.Status != journal.Tried {
		if o.Status == journal.OutcomeUnknown {
			w.Header().Set("Location", "/v1/reservations/"+t.ID.Text(journal.ReservationPrefix))
		}
		return refusal(w, &o)
	}
	position(w, o.Position)
	if o.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	reply := s.triedReply(&q, t.ID, &o)
	writeJSON(w, http.StatusCreated, wire.AppendReservation(nil, &reply))
	return nil
}

// triedReply is the shape of a reservation as it is at its Try: what a repeat gets, too.
func (s *Server) triedReply(q *wire.Reserve, id journal.ID, o *rows.Outcome) wire.ReservationReply {
	return wire.ReservationReply{ID: id, Key: string(q.Key), From: string(q.From), To: string(q.To), Amount: q.Amount, Remaining: q.Amount,
		Asset: s.cfg.Assets.Code(q.Asset), Reference: string(q.Reference), Status: "tried", Position: o.Position,
		CreatedMS: o.TimeMS, ExpiresMS: o.TimeMS + 1000*int64(q.ExpiresInS)}
}

func (s *Server) confirmReservation(w http.ResponseWriter, r *http.Request) *wire.Problem {
	id, p := reservationID(r)
	if p != nil {
		return p
	}
	b, key, p := bodyAndKey(w, r)
	if p != nil {
		return p
	}
	q, f := wire.ParseConfirm(b, key, id)
	if f != nil {
		return faulty(f)
	}
	c := confirmOf(&q)
	return s.resolve(w, r, id, string(q.To), func(st *rows.Stage, sink rows.Sink) { s.tcc.Confirm(st, &c, sink, 0) })
}

func (s *Server) cancelReservation(w http.ResponseWriter, r *http.Request) *wire.Problem {
	id, p := reservationID(r)
	if p != nil {
		return p
	}
	b, p := body(w, r)
	if p != nil {
		return p
	}
	if _, f := wire.ParseCancel(b, id); f != nil {
		return faulty(f)
	}
	return s.resolve(w, r, id, "", func(st *rows.Stage, sink rows.Sink) { s.tcc.Cancel(st, id, sink, 0) })
}

func (s *Server) cancelByKey(w http.ResponseWriter, r *http.Request) *wire.Problem {
	b, p := body(w, r)
	if p != nil {
		return p
	}
	q, f := wire.ParseCancelByKey(b)
	if f != nil {
		return faulty(f)
	}
	from := journal.HandleOf(q.From)
	return s.resolve(w, r, journal.IDOf(from, q.Key), "", func(st *rows.Stage, sink rows.Sink) { s.tcc.CancelByKey(st, from, q.Key, sink, 0) })
}

// reservationID reads the path's id. An id that cannot be one is an id that nobody knows.
func reservationID(r *http.Request) (journal.ID, *wire.Problem) {
	id, err := journal.ParseID(journal.ReservationPrefix, r.PathValue("id"))
	if err != nil {
		return id, &wire.Problem{Code: "reservation_not_found", Field: "id"}
	}
	return id, nil
}

// resolve runs a confirm or cancel and answers the reservation; to is the payee that a confirm names itself.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request, id journal.ID, to string, stage func(*rows.Stage, rows.Sink)) *wire.Problem {
	o := s.desk.one(r.Context(), stage)
	s.cfg.Metrics.settled(o.Status)
	if !o.Status.Accepted() {
		if o.Status == journal.OutcomeUnknown {
			w.Header().Set("Location", "/v1/reservations/"+id.Text(journal.ReservationPrefix))
		}
		return refusal(w, &o)
	}
	reply := s.resolvedReply(r.Context(), id, &o)
	if reply.To == "" {
		reply.To = to // the reservation's record names none
	}
	position(w, o.Position)
	if o.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	writeJSON(w, http.StatusOK, wire.AppendReservation(nil, &reply))
	return nil
}

// resolvedReply is the shape of a reservation behind a confirm, cancel or look, with the names of its accounts.
// The act has happened: a name that cannot be had now leaves the field out rather than hiding the outcome.
func (s *Server) resolvedReply(ctx context.Context, id journal.ID, o *rows.Outcome) wire.ReservationReply {
	reply := wire.ReservationReply{ID: id, Status: "cancelled", Position: o.Position}
	res, ok := o.Reservation()
	if !ok { // cancelled before its Try
		return reply
	}
	reply.From, _ = s.names.find(ctx, res.Payer)
	reply.To, _ = s.names.find(ctx, res.To)
	fillReservation(&reply, s.cfg.Assets, &res, o)
	return reply
}

// fillReservation writes what the record says; the answer to a confirm is as the reservation was right behind it.
func fillReservation(reply *wire.ReservationReply, assets journal.Assets, res *journal.Reservation, o *rows.Outcome) {
	reply.Amount, reply.Asset = res.Amount, assets.Code(res.Asset)
	reply.Status, reply.Remaining, reply.Captured = res.Status.Code(), res.Remaining, res.Captured
	reply.CreatedMS, reply.ExpiresMS = res.CreatedMS, res.ExpiresMS
	if o.Op != journal.OpConfirm {
		return
	}
	reply.Status = o.Status.Code()
	if o.Status == journal.Tried {
		reply.Remaining, reply.Captured = journal.Amount(o.Detail), res.Amount-journal.Amount(o.Detail)
	} else {
		reply.Remaining, reply.Captured = 0, journal.Amount(o.Detail)
	}
}

func (s *Server) getReservation(w http.ResponseWriter, r *http.Request) *wire.Problem {
	id, p := reservationID(r)
	if p != nil {
		return p
	}
	o := s.desk.look(r.Context(), id)
	if o.Status != journal.OK {
		return refusal(w, &o)
	}
	if _, ok := o.Reservation(); !ok {
		// A key without a reservation: a tombstone is a cancelled one; anything else is a transfer or a refused Try.
		if k, ok := o.Key(); !ok || k.Status != journal.Tombstone {
			return &wire.Problem{Code: "reservation_not_found", Field: "id"}
		}
	}
	reply := s.resolvedReply(r.Context(), id, &o)
	position(w, o.Position)
	writeJSON(w, http.StatusOK, wire.AppendReservation(nil, &reply))
	return nil
}
