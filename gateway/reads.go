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

// Projection is what a gateway asks of the read models. Every answer names the position of the partition that it
// reflects; false means that the projection does not know the thing.
type Projection interface {
	Transfer(ctx context.Context, id journal.ID) (wire.TransferReply, journal.Position, bool, error)
	Entries(ctx context.Context, account string, q EntriesQuery) (s Statement, found bool, err error)
	// BalanceAt answers from what is folded: Wait and WaitPast come before.
	BalanceAt(ctx context.Context, account string, at At) (wire.BalanceReply, bool, error)
	Reservations(ctx context.Context, account, status, cursor string, limit int) (items []wire.ReservationReply, next string, at journal.Position, found bool, err error)

	// Wait blocks until the projection reflects the position, or ctx ends.
	Wait(ctx context.Context, at journal.Position) error
	// WaitPast blocks until the partition is folded past a time (ms since 1970), so that nothing of it is to come, or ctx ends.
	WaitPast(ctx context.Context, partition int, atMS int64) error
	// Lag is how many of the partition's events the projection has not folded yet, as far as it knows.
	Lag(partition int) uint64
}

// ErrBadCursor says that a cursor is none of ours.
var ErrBadCursor = errors.New("bad cursor")

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

// waited makes the read wait for the positions that the client, or the gateway, has seen.
func (rd *reads) waited(r *http.Request) *wire.Problem {
	ctx, cancel := context.WithTimeout(r.Context(), readWait)
	defer cancel()
	for _, header := range r.Header.Values("Wallet-Min-Position") {
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
