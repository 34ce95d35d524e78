package systemtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"walletd/gateway/wire"
)

// bad is an object that neither door may take, and what both answer.
type bad struct {
	name, object string
	code, field  string
}

const bodyTen = 10 << 20 // bytes; a body has at most 1 MiB

// amounts are what stands for an amount, and why not.
var amounts = []struct{ text, code string }{
	{"0", "amount_out_of_range"}, {"-1", "amount_out_of_range"}, {"-0", "amount_out_of_range"},
	{"9007199254740992", "amount_out_of_range"}, {"-9007199254740992", "amount_out_of_range"}, {"18446744073709551617", "amount_out_of_range"},
	{strings.Repeat("9", 400), "amount_out_of_range"},
	{"1.5", "malformed"}, {"1.0", "malformed"}, {"1e3", "malformed"}, {"1E-2", "malformed"}, {`"10"`, "malformed"}, {"null", "malformed"},
	{"true", "malformed"}, {"[10]", "malformed"}, {`{"minor":10}`, "malformed"},
}

// texts are what is no text of that field.
var texts = map[string][]string{
	"from":      {`""`, `"` + strings.Repeat("a", 65) + `"`, `" payer"`, `"pay er"`, `"pay/er"`, `"-payer"`, `"zahlër"`, `"pay\u0000er"`, "5", "null", `["payer"]`},
	"to":        {`""`, `"` + strings.Repeat("a", 65) + `"`, `"../payee"`, "5", "null"},
	"key":       {`""`, `"` + strings.Repeat("k", 256) + `"`, `"schlüssel"`, `"a\nb"`, "5", "null", "true"},
	"reference": {`"` + strings.Repeat("r", 256) + `"`, `"` + strings.Repeat("é", 128) + `"`, "5", "null", "{}"},
	"asset":     {"5", "null", `["USD"]`},
}

// transferWith is a good transfer with one field changed; an empty value leaves the field out.
func transferWith(field, value string) string {
	var parts []string
	for _, f := range [][2]string{{"key", `"k"`}, {"from", `"payer"`}, {"to", `"payee"`}, {"amount", "10"}, {"asset", `"USD"`}, {"reference", `"r"`}} {
		if f[0] == field {
			f[1] = value
		}
		if f[1] != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", f[0], f[1]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// badTransfers are the transfers that are refused before anybody looks at key or accounts.
func badTransfers() (list []bad) {
	good := transferWith("", "")
	for _, a := range amounts {
		list = append(list, bad{"amount " + shortened(a.text), transferWith("amount", a.text), a.code, "amount"})
	}
	for field, values := range texts {
		for _, v := range values {
			list = append(list, bad{field + " " + shortened(v), transferWith(field, v), "malformed", field})
		}
	}
	for _, v := range []string{`"XYZ"`, `"usd"`, `""`, `"` + strings.Repeat("X", 100) + `"`} {
		list = append(list, bad{"asset " + shortened(v), transferWith("asset", v), "asset_unknown", "asset"})
	}
	for _, field := range []string{"from", "to", "amount", "asset"} {
		list = append(list, bad{"no " + field, transferWith(field, ""), "malformed", field})
	}
	return append(list,
		bad{"no key", transferWith("key", ""), "key_required", "key"},
		bad{"unknown field", `{"colour":"red",` + good[1:], "unknown_field", "colour"},
		bad{"misspelt field", strings.Replace(good, `"amount"`, `"Amount"`, 1), "unknown_field", "Amount"},
		bad{"amount twice", `{"amount":10,` + good[1:], "duplicate_field", "amount"},
		bad{"amount twice, differing", `{"amount":1000,` + good[1:], "duplicate_field", "amount"},
		bad{"key twice", `{"key":"k",` + good[1:], "duplicate_field", "key"},
		bad{"key twice, escaped", `{"k\u0065y":"k",` + good[1:], "duplicate_field", "key"},
		bad{"nothing", "", "malformed", ""},
		bad{"cut short", good[:len(good)-1], "malformed", ""},
		bad{"half", good[:len(good)/2], "malformed", ""},
		bad{"something follows", good + "x", "malformed", ""},
		bad{"two documents", good + good, "malformed", ""},
		bad{"two documents in two lines", good + " " + good, "malformed", ""},
		bad{"a comment", "/* pay */" + good, "malformed", ""},
		bad{"a comma too many", good[:len(good)-1] + ",}", "malformed", ""},
		bad{"single quotes", strings.ReplaceAll(good, `"`, "'"), "malformed", ""},
		bad{"leading zero", transferWith("amount", "010"), "malformed", ""},
		bad{"plus sign", transferWith("amount", "+10"), "malformed", ""},
		bad{"NaN", transferWith("amount", "NaN"), "malformed", ""},
		bad{"hexadecimal", transferWith("amount", "0x10"), "malformed", ""},
		bad{"invalid UTF-8", transferWith("reference", "\"\xff\xfe\""), "malformed", ""},
		bad{"UTF-8 cut short", transferWith("reference", "\"\xc3\""), "malformed", ""},
		bad{"overlong UTF-8", transferWith("reference", "\"\xc0\xaf\""), "malformed", ""},
		bad{"lone surrogate", transferWith("reference", `"\ud800"`), "malformed", ""},
		bad{"control character", transferWith("reference", "\"a\x01b\""), "malformed", ""},
		bad{"a byte order mark", "\xef\xbb\xbf" + good, "malformed", ""},
		bad{"depth 10,000", transferWith("reference", strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)), "malformed", ""},
		bad{"depth 10,000, cut short", transferWith("reference", strings.Repeat(`{"a":`, 10_000)), "malformed", ""},
		bad{"an array", "[" + good + "]", "malformed", ""},
		bad{"a string", `"transfer"`, "malformed", ""},
		bad{"null", "null", "malformed", ""},
	)
}

func shortened(s string) string {
	if len(s) > 24 {
		return fmt.Sprintf("%s… (%d bytes)", s[:16], len(s))
	}
	return s
}

// badWallet is a wallet with a payer and a payee who must be as they are at the end.
func badWallet(t *testing.T) *dev {
	t.Helper()
	d := startDev(t, 8)
	d.fund("USD", 1_000, "payer", "payee")
	d.fund("EUR", 1_000, "euro")
	return d
}

// untouched fails the test unless nothing was stored and nothing moved since before, and the process lives.
func (d *dev) untouched(t *testing.T, before *audit) {
	t.Helper()
	if !d.proc.alive() {
		t.Fatal("walletd has ended")
	}
	if err := answers(d.admin, "/livez"); err != nil {
		t.Error(err)
	}
	if after := d.atRest(); after.events != before.events {
		t.Errorf("the journal has %d events, %d before", after.events, before.events)
	}
	for _, id := range []string{"payer", "payee", "euro"} {
		if b := d.balance(id); b.Available != 1_000 || b.Reserved != 0 || b.Version != 2 {
			t.Errorf("%s has %+v", id, b)
		}
	}
}

// Whatever arrives: the code of semantics section 1, the field by name, nothing stored, nothing moved, never a 5xx.
func TestBadInputOverREST(t *testing.T) {
	d := badWallet(t)
	before := d.atRest()
	for _, b := range badTransfers() {
		d.refuses(t, "POST", "/v1/transfers", nil, b)
	}
	for _, b := range badTransfers() { // the amounts, texts and syntax of a reserve are those of a transfer
		d.refuses(t, "POST", "/v1/reservations", nil, bad{"reserve: " + b.name, b.object, orMissing(b), b.field})
	}
	for _, b := range badElsewhere() {
		method, path, _ := strings.Cut(b.name, " ")
		path, _, _ = strings.Cut(path, " ")
		d.refuses(t, method, path, nil, b)
	}
	good := transferWith("", "")
	noKey := transferWith("key", "")
	for _, b := range []struct {
		header map[string]string
		bad
	}{
		{map[string]string{"Idempotency-Key": "other"}, bad{"two keys that differ", good, "malformed", "key"}},
		{map[string]string{"Idempotency-Key": strings.Repeat("k", 256)}, bad{"a long key", noKey, "malformed", "key"}},
		{map[string]string{"Idempotency-Key": "schl\xc3\xbcssel"}, bad{"a key that is not ASCII", noKey, "malformed", "key"}},
		{map[string]string{"Content-Type": "text/plain"}, bad{"text", good, "unsupported_media_type", ""}},
		{map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, bad{"a form", good, "unsupported_media_type", ""}},
		{map[string]string{"Content-Type": "application/json"}, bad{"10 MB", good + strings.Repeat(" ", bodyTen), "payload_too_large", ""}},
		{map[string]string{"Content-Type": "application/json"}, bad{"10 MB of text", transferWith("reference", `"`+strings.Repeat("r", bodyTen)+`"`), "payload_too_large", ""}},
	} {
		d.refuses(t, "POST", "/v1/transfers", b.header, b.bad)
	}
	d.untouched(t, before)

	// The key of all of it is still usable.
	a, err := d.call("POST", "/v1/transfers", nil, []byte(good))
	if err != nil || a.status != 201 || a.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("the first good transfer under the key answered %v, %v", a, err)
	}
}

// orMissing: a reserve may leave out its payee.
func orMissing(b bad) string {
	if b.name == "no to" {
		return ""
	}
	return b.code
}

// badElsewhere are requests to the other routes; the name begins with method and path.
func badElsewhere() []bad {
	const nobody = "rs_00000000000000000000000000"
	reserve := func(expires string) string {
		return strings.Replace(transferWith("reference", ""), "{", `{"expires_in_s":`+expires+",", 1)
	}
	many := func(n int, item string) string {
		return `{"transfers":[` + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + `]}`
	}
	var metadata []string
	for i := range 51 {
		metadata = append(metadata, fmt.Sprintf(`"m%d":"x"`, i))
	}
	return []bad{
		{"POST /v1/reservations expires 0", reserve("0"), "amount_out_of_range", "expires_in_s"},
		{"POST /v1/reservations expires -1", reserve("-1"), "amount_out_of_range", "expires_in_s"},
		{"POST /v1/reservations expires in more than 30 days", reserve("2592001"), "malformed", "expires_in_s"},
		{"POST /v1/reservations expires 1.5", reserve("1.5"), "malformed", "expires_in_s"},
		{"POST /v1/reservations expires as text", reserve(`"60"`), "malformed", "expires_in_s"},
		{"POST /v1/reservations/" + nobody + "/confirm amount 0", `{"key":"k","amount":0}`, "amount_out_of_range", "amount"},
		{"POST /v1/reservations/" + nobody + "/confirm final as text", `{"key":"k","final":"yes"}`, "malformed", "final"},
		{"POST /v1/reservations/" + nobody + "/confirm no key", `{}`, "key_required", "key"},
		{"POST /v1/reservations/" + nobody + "/confirm unknown field", `{"key":"k","asset":"USD"}`, "unknown_field", "asset"},
		{"POST /v1/reservations/" + nobody + "/confirm of nobody", `{"key":"k","to":"payee"}`, "reservation_not_found", ""},
		{"POST /v1/reservations/rs_nonsense/confirm bad id", `{"key":"k"}`, "reservation_not_found", "id"},
		{"POST /v1/reservations/" + nobody + "/cancel of nobody", `{}`, "reservation_not_found", ""},
		{"POST /v1/reservations/" + nobody + "/cancel unknown field", `{"amount":1}`, "unknown_field", "amount"},
		{"POST /v1/reservations/cancel no from", `{"key":"k"}`, "malformed", "from"},
		{"POST /v1/reservations/cancel no key", `{"from":"payer"}`, "key_required", "key"},
		{"POST /v1/transfers/batch none", `{}`, "malformed", "transfers"},
		{"POST /v1/transfers/batch no array", `{"transfers":{}}`, "malformed", "transfers"},
		{"POST /v1/transfers/batch too many", many(1001, `{}`), "malformed", "transfers"},
		{"POST /v1/transfers/batch unknown field", `{"transfers":[],"speed":1}`, "unknown_field", "speed"},
		{"POST /v1/accounts no asset", `{"id":"x"}`, "malformed", "asset"},
		{"POST /v1/accounts unknown asset", `{"id":"x","asset":"XYZ"}`, "asset_unknown", "asset"},
		{"POST /v1/accounts bad id", `{"id":"a b","asset":"USD"}`, "malformed", "id"},
		{"POST /v1/accounts limit below 0", `{"id":"x","asset":"USD","overdraft_limit":-1}`, "amount_out_of_range", "overdraft_limit"},
		{"POST /v1/accounts issuance as text", `{"id":"x","asset":"USD","issuance":"true"}`, "malformed", "issuance"},
		{"POST /v1/accounts too much metadata", `{"id":"x","asset":"USD","metadata":{` + strings.Join(metadata, ",") + `}}`, "malformed", "metadata"},
		{"POST /v1/accounts exists", `{"id":"payer","asset":"EUR"}`, "account_exists_with_different_asset", "asset"},
		{"PATCH /v1/accounts/payer unknown status", `{"status":"frozen"}`, "malformed", "status"},
		{"PATCH /v1/accounts/payer unknown field", `{"available":5}`, "unknown_field", "available"},
		{"PATCH /v1/accounts/payer frozen as text", `{"frozen":{"sending":"yes"}}`, "malformed", "frozen.sending"},
		{"PATCH /v1/accounts/payer close with money", `{"status":"closed"}`, "account_not_empty", ""},
		{"PATCH /v1/accounts/nobody of nobody", `{"status":"closed"}`, "account_not_found", ""},
		{"GET /v1/accounts/nobody/balance", "", "account_not_found", ""},
		{"GET /v1/accounts/nobody/entries", "", "account_not_found", "id"},
		{"GET /v1/accounts/payer/entries?limit=0", "", "malformed", "limit"},
		{"GET /v1/accounts/payer/entries?cursor=nonsense", "", "malformed", "cursor"},
		{"GET /v1/accounts/payer/balance?at=yesterday", "", "malformed", "at"},
		{"GET /v1/accounts/payer/balance?at=2999-01-01", "", "malformed", "at"},
		{"GET /v1/transfers/tr_nonsense", "", "transfer_not_found", "id"},
		{"GET /v1/transfers?from=payer", "", "malformed", "key"},
		{"GET /v1/nothing", "", "not_found", ""},
		{"DELETE /v1/accounts/payer", "", "method_not_allowed", ""},
		{"PUT /v1/transfers", "{}", "method_not_allowed", ""},
		{"POST /v1/transfers same account", transferWith("to", `"payer"`), "same_account", "to"},
		{"POST /v1/transfers asset of neither", transferWith("asset", `"EUR"`), "asset_mismatch", "asset"},
		{"POST /v1/transfers payee in another asset", transferWith("to", `"euro"`), "asset_mismatch", "asset"},
		{"POST /v1/transfers unknown payer", transferWith("from", `"nobody"`), "account_not_found", ""},
		{"POST /v1/transfers?dry_run=true unknown payee", transferWith("to", `"nobody"`), "account_not_found", ""},
		{"POST /v1/transfers?dry_run=true too much", transferWith("amount", "1001"), "insufficient_funds", ""},
	}
}

// refuses makes a bad request by REST; one without a code is not asked.
func (d *dev) refuses(t *testing.T, method, path string, header map[string]string, b bad) {
	t.Helper()
	if b.code == "" {
		return
	}
	a, err := d.call(method, path, header, []byte(b.object))
	if err != nil {
		t.Errorf("%s: %v", b.name, err)
		return
	}
	p := a.problem()
	if p.Code != b.code || p.Field != b.field || a.status != wire.Lookup(b.code).HTTP || a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Request-Id") == "" {
		t.Errorf("%s: answered %v; want %s, field %q", b.name, a, b.code, b.field)
	}
}

// The same over the other door: the error names the message, the connection stays.
func TestBadInputOverWebSocket(t *testing.T) {
	d := badWallet(t)
	before := d.atRest()
	l := d.line(t)
	for _, command := range []string{"transfer", "reserve"} {
		for _, b := range badTransfers() {
			if command == "reserve" && orMissing(b) == "" || b.object == "" {
				continue
			}
			l.refuses(fmt.Sprintf(`{"id":7,%q:%s}`, command, b.object), b)
		}
	}
	for _, b := range []bad{
		{"no id", `{"transfer":` + transferWith("", "") + `}`, "malformed", "id"},
		{"id 0", `{"id":0,"balance":{"account":"payer"}}`, "amount_out_of_range", "id"},
		{"id as text", `{"id":"7","balance":{"account":"payer"}}`, "malformed", "id"},
		{"two commands", `{"id":7,"balance":{"account":"payer"},"transfer":` + transferWith("", "") + `}`, "malformed", "transfer"},
		{"no command", `{"id":7}`, "malformed", ""},
		{"unknown command", `{"id":7,"dance":{}}`, "unknown_command", "dance"},
		{"connect again", `{"id":7,"connect":{}}`, "malformed", "connect"},
		{"balance of nobody", `{"id":7,"balance":{"account":"nobody"}}`, "account_not_found", ""},
		{"balance of a bad id", `{"id":7,"balance":{"account":"a b"}}`, "malformed", "account"},
		{"confirm of nobody", `{"id":7,"confirm":{"reservation":"rs_00000000000000000000000000","key":"k","to":"payee"}}`, "reservation_not_found", ""},
		{"confirm of a bad id", `{"id":7,"confirm":{"reservation":"nonsense","key":"k"}}`, "reservation_not_found", "reservation"},
		{"cancel of nothing", `{"id":7,"cancel":{}}`, "malformed", "reservation"},
		{"batch of too many", `{"id":7,"batch":{"transfers":[` + strings.TrimSuffix(strings.Repeat("{},", 1001), ",") + `]}}`, "malformed", "transfers"},
		{"same account", `{"id":7,"transfer":` + transferWith("to", `"payer"`) + `}`, "same_account", ""},
		{"asset mismatch", `{"id":7,"transfer":` + transferWith("to", `"euro"`) + `}`, "asset_mismatch", ""},
		{"unknown payer", `{"id":7,"transfer":` + transferWith("from", `"nobody"`) + `}`, "account_not_found", ""},
	} {
		l.refuses(b.object, b)
	}
	for _, b := range []struct {
		what, message string
		kind, code    int
	}{
		{"a message of 10 MB", `{"id":7,"balance":{"account":"` + strings.Repeat("a", bodyTen) + `"}}`, websocket.TextMessage, websocket.CloseMessageTooBig},
		{"a binary frame", `{"id":7,"balance":{"account":"payer"}}`, websocket.BinaryMessage, websocket.CloseUnsupportedData},
	} {
		if code := d.line(t).closes(b.kind, b.message); code != b.code {
			t.Errorf("%s closed with %d, want %d", b.what, code, b.code)
		}
	}
	d.untouched(t, before)
	l.send(`{"id":9,"transfer":` + transferWith("", "") + `}`)
	if r := l.next(); r.Error != nil || r.ID != 9 || !bytes.Contains(r.OK, []byte(`"confirmed"`)) {
		t.Errorf("the first good transfer under the key answered %+v", r)
	}
}
