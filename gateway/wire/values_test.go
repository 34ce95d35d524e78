package wire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"walletd/journal"
)

func TestTransferValues(t *testing.T) {
	got, f := ParseTransfer([]byte(`{"from":"alice","to":"bob","amount":1250,"asset":"EUR","reference":"order 42"}`), "k-1", journal.DevAssets)
	want := Transfer{Key: []byte("k-1"), From: []byte("alice"), To: []byte("bob"), Amount: 1250, Asset: 1, Reference: []byte("order 42")}
	if f != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %+v", got, f)
	}
}

func TestReserveValues(t *testing.T) {
	got, f := ParseReserve([]byte(`{"key":"k","from":"alice","amount":5,"asset":"USD"}`), "", journal.DevAssets)
	if want := (Reserve{Key: []byte("k"), From: []byte("alice"), Amount: 5, ExpiresInS: 604_800}); f != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %+v", got, f)
	}
	got, f = ParseReserve([]byte(`{"from":"alice","to":"bob","amount":5,"asset":"JPY","expires_in_s":60,"reference":"r"}`), "k", journal.DevAssets)
	want := Reserve{Key: []byte("k"), From: []byte("alice"), To: []byte("bob"), Amount: 5, Asset: 3, ExpiresInS: 60, Reference: []byte("r")}
	if f != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %+v", got, f)
	}
}

func TestConfirmCancelReverseValues(t *testing.T) {
	id := journal.IDOf(journal.HandleOf("alice"), "k")
	confirm, f := ParseConfirm(nil, "c", id)
	if want := (Confirm{Reservation: id, Key: []byte("c"), Final: true}); f != nil || !reflect.DeepEqual(confirm, want) {
		t.Errorf("confirm of all: %+v, %+v", confirm, f)
	}
	confirm, f = ParseConfirm([]byte(`{"amount":300,"to":"bob","final":false,"key":"c"}`), "", id)
	want := Confirm{Reservation: id, Key: []byte("c"), Amount: 300, To: []byte("bob"), Final: false}
	if f != nil || !reflect.DeepEqual(confirm, want) {
		t.Errorf("confirm of a part: %+v, %+v", confirm, f)
	}
	cancel, f := ParseCancel([]byte(`{}`), id)
	if f != nil || !reflect.DeepEqual(cancel, Cancel{Reservation: id}) {
		t.Errorf("cancel: %+v, %+v", cancel, f)
	}
	cancel, f = ParseCancelByKey([]byte(`{"from":"alice","key":"k"}`))
	if f != nil || !reflect.DeepEqual(cancel, Cancel{ByKey: true, From: []byte("alice"), Key: []byte("k")}) {
		t.Errorf("cancel by key: %+v, %+v", cancel, f)
	}
	reverse, f := ParseReverse([]byte(`{"amount":7}`), "r")
	if f != nil || !reflect.DeepEqual(reverse, Reverse{Key: []byte("r"), Amount: 7}) {
		t.Errorf("reverse: %+v, %+v", reverse, f)
	}
}

func TestBatchItemsHaveTheirOwnFaults(t *testing.T) {
	items := []struct{ item, answer string }{
		{`{"key":"a","from":"alice","to":"bob","amount":1,"asset":"USD"}`, "fine"},
		{`{"from":"alice","to":"bob","amount":1,"asset":"USD"}`, "key_required key"},
		{`{"key":"b","from":"alice","to":"bob","amount":0,"asset":"USD"}`, "amount_out_of_range amount"},
		{`{"key":"b","from":"alice","to":"bob","amount":"1","asset":"USD"}`, "malformed amount"},
		{`{"key":"b","from":"alice","to":"bob","amount":1,"asset":"ABC"}`, "asset_unknown asset"},
		{`{"key":"b","from":"alice","to":"bob","amount":1,"asset":"USD","x":[{}]}`, "unknown_field x"},
		{`{"key":"b","key":"b"}`, "duplicate_field key"},
		{`{}`, "malformed from"},
		{`null`, "malformed"},
		{`[]`, "malformed"},
		{`"x"`, "malformed"},
		{`{"key":"c","from":"bob","to":"carol","amount":2,"asset":"EUR"}`, "fine"},
	}
	var list []string
	for _, c := range items {
		list = append(list, c.item)
	}
	b, f := ParseBatch([]byte(`{"transfers":[`+strings.Join(list, " , ")+`],"atomic":true}`), journal.DevAssets)
	if f != nil || len(b.Items) != len(items) || !b.Atomic {
		t.Fatalf("%d items, atomic %v, %+v", len(b.Items), b.Atomic, f)
	}
	for i, c := range items {
		if got := say(b.Items[i].Fault); got != c.answer {
			t.Errorf("item %s: %s, want %s", c.item, got, c.answer)
		}
	}
	last := b.Items[len(items)-1].Transfer
	if want := (Transfer{Key: []byte("c"), From: []byte("bob"), To: []byte("carol"), Amount: 2, Asset: 1}); !reflect.DeepEqual(last, want) {
		t.Errorf("the last item is %+v", last)
	}
}

func TestAccountCreateValues(t *testing.T) {
	got, f := ParseAccountCreate([]byte(`{"id":"bank","asset":"KRW","owner":"The \"Bank\"","issuance":true,"overdraft_limit":500,"metadata":{"a":"1","b":""}}`), journal.DevAssets)
	if f != nil || string(got.ID) != "bank" || got.Asset != 2 || string(got.Owner) != `The "Bank"` || !got.Issuance || got.OverdraftLimit != 500 {
		t.Errorf("got %+v, %+v", got, f)
	}
	if want := map[string]string{"a": "1", "b": ""}; !reflect.DeepEqual(got.MetadataMap(), want) {
		t.Errorf("metadata %v", got.MetadataMap())
	}
	got, f = ParseAccountCreate([]byte(`{"asset":"USD","metadata":{}}`), journal.DevAssets)
	if f != nil || len(got.ID) != 0 || got.MetadataMap() != nil {
		t.Errorf("got %+v, %+v", got, f)
	}
}

func TestPatchMerges(t *testing.T) {
	const sending, receiving, closed, issuance = journal.FrozenSending, journal.FrozenReceiving, journal.Closed, journal.Issuance
	for _, c := range []struct {
		patch    string
		old, now journal.Flags
	}{
		{`{}`, issuance | sending, issuance | sending},
		{`{"frozen":{}}`, sending | receiving, sending | receiving},
		{`{"frozen":{"sending":true}}`, issuance, issuance | sending},
		{`{"frozen":{"sending":true}}`, receiving, sending | receiving},
		{`{"frozen":{"sending":false}}`, sending | receiving, receiving},
		{`{"frozen":{"sending":false,"receiving":true}}`, sending, receiving},
		{`{"status":"closed"}`, sending, sending | closed},
		{`{"status":"open"}`, sending | closed, sending},
		{`{"status":"closed"}`, closed, closed},
		{`{"overdraft_limit":5}`, closed, closed},
	} {
		p, f := ParseAccountPatch([]byte(c.patch))
		if f != nil || p.Flags(c.old) != c.now {
			t.Errorf("%s on %b: %b, want %b (%+v)", c.patch, c.old, p.Flags(c.old), c.now, f)
		}
	}
	p, _ := ParseAccountPatch([]byte(`{"overdraft_limit":0}`))
	if !p.SetsLimit || p.OverdraftLimit != 0 {
		t.Errorf("limit 0: %+v", p)
	}
	if p, _ = ParseAccountPatch([]byte(`{}`)); p.SetsLimit {
		t.Errorf("no limit named: %+v", p)
	}
}

func TestPatchMergesMetadata(t *testing.T) {
	full := map[string]string{}
	for i := range 50 {
		full[fmt.Sprint("old", i)] = "v"
	}
	for _, c := range []struct {
		name, patch string
		old, now    map[string]string
		answer      string
	}{
		{"nothing named", `{}`, map[string]string{"a": "1"}, map[string]string{"a": "1"}, "fine"},
		{"one set", `{"metadata":{"b":"2"}}`, map[string]string{"a": "1"}, map[string]string{"a": "1", "b": "2"}, "fine"},
		{"one changed", `{"metadata":{"a":"2"}}`, map[string]string{"a": "1"}, map[string]string{"a": "2"}, "fine"},
		{"one deleted", `{"metadata":{"a":null}}`, map[string]string{"a": "1", "b": "2"}, map[string]string{"b": "2"}, "fine"},
		{"the last deleted", `{"metadata":{"a":null}}`, map[string]string{"a": "1"}, nil, "fine"},
		{"an unknown deleted", `{"metadata":{"z":null}}`, map[string]string{"a": "1"}, map[string]string{"a": "1"}, "fine"},
		{"all deleted", `{"metadata":null}`, map[string]string{"a": "1"}, nil, "fine"},
		{"first ones", `{"metadata":{"a":"1"}}`, nil, map[string]string{"a": "1"}, "fine"},
		{"a 51st", `{"metadata":{"new":"v"}}`, full, nil, "malformed metadata"},
		{"a 50th for another", `{"metadata":{"old0":null,"old1":null,"new":"v"}}`, full, nil, "fine"},
		{"too long as JSON", `{"metadata":` + pairs(20, strings.Repeat("<", 450)) + `}`,
			map[string]string{"old0": strings.Repeat("\x01", 500), "old1": strings.Repeat("\x01", 500), "old2": strings.Repeat("\x01", 500)}, nil, "malformed metadata"},
	} {
		before := fmt.Sprint(c.old)
		p, f := ParseAccountPatch([]byte(c.patch))
		if f != nil {
			t.Errorf("%s: %+v", c.name, f)
			continue
		}
		now, f := p.MergeMetadata(c.old)
		if say(f) != c.answer {
			t.Errorf("%s: %s, want %s", c.name, say(f), c.answer)
		}
		if c.now != nil && !reflect.DeepEqual(now, c.now) {
			t.Errorf("%s: %v, want %v", c.name, now, c.now)
		}
		if fmt.Sprint(c.old) != before {
			t.Errorf("%s: the old metadata changed", c.name)
		}
	}
}

// What is accepted fits an account's row, however it is escaped.
func TestDetailsFitARow(t *testing.T) {
	if most := metadataWritten + 6*(OwnerMax+AccountMax) + 200; most > journal.RowSizeMax-64 {
		t.Errorf("details may take %d bytes of a row of %d", most, journal.RowSizeMax)
	}
}

func TestValidAccountAndKey(t *testing.T) {
	for id, want := range map[string]bool{"a": true, "9": true, "A.b-c_d": true, id64: true, "": false, id64 + "a": false, ".a": false, "a b": false, "é": false, "a\x00": false} {
		if ValidAccount(id) != want || ValidAccount([]byte(id)) != want {
			t.Errorf("account %q: want %v", id, want)
		}
	}
	for key, want := range map[string]bool{"k": true, " ~": true, key25: true, "": false, key25 + "k": false, "a\n": false, "\x7f": false, "é": false} {
		if ValidKey(key) != want || ValidKey([]byte(key)) != want {
			t.Errorf("key %q: want %v", key, want)
		}
	}
}
