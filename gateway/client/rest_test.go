package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// door is a REST server that answers as told.
func door(t *testing.T, configure func(*Config), serve func(n int64, w http.ResponseWriter, r *http.Request, body string)) *REST {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		serve(n.Add(1), w, r, string(body))
	}))
	t.Cleanup(server.Close)
	cfg := Config{URL: server.URL, Token: "secret", BackoffMin: time.Millisecond, BackoffMax: 2 * time.Millisecond, Timeout: 5 * time.Second}
	if configure != nil {
		configure(&cfg)
	}
	r, err := NewREST(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func problem(w http.ResponseWriter, status int, code string, retryable bool) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"/errors/%s","status":%d,"code":%q,"retryable":%v,"request_id":"r-1","needed":12}`, code, status, code, retryable)
}

func TestRESTRequests(t *testing.T) {
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	yes := true
	for _, row := range []struct {
		name, want, body string
		header           map[string]string
		call             func(r *REST) error
	}{
		{"create", "POST /v1/accounts", `{"id":"alice","asset":"USD","issuance":true}`, nil,
			func(r *REST) error {
				_, err := r.CreateAccount(t.Context(), AccountCreate{ID: "alice", Asset: "USD", Issuance: true})
				return err
			}},
		{"patch", "PATCH /v1/accounts/alice", `{"frozen":{"sending":true}}`, map[string]string{"If-Match": `"7"`},
			func(r *REST) error {
				_, err := r.PatchAccount(t.Context(), "alice", AccountPatch{Frozen: &FrozenPatch{Sending: &yes}}, 7)
				return err
			}},
		{"account", "GET /v1/accounts/alice", "", nil, func(r *REST) error { _, err := r.Account(t.Context(), "alice"); return err }},
		{"balance", "GET /v1/accounts/alice/balance", "", nil, func(r *REST) error { _, err := r.Balance(t.Context(), "alice"); return err }},
		{"balance at", "GET /v1/accounts/alice/balance?at=2026-11-20T00%3A00%3A00Z", "", nil,
			func(r *REST) error { _, err := r.BalanceAt(t.Context(), "alice", at); return err }},
		{"entries", "GET /v1/accounts/alice/entries?cursor=c&direction=debit&from=2026-11-20T00%3A00%3A00Z&limit=5", "", map[string]string{"Wallet-Min-Position": "3.1.42"},
			func(r *REST) error {
				var p Position
				if err := p.UnmarshalText([]byte("3.1.42")); err != nil {
					return err
				}
				_, err := r.After(p).Entries(t.Context(), "alice", EntriesQuery{Page: Page{Cursor: "c", Limit: 5}, From: at, Direction: "debit"})
				return err
			}},
		{"transfer", "POST /v1/transfers", `{"key":"k","from":"alice","to":"bob","amount":1250,"asset":"USD"}`, map[string]string{"Idempotency-Key": "k"},
			func(r *REST) error { _, err := r.Transfer(t.Context(), pay("k")); return err }},
		{"dry run", "POST /v1/transfers?dry_run=true", `{"key":"k","from":"alice","to":"bob","amount":1250,"asset":"USD"}`, nil,
			func(r *REST) error { _, err := r.DryRun(t.Context(), pay("k")); return err }},
		{"reverse", "POST /v1/transfers/tr_1/reverse", `{"amount":5}`, map[string]string{"Idempotency-Key": "k"},
			func(r *REST) error { _, err := r.Reverse(t.Context(), "tr_1", "k", 5); return err }},
		{"look up", "GET /v1/transfers/tr_1", "", nil, func(r *REST) error { _, err := r.TransferByID(t.Context(), "tr_1"); return err }},
		{"look up by key", "GET /v1/transfers?from=alice&key=k+1", "", nil,
			func(r *REST) error { _, _, err := r.TransferByKey(t.Context(), "alice", "k 1"); return err }},
		{"reserve", "POST /v1/reservations", `{"from":"a","amount":5,"asset":"USD"}`, map[string]string{"Idempotency-Key": "k"},
			func(r *REST) error {
				_, err := r.Reserve(t.Context(), Reserve{Key: "k", From: "a", Amount: 5, Asset: "USD"})
				return err
			}},
		{"confirm", "POST /v1/reservations/rs_1/confirm", `{"final":true,"amount":3}`, map[string]string{"Idempotency-Key": "k"},
			func(r *REST) error {
				_, err := r.Confirm(t.Context(), Confirm{Reservation: "rs_1", Key: "k", Amount: 3})
				return err
			}},
		{"cancel", "POST /v1/reservations/rs_1/cancel", `{}`, nil, func(r *REST) error { _, err := r.Cancel(t.Context(), "rs_1"); return err }},
		{"cancel by key", "POST /v1/reservations/cancel", `{"from":"a","key":"k"}`, nil,
			func(r *REST) error { _, err := r.CancelKey(t.Context(), "a", "k"); return err }},
		{"reservation", "GET /v1/reservations/rs_1", "", nil, func(r *REST) error { _, err := r.Reservation(t.Context(), "rs_1"); return err }},
		{"reservations", "GET /v1/reservations?account=a&status=tried", "", nil,
			func(r *REST) error { _, err := r.Reservations(t.Context(), "a", "tried", Page{}); return err }},
		{"reconcile", "POST /admin/v1/reconciliations", `{}`, nil, func(r *REST) error { _, err := r.Reconcile(t.Context()); return err }},
		{"version", "GET /version", "", nil, func(r *REST) error { _, err := r.Version(t.Context()); return err }},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := door(t, nil, func(_ int64, w http.ResponseWriter, r *http.Request, body string) {
				if got := r.Method + " " + r.URL.RequestURI(); got != row.want || body != row.body {
					t.Errorf("got %s %s, want %s %s", got, body, row.want, row.body)
				}
				if got := r.Header.Get("Authorization"); got != "Bearer secret" {
					t.Errorf("Authorization %q", got)
				}
				for name, want := range row.header {
					if got := r.Header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				w.Header().Set("Wallet-Position", "1.2.3")
				fmt.Fprint(w, `{}`)
			})
			if err := row.call(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRESTShapes(t *testing.T) {
	r := door(t, nil, func(_ int64, w http.ResponseWriter, r *http.Request, _ string) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/entries"):
			w.Header().Set("Wallet-Position", "3.1.50")
			fmt.Fprint(w, `{"object":"list","data":[{"object":"entry","account":"alice","version":7,"kind":"transfer","transfer":"tr_1","direction":"debit","amount":1250,"available_change":-1250,"position":"3.1.42"}],"has_more":true,"next_cursor":"c2"}`)
		case r.Method == http.MethodPost:
			w.Header().Set("Idempotency-Replayed", "true")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"object":"transfer","id":"tr_1","key":"k","from":"alice","to":"bob","amount":1250,"asset":"USD","status":"confirmed","position":"3.1.42","created_at":"2026-01-02T03:04:05Z",
				"legs":[{"account":"alice","direction":"debit","amount":1250,"partition":3,"phase":"confirmed"}]}`)
		default:
			fmt.Fprint(w, `{"object":"list","data":[],"has_more":false}`)
		}
	})
	paid, err := r.Transfer(t.Context(), pay("k"))
	if err != nil || !paid.Replayed || paid.Legs[0].Partition != 3 || paid.Position.Seq != 42 {
		t.Errorf("transfer: %+v, %v", paid, err)
	}
	entries, err := r.Entries(t.Context(), "alice", EntriesQuery{})
	if err != nil || len(entries.Data) != 1 || entries.Data[0].AvailableChange != -1250 || entries.NextCursor != "c2" || entries.Position.Seq != 50 {
		t.Errorf("entries: %+v, %v", entries, err)
	}
	if _, found, err := r.TransferByKey(t.Context(), "alice", "no"); found || err != nil {
		t.Errorf("by key: %v, %v", found, err)
	}
}

func TestRESTRetries(t *testing.T) {
	cut := func(w http.ResponseWriter) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}
	ok := func(w http.ResponseWriter) { fmt.Fprint(w, `{"id":"tr_1","status":"confirmed"}`) }
	for _, row := range []struct {
		name      string
		retries   int
		serve     func(n int64, w http.ResponseWriter)
		wantAsked int64
		want      string
	}{
		{"refused for good", 0, func(_ int64, w http.ResponseWriter) { problem(w, 422, "insufficient_funds", false) }, 1, "insufficient_funds"},
		{"refused for now", 0, func(n int64, w http.ResponseWriter) {
			if n < 3 {
				problem(w, 503, "overloaded", true)
			} else {
				ok(w)
			}
		}, 3, ""},
		{"never again", -1, func(_ int64, w http.ResponseWriter) { problem(w, 503, "overloaded", true) }, 1, "overloaded"},
		{"unknown, then known", -1, func(n int64, w http.ResponseWriter) {
			switch n {
			case 1:
				problem(w, 504, "outcome_unknown", false)
			case 2:
				problem(w, 202, "processing", false)
			default:
				ok(w)
			}
		}, 3, ""},
		{"cut, then answered", 0, func(n int64, w http.ResponseWriter) {
			if n < 3 {
				cut(w)
			} else {
				ok(w)
			}
		}, 3, ""},
		{"cut, then refused before the key was looked at", 0, func(n int64, w http.ResponseWriter) {
			if n < 2 {
				cut(w)
			} else {
				problem(w, 403, "permission_denied", false)
			}
		}, 2, "outcome_unknown"},
		{"cut, then refused for good", 0, func(n int64, w http.ResponseWriter) {
			if n < 2 {
				cut(w)
			} else {
				problem(w, 422, "account_closed", false)
			}
		}, 2, "account_closed"},
		{"a reply that cannot be read", 0, func(_ int64, w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, 1, "outcome_unknown"},
		{"a proxy's own error", 1, func(_ int64, w http.ResponseWriter) { w.WriteHeader(502) }, 2, "outcome_unknown"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var asked atomic.Int64
			r := door(t, func(c *Config) { c.Retries = row.retries }, func(n int64, w http.ResponseWriter, r *http.Request, _ string) {
				asked.Store(n)
				if r.Header.Get("Idempotency-Key") != "k" {
					t.Errorf("key %q", r.Header.Get("Idempotency-Key"))
				}
				row.serve(n, w)
			})
			_, err := r.Transfer(t.Context(), pay("k"))
			if Code(err) != row.want || asked.Load() != row.wantAsked {
				t.Errorf("got %v after %d, want %q after %d", err, asked.Load(), row.want, row.wantAsked)
			}
			if row.want == "insufficient_funds" {
				var refused *RefusedError
				if !errors.As(err, &refused) || refused.Needed != 12 || refused.HTTP != 422 || refused.RequestID != "r-1" {
					t.Errorf("got %+v", refused)
				}
			}
			var unknown *UnknownError
			if row.want == "outcome_unknown" && (!errors.As(err, &unknown) || unknown.Key != "k") {
				t.Errorf("got %v without the key", err)
			}
		})
	}
}

func TestRESTRetryAfter(t *testing.T) {
	var first time.Time
	r := door(t, nil, func(n int64, w http.ResponseWriter, _ *http.Request, _ string) {
		if n == 1 {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			problem(w, 503, "overloaded", true)
			return
		}
		if d := time.Since(first); d < time.Second {
			t.Errorf("asked again after %v", d)
		}
		fmt.Fprint(w, `{"status":"confirmed"}`)
	})
	if _, err := r.Transfer(t.Context(), pay("k")); err != nil {
		t.Error(err)
	}
	// A wait that the caller's time does not allow is not begun.
	began := time.Now()
	r = door(t, nil, func(_ int64, w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Retry-After", "30")
		problem(w, 503, "overloaded", true)
	})
	if _, err := r.Transfer(t.Context(), pay("k")); Code(err) != "overloaded" || time.Since(began) > 2*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

// What would not mean the same twice is sent once.
func TestRESTOnce(t *testing.T) {
	var asked atomic.Int64
	r := door(t, nil, func(n int64, w http.ResponseWriter, _ *http.Request, _ string) {
		asked.Store(n)
		w.WriteHeader(502)
	})
	if _, err := r.CreateAccount(t.Context(), AccountCreate{Asset: "USD"}); Code(err) != "outcome_unknown" || asked.Load() != 1 {
		t.Errorf("create without id: %v after %d", err, asked.Load())
	}
	if _, err := r.PatchAccount(t.Context(), "a", AccountPatch{Status: "closed"}, 3); Code(err) != "outcome_unknown" || asked.Load() != 2 {
		t.Errorf("patch of a version: %v after %d", err, asked.Load())
	}
}

func TestRESTWithoutAWallet(t *testing.T) {
	r := door(t, func(c *Config) { c.Retries = -1; c.URL = "http://127.0.0.1:1" }, nil)
	_, err := r.Transfer(t.Context(), pay("k"))
	if err == nil || Code(err) != "" || ExitCode(err) != 7 {
		t.Errorf("got %v, exit %d: nothing can have moved", err, ExitCode(err))
	}
	if _, err := r.Transfer(t.Context(), pay("line\nbreak")); Code(err) != "malformed" {
		t.Errorf("key with a line break: %v", err)
	}
}
