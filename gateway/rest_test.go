package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"walletd/journal"
)

type door struct {
	t      *testing.T
	url    string
	shards *bookShards
	server *Server
}

func openDoor(t *testing.T, change func(*Config)) *door {
	t.Helper()
	shards := newBookShards(8)
	cfg := Config{Assets: journal.DevAssets, Partitions: 8, Shards: shards, Reads: http.NotFoundHandler()}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewUnstartedServer(s)
	ts.Listener = Listen(ts.Listener)
	ts.Start()
	t.Cleanup(ts.Close)
	return &door{t: t, url: ts.URL, shards: shards, server: s}
}

type reply struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

// call sends one request; key "" sends no Idempotency-Key.
func (d *door) call(method, path, key, body string) reply {
	d.t.Helper()
	req, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return d.do(req)
}

func (d *door) do(req *http.Request) reply {
	d.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, raw: string(b)}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(b, &r.body); err != nil {
			d.t.Fatalf("%s %s answered what is no JSON: %v: %s", req.Method, req.URL.Path, err, b)
		}
	}
	return r
}

func (d *door) want(r reply, status int, code string) {
	d.t.Helper()
	got, _ := r.body["code"].(string)
	if r.status != status || got != code {
		d.t.Errorf("answered %d %q, want %d %q: %s", r.status, got, status, code, r.raw)
	}
}

// fund opens an issuance account and the named accounts, each with 10,000.
func (d *door) fund(names ...string) {
	d.t.Helper()
	d.want(d.call("POST", "/v1/accounts", "", `{"id":"bank","asset":"USD","issuance":true}`), 201, "")
	for _, name := range names {
		d.want(d.call("POST", "/v1/accounts", "", `{"id":"`+name+`","asset":"USD"}`), 201, "")
		d.want(d.call("POST", "/v1/transfers", "fund-"+name, `{"from":"bank","to":"`+name+`","amount":10000,"asset":"USD"}`), 201, "")
	}
}

func (d *door) balance(account string) (available, reserved float64) {
	d.t.Helper()
	r := d.call("GET", "/v1/accounts/"+account+"/balance", "", "")
	d.want(r, 200, "")
	return r.body["available"].(float64), r.body["reserved"].(float64)
}

func TestTransferAndBalance(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	const body = `{"from":"alice","to":"bob","amount":1250,"asset":"USD","reference":"order 42"}`
	first := d.call("POST", "/v1/transfers", "k-1", body)
	d.want(first, 201, "")
	if first.header.Get("Wallet-Position") == "" || first.header.Get("Request-Id") == "" {
		t.Errorf("headers are missing: %v", first.header)
	}
	again := d.call("POST", "/v1/transfers", "k-1", `{"reference":"order 42", "asset":"USD","amount":1250,"to":"bob","from":"alice"}`)
	if again.status != 201 || again.raw != first.raw || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a repeat answered %d %s, first %s", again.status, again.raw, first.raw)
	}
	for field, other := range map[string]string{
		"to":        `{"from":"alice","to":"bank","amount":1250,"asset":"USD","reference":"order 42"}`,
		"amount":    `{"from":"alice","to":"bob","amount":1251,"asset":"USD","reference":"order 42"}`,
		"asset":     `{"from":"alice","to":"bob","amount":1250,"asset":"EUR","reference":"order 42"}`,
		"reference": `{"from":"alice","to":"bob","amount":1250,"asset":"USD","reference":"order 43"}`,
	} {
		d.want(d.call("POST", "/v1/transfers", "k-1", other), 409, "key_reused_with_different_"+field)
	}
	if a, _ := d.balance("alice"); a != 8750 {
		t.Errorf("alice has %v", a)
	}
	if b, _ := d.balance("bob"); b != 11250 {
		t.Errorf("bob has %v", b)
	}
	d.shards.sums(t)
}

func TestRefusalIsFrozen(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	const body = `{"from":"alice","to":"bob","amount":10001,"asset":"USD"}`
	first := d.call("POST", "/v1/transfers", "k", body)
	d.want(first, 422, "insufficient_funds")
	if first.body["needed"] != 1.0 {
		t.Errorf("needed is %v", first.body["needed"])
	}
	d.want(d.call("POST", "/v1/transfers", "more", `{"from":"bank","to":"alice","amount":500,"asset":"USD"}`), 201, "")
	again := d.call("POST", "/v1/transfers", "k", body)
	d.want(again, 422, "insufficient_funds")
	if again.header.Get("Idempotency-Replayed") != "true" || again.body["needed"] != 1.0 {
		t.Errorf("the repeat is not the first answer: %s", again.raw)
	}
}

func TestRefusals(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob", "carol")
	d.want(d.call("POST", "/v1/accounts", "", `{"id":"erik","asset":"EUR"}`), 201, "")
	d.want(d.call("PATCH", "/v1/accounts/carol", "", `{"frozen":{"sending":true,"receiving":true}}`), 200, "")
	d.want(d.call("POST", "/v1/accounts", "", `{"id":"gone","asset":"USD"}`), 201, "")
	d.want(d.call("PATCH", "/v1/accounts/gone", "", `{"status":"closed"}`), 200, "")
	for _, c := range []struct{ name, from, to, code, side string }{
		{"to oneself", "alice", "alice", "same_account", ""},
		{"another asset", "alice", "erik", "asset_mismatch", ""},
		{"unknown payer", "nobody", "bob", "account_not_found", "payer"},
		{"unknown payee", "alice", "nobody", "account_not_found", "payee"},
		{"frozen payer", "carol", "bob", "account_frozen", "payer"},
		{"frozen payee", "alice", "carol", "account_frozen", "payee"},
		{"closed payee", "alice", "gone", "account_closed", "payee"},
		{"closed payer", "gone", "alice", "account_closed", "payer"},
	} {
		r := d.call("POST", "/v1/transfers", c.name, `{"from":"`+c.from+`","to":"`+c.to+`","amount":1,"asset":"USD"}`)
		side, _ := r.body["side"].(string)
		if r.body["code"] != c.code || side != c.side {
			t.Errorf("%s: %s", c.name, r.raw)
		}
	}
	if a, _ := d.balance("alice"); a != 10000 {
		t.Errorf("a refusal moved money: %v", a)
	}
	d.shards.sums(t)
}

func TestBadInput(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	for _, c := range []struct{ name, body, code, field string }{
		{"empty", ``, "malformed", ""},
		{"an array", `[]`, "malformed", ""},
		{"cut short", `{"from":"alice"`, "malformed", ""},
		{"trailing data", `{"from":"alice","to":"bob","amount":1,"asset":"USD"} x`, "malformed", ""},
		{"two documents", `{"from":"alice","to":"bob","amount":1,"asset":"USD"}{}`, "malformed", ""},
		{"unknown field", `{"from":"alice","to":"bob","amount":1,"asset":"USD","fee":1}`, "unknown_field", "fee"},
		{"duplicate field", `{"from":"alice","to":"bob","amount":1,"amount":1,"asset":"USD"}`, "duplicate_field", "amount"},
		{"a float", `{"from":"alice","to":"bob","amount":1.0,"asset":"USD"}`, "malformed", "amount"},
		{"a string", `{"from":"alice","to":"bob","amount":"1","asset":"USD"}`, "malformed", "amount"},
		{"zero", `{"from":"alice","to":"bob","amount":0,"asset":"USD"}`, "amount_out_of_range", "amount"},
		{"negative", `{"from":"alice","to":"bob","amount":-1,"asset":"USD"}`, "amount_out_of_range", "amount"},
		{"2^53", `{"from":"alice","to":"bob","amount":9007199254740992,"asset":"USD"}`, "amount_out_of_range", "amount"},
		{"unknown asset", `{"from":"alice","to":"bob","amount":1,"asset":"XXX"}`, "asset_unknown", "asset"},
		{"no amount", `{"from":"alice","to":"bob","asset":"USD"}`, "malformed", "amount"},
		{"a name too long", `{"from":"` + strings.Repeat("a", 65) + `","to":"bob","amount":1,"asset":"USD"}`, "malformed", "from"},
		{"invalid UTF-8", "{\"from\":\"alice\",\"to\":\"bob\",\"amount\":1,\"asset\":\"USD\",\"reference\":\"\xff\"}", "malformed", ""},
		{"deep", strings.Repeat("[", 10000), "malformed", ""},
	} {
		r := d.call("POST", "/v1/transfers", "bad", c.body)
		field, _ := r.body["field"].(string)
		if r.status != 400 || r.body["code"] != c.code || (c.field != "" && field != c.field) {
			t.Errorf("%s: answered %s", c.name, r.raw)
		}
	}
	d.want(d.call("POST", "/v1/transfers", "big", `{"reference":"`+strings.Repeat("a", 10<<20)+`"}`), 413, "payload_too_large")
	d.want(d.call("POST", "/v1/transfers", "", `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`), 400, "key_required")
	d.want(d.call("POST", "/v1/transfers", "a", `{"key":"b","from":"alice","to":"bob","amount":1,"asset":"USD"}`), 400, "malformed")
	d.want(d.call("DELETE", "/v1/transfers", "", ""), 405, "method_not_allowed")
	d.want(d.call("GET", "/v2/transfers", "", ""), 404, "not_found")
	// The key that every bad request carried is still usable.
	d.want(d.call("POST", "/v1/transfers", "bad", `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`), 201, "")
}

func TestAccounts(t *testing.T) {
	d := openDoor(t, nil)
	const create = `{"id":"alice","asset":"USD","owner":"Alice","metadata":{"tier":"gold"}}`
	first := d.call("POST", "/v1/accounts", "", create)
	d.want(first, 201, "")
	again := d.call("POST", "/v1/accounts", "", create)
	if again.status != 200 || again.raw != first.raw {
		t.Errorf("the same again answered %d %s, first %s", again.status, again.raw, first.raw)
	}
	d.want(d.call("POST", "/v1/accounts", "", `{"id":"alice","asset":"EUR","owner":"Alice","metadata":{"tier":"gold"}}`), 409, "account_exists_with_different_asset")
	d.want(d.call("POST", "/v1/accounts", "", `{"id":"alice","asset":"USD","owner":"Bob","metadata":{"tier":"gold"}}`), 409, "account_exists_with_different_owner")

	r := d.call("PATCH", "/v1/accounts/alice", "", `{"frozen":{"sending":true},"metadata":{"tier":null,"region":"eu"}}`)
	d.want(r, 200, "")
	if r.body["version"] != 2.0 || r.header.Get("ETag") != `"2"` {
		t.Errorf("a patch is one version: %s, ETag %s", r.raw, r.header.Get("ETag"))
	}
	if m := r.body["metadata"].(map[string]any); len(m) != 1 || m["region"] != "eu" {
		t.Errorf("metadata is %v", m)
	}
	if f := r.body["frozen"].(map[string]any); f["sending"] != true || f["receiving"] != false {
		t.Errorf("frozen is %v", f)
	}
	req, err := http.NewRequest("PATCH", d.url+"/v1/accounts/alice", strings.NewReader(`{"overdraft_limit":500}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("If-Match", `"1"`)
	d.want(d.do(req), 412, "precondition_failed")
	d.want(d.call("PATCH", "/v1/accounts/alice", "", `{"overdraft_limit":500}`), 200, "")
	d.want(d.call("GET", "/v1/accounts/nobody", "", ""), 404, "account_not_found")
	d.want(d.call("PATCH", "/v1/accounts/alice", "", `{"status":"closed"}`), 200, "")
	d.want(d.call("PATCH", "/v1/accounts/alice", "", `{"status":"open"}`), 200, "")
}

func TestReservations(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob", "carol")
	r := d.call("POST", "/v1/reservations", "r-1", `{"from":"alice","to":"bob","amount":500,"asset":"USD"}`)
	d.want(r, 201, "")
	id := r.body["id"].(string)
	if a, res := d.balance("alice"); a != 9500 || res != 500 {
		t.Errorf("after the Try alice has %v, %v reserved", a, res)
	}
	part := d.call("POST", "/v1/reservations/"+id+"/confirm", "c-1", `{"amount":200,"final":false}`)
	if part.status != 200 || part.body["status"] != "tried" || part.body["remaining"] != 300.0 || part.body["to"] != "bob" {
		t.Errorf("a partial confirm answered %d %s", part.status, part.raw)
	}
	d.want(d.call("POST", "/v1/reservations/"+id+"/confirm", "c-2", `{"amount":301}`), 422, "exceeds_reservation")
	last := d.call("POST", "/v1/reservations/"+id+"/confirm", "c-3", `{"amount":100}`)
	if last.status != 200 || last.body["status"] != "confirmed" || last.body["captured"] != 300.0 {
		t.Errorf("the last confirm answered %d %s", last.status, last.raw)
	}
	again := d.call("POST", "/v1/reservations/"+id+"/confirm", "c-1", `{"amount":200,"final":false}`)
	if again.raw != part.raw || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the repeat of a confirm answered %s, first %s", again.raw, part.raw)
	}
	d.want(d.call("POST", "/v1/reservations/"+id+"/cancel", "", `{}`), 409, "already_confirmed")
	d.want(d.call("POST", "/v1/reservations/"+id+"/confirm", "c-4", `{}`), 409, "already_confirmed")
	if a, res := d.balance("alice"); a != 9700 || res != 0 {
		t.Errorf("in the end alice has %v, %v reserved", a, res)
	}
	if b, _ := d.balance("bob"); b != 10300 {
		t.Errorf("in the end bob has %v", b)
	}
	got := d.call("GET", "/v1/reservations/"+id, "", "")
	if got.status != 200 || got.body["status"] != "confirmed" || got.body["from"] != "alice" {
		t.Errorf("look-up answered %d %s", got.status, got.raw)
	}

	open := d.call("POST", "/v1/reservations", "r-2", `{"from":"alice","amount":100,"asset":"USD"}`)
	d.want(open, 201, "")
	id = open.body["id"].(string)
	d.want(d.call("POST", "/v1/reservations/"+id+"/confirm", "c", `{}`), 400, "malformed")
	if r := d.call("POST", "/v1/reservations/"+id+"/confirm", "c", `{"to":"carol"}`); r.status != 200 || r.body["to"] != "carol" {
		t.Errorf("a confirm that names the payee answered %d %s", r.status, r.raw)
	}
	d.want(d.call("POST", "/v1/reservations/"+id+"/confirm", "c", `{"to":"carol"}`), 200, "")
	d.want(d.call("POST", "/v1/reservations/"+id+"/confirm", "c", `{}`), 409, "key_reused_with_different_to")
	d.want(d.call("POST", "/v1/reservations/rs_00000000000000000000000000/confirm", "c", `{}`), 404, "reservation_not_found")
	d.want(d.call("POST", "/v1/reservations/x/cancel", "", `{}`), 404, "reservation_not_found")

	d.want(d.call("POST", "/v1/reservations/cancel", "", `{"from":"alice","key":"late"}`), 200, "")
	d.want(d.call("POST", "/v1/reservations/cancel", "", `{"from":"alice","key":"late"}`), 200, "")
	d.want(d.call("POST", "/v1/reservations", "late", `{"from":"alice","to":"bob","amount":500,"asset":"USD"}`), 409, "cancelled_before_try")
	d.want(d.call("POST", "/v1/transfers", "late", `{"from":"alice","to":"bob","amount":500,"asset":"USD"}`), 409, "cancelled_before_try")
	d.want(d.call("POST", "/v1/transfers", "r-1", `{"from":"alice","to":"bob","amount":500,"asset":"USD"}`), 409, "key_reused_with_different_kind")
	d.shards.sums(t)
}

func TestBatchAndDryRun(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	r := d.call("POST", "/v1/transfers/batch", "", `{"transfers":[
		{"key":"b-1","from":"alice","to":"bob","amount":1,"asset":"USD"},
		{"from":"alice","to":"bob","amount":1,"asset":"USD"},
		{"key":"b-3","from":"bob","to":"alice","amount":999999,"asset":"USD"}]}`)
	d.want(r, 200, "")
	data := r.body["data"].([]any)
	if len(data) != 3 || data[0].(map[string]any)["status"] != "confirmed" {
		t.Fatalf("batch answered %s", r.raw)
	}
	for i, code := range map[int]string{1: "key_required", 2: "insufficient_funds"} {
		if e, ok := data[i].(map[string]any)["error"].(map[string]any); !ok || e["code"] != code {
			t.Errorf("item %d is %v, want %s", i, data[i], code)
		}
	}
	dry := d.call("POST", "/v1/transfers?dry_run=true", "dry", `{"from":"alice","to":"bob","amount":5,"asset":"USD"}`)
	if dry.status != 200 || dry.body["dry_run"] != true {
		t.Errorf("dry run answered %d %s", dry.status, dry.raw)
	}
	d.want(d.call("POST", "/v1/transfers?dry_run=true", "dry", `{"from":"alice","to":"bob","amount":5000000,"asset":"USD"}`), 422, "insufficient_funds")
	if a, _ := d.balance("alice"); a != 9999 {
		t.Errorf("alice has %v", a)
	}
}

func TestUnavailable(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	for status, code := range map[journal.Status]string{
		journal.ShardUnavailable: "shard_unavailable", journal.StaleEpoch: "shard_unavailable", journal.Uninitialised: "shard_unavailable",
		journal.Moving: "partition_moving", journal.JournalUnavailable: "journal_unavailable", journal.Overloaded: "overloaded", journal.Draining: "draining",
	} {
		d.shards.mu.Lock()
		d.shards.refuse = status
		d.shards.mu.Unlock()
		r := d.call("POST", "/v1/transfers", "u", `{"from":"alice","to":"bob","amount":5,"asset":"USD"}`)
		d.want(r, 503, code)
		if r.header.Get("Retry-After") == "" || r.body["retryable"] != true {
			t.Errorf("%s: headers %v, body %s", code, r.header, r.raw)
		}
	}
	d.shards.refuse = journal.OutcomeUnknown
	r := d.call("POST", "/v1/transfers", "u", `{"from":"alice","to":"bob","amount":5,"asset":"USD"}`)
	d.want(r, 504, "outcome_unknown")
	if !strings.HasPrefix(r.header.Get("Location"), "/v1/transfers/tr_") {
		t.Errorf("no place to look: %v", r.header)
	}
}

// A statement that ends before the wallet began is empty; it is not one without an end.
func TestTimesBeforeTheWallet(t *testing.T) {
	for _, text := range []string{"1970-01-01", "1969-12-31T23:59:59Z", "0001-01-01"} {
		if ms, p := timeOf(text, "to"); p != nil || ms != 1 {
			t.Errorf("%s is %d ms, %v", text, ms, p)
		}
	}
	if ms, p := timeOf("", "to"); p != nil || ms != 0 {
		t.Errorf("no time is %d ms, %v", ms, p)
	}
}
