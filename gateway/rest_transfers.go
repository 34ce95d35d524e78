package gateway

import (
	"net/http"
	"net/url"

	"walletd/gateway/tcc"
	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// try makes the coordinator's request of a parsed transfer.
func try(t *wire.Transfer) tcc.Try {
	from := journal.HandleOf(t.From)
	return tcc.Try{ID: journal.IDOf(from, t.Key), From: from, To: journal.HandleOf(t.To), Amount: t.Amount, Asset: t.Asset,
		Key: t.Key, ToText: t.To, Reference: t.Reference}
}

func (s *Server) postTransfer(w http.ResponseWriter, r *http.Request) *wire.Problem {
	b, key, p := bodyAndKey(w, r)
	if p != nil {
		return p
	}
	t, f := wire.ParseTransfer(b, key, s.cfg.Assets)
	if f != nil {
		return faulty(f)
	}
	dry, p := dryRunOf(r)
	if p != nil {
		return p
	}
	if dry {
		return s.dryRun(w, r, &t)
	}
	q := try(&t)
	o := s.desk.one(r.Context(), func(st *rows.Stage, sink rows.Sink) { s.tcc.Transfer(st, &q, sink, 0) })
	s.cfg.Metrics.settled(o.Status)
	if o.Status != journal.Confirmed {
		if o.Status == journal.OutcomeUnknown {
			w.Header().Set("Location", "/v1/transfers/"+q.ID.Text(journal.TransferPrefix))
		}
		return refusal(w, &o)
	}
	position(w, o.Position)
	if o.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	reply := s.transferReply(&t, &q, &o)
	writeJSON(w, http.StatusCreated, wire.AppendTransfer(nil, &reply))
	return nil
}

// dryRunOf reads the query. Nothing in it is ignored: whoever misspells dry_run must not move money.
func dryRunOf(r *http.Request) (bool, *wire.Problem) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return false, &wire.Problem{Code: "malformed", Detail: "the query cannot be read"}
	}
	for name, values := range q {
		switch {
		case name != "dry_run":
			return false, &wire.Problem{Code: "unknown_field", Field: name}
		case len(values) != 1 || (values[0] != "true" && values[0] != "false"):
			return false, &wire.Problem{Code: "malformed", Field: name, Detail: "dry_run is true or false"}
		}
	}
	return q.Get("dry_run") == "true", nil
}

// transferReply is the shape of a confirmed transfer as it is at its decision: a payee elsewhere has not been credited
// yet, its leg is tried until the channel's delivery is settled (semantics section 3).
func (s *Server) transferReply(t *wire.Transfer, q *tcc.Try, o *rows.Outcome) wire.TransferReply {
	home, there := q.From.Partition(s.cfg.Partitions), q.To.Partition(s.cfg.Partitions)
	phase := "tried"
	if home == there {
		phase = "confirmed"
	}
	return wire.TransferReply{
		ID: q.ID, Key: string(t.Key), From: string(t.From), To: string(t.To), Amount: t.Amount, Asset: s.cfg.Assets.Code(t.Asset),
		Reference: string(t.Reference), Status: "confirmed", Position: o.Position, CreatedMS: o.TimeMS,
		Legs: []wire.LegReply{
			{Account: string(t.From), Direction: "debit", Amount: t.Amount, Partition: home, Phase: "confirmed"},
			{Account: string(t.To), Direction: "credit", Amount: t.Amount, Partition: there, Phase: phase},
		},
	}
}

func (s *Server) postBatch(w http.ResponseWriter, r *http.Request) *wire.Problem {
	if r.URL.RawQuery != "" {
		return &wire.Problem{Code: "malformed", Detail: "a batch takes no query"}
	}
	b, p := body(w, r)
	if p != nil {
		return p
	}
	batch, f := wire.ParseBatch(b, s.cfg.Assets)
	if f != nil {
		return faulty(f)
	}
	if batch.Atomic {
		return &wire.Problem{Code: "malformed", Field: "atomic", Detail: "this version moves a batch's transfers one by one; leave atomic out"}
	}
	tries := make([]tcc.Try, len(batch.Items))
	replies := make([]wire.BatchReply, len(batch.Items))
	index := make([]int, 0, len(batch.Items)) // of the items that can be tried
	for i := range batch.Items {
		if f := batch.Items[i].Fault; f != nil {
			replies[i].Problem = faulty(f)
			continue
		}
		tries[i] = try(&batch.Items[i].Transfer)
		index = append(index, i)
	}
	if len(index) > 0 {
		outs := s.desk.all(r.Context(), len(index), func(st *rows.Stage, sink rows.Sink) {
			for tag, i := range index {
				s.tcc.Transfer(st, &tries[i], sink, uint64(tag))
			}
		})
		for tag, i := range index {
			o := &outs[tag]
			s.cfg.Metrics.settled(o.Status)
			if o.Status != journal.Confirmed {
				replies[i].Problem = problemOf(o.Op, o.Status, o.Detail)
				continue
			}
			reply := s.transferReply(&batch.Items[i].Transfer, &tries[i], o)
			replies[i].Transfer = &reply
		}
	}
	writeJSON(w, http.StatusOK, wire.AppendList(nil, replies, wire.AppendBatchItem, ""))
	return nil
}

// dryRun answers what a transfer would, and stores nothing: the reference acts (journal.Book) decide on what the shards
// say about key, payer and payee.
func (s *Server) dryRun(w http.ResponseWriter, r *http.Request, t *wire.Transfer) *wire.Problem {
	q := try(t)
	outs := s.desk.all(r.Context(), 3, func(st *rows.Stage, sink rows.Sink) {
		s.tcc.Look(st, q.ID, sink, 0)
		s.tcc.Read(st, q.From, false, sink, 1)
		s.tcc.Read(st, q.To, false, sink, 2)
	})
	if o := &outs[0]; o.Status != journal.OK && o.Status != journal.ReservationNotFound {
		return refusal(w, o)
	}
	book := journal.NewBook(0, 1)
	if k, ok := outs[0].Key(); ok {
		book.State.SetKey(q.ID, k)
	}
	for i, h := range []journal.Handle{q.From, q.To} {
		switch o := &outs[1+i]; o.Status {
		case journal.OK:
			a, _, err := o.Account()
			if err != nil {
				return &wire.Problem{Code: "outcome_unknown", Detail: "the shard's answer cannot be read"}
			}
			book.State.SetAccount(h, a)
		case journal.AccountNotFound:
		default:
			return refusal(w, o)
		}
	}
	row := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: q.ID, Account: q.From, To: q.To, Amount: q.Amount,
		Asset: q.Asset, Key: q.Key, ToText: q.ToText, Reference: q.Reference}
	d, err := book.Decide(row.Append(nil), outs[1].TimeMS)
	if err != nil {
		return &wire.Problem{Code: "malformed", Detail: err.Error()}
	}
	if d.Status != journal.Confirmed {
		return problemOf(journal.OpTransfer, d.Status, d.Detail)
	}
	reply := s.transferReply(t, &q, &rows.Outcome{TimeMS: outs[1].TimeMS})
	reply.DryRun = true
	writeJSON(w, http.StatusOK, wire.AppendTransfer(nil, &reply))
	return nil
}

func (s *Server) getTransfer(w http.ResponseWriter, r *http.Request) *wire.Problem {
	id, err := journal.ParseID(journal.TransferPrefix, r.PathValue("id"))
	if err != nil {
		return &wire.Problem{Code: "transfer_not_found", Field: "id"}
	}
	return s.project(w, r, id)
}

func (s *Server) findTransfer(w http.ResponseWriter, r *http.Request) *wire.Problem {
	from, key := r.URL.Query().Get("from"), r.URL.Query().Get("key")
	switch {
	case !wire.ValidAccount(from):
		return &wire.Problem{Code: "malformed", Field: "from", Detail: "name the payer: ?from=…&key=…"}
	case !wire.ValidKey(key):
		return &wire.Problem{Code: "malformed", Field: "key", Detail: "name the client's key: ?from=…&key=…"}
	}
	return s.project(w, r, journal.IDOf(journal.HandleOf(from), key))
}

// project answers from the projection, but not before it shows what the shard knows about the id: whoever asks after a
// time-out gets the truth, not yesterday's.
func (s *Server) project(w http.ResponseWriter, r *http.Request, id journal.ID) *wire.Problem {
	o := s.desk.look(r.Context(), id)
	switch o.Status {
	case journal.OK:
		r.Header.Add("Wallet-Min-Position", o.Position.String()) // beside the client's own
	case journal.ReservationNotFound: // the shard has never heard of it
	default: // nobody can say now: "not found" would be a lie that moves money twice
		return refusal(w, &o)
	}
	return s.projected(w, r)
}

// projected hands a read over to whoever serves the projection.
func (s *Server) projected(w http.ResponseWriter, r *http.Request) *wire.Problem {
	s.cfg.Reads.ServeHTTP(w, r)
	return nil
}
