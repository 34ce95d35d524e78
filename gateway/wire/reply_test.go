package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"walletd/journal"
)

var (
	trID = journal.IDOf(journal.HandleOf("alice"), "k-1")
	rsID = journal.IDOf(journal.HandleOf("alice"), "k-2")
	tr   = trID.Text(journal.TransferPrefix)
	rs   = rsID.Text(journal.ReservationPrefix)
	pos  = journal.Position{Partition: 3, Epoch: 1, Seq: 42}
)

const at, atText = 1_795_132_800_007, "2026-11-20T00:00:00.007Z"

// Each row: what is said, and exactly how (surface, "Shapes").
var replies = []struct {
	name string
	got  []byte
	want string
}{
	{"a new account",
		AppendAccount(nil, &AccountReply{ID: "alice", Asset: "USD", State: journal.Account{Version: 1}, CreatedMS: at}),
		`{"object":"account","id":"alice","asset":"USD","owner":"","issuance":false,"status":"open","frozen":{"sending":false,"receiving":false},"overdraft_limit":0,` +
			`"available":0,"reserved":0,"version":1,"metadata":{},"created_at":"` + atText + `"}`},
	{"an account with everything",
		AppendAccount(nil, &AccountReply{ID: "bank", Asset: "KRW", Owner: `The "Bank"`, CreatedMS: at, Metadata: map[string]string{"z": "1", "a": "é\n", "m": ""},
			State: journal.Account{Available: -5, Reserved: 7, Version: 9, OverdraftLimit: 500,
				Flags: journal.Issuance | journal.FrozenSending | journal.FrozenReceiving | journal.Closed}}),
		`{"object":"account","id":"bank","asset":"KRW","owner":"The \"Bank\"","issuance":true,"status":"closed","frozen":{"sending":true,"receiving":true},"overdraft_limit":500,` +
			`"available":-5,"reserved":7,"version":9,"metadata":{"a":"é\n","m":"","z":"1"},"created_at":"` + atText + `"}`},
	{"a balance",
		AppendBalance(nil, &BalanceReply{Account: "alice", Asset: "USD", Available: -9007199254740991, Reserved: 9007199254740991, Version: 1, Position: pos}),
		`{"object":"balance","account":"alice","asset":"USD","available":-9007199254740991,"reserved":9007199254740991,"version":1,"position":"3.1.42"}`},
	{"a balance as of a time",
		AppendBalance(nil, &BalanceReply{Account: "alice", Asset: "USD", Version: 1, Position: pos, AtMS: at}),
		`{"object":"balance","account":"alice","asset":"USD","available":0,"reserved":0,"version":1,"position":"3.1.42","at":"` + atText + `"}`},
	{"a transfer",
		AppendTransfer(nil, aTransfer()),
		`{"object":"transfer","id":"` + tr + `","key":"k-1","from":"alice","to":"bob","amount":1250,"asset":"USD","status":"confirmed","position":"3.1.42","created_at":"` + atText + `",` +
			`"legs":[{"account":"alice","direction":"debit","amount":1250,"partition":3,"phase":"confirmed"},{"account":"bob","direction":"credit","amount":1250,"partition":5,"phase":"tried"}]}`},
	{"a refused transfer with a reference",
		AppendTransfer(nil, &TransferReply{ID: trID, Key: "k-1", From: "alice", To: "bob", Amount: 1250, Asset: "USD", Reference: "order 42", Status: "refused",
			Code: "account_frozen", Side: "payee", Position: pos, CreatedMS: at}),
		`{"object":"transfer","id":"` + tr + `","key":"k-1","from":"alice","to":"bob","amount":1250,"asset":"USD","reference":"order 42","status":"refused","code":"account_frozen","side":"payee",` +
			`"position":"3.1.42","created_at":"` + atText + `","legs":[]}`},
	{"a reversal, tried dry",
		AppendTransfer(nil, &TransferReply{ID: trID, Key: "k-1", From: "bob", To: "alice", Amount: 5, Asset: "USD", Status: "confirmed", Reverses: trID, DryRun: true, CreatedMS: at}),
		`{"object":"transfer","id":"` + tr + `","key":"k-1","from":"bob","to":"alice","amount":5,"asset":"USD","status":"confirmed","reverses":"` + tr + `","dry_run":true,"created_at":"` + atText + `","legs":[]}`},
	{"a reservation",
		AppendReservation(nil, aReservation()),
		`{"object":"reservation","id":"` + rs + `","key":"k-2","from":"alice","to":"bob","amount":500,"remaining":200,"captured":300,"asset":"USD","status":"tried","position":"3.1.42","created_at":"` +
			atText + `","expires_at":"` + atText + `"}`},
	{"a tombstone",
		AppendReservation(nil, &ReservationReply{ID: rsID, From: "alice", Status: "cancelled", Position: pos}),
		`{"object":"reservation","id":"` + rs + `","from":"alice","to":"","amount":0,"remaining":0,"captured":0,"asset":"","status":"cancelled","position":"3.1.42"}`},
	{"an entry of a transfer",
		AppendEntry(nil, &EntryReply{Account: "alice", Version: 7, Kind: "transfer", Transfer: trID, Direction: "debit", Amount: 1250, AvailableChange: -1250,
			AvailableAfter: 100, Counterparty: "bob", Reference: "order 42", CreatedMS: at, Position: pos}),
		`{"object":"entry","account":"alice","version":7,"kind":"transfer","transfer":"` + tr + `","direction":"debit","amount":1250,"available_change":-1250,"reserved_change":0,` +
			`"available_after":100,"reserved_after":0,"counterparty":"bob","reference":"order 42","created_at":"` + atText + `","position":"3.1.42"}`},
	{"an entry of an opening",
		AppendEntry(nil, &EntryReply{Account: "alice", Version: 1, Kind: "account", CreatedMS: at, Position: pos}),
		`{"object":"entry","account":"alice","version":1,"kind":"account","amount":0,"available_change":0,"reserved_change":0,"available_after":0,"reserved_after":0,"created_at":"` + atText + `","position":"3.1.42"}`},
	{"an entry of a reserve",
		AppendEntry(nil, &EntryReply{Account: "alice", Version: 2, Kind: "reserve", Reservation: rsID, Direction: "debit", Amount: 5, AvailableChange: -5, ReservedChange: 5,
			ReservedAfter: 5, CreatedMS: at, Position: pos}),
		`{"object":"entry","account":"alice","version":2,"kind":"reserve","reservation":"` + rs + `","direction":"debit","amount":5,"available_change":-5,"reserved_change":5,"available_after":0,"reserved_after":5,` +
			`"created_at":"` + atText + `","position":"3.1.42"}`},
	{"an empty list",
		AppendList(nil, []TransferReply(nil), AppendTransfer, ""),
		`{"object":"list","data":[],"has_more":false,"next_cursor":""}`},
	{"a list that goes on",
		AppendList(nil, []BalanceReply{{Account: "a", Position: pos}, {Account: "b", Position: pos}}, AppendBalance, "c+/="),
		`{"object":"list","data":[{"object":"balance","account":"a","asset":"","available":0,"reserved":0,"version":0,"position":"3.1.42"},` +
			`{"object":"balance","account":"b","asset":"","available":0,"reserved":0,"version":0,"position":"3.1.42"}],"has_more":true,"next_cursor":"c+/="}`},
	{"a batch's items",
		AppendList(nil, []BatchReply{{Problem: &Problem{Code: "key_required", Field: "key", RequestID: "r"}}}, AppendBatchItem, ""),
		`{"object":"list","data":[{"error":{"type":"/errors/key_required","title":"Idempotency key required","status":400,` +
			`"detail":"Whatever moves money carries a key: the header Idempotency-Key or the field key.","code":"key_required","retryable":false,"field":"key","request_id":"r"}}],"has_more":false,"next_cursor":""}`},

	{"ok to a transfer", AppendOKTransfer(nil, 2, trID, journal.Confirmed, journal.Position{Partition: 421, Epoch: 7, Seq: 18842}),
		`{"id":2,"ok":{"transfer":"` + tr + `","status":"confirmed","position":"421.7.18842"}}`},
	{"a refusal", AppendRefusal(nil, 2, journal.SameAccount, 0), `{"id":2,"error":{"code":"same_account","retryable":false}}`},
	{"a refusal with what is missing", AppendRefusal(nil, 2, journal.InsufficientFunds, 250), `{"id":2,"error":{"code":"insufficient_funds","retryable":false,"needed":250}}`},
	{"a refusal with a side", AppendRefusal(nil, 2, journal.PayeeFrozen, 0), `{"id":2,"error":{"code":"account_frozen","retryable":false,"side":"payee"}}`},
	{"a refusal with a limit", AppendRefusal(nil, 2, journal.LimitExceeded, 0), `{"id":2,"error":{"code":"limit_exceeded","retryable":false,"limit":0}}`},
	{"a refusal with a rest", AppendRefusal(nil, 2, journal.ExceedsReservation, 0), `{"id":2,"error":{"code":"exceeds_reservation","retryable":false,"remaining":0}}`},
	{"a refusal that concerns the house", AppendRefusal(nil, 2, journal.StaleEpoch, 0), `{"id":2,"error":{"code":"shard_unavailable","retryable":true}}`},
	{"a fault", AppendErr(nil, 3, faultProblem(&Fault{"malformed", "amount", "must be an integer"})), `{"id":3,"error":{"code":"malformed","retryable":false,"field":"amount","detail":"must be an integer"}}`},
	{"a fault without an id", AppendErr(nil, 0, faultProblem(&Fault{"malformed", "", "no \"value\""})), `{"error":{"code":"malformed","retryable":false,"detail":"no \"value\""}}`},
	{"ok to a batch", AppendOKBatch(nil, 4, []ShortReply{{ID: trID, Status: journal.Confirmed, Position: pos}, {Problem: &Problem{Code: "key_required", Field: "key"}}}),
		`{"id":4,"ok":{"data":[{"ok":{"transfer":"` + tr + `","status":"confirmed","position":"3.1.42"}},{"error":{"code":"key_required","retryable":false,"field":"key"}}]}}`},
	{"ok to an empty batch", AppendOKBatch(nil, 4, nil), `{"id":4,"ok":{"data":[]}}`},
	{"ok to connect", AppendOKConnect(nil, 1, "s-1", 1024, 25), `{"id":1,"ok":{"session":"s-1","max_in_flight":1024,"ping_s":25}}`},
	{"ok to refresh", AppendOKEmpty(nil, 7), `{"id":7,"ok":{}}`},
	{"ok to balance", AppendOKBalance(nil, 5, &BalanceReply{Account: "alice", Asset: "USD", Version: 1, Position: pos}),
		`{"id":5,"ok":{"object":"balance","account":"alice","asset":"USD","available":0,"reserved":0,"version":1,"position":"3.1.42"}}`},
	{"ok to reserve", AppendOKReservation(nil, 6, &ReservationReply{ID: rsID, Status: "cancelled", Position: pos}),
		`{"id":6,"ok":{"object":"reservation","id":"` + rs + `","from":"","to":"","amount":0,"remaining":0,"captured":0,"asset":"","status":"cancelled","position":"3.1.42"}}`},
	{"ok to subscribe, recovered", AppendOKSubscribe(nil, 8, "account:alice", nil), `{"id":8,"ok":{"channel":"account:alice","recovered":true}}`},
	{"ok to subscribe, not recovered", AppendOKSubscribe(nil, 8, "account:alice", &BalanceReply{Account: "alice", Asset: "USD", Version: 1, Position: pos}),
		`{"id":8,"ok":{"channel":"account:alice","recovered":false,"snapshot":{"object":"balance","account":"alice","asset":"USD","available":0,"reserved":0,"version":1,"position":"3.1.42"}}}`},
	{"a push", ClosePush(append(OpenPush(nil, "account:alice", 18), `{"type":"transfer.received"}`...)), `{"push":{"channel":"account:alice","version":18,"event":{"type":"transfer.received"}}}`},
	{"the ping", []byte(Ping), `{}`},

	{"a problem", problem(journal.InsufficientFunds, 250),
		`{"type":"/errors/insufficient_funds","title":"Insufficient funds","status":422,"detail":"The payer's available balance is too small; needed tells what is missing.",` +
			`"code":"insufficient_funds","retryable":false,"needed":250,"request_id":"req-1"}`},
	{"a problem with a side", problem(journal.PayerNotFound, 0),
		`{"type":"/errors/account_not_found","title":"Account not found","status":404,"detail":"There is no such account; side tells which.","code":"account_not_found","retryable":false,"side":"payer","request_id":"req-1"}`},
	{"a problem of the house", problem(journal.Uninitialised, 0),
		`{"type":"/errors/shard_unavailable","title":"Shard unavailable","status":503,"detail":"The account's shard does not answer; nothing moved. Try again with the same key.","code":"shard_unavailable","retryable":true,"request_id":"req-1"}`},
	{"a problem of a code that nobody knows", (&Problem{Code: "x\"", Detail: "d"}).AppendJSON(nil),
		`{"type":"/errors/outcome_unknown","title":"Outcome unknown","status":504,"detail":"d","code":"outcome_unknown","retryable":false}`},
}

func aTransfer() *TransferReply {
	return &TransferReply{ID: trID, Key: "k-1", From: "alice", To: "bob", Amount: 1250, Asset: "USD", Status: "confirmed", Position: pos, CreatedMS: at, Legs: []LegReply{
		{Account: "alice", Direction: "debit", Amount: 1250, Partition: 3, Phase: "confirmed"},
		{Account: "bob", Direction: "credit", Amount: 1250, Partition: 5, Phase: "tried"},
	}}
}

func aReservation() *ReservationReply {
	return &ReservationReply{ID: rsID, Key: "k-2", From: "alice", To: "bob", Amount: 500, Remaining: 200, Captured: 300, Asset: "USD", Status: "tried",
		Position: pos, CreatedMS: at, ExpiresMS: at}
}

func problem(s journal.Status, detail uint64) []byte {
	p := ProblemOf(s, detail, "req-1")
	return p.AppendJSON(nil)
}

func faultProblem(f *Fault) *Problem {
	p := f.Problem("")
	return &p
}

func TestReplies(t *testing.T) {
	for _, c := range replies {
		if string(c.got) != c.want {
			t.Errorf("%s is\n%s, want\n%s", c.name, c.got, c.want)
		}
		if !json.Valid(c.got) {
			t.Errorf("%s is not JSON: %s", c.name, c.got)
		}
	}
}

// Every writer appends: what stood in the buffer stays.
func TestRepliesAppend(t *testing.T) {
	const before = "before\n"
	for name, got := range map[string][]byte{
		"account":     AppendAccount([]byte(before), &AccountReply{}),
		"balance":     AppendBalance([]byte(before), &BalanceReply{}),
		"transfer":    AppendTransfer([]byte(before), aTransfer()),
		"reservation": AppendReservation([]byte(before), aReservation()),
		"entry":       AppendEntry([]byte(before), &EntryReply{}),
		"problem":     (&Problem{Code: "malformed"}).AppendJSON([]byte(before)),
		"refusal":     AppendRefusal([]byte(before), 1, journal.SameAccount, 0),
		"push":        ClosePush(append(OpenPush([]byte(before), "account:a", 1), "{}"...)),
	} {
		if rest, ok := strings.CutPrefix(string(got), before); !ok || !json.Valid([]byte(rest)) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestProblemHTTP(t *testing.T) {
	p := ProblemOf(journal.PayeeClosed, 0, "")
	if p.HTTP() != 422 {
		t.Errorf("HTTP %d", p.HTTP())
	}
}

var nastyStrings = []string{"", "plain", `"`, `\`, `\"`, "\x00\x01\x1f\x7f", "\b\f\n\r\t", "</script>&", "é日😀", "\u2028\u2029", "\ufffd",
	"\xff", "a\xffb\xfe", "\xe2\x82", "\xed\xa0\x80", "é\n\"\xff\\"}

func checkString(t *testing.T, s string) {
	t.Helper()
	var got string
	written := AppendString([]byte("x"), s)[1:]
	if err := json.Unmarshal(written, &got); err != nil {
		t.Fatalf("%q is written as %s: %v", s, written, err)
	}
	// encoding/json, too, writes U+FFFD for every byte that is no UTF-8.
	var want string
	b, _ := json.Marshal(s)
	if err := json.Unmarshal(b, &want); err != nil || got != want {
		t.Errorf("%q is read back as %q, want %q", s, got, want)
	}
	if !utf8.Valid(written) {
		t.Errorf("%q is written as invalid UTF-8", s)
	}
}

func TestStrings(t *testing.T) {
	for _, s := range nastyStrings {
		checkString(t, s)
	}
}

// A text that came in goes out as it was.
func TestTextsGoRound(t *testing.T) {
	for _, s := range nastyStrings {
		if !utf8.ValidString(s) || len(s) > ReferenceMax {
			continue
		}
		body := AppendString([]byte(`{"key":"k","from":"a","to":"b","amount":1,"asset":"USD","reference":`), s)
		got, f := ParseTransfer(append(body, '}'), "", journal.DevAssets)
		if f != nil || string(got.Reference) != s {
			t.Errorf("%q came back as %q (%+v)", s, got.Reference, f)
		}
	}
}

func TestTimes(t *testing.T) {
	for ms, want := range map[int64]string{0: `"1970-01-01T00:00:00.000Z"`, at: `"` + atText + `"`, 1709210096789: `"2024-02-29T12:34:56.789Z"`} {
		if got := string(AppendTime(nil, ms)); got != want {
			t.Errorf("%d is %s, want %s", ms, got, want)
		}
	}
}

// A reader that was made for the documented shapes finds every value.
func TestRepliesRoundTrip(t *testing.T) {
	var got struct {
		Object, ID, Key, From, To, Asset, Status, Position string
		Amount                                             int64
		CreatedAt                                          string `json:"created_at"`
		Legs                                               []struct {
			Account, Direction, Phase string
			Amount                    int64
			Partition                 int
		}
	}
	if err := json.Unmarshal(AppendTransfer(nil, aTransfer()), &got); err != nil {
		t.Fatal(err)
	}
	want := aTransfer()
	if got.ID != tr || got.Key != want.Key || got.From != want.From || got.To != want.To || got.Amount != int64(want.Amount) || got.Status != want.Status || got.CreatedAt != atText {
		t.Errorf("got %+v", got)
	}
	if p, err := journal.ParsePosition(got.Position); err != nil || p != pos {
		t.Errorf("position %s", got.Position)
	}
	if id, err := journal.ParseID(journal.TransferPrefix, got.ID); err != nil || id != trID {
		t.Errorf("id %s", got.ID)
	}
	for i, l := range got.Legs {
		if (LegReply{l.Account, l.Direction, journal.Amount(l.Amount), l.Partition, l.Phase}) != want.Legs[i] {
			t.Errorf("leg %d: %+v", i, l)
		}
	}
	metadata := map[string]string{"a\"": "\\", "é": "\n", "": "<>"}
	var account struct{ Metadata map[string]string }
	if err := json.Unmarshal(AppendAccount(nil, &AccountReply{Metadata: metadata}), &account); err != nil || !reflect.DeepEqual(account.Metadata, metadata) {
		t.Errorf("metadata %v, %v", account.Metadata, err)
	}
}
