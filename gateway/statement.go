package gateway

import (
	"context"
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"walletd/gateway/wire"
	"walletd/journal"
)

// EntriesQuery selects from a statement, newest first: FromMS ≤ time < ToMS (0: open). What is empty chooses nothing away.
type EntriesQuery struct {
	Cursor       string
	Limit        int
	FromMS, ToMS int64

	Direction            string // debit, credit
	Kind                 string // one of entryKinds
	Counterparty         string
	AmountMin, AmountMax journal.Amount // both included; 0: no bound
	ID                   journal.ID     // of a transfer or reservation
	Reference            string

	all bool // pages until the end: CSV and JSON lines alone
}

// Statement is a page of a statement.
type Statement struct {
	Items    []wire.EntryReply
	Next     string // cursor; "": this is the last page
	Position journal.Position
	wire.StatementReply
}

var entryKinds = []string{"transfer", "reserve", "confirm", "cancel", "expire", "account"}

func entriesQuery(r *http.Request) (q EntriesQuery, p *wire.Problem) {
	v := r.URL.Query()
	q.Cursor, q.Direction, q.Kind, q.Counterparty, q.Reference = v.Get("cursor"), v.Get("direction"), v.Get("kind"), v.Get("counterparty"), v.Get("reference")
	if q.all = v.Get("limit") == "all"; q.all {
		if formOf(r) == formJSON {
			return q, &wire.Problem{Code: "malformed", Field: "limit", Detail: "limit=all is for Accept: text/csv or application/x-ndjson"}
		}
		q.Limit = 1000
	} else if q.Limit, p = limitOf(v.Get("limit")); p != nil {
		return q, p
	}
	switch {
	case q.Direction != "" && q.Direction != "debit" && q.Direction != "credit":
		return q, &wire.Problem{Code: "malformed", Field: "direction", Detail: "debit or credit"}
	case q.Kind != "" && !slices.Contains(entryKinds, q.Kind):
		return q, &wire.Problem{Code: "malformed", Field: "kind", Detail: "one of " + strings.Join(entryKinds, ", ")}
	case q.Counterparty != "" && !wire.ValidAccount(q.Counterparty):
		return q, &wire.Problem{Code: "malformed", Field: "counterparty", Detail: "an account id"}
	}
	for _, bound := range []struct {
		field string
		ms    *int64
	}{{"from", &q.FromMS}, {"to", &q.ToMS}} {
		if *bound.ms, p = timeOf(v.Get(bound.field), bound.field); p != nil {
			return q, p
		}
	}
	for _, bound := range []struct {
		field  string
		amount *journal.Amount
	}{{"min_amount", &q.AmountMin}, {"max_amount", &q.AmountMax}} {
		if *bound.amount, p = amountOf(v.Get(bound.field), bound.field); p != nil {
			return q, p
		}
	}
	for _, id := range [...][2]string{{"transfer", journal.TransferPrefix}, {"reservation", journal.ReservationPrefix}} {
		if text := v.Get(id[0]); text != "" {
			var err error
			if q.ID, err = journal.ParseID(id[1], text); err != nil {
				return q, &wire.Problem{Code: "malformed", Field: id[0], Detail: "an id like " + id[1] + "…"}
			}
		}
	}
	return q, nil
}

func amountOf(text, field string) (journal.Amount, *wire.Problem) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || journal.Amount(n) > journal.AmountMax {
		return 0, &wire.Problem{Code: "amount_out_of_range", Field: field, Detail: "minor units, from 1"}
	}
	return journal.Amount(n), nil
}

// Forms of a statement.
const (
	formJSON = iota
	formCSV
	formLines
)

func formOf(r *http.Request) int {
	switch accept := r.Header.Get("Accept"); {
	case strings.Contains(accept, "text/csv"):
		return formCSV
	case strings.Contains(accept, "application/x-ndjson"):
		return formLines
	}
	return formJSON
}

func (rd *reads) entries(w http.ResponseWriter, r *http.Request) *wire.Problem {
	id := r.PathValue("id")
	q, p := entriesQuery(r)
	if p != nil {
		return p
	}
	if !wire.ValidAccount(id) {
		return &wire.Problem{Code: "malformed", Field: "id"}
	}
	if ms := q.settledBy(rd.now()); ms > 0 {
		if p := rd.settled(r, journal.HandleOf(id).Partition(rd.partitions), ms); p != nil {
			return p
		}
	}
	st, p := rd.page(r.Context(), id, q)
	if p != nil {
		return p
	}
	rd.reflects(w, st.Position)
	form := formOf(r)
	if form == formJSON {
		writeJSON(w, http.StatusOK, wire.AppendStatement(nil, st.Items, st.Next, &st.StatementReply))
		return nil
	}
	if st.Next != "" && !q.all {
		w.Header().Set("Wallet-Next-Cursor", st.Next)
	}
	rd.stream(r.Context(), newStatementWriter(w, form), id, q, &st)
	return nil
}

// page reads a page, with its period's bounds.
func (rd *reads) page(ctx context.Context, id string, q EntriesQuery) (Statement, *wire.Problem) {
	st, found, err := rd.projection.Entries(ctx, id, q)
	switch {
	case err != nil:
		return st, readFailed(err)
	case !found:
		return st, &wire.Problem{Code: "account_not_found", Field: "id"}
	}
	st.Opening.AtMS = q.FromMS
	if q.ToMS <= rd.now().UnixMilli() { // else the period is not over: it closes with its newest entry for now
		st.Closing.AtMS = q.ToMS
	}
	return st, nil
}

// stream writes the page that has been read, and with limit=all the ones behind it, one at a time. Of a period the closing balance stands
// before its newest entry and the opening balance behind its oldest: a reader who has the latter has everything. What cannot be read when a part
// is gone out already breaks the connection.
func (rd *reads) stream(ctx context.Context, to statementWriter, id string, q EntriesQuery, st *Statement) {
	period := q.FromMS != 0 || q.ToMS != 0
	if period && q.Cursor == "" {
		to.bound("closing_balance", st, &st.Closing)
	}
	for {
		for i := range st.Items {
			to.entry(&st.Items[i])
		}
		if period && st.Next == "" {
			to.bound("opening_balance", st, &st.Opening)
		}
		if to.flush() != nil || st.Next == "" || !q.all {
			return // a client that is gone is not our fault
		}
		q.Cursor = st.Next
		next, p := rd.page(ctx, id, q)
		if p != nil || ctx.Err() != nil {
			panic(http.ErrAbortHandler)
		}
		*st = next
	}
}

// statementWriter is a form of a statement that can be written bit by bit.
type statementWriter interface {
	entry(*wire.EntryReply)
	bound(object string, st *Statement, b *wire.BoundReply)
	flush() error
}

func newStatementWriter(w http.ResponseWriter, form int) statementWriter {
	if form == formLines {
		w.Header().Set("Content-Type", "application/x-ndjson")
		return &lineWriter{w: w}
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	c := csvWriter{csv.NewWriter(w)}
	_ = c.Write(entryColumns)
	return c
}

type lineWriter struct {
	w http.ResponseWriter
	b []byte
}

func (l *lineWriter) entry(e *wire.EntryReply) { l.b = append(wire.AppendEntry(l.b, e), '\n') }

func (l *lineWriter) bound(object string, st *Statement, b *wire.BoundReply) {
	l.b = append(wire.AppendBound(l.b, object, &st.StatementReply, b), '\n')
}

func (l *lineWriter) flush() error {
	_, err := l.w.Write(l.b)
	l.b = l.b[:0]
	return err
}

// csvWriter writes CSV (RFC 4180), the columns named like the JSON fields.
type csvWriter struct{ *csv.Writer }

var entryColumns = []string{"account", "version", "kind", "transfer", "reservation", "direction", "amount", "available_change", "reserved_change",
	"available_after", "reserved_after", "counterparty", "reference", "created_at", "position"}

func (c csvWriter) entry(e *wire.EntryReply) { _ = c.Write(entryRecord(e)) } // its error is Error's

// bound writes a balance at an end as a row of that kind: what the account has then is in available_after and reserved_after.
func (c csvWriter) bound(object string, st *Statement, b *wire.BoundReply) {
	at := ""
	if b.AtMS != 0 {
		at = csvTime(b.AtMS)
	}
	_ = c.Write([]string{st.Account, strconv.FormatUint(b.Version, 10), object, "", "", "", "", "", "", csvAmount(b.Available), csvAmount(b.Reserved), "", "", at, ""})
}

func (c csvWriter) flush() error {
	c.Flush()
	return c.Error()
}

func csvAmount(a journal.Amount) string { return strconv.FormatInt(int64(a), 10) }

func csvTime(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

func entryRecord(e *wire.EntryReply) []string {
	id := func(id journal.ID, prefix string) string {
		if id == (journal.ID{}) {
			return ""
		}
		return id.Text(prefix)
	}
	return []string{e.Account, strconv.FormatUint(e.Version, 10), e.Kind, id(e.Transfer, journal.TransferPrefix), id(e.Reservation, journal.ReservationPrefix),
		e.Direction, csvAmount(e.Amount), csvAmount(e.AvailableChange), csvAmount(e.ReservedChange), csvAmount(e.AvailableAfter), csvAmount(e.ReservedAfter), e.Counterparty,
		e.Reference, csvTime(e.CreatedMS), e.Position.String()}
}
