package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"walletd/gateway/wire"
	"walletd/journal"
)

// EntriesQuery selects from a statement: FromMS ≤ time < ToMS (0: open), debits, credits or both, newest first.
type EntriesQuery struct {
	Cursor       string
	Limit        int
	FromMS, ToMS int64
	Direction    string // debit, credit, or "" for both
}

// Projection is what a gateway asks of the read models. Every answer names the position of the partition that it
// reflects; false means that the projection does not know the thing.
type Projection interface {
	Transfer(ctx context.Context, id journal.ID) (wire.TransferReply, journal.Position, bool, error)
	Entries(ctx context.Context, account string, q EntriesQuery) (items []wire.EntryReply, next string, at journal.Position, found bool, err error)
	BalanceAt(ctx context.Context, account string, atMS int64) (wire.BalanceReply, bool, error)
	Reservations(ctx context.Context, account, status, cursor string, limit int) (items []wire.ReservationReply, next string, at journal.Position, found bool, err error)

	// Wait blocks until the projection reflects the position, or ctx ends.
	Wait(ctx context.Context, at journal.Position) error
	// Lag is how many of the partition's events the projection has not folded yet, as far as it knows.
	Lag(partition int) uint64
}

// ErrBadCursor says that a cursor is none of ours.
var ErrBadCursor = errors.New("bad cursor")

// minPositionWait bounds how long Wallet-Min-Position may make a read wait (surface, "REST").
const minPositionWait = 2 * time.Second

// reads serves what comes from the projection.
type reads struct {
	projection Projection
	partitions int
	now        func() time.Time
}

// NewReads makes the routes that the projection answers. A gateway calls it in its own process or through a reverse
// proxy in a projector's; either way it has authenticated the request before.
func NewReads(p Projection, partitions int) http.Handler {
	rd := &reads{projection: p, partitions: partitions, now: time.Now}
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /v1/transfers/{id}":        rd.transfer,
		"GET /v1/transfers":             rd.transferByKey,
		"GET /v1/accounts/{id}/entries": rd.entries,
		"GET /v1/accounts/{id}/balance": rd.balanceAt,
		"GET /v1/reservations":          rd.reservations,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			p := rd.waited(r)
			if p == nil {
				p = h(w, r)
			}
			if p != nil {
				p.RequestID = w.Header().Get("Request-Id")
				writeProblem(w, p)
			}
		})
	}
	return mux
}

// waited makes the read wait for the position that the client has seen.
func (rd *reads) waited(r *http.Request) *wire.Problem {
	ctx, cancel := context.WithTimeout(r.Context(), minPositionWait)
	defer cancel()
	for _, header := range r.Header.Values("Wallet-Min-Position") { // the client's, and the gateway's for a look-up
		at, err := journal.ParsePosition(header)
		if err != nil || at.Partition >= rd.partitions {
			return &wire.Problem{Code: "malformed", Field: "Wallet-Min-Position", Detail: "a position is partition.epoch.seq, as Wallet-Position gives it"}
		}
		if err := rd.projection.Wait(ctx, at); err != nil {
			return &wire.Problem{Code: "projection_behind"}
		}
	}
	return nil
}

// reflects tells which position the answer holds at, and how many events the projection has before it.
func (rd *reads) reflects(w http.ResponseWriter, at journal.Position) {
	position(w, at)
	w.Header().Set("Wallet-Projection-Lag", strconv.FormatUint(rd.projection.Lag(at.Partition), 10))
}

func (rd *reads) transfer(w http.ResponseWriter, r *http.Request) *wire.Problem {
	id, err := journal.ParseID(journal.TransferPrefix, r.PathValue("id"))
	if err != nil {
		return &wire.Problem{Code: "transfer_not_found", Field: "id"}
	}
	t, at, ok, err := rd.projection.Transfer(r.Context(), id)
	switch {
	case err != nil:
		return readFailed(err)
	case !ok:
		return &wire.Problem{Code: "transfer_not_found", Field: "id"}
	}
	rd.reflects(w, at)
	writeJSON(w, http.StatusOK, wire.AppendTransfer(nil, &t))
	return nil
}

func (rd *reads) transferByKey(w http.ResponseWriter, r *http.Request) *wire.Problem {
	from, key := r.URL.Query().Get("from"), r.URL.Query().Get("key")
	if !wire.ValidAccount(from) || !wire.ValidKey(key) {
		return &wire.Problem{Code: "malformed", Field: "key", Detail: "name payer and key: ?from=…&key=…"}
	}
	id := journal.IDOf(journal.HandleOf(from), key)
	t, at, ok, err := rd.projection.Transfer(r.Context(), id)
	if err != nil {
		return readFailed(err)
	}
	list := []wire.TransferReply{}
	if ok {
		list = append(list, t)
	} else {
		at = journal.Position{Partition: id.Partition(rd.partitions)}
	}
	rd.reflects(w, at)
	writeJSON(w, http.StatusOK, wire.AppendList(nil, list, wire.AppendTransfer, ""))
	return nil
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
	items, next, at, found, err := rd.projection.Entries(r.Context(), id, q)
	switch {
	case err != nil:
		return readFailed(err)
	case !found:
		return &wire.Problem{Code: "account_not_found", Field: "id"}
	}
	rd.reflects(w, at)
	if wantsCSV(r) {
		writeEntriesCSV(w, items, next)
		return nil
	}
	writeJSON(w, http.StatusOK, wire.AppendList(nil, items, wire.AppendEntry, next))
	return nil
}

func entriesQuery(r *http.Request) (q EntriesQuery, p *wire.Problem) {
	v := r.URL.Query()
	q.Cursor, q.Direction = v.Get("cursor"), v.Get("direction")
	if q.Limit, p = limitOf(v.Get("limit")); p != nil {
		return q, p
	}
	if q.Direction != "" && q.Direction != "debit" && q.Direction != "credit" {
		return q, &wire.Problem{Code: "malformed", Field: "direction", Detail: "debit or credit"}
	}
	if q.FromMS, p = timeOf(v.Get("from"), "from"); p != nil {
		return q, p
	}
	q.ToMS, p = timeOf(v.Get("to"), "to")
	return q, p
}

func limitOf(text string) (int, *wire.Problem) {
	if text == "" {
		return 50, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1000 {
		return 0, &wire.Problem{Code: "malformed", Field: "limit", Detail: "limit is 1 to 1000"}
	}
	return n, nil
}

// timeOf reads an RFC 3339 time, also without seconds, or a date; 0 when there is none. A time before the wallet's first
// millisecond is that one: nothing has happened by then either.
func timeOf(text, field string) (int64, *wire.Problem) {
	if text == "" {
		return 0, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return max(t.UnixMilli(), 1), nil
		}
	}
	return 0, &wire.Problem{Code: "malformed", Field: field, Detail: "a time is RFC 3339, like 2026-11-20T00:00:00Z"}
}

func (rd *reads) balanceAt(w http.ResponseWriter, r *http.Request) *wire.Problem {
	id := r.PathValue("id")
	atMS, p := timeOf(r.URL.Query().Get("at"), "at")
	switch {
	case p != nil:
		return p
	case !wire.ValidAccount(id):
		return &wire.Problem{Code: "malformed", Field: "id"}
	case atMS == 0:
		return &wire.Problem{Code: "malformed", Field: "at", Detail: "at is a time, like 2026-11-20T00:00:00Z"}
	case atMS > rd.now().UnixMilli():
		return &wire.Problem{Code: "malformed", Field: "at", Detail: "at is in the future"}
	}
	b, ok, err := rd.projection.BalanceAt(r.Context(), id, atMS)
	switch {
	case err != nil:
		return readFailed(err)
	case !ok:
		return &wire.Problem{Code: "account_not_found", Field: "id", Detail: "the account did not exist at that time"}
	}
	b.AtMS = atMS
	rd.reflects(w, b.Position)
	writeJSON(w, http.StatusOK, wire.AppendBalance(nil, &b))
	return nil
}

func (rd *reads) reservations(w http.ResponseWriter, r *http.Request) *wire.Problem {
	v := r.URL.Query()
	account, status := v.Get("account"), v.Get("status")
	limit, p := limitOf(v.Get("limit"))
	switch {
	case p != nil:
		return p
	case !wire.ValidAccount(account):
		return &wire.Problem{Code: "malformed", Field: "account", Detail: "name the paying account: ?account=…"}
	case status != "" && status != "tried" && status != "confirmed" && status != "cancelled" && status != "expired":
		return &wire.Problem{Code: "malformed", Field: "status", Detail: "tried, confirmed, cancelled or expired"}
	}
	items, next, at, found, err := rd.projection.Reservations(r.Context(), account, status, v.Get("cursor"), limit)
	switch {
	case err != nil:
		return readFailed(err)
	case !found:
		return &wire.Problem{Code: "account_not_found", Field: "account"}
	}
	rd.reflects(w, at)
	writeJSON(w, http.StatusOK, wire.AppendList(nil, items, wire.AppendReservation, next))
	return nil
}

func readFailed(err error) *wire.Problem {
	if errors.Is(err, ErrBadCursor) {
		return &wire.Problem{Code: "malformed", Field: "cursor", Detail: "the cursor is none that this list gave"}
	}
	return &wire.Problem{Code: "projection_behind", Detail: "the projection cannot answer now: " + err.Error()}
}
