package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"walletd/journal"
)

// AccountCreate asks for an account. The same again answers the account that is there.
type AccountCreate struct {
	ID             string            `json:"id,omitempty"` // empty: the wallet chooses, and the call is not repeated by itself
	Asset          string            `json:"asset"`
	Owner          string            `json:"owner,omitempty"`
	Issuance       bool              `json:"issuance,omitempty"`
	OverdraftLimit journal.Amount    `json:"overdraft_limit,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
}

// AccountPatch changes what it names (RFC 7396).
type AccountPatch struct {
	Frozen         *FrozenPatch       `json:"frozen,omitempty"`
	Status         string             `json:"status,omitempty"` // closed, open
	OverdraftLimit *journal.Amount    `json:"overdraft_limit,omitempty"`
	Metadata       map[string]*string `json:"metadata,omitempty"` // nil: remove
}

// FrozenPatch freezes or thaws directions.
type FrozenPatch struct {
	Sending   *bool `json:"sending,omitempty"`
	Receiving *bool `json:"receiving,omitempty"`
}

// CreateAccount opens an account.
func (r *REST) CreateAccount(ctx context.Context, a AccountCreate) (v Account, err error) {
	body, err := json.Marshal(a)
	if err != nil {
		return v, err
	}
	_, err = r.do(ctx, request{method: http.MethodPost, path: "/v1/accounts", body: body, once: a.ID == ""}, &v)
	return v, err
}

// Account reads an account, strong.
func (r *REST) Account(ctx context.Context, id string) (v Account, err error) {
	return v, r.get(ctx, accountPath(id), nil, &v)
}

// PatchAccount changes an account; with a version only if the account still has it (If-Match), and then the call is not
// repeated by itself.
func (r *REST) PatchAccount(ctx context.Context, id string, p AccountPatch, version uint64) (v Account, err error) {
	body, err := json.Marshal(p)
	if err != nil {
		return v, err
	}
	q := request{method: http.MethodPatch, path: accountPath(id), body: body}
	if version != 0 {
		q.ifMatch, q.once = `"`+strconv.FormatUint(version, 10)+`"`, true
	}
	_, err = r.do(ctx, q, &v)
	return v, err
}

// Balance reads a balance, strong.
func (r *REST) Balance(ctx context.Context, account string) (v Balance, err error) {
	return v, r.get(ctx, accountPath(account)+"/balance", nil, &v)
}

// BalanceAt reads the balance as it was at a time, behind everything that happened at it, from the projection.
func (r *REST) BalanceAt(ctx context.Context, account string, at time.Time) (v Balance, err error) {
	return v, r.get(ctx, accountPath(account)+"/balance", url.Values{"at": {at.UTC().Format(time.RFC3339Nano)}}, &v)
}

// BalanceBehind reads the balance as it was behind an event of the account's partition, from the projection.
func (r *REST) BalanceBehind(ctx context.Context, account string, at Position) (v Balance, err error) {
	return v, r.get(ctx, accountPath(account)+"/balance", url.Values{"at": {at.String()}}, &v)
}

// Page asks for one page of a list.
type Page struct {
	Cursor string // of the page before; empty: the first
	Limit  int    // 0: the wallet's default
}

func (p Page) values() url.Values {
	v := url.Values{}
	if p.Cursor != "" {
		v.Set("cursor", p.Cursor)
	}
	if p.Limit != 0 {
		v.Set("limit", strconv.Itoa(p.Limit))
	}
	return v
}

// EntriesQuery asks for a statement, newest first. Zero values ask for everything.
type EntriesQuery struct {
	Page
	From, To             time.Time // from ≤ t < to
	Direction            string    // debit, credit
	Kind                 string    // transfer, reserve, confirm, cancel, expire, account
	Counterparty         string
	AmountMin, AmountMax journal.Amount // both included
	Transfer             string         // tr_…
	Reservation          string         // rs_…
	Reference            string
}

func (q *EntriesQuery) values() url.Values {
	v := q.Page.values()
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	if !q.From.IsZero() {
		v.Set("from", q.From.UTC().Format(time.RFC3339Nano))
	}
	if !q.To.IsZero() {
		v.Set("to", q.To.UTC().Format(time.RFC3339Nano))
	}
	if q.AmountMin != 0 {
		v.Set("min_amount", strconv.FormatInt(int64(q.AmountMin), 10))
	}
	if q.AmountMax != 0 {
		v.Set("max_amount", strconv.FormatInt(int64(q.AmountMax), 10))
	}
	set("direction", q.Direction)
	set("kind", q.Kind)
	set("counterparty", q.Counterparty)
	set("transfer", q.Transfer)
	set("reservation", q.Reservation)
	set("reference", q.Reference)
	return v
}

// Entries reads a page of an account's statement.
func (r *REST) Entries(ctx context.Context, account string, q EntriesQuery) (s Statement, err error) {
	head, err := r.do(ctx, request{method: http.MethodGet, path: accountPath(account) + "/entries?" + q.values().Encode()}, &s)
	s.Position = head.position
	return s, err
}

// Transfer moves an amount: Client.Transfer over HTTP, with the whole shape as its answer.
func (r *REST) Transfer(ctx context.Context, t Transfer) (TransferInfo, error) {
	return r.transfer(ctx, t, "")
}

// DryRun tells what a transfer would answer now; nothing is stored.
func (r *REST) DryRun(ctx context.Context, t Transfer) (TransferInfo, error) {
	return r.transfer(ctx, t, "?dry_run=true")
}

func (r *REST) transfer(ctx context.Context, t Transfer, query string) (v TransferInfo, err error) {
	if err := t.prepare(); err != nil {
		return v, err
	}
	q := request{method: http.MethodPost, path: "/v1/transfers" + query, body: appendTransfer(nil, &t), key: t.Key}
	head, err := r.do(ctx, q, &v)
	v.Replayed = head.replayed
	return v, err
}

// Reverse moves a transfer's amount back, or a part of it; 0: all of the rest. An empty key is made.
func (r *REST) Reverse(ctx context.Context, transfer, key string, amount journal.Amount) (v TransferInfo, err error) {
	if key == "" {
		key = NewKey()
	}
	body := []byte("{}")
	if amount != 0 {
		body = append(strconv.AppendInt([]byte(`{"amount":`), int64(amount), 10), '}')
	}
	q := request{method: http.MethodPost, path: "/v1/transfers/" + url.PathEscape(transfer) + "/reverse", body: body, key: key}
	head, err := r.do(ctx, q, &v)
	v.Replayed = head.replayed
	return v, err
}

// TransferByID looks a transfer up.
func (r *REST) TransferByID(ctx context.Context, id string) (v TransferInfo, err error) {
	return v, r.get(ctx, "/v1/transfers/"+url.PathEscape(id), nil, &v)
}

// TransferByKey looks a transfer up by payer and key; found is false when there is none.
func (r *REST) TransferByKey(ctx context.Context, from, key string) (v TransferInfo, found bool, err error) {
	l, err := list[TransferInfo](ctx, r, "/v1/transfers", url.Values{"from": {from}, "key": {key}})
	if err != nil || len(l.Data) == 0 {
		return v, false, err
	}
	return l.Data[0], true, nil
}

// Reserve takes an amount aside (Try).
func (r *REST) Reserve(ctx context.Context, s Reserve) (v Reservation, err error) {
	if err := s.prepare(); err != nil {
		return v, err
	}
	return r.reservation(ctx, request{method: http.MethodPost, path: "/v1/reservations", body: appendReserve(nil, &s, false), key: s.Key})
}

// Confirm captures a reservation, all of it or a part.
func (r *REST) Confirm(ctx context.Context, f Confirm) (v Reservation, err error) {
	if err := f.prepare(); err != nil {
		return v, err
	}
	path := reservationPath(f.Reservation) + "/confirm"
	return r.reservation(ctx, request{method: http.MethodPost, path: path, body: appendConfirm(nil, &f, false), key: f.Key})
}

// Cancel releases a reservation.
func (r *REST) Cancel(ctx context.Context, reservation string) (Reservation, error) {
	return r.reservation(ctx, request{method: http.MethodPost, path: reservationPath(reservation) + "/cancel", body: []byte("{}")})
}

// CancelKey releases a reservation whose reserve has not been answered.
func (r *REST) CancelKey(ctx context.Context, from, key string) (v Reservation, err error) {
	if err := firstError(checkText("from", from), checkText("key", key)); err != nil {
		return v, err
	}
	body := appendText([]byte(`{"from":`), from)
	body = append(appendText(append(body, `,"key":`...), key), '}')
	return r.reservation(ctx, request{method: http.MethodPost, path: "/v1/reservations/cancel", body: body})
}

func (r *REST) reservation(ctx context.Context, q request) (v Reservation, err error) {
	head, err := r.do(ctx, q, &v)
	v.Replayed = head.replayed
	return v, err
}

// Reservation looks a reservation up.
func (r *REST) Reservation(ctx context.Context, id string) (v Reservation, err error) {
	return v, r.get(ctx, reservationPath(id), nil, &v)
}

// Reservations lists an account's reservations, of one status or, with "", of all.
func (r *REST) Reservations(ctx context.Context, account, status string, p Page) (List[Reservation], error) {
	v := p.values()
	v.Set("account", account)
	if status != "" {
		v.Set("status", status)
	}
	return list[Reservation](ctx, r, "/v1/reservations", v)
}

// Reconciliation is what comparing everything with the journal has found.
type Reconciliation struct {
	OK  bool            `json:"ok"`
	Raw json.RawMessage `json:"-"` // the whole answer
}

// Reconcile compares journal, shards and projection (admin listener). A difference is an answer, not an error. It takes
// as long as reading the journal does: give it a context with room.
func (r *REST) Reconcile(ctx context.Context) (v Reconciliation, err error) {
	q := request{method: http.MethodPost, path: "/admin/v1/reconciliations", body: []byte("{}"), long: true}
	if _, err = r.do(ctx, q, &v.Raw); err != nil {
		return v, err
	}
	if err := json.Unmarshal(v.Raw, &v); err != nil {
		return v, fmt.Errorf("read the reconciliation: %w", err)
	}
	return v, nil
}

// Operate calls a route of the admin listener, once: body is sent as JSON (nil: none), the answer decoded into what into
// points to. It takes as long as ctx allows.
func (r *REST) Operate(ctx context.Context, method, path string, body, into any) error {
	q := request{method: method, path: path, once: true, long: true}
	if body != nil {
		var err error
		if q.body, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	_, err := r.do(ctx, q, into)
	return err
}

// Version is what a wallet says about itself (admin listener).
type Version struct {
	Version    string         `json:"version"`
	Partitions int            `json:"partitions"`
	Assets     journal.Assets `json:"assets"`
	Admin      string         `json:"admin"` // the operators' listener; empty: not told
}

// Version asks the wallet which build it is.
func (r *REST) Version(ctx context.Context) (v Version, err error) {
	return v, r.get(ctx, "/version", nil, &v)
}

func (r *REST) get(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	_, err := r.do(ctx, request{method: http.MethodGet, path: path}, into)
	return err
}

func list[T any](ctx context.Context, r *REST, path string, query url.Values) (l List[T], err error) {
	head, err := r.do(ctx, request{method: http.MethodGet, path: path + "?" + query.Encode()}, &l)
	l.Position = head.position
	return l, err
}

func accountPath(id string) string     { return "/v1/accounts/" + url.PathEscape(id) }
func reservationPath(id string) string { return "/v1/reservations/" + url.PathEscape(id) }
