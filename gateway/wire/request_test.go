package wire

import (
	"fmt"
	"strings"
	"testing"

	"walletd/journal"
)

// faultOf reads a body through the door that it is meant for.
func faultOf(door, body, header string) *Fault {
	var f *Fault
	switch door {
	case "transfer":
		_, f = ParseTransfer([]byte(body), header, journal.DevAssets)
	case "batch":
		_, f = ParseBatch([]byte(body), journal.DevAssets)
	case "reserve":
		_, f = ParseReserve([]byte(body), header, journal.DevAssets)
	case "confirm":
		_, f = ParseConfirm([]byte(body), header, journal.ID{})
	case "cancel":
		_, f = ParseCancel([]byte(body), journal.ID{})
	case "cancel by key":
		_, f = ParseCancelByKey([]byte(body))
	case "reverse":
		_, f = ParseReverse([]byte(body), header)
	case "create":
		_, f = ParseAccountCreate([]byte(body), journal.DevAssets)
	case "patch":
		_, f = ParseAccountPatch([]byte(body))
	default:
		panic(door)
	}
	return f
}

// say writes a fault as "code field", and "fine" for none.
func say(f *Fault) string {
	if f == nil {
		return "fine"
	}
	return strings.TrimSpace(f.Code + " " + f.Field)
}

var (
	id64  = strings.Repeat("a", 64)
	key25 = strings.Repeat("k", 255)
	ref25 = strings.Repeat("é", 127) + "r"
)

// Each row: a door, a body, the header Idempotency-Key, what is answered.
var requests = []struct{ door, body, header, answer string }{
	// The least, and the most.
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`, "k", "fine"},
	{"transfer", `{"from":"alice","to":"bob","amount":9007199254740991,"asset":"BTC"}`, "k", "fine"},
	{"transfer", `{"from":"` + id64 + `","to":"A.b_c-9","amount":1,"asset":"USD","reference":"` + ref25 + `"}`, key25, "fine"},

	// The key: in the body, in the header, in both and then the same.
	{"transfer", `{"key":"k","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "fine"},
	{"transfer", `{"key":"k","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "k", "fine"},
	{"transfer", `{"key":"\u006b","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "k", "fine"},
	{"transfer", `{"key":" ~","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "fine"},
	{"transfer", `{"key":"k","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "K", "malformed key"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "key_required key"},
	{"transfer", `{"key":"","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "malformed key"},
	{"transfer", `{"key":"` + key25 + `k","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "malformed key"},
	{"transfer", `{"key":"clé","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "malformed key"},
	{"transfer", `{"key":"a\tb","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "malformed key"},
	{"transfer", `{"key":"\u007f","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "malformed key"},
	{"transfer", `{"key":7,"from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "malformed key"},
	{"transfer", `{"key":null,"from":"alice","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed key"},
	{"transfer", okBody, key25 + "k", "malformed key"},
	{"transfer", okBody, "cl\xe9", "malformed key"},

	// The amount.
	{"transfer", `{"from":"alice","to":"bob","amount":0,"asset":"USD"}`, "k", "amount_out_of_range amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":-0,"asset":"USD"}`, "k", "amount_out_of_range amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":-1,"asset":"USD"}`, "k", "amount_out_of_range amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":9007199254740992,"asset":"USD"}`, "k", "amount_out_of_range amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":18446744073709551617,"asset":"USD"}`, "k", "amount_out_of_range amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":1` + strings.Repeat("0", 400) + `,"asset":"USD"}`, "k", "amount_out_of_range amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":1.0,"asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":12.5,"asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":1e3,"asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":1E400,"asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":-1.5,"asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":"1250","asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":null,"asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":true,"asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":[1],"asset":"USD"}`, "k", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":{"value":1},"asset":"USD"}`, "k", "malformed amount"},

	// The accounts.
	{"transfer", `{"from":"","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":"` + id64 + `a","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":".alice","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":"-alice","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":"_alice","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":"al ice","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":"al/ice","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":"alicé","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":"alice\u0000","to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":7,"to":"bob","amount":1,"asset":"USD"}`, "k", "malformed from"},
	{"transfer", `{"from":"alice","to":null,"amount":1,"asset":"USD"}`, "k", "malformed to"},
	{"transfer", `{"from":"alice","to":["bob"],"amount":1,"asset":"USD"}`, "k", "malformed to"},

	// The asset.
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"XXX"}`, "k", "asset_unknown asset"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"usd"}`, "k", "asset_unknown asset"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":""}`, "k", "asset_unknown asset"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD "}`, "k", "asset_unknown asset"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":840}`, "k", "malformed asset"},

	// The reference.
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD","reference":"` + ref25 + `x"}`, "k", "malformed reference"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD","reference":null}`, "k", "malformed reference"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD","reference":42}`, "k", "malformed reference"},

	// What is missing: fields in the order of the shape, the key last.
	{"transfer", `{}`, "", "malformed from"},
	{"transfer", `{"from":"alice"}`, "", "malformed to"},
	{"transfer", `{"from":"alice","to":"bob","asset":"USD"}`, "", "malformed amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":1}`, "", "malformed asset"},

	// Unknown and repeated names.
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD","memo":"x"}`, "k", "unknown_field memo"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD","":1}`, "k", "unknown_field"},
	{"transfer", `{"from":"alice","to":"bob","Amount":1,"asset":"USD"}`, "k", "unknown_field Amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD","expires_in_s":1}`, "k", "unknown_field expires_in_s"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD","amount":1}`, "k", "duplicate_field amount"},
	{"transfer", `{"from":"alice","to":"bob","amount":1,"asset":"USD","\u0061mount":2}`, "k", "duplicate_field amount"},
	{"transfer", `{"\u0066rom":"alice","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "k", "duplicate_field from"},
	{"transfer", `{"key":"k","key":"k","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "", "duplicate_field key"},

	// Several faults: the first of the document; then the header; then what is missing.
	{"transfer", `{"amount":0,"memo":1,"from":7}`, "", "amount_out_of_range amount"},
	{"transfer", `{"memo":1,"amount":0}`, "", "unknown_field memo"},
	{"transfer", `{"amount":1,"amount":0,"memo":1}`, "", "duplicate_field amount"},
	{"transfer", `{"from":"alice"}`, "cl\xe9", "malformed key"},

	{"reserve", `{"from":"alice","amount":500,"asset":"USD"}`, "k", "fine"},
	{"reserve", `{"key":"k","from":"alice","to":"bob","amount":500,"asset":"USD","expires_in_s":2592000,"reference":"r"}`, "", "fine"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","expires_in_s":1}`, "k", "fine"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","expires_in_s":2592001}`, "k", "malformed expires_in_s"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","expires_in_s":0}`, "k", "amount_out_of_range expires_in_s"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","expires_in_s":-1}`, "k", "amount_out_of_range expires_in_s"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","expires_in_s":4294967296}`, "k", "malformed expires_in_s"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","expires_in_s":1.5}`, "k", "malformed expires_in_s"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","expires_in_s":"3600"}`, "k", "malformed expires_in_s"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","expires_in_s":9007199254740992}`, "k", "amount_out_of_range expires_in_s"},
	{"reserve", `{"from":"alice","to":"","amount":500,"asset":"USD"}`, "k", "malformed to"},
	{"reserve", `{"from":"alice","to":null,"amount":500,"asset":"USD"}`, "k", "malformed to"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD","final":true}`, "k", "unknown_field final"},
	{"reserve", `{"amount":500,"asset":"USD"}`, "k", "malformed from"},
	{"reserve", `{"from":"alice","amount":500,"asset":"USD"}`, "", "key_required key"},
	{"reserve", ``, "k", "malformed"},

	{"confirm", `{}`, "k", "fine"},
	{"confirm", ``, "k", "fine"},
	{"confirm", `{"amount":300,"to":"bob","final":false}`, "k", "fine"},
	{"confirm", `{"key":"k"}`, "", "fine"},
	{"confirm", `{}`, "", "key_required key"},
	{"confirm", ``, "", "key_required key"},
	{"confirm", ` `, "k", "malformed"},
	{"confirm", `{"amount":0}`, "k", "amount_out_of_range amount"},
	{"confirm", `{"amount":null}`, "k", "malformed amount"},
	{"confirm", `{"final":1}`, "k", "malformed final"},
	{"confirm", `{"final":"false"}`, "k", "malformed final"},
	{"confirm", `{"final":null}`, "k", "malformed final"},
	{"confirm", `{"to":"-"}`, "k", "malformed to"},
	{"confirm", `{"reservation":"rs_00000000000000000000000000"}`, "k", "unknown_field reservation"},

	{"cancel", `{}`, "", "fine"},
	{"cancel", ``, "", "fine"},
	{"cancel", `{"from":"alice"}`, "", "unknown_field from"},
	{"cancel", `[]`, "", "malformed"},
	{"cancel by key", `{"from":"alice","key":"k"}`, "", "fine"},
	{"cancel by key", `{"from":"alice"}`, "", "key_required key"},
	{"cancel by key", `{"key":"k"}`, "", "malformed from"},
	{"cancel by key", `{"from":"alice","key":"k","to":"bob"}`, "", "unknown_field to"},
	{"cancel by key", ``, "", "malformed"},

	{"reverse", `{}`, "k", "fine"},
	{"reverse", ``, "k", "fine"},
	{"reverse", `{"amount":5,"key":"k"}`, "", "fine"},
	{"reverse", `{"amount":-5}`, "k", "amount_out_of_range amount"},
	{"reverse", `{"amount":5}`, "", "key_required key"},
	{"reverse", `{"to":"bob"}`, "k", "unknown_field to"},

	{"batch", `{"transfers":[]}`, "", "fine"},
	{"batch", `{"atomic":true,"transfers":[` + okBody + `]}`, "", "fine"},
	{"batch", `{"transfers":[1,null,"x",[],{}]}`, "", "fine"}, // each its own fault
	{"batch", `{}`, "", "malformed transfers"},
	{"batch", `[]`, "", "malformed"},
	{"batch", `{"transfers":{}}`, "", "malformed transfers"},
	{"batch", `{"transfers":null}`, "", "malformed transfers"},
	{"batch", `{"transfers":[],"transfers":[]}`, "", "duplicate_field transfers"},
	{"batch", `{"transfers":[],"atomic":"yes"}`, "", "malformed atomic"},
	{"batch", `{"transfers":[],"key":"k"}`, "", "unknown_field key"},
	{"batch", `{"transfers":[{},]}`, "", "malformed"},
	{"batch", `{"transfers":[{} {}]}`, "", "malformed"},
	{"batch", `{"transfers":[`, "", "malformed"},
	{"batch", `{"transfers":[` + strings.Repeat(okBody+",", 999) + okBody + `]}`, "", "fine"},
	{"batch", `{"transfers":[` + strings.Repeat(okBody+",", 1000) + okBody + `]}`, "", "malformed transfers"},
	{"batch", `{"transfers":[` + strings.Repeat(okBody+",", 1000) + okBody + `,]}`, "", "malformed"},
	{"batch", `{"transfers":[` + strings.Repeat("0,", BodyMax/2-10) + `0]}`, "", "malformed transfers"},

	{"create", `{"id":"alice","asset":"USD"}`, "", "fine"},
	{"create", `{"asset":"USD"}`, "", "fine"},
	{"create", `{"id":"bank","asset":"KRW","owner":"The Bank","issuance":true,"overdraft_limit":0,"metadata":{"a":"b"}}`, "", "fine"},
	{"create", `{"id":"alice","asset":"USD","overdraft_limit":9007199254740991}`, "", "fine"},
	{"create", `{"id":"alice","asset":"USD","overdraft_limit":9007199254740992}`, "", "amount_out_of_range overdraft_limit"},
	{"create", `{"id":"alice","asset":"USD","overdraft_limit":-1}`, "", "amount_out_of_range overdraft_limit"},
	{"create", `{"id":"alice","asset":"USD","overdraft_limit":"5"}`, "", "malformed overdraft_limit"},
	{"create", `{"id":"alice"}`, "", "malformed asset"},
	{"create", `{"id":"","asset":"USD"}`, "", "malformed id"},
	{"create", `{"id":"al ice","asset":"USD"}`, "", "malformed id"},
	{"create", `{"id":"` + id64 + `a","asset":"USD"}`, "", "malformed id"},
	{"create", `{"id":"alice","asset":"ZZZ"}`, "", "asset_unknown asset"},
	{"create", `{"id":"alice","asset":"USD","owner":null}`, "", "malformed owner"},
	{"create", `{"id":"alice","asset":"USD","owner":"` + ref25 + `x"}`, "", "malformed owner"},
	{"create", `{"id":"alice","asset":"USD","issuance":1}`, "", "malformed issuance"},
	{"create", `{"id":"alice","asset":"USD","available":5}`, "", "unknown_field available"},
	{"create", `{"id":"alice","asset":"USD","status":"open"}`, "", "unknown_field status"},
	{"create", `{"id":"alice","asset":"USD","metadata":[]}`, "", "malformed metadata"},
	{"create", `{"id":"alice","asset":"USD","metadata":null}`, "", "malformed metadata"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"a":1}}`, "", "malformed metadata.a"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"a":null}}`, "", "malformed metadata.a"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"a":{"b":"c"}}}`, "", "malformed metadata.a"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"a":"1","\u0061":"2"}}`, "", "duplicate_field metadata.a"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"":"1"}}`, "", "malformed metadata"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"` + id64 + `":"` + strings.Repeat("v", 500) + `"}}`, "", "fine"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"` + id64 + `a":"1"}}`, "", "malformed metadata." + id64 + "…"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"a":"` + strings.Repeat("v", 501) + `"}}`, "", "malformed metadata.a"},
	{"create", `{"id":"alice","asset":"USD","metadata":` + pairs(50, "v") + `}`, "", "fine"},
	{"create", `{"id":"alice","asset":"USD","metadata":` + pairs(51, "v") + `}`, "", "malformed metadata"},
	{"create", `{"id":"alice","asset":"USD","metadata":` + pairs(60_000, "v") + `}`, "", "malformed metadata"},
	{"create", `{"id":"alice","asset":"USD","metadata":` + pairs(50, strings.Repeat("v", 500)) + `}`, "", "fine"},
	{"create", `{"id":"alice","asset":"USD","metadata":` + pairs(50, strings.Repeat("<", 500)) + `}`, "", "malformed metadata"},
	{"create", `{"id":"alice","asset":"USD","metadata":` + pairs(51, "v") + `,"bogus":1}`, "", "malformed metadata"},
	{"create", `{"id":"alice","asset":"USD","metadata":{"a":"1"},"bogus":1}`, "", "unknown_field bogus"},

	{"patch", `{}`, "", "fine"},
	{"patch", ``, "", "malformed"},
	{"patch", `{"frozen":{"sending":true}}`, "", "fine"},
	{"patch", `{"frozen":{}}`, "", "fine"},
	{"patch", `{"frozen":{},"bogus":1}`, "", "unknown_field bogus"},
	{"patch", `{"frozen":true}`, "", "malformed frozen"},
	{"patch", `{"frozen":null}`, "", "malformed frozen"},
	{"patch", `{"frozen":{"sending":"yes"}}`, "", "malformed frozen.sending"},
	{"patch", `{"frozen":{"spending":true}}`, "", "unknown_field frozen.spending"},
	{"patch", `{"frozen":{"sending":true,"sending":true}}`, "", "duplicate_field frozen.sending"},
	{"patch", `{"sending":true}`, "", "unknown_field sending"},
	{"patch", `{"status":"closed"}`, "", "fine"},
	{"patch", `{"status":"open"}`, "", "fine"},
	{"patch", `{"status":"Closed"}`, "", "malformed status"},
	{"patch", `{"status":""}`, "", "malformed status"},
	{"patch", `{"status":true}`, "", "malformed status"},
	{"patch", `{"overdraft_limit":0}`, "", "fine"},
	{"patch", `{"overdraft_limit":-1}`, "", "amount_out_of_range overdraft_limit"},
	{"patch", `{"overdraft_limit":1.5}`, "", "malformed overdraft_limit"},
	{"patch", `{"overdraft_limit":null}`, "", "malformed overdraft_limit"},
	{"patch", `{"metadata":null}`, "", "fine"},
	{"patch", `{"metadata":{"a":null,"b":"c"}}`, "", "fine"},
	{"patch", `{"metadata":{"a":nul}}`, "", "malformed"},
	{"patch", `{"metadata":nul}`, "", "malformed"},
	{"patch", `{"metadata":{"a":7}}`, "", "malformed metadata.a"},
	{"patch", `{"metadata":"x"}`, "", "malformed metadata"},
	{"patch", `{"metadata":` + pairs(51, "v") + `}`, "", "malformed metadata"},
	{"patch", `{"asset":"EUR"}`, "", "unknown_field asset"},
	{"patch", `{"available":5}`, "", "unknown_field available"},
}

// pairs is a metadata object of n different keys.
func pairs(n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%x":"%s"`, i, value)
	}
	return "{" + b.String()[1:] + "}"
}

func TestRequests(t *testing.T) {
	for _, c := range requests {
		if got := say(faultOf(c.door, c.body, c.header)); got != c.answer {
			t.Errorf("%s %.300s with header %.20q: %s, want %s", c.door, c.body, c.header, got, c.answer)
		}
	}
}

// Every code that a request is answered with is in the table, with HTTP 400.
func TestFaultsAreInTheTable(t *testing.T) {
	for _, c := range requests {
		f := faultOf(c.door, c.body, c.header)
		if f == nil {
			continue
		}
		if _, in := byCode[f.Code]; !in || Lookup(f.Code).HTTP != 400 {
			t.Errorf("%s: %+v", f.Code, Lookup(f.Code))
		}
	}
}
