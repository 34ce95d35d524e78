package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// alterTriesMax bounds how often a patch without If-Match reads again because another alter came between.
const alterTriesMax = 20

// accountOf reads a read's outcome.
func accountOf(o *rows.Outcome) (journal.Account, details, error) {
	a, text, err := o.Account()
	if err != nil {
		return a, details{}, err
	}
	d, err := parseDetails(text)
	return a, d, err
}

func accountReply(a journal.Account, d *details) wire.AccountReply {
	return wire.AccountReply{ID: d.ID, Owner: d.Owner, Asset: d.Asset, Metadata: d.Metadata, State: a, CreatedMS: d.createdMS}
}

func writeAccount(w http.ResponseWriter, status int, pos journal.Position, a journal.Account, d *details) {
	position(w, pos)
	w.Header().Set("ETag", strconv.Quote(strconv.FormatUint(a.Version, 10)))
	reply := accountReply(a, d)
	writeJSON(w, status, wire.AppendAccount(nil, &reply))
}

func (s *Server) createAccount(w http.ResponseWriter, r *http.Request) *wire.Problem {
	b, p := body(w, r)
	if p != nil {
		return p
	}
	q, f := wire.ParseAccountCreate(b, s.cfg.Assets)
	if f != nil {
		return faulty(f)
	}
	id := string(q.ID)
	if id == "" {
		v7, err := uuid.NewV7()
		if err != nil {
			return &wire.Problem{Code: "overloaded", Detail: "no random numbers for an account id"}
		}
		id = "acc_" + v7.String()
	}
	d := details{AccountDetails: journal.AccountDetails{ID: id, Asset: s.cfg.Assets.Code(q.Asset), Owner: string(q.Owner), Metadata: q.MetadataMap()}}
	row := journal.Row{Op: journal.OpOpen, Account: journal.HandleOf(id), Asset: q.Asset, OverdraftLimit: q.OverdraftLimit, Text: detailsText(&d)}
	if q.Issuance {
		row.Flags = journal.Issuance
	}
	o := s.desk.one(r.Context(), func(st *rows.Stage, sink rows.Sink) { s.tcc.Account(st, &row, sink, 0) })
	switch o.Status {
	case journal.Opened:
		d.createdMS = o.TimeMS
		a := journal.Account{Flags: row.Flags, Version: 1, StatusSeq: o.Position.Seq, Asset: q.Asset, OverdraftLimit: q.OverdraftLimit}
		w.Header().Set("Location", "/v1/accounts/"+id)
		writeAccount(w, http.StatusCreated, o.Position, a, &d)
		return nil
	case journal.AccountExists:
		return s.openAgain(w, r, &row, &d)
	}
	return refusal(w, &o)
}

// openAgain answers the account that is there already when it is what was asked for, else names what differs.
func (s *Server) openAgain(w http.ResponseWriter, r *http.Request, want *journal.Row, wanted *details) *wire.Problem {
	o := s.desk.read(r.Context(), want.Account)
	if o.Status != journal.OK {
		return refusal(w, &o)
	}
	a, d, err := accountOf(&o)
	if err != nil {
		return unreadable(err)
	}
	differs := ""
	switch {
	case d.ID != wanted.ID: // another id with the same handle: 96 equal bits of two SHA-256
		differs = "id"
	case a.Asset != want.Asset:
		differs = "asset"
	case d.Owner != wanted.Owner:
		differs = "owner"
	case a.Flags.Has(journal.Issuance) != want.Flags.Has(journal.Issuance):
		differs = "issuance"
	case a.OverdraftLimit != want.OverdraftLimit:
		differs = "overdraft_limit"
	case !maps.Equal(d.Metadata, wanted.Metadata):
		differs = "metadata"
	}
	if differs != "" {
		return &wire.Problem{Code: wire.AccountExistsWith(differs).Code, Field: differs}
	}
	writeAccount(w, http.StatusOK, o.Position, a, &d)
	return nil
}

func detailsText(d *details) []byte {
	b, err := json.Marshal(d.AccountDetails)
	if err != nil {
		panic(fmt.Sprintf("gateway: account details: %v", err)) // strings and a map of strings always marshal
	}
	return b
}

// unreadable is a record that this build cannot read: a fault of ours, told without losing the request's truth.
func unreadable(err error) *wire.Problem {
	return &wire.Problem{Code: "shard_unavailable", Detail: "the shard's record cannot be read: " + err.Error()}
}

// accountHandle reads the path's account id.
func accountHandle(r *http.Request) (journal.Handle, *wire.Problem) {
	id := r.PathValue("id")
	if !wire.ValidAccount(id) {
		return journal.Handle{}, &wire.Problem{Code: "malformed", Field: "id", Detail: "an account id is 1 to 64 of A–Z a–z 0–9 . _ -, first a letter or digit"}
	}
	return journal.HandleOf(id), nil
}

func (s *Server) getAccount(w http.ResponseWriter, r *http.Request) *wire.Problem {
	h, p := accountHandle(r)
	if p != nil {
		return p
	}
	a, d, o, p := s.readAccount(r.Context(), w, h)
	if p != nil {
		return p
	}
	writeAccount(w, http.StatusOK, o.Position, a, &d)
	return nil
}

func (s *Server) readAccount(ctx context.Context, w http.ResponseWriter, h journal.Handle) (journal.Account, details, rows.Outcome, *wire.Problem) {
	o := s.desk.read(ctx, h)
	if o.Status != journal.OK {
		return journal.Account{}, details{}, o, refusal(w, &o)
	}
	a, d, err := accountOf(&o)
	if err != nil {
		return a, d, o, unreadable(err)
	}
	return a, d, o, nil
}

func (s *Server) getBalance(w http.ResponseWriter, r *http.Request) *wire.Problem {
	if r.URL.Query().Has("at") {
		return s.balanceAt(w, r)
	}
	h, p := accountHandle(r)
	if p != nil {
		return p
	}
	o := s.desk.one(r.Context(), func(st *rows.Stage, sink rows.Sink) { s.tcc.Read(st, h, false, sink, 0) })
	if o.Status != journal.OK {
		return refusal(w, &o)
	}
	a, _, err := o.Account()
	if err != nil {
		return unreadable(err)
	}
	position(w, o.Position)
	reply := wire.BalanceReply{Account: r.PathValue("id"), Asset: s.cfg.Assets.Code(a.Asset), Available: a.Available, Reserved: a.Reserved,
		Version: a.Version, Position: o.Position}
	writeJSON(w, http.StatusOK, wire.AppendBalance(nil, &reply))
	return nil
}

func (s *Server) patchAccount(w http.ResponseWriter, r *http.Request) *wire.Problem {
	h, p := accountHandle(r)
	if p != nil {
		return p
	}
	b, p := body(w, r)
	if p != nil {
		return p
	}
	patch, f := wire.ParseAccountPatch(b)
	if f != nil {
		return faulty(f)
	}
	ifMatch, p := versionOf(r.Header.Get("If-Match"))
	if p != nil {
		return p
	}
	for range alterTriesMax {
		a, d, o, p := s.readAccount(r.Context(), w, h)
		if p != nil {
			return p
		}
		if ifMatch != 0 && ifMatch != a.Version {
			return &wire.Problem{Code: "precondition_failed", Field: "If-Match", Detail: fmt.Sprintf("the account has version %d", a.Version)}
		}
		row, p := alterRow(h, &patch, a, &d, ifMatch)
		if p != nil {
			return p
		}
		o = s.desk.one(r.Context(), func(st *rows.Stage, sink rows.Sink) { s.tcc.Account(st, row, sink, 0) })
		if o.Status == journal.AlterConflict {
			continue
		}
		if o.Status != journal.Altered {
			return refusal(w, &o)
		}
		a, d, o, p = s.readAccount(r.Context(), w, h)
		if p != nil { // the change is made: no refusal may say that nothing was
			return &wire.Problem{Code: "outcome_unknown", Detail: "the account is changed, but cannot be read now"}
		}
		writeAccount(w, http.StatusOK, o.Position, a, &d)
		return nil
	}
	return &wire.Problem{Code: "overloaded", Detail: "the account is being changed by too many others"}
}

// alterRow is the patch applied to what the account was when it was read; the act refuses if another alter came between.
func alterRow(h journal.Handle, patch *wire.AccountPatch, a journal.Account, d *details, ifMatch uint64) (*journal.Row, *wire.Problem) {
	row := &journal.Row{Op: journal.OpAlter, Account: h, ExpectedVersion: ifMatch, ExpectedStatusSeq: a.StatusSeq,
		Flags: patch.Flags(a.Flags), OverdraftLimit: a.OverdraftLimit}
	if patch.SetsLimit {
		row.OverdraftLimit = patch.OverdraftLimit
	}
	metadata, f := patch.MergeMetadata(d.Metadata)
	if f != nil {
		return nil, faulty(f)
	}
	d.Metadata = metadata
	row.Text = detailsText(d)
	return row, nil
}

// versionOf reads an If-Match: the ETag of the account, its version in quotes; 0 without one.
func versionOf(header string) (uint64, *wire.Problem) {
	if header == "" || header == "*" {
		return 0, nil
	}
	v, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(header, "W/"), `"`), 10, 48)
	if err != nil || v == 0 {
		return 0, &wire.Problem{Code: "malformed", Field: "If-Match", Detail: "If-Match is the account's ETag, its version in quotes"}
	}
	return v, nil
}
