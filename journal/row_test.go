package journal

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

var alice, bob = HandleOf("alice"), HandleOf("bob")

func sampleRows() []Row {
	deliver := Row{Op: OpDeliver, Source: 7, From: 41, UpTo: 1<<56 - 1}
	deliver.AddLeg(Leg{Of: OpPay, ID: IDOf(alice, "k"), Payer: alice, Payee: bob, Amount: AmountMax, Asset: 3})
	deliver.AddLeg(Leg{Of: OpConfirm, ID: IDOf(bob, "k"), Payer: bob, Payee: alice, Amount: 1})
	texts := Row{Key: []byte("k"), ToText: []byte("bob"), Reference: []byte("order 42")}
	with := func(r Row) Row {
		r.Key, r.ToText, r.Reference = texts.Key, texts.ToText, texts.Reference
		return r
	}
	id := IDOf(alice, "k")
	return []Row{
		{Op: OpOpen, Account: alice, Asset: 2, Flags: Issuance, OverdraftLimit: AmountMax, Text: []byte(`{"id":"alice"}`)},
		{Op: OpAlter, Account: alice, ExpectedVersion: 9, ExpectedStatusSeq: 8, Flags: Closed, OverdraftLimit: 5, Text: []byte(`{}`)},
		{Op: OpRead, Account: alice, Details: true},
		{Op: OpCheck, Account: bob, Asset: 1, Amount: AmountMax},
		with(Row{Op: OpTransfer, Verdict: VerdictLocal, ID: id, Account: alice, To: bob, Amount: 1, Asset: 1}),
		with(Row{Op: OpPay, Verdict: uint8(PayeeClosed), ID: id, Account: alice, To: bob, Amount: AmountMax, Asset: 1}),
		with(Row{Op: OpReserve, ID: id, Account: alice, To: bob, Amount: 2, Asset: 1, ExpiresInS: 3600}),
		with(Row{Op: OpConfirm, ID: ConfirmIDOf(id, "c"), Reservation: id, To: bob, Amount: 2, Final: true}),
		with(Row{Op: OpCancel, ByKey: true, ID: id, Account: alice}),
		{Op: OpExpire, ID: id},
		{Op: OpLook, ID: id},
		{Op: OpEvict, CutoffMS: 1 << 50},
		with(Row{Op: OpPay, ID: id, Account: alice, To: bob, Amount: 1, ClearedMS: 1 << 50}),
		with(Row{Op: OpCancel, ByKey: true, ID: id, Account: alice, ClearedMS: 1}),
		deliver,
	}
}

func TestRowsComeBackAsTheyWerePacked(t *testing.T) {
	for _, want := range sampleRows() {
		packed := want.Append([]byte("x"))[1:]
		var got Row
		n, err := got.Parse(append(packed[:len(packed):len(packed)], "behind it"...))
		if err != nil || n != len(packed) {
			t.Errorf("%v: %d of %d bytes, %v", want.Op, n, len(packed), err)
			continue
		}
		if !reflect.DeepEqual(normal(got), normal(want)) {
			t.Errorf("%v: got %+v, want %+v", want.Op, got, want)
		}
		for cut := range packed {
			if want.ClearedMS != 0 && cut == len(packed)-clearedSize { // without the mark it would be a row
				continue
			}
			if _, err := new(Row).Parse(packed[:cut]); err == nil {
				t.Errorf("%v: %d of %d bytes were taken for a row", want.Op, cut, len(packed))
			}
		}
	}
}

// normal makes absent and empty texts equal.
func normal(r Row) Row {
	for _, b := range []*[]byte{&r.Key, &r.ToText, &r.Reference, &r.Text, &r.legs} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	return r
}

func TestContentIsWhatARepeatMustEqual(t *testing.T) {
	base := Row{Op: OpReserve, ID: IDOf(alice, "k"), Account: alice, To: bob, Amount: 5, Asset: 1, ExpiresInS: 60, Reference: []byte("a")}
	change := map[string]func(*Row){
		"to": func(r *Row) { r.To = alice }, "amount": func(r *Row) { r.Amount = 6 }, "asset": func(r *Row) { r.Asset = 2 },
		"expires": func(r *Row) { r.ExpiresInS = 61 }, "reference": func(r *Row) { r.Reference = []byte("b") },
	}
	same := base
	same.Verdict, same.Key = 9, []byte("another text, the id is the same")
	if !bytes.Equal(Content(base.Append(nil)), Content(same.Append(nil))) {
		t.Error("verdict and key text are no content")
	}
	for field, fn := range change {
		other := base
		fn(&other)
		if bytes.Equal(Content(base.Append(nil)), Content(other.Append(nil))) {
			t.Errorf("%s does not show in the content", field)
		}
	}
}

func TestIDs(t *testing.T) {
	id := IDOf(alice, "k-1")
	text := id.Text(TransferPrefix)
	if got, err := ParseID(TransferPrefix, text); err != nil || got != id {
		t.Errorf("%s came back as %x, %v", text, got, err)
	}
	for _, bad := range []string{"", "tr_", text[:28], text + "0", "rs_" + text[3:], strings.ToUpper(text), text[:28] + "z", text[:28] + "u"} {
		if _, err := ParseID(TransferPrefix, bad); err == nil {
			t.Errorf("%q was taken for an id", bad)
		}
	}
	for n := 1; n <= 1024; n *= 2 {
		if id.Partition(n) != alice.Partition(n) {
			t.Errorf("of %d partitions the id's home is not the payer's", n)
		}
	}
	if IDOf(alice, "a") == IDOf(alice, "b") || IDOf(alice, "a") == IDOf(bob, "a") || IDOf(alice, "k") == ConfirmIDOf(id, "k") {
		t.Error("different things have one id")
	}
	if q, asset, ok := SuspenseHandle(5, 2).Suspense(); q != 5 || asset != 2 || !ok || SuspenseHandle(5, 2).Partition(8) != 5 {
		t.Error("a suspense account does not know where it is")
	}
}

func TestPositions(t *testing.T) {
	p := Position{3, 1, 42}
	if got, err := ParsePosition(p.String()); err != nil || got != p || p.String() != "3.1.42" {
		t.Errorf("%v came back as %v, %v", p, got, err)
	}
	for _, bad := range []string{"", "3", "3.1", "3.1.42.1", "a.1.2", "-1.1.2", "3.1.99999999999999999999"} {
		if _, err := ParsePosition(bad); err == nil {
			t.Errorf("%q was taken for a position", bad)
		}
	}
}

// A transfer across partitions journals at most 160 bytes in all its events (design section 7), with a key of 20
// characters and an account id of 12, delivered in groups of eight.
func TestCrossTransferFitsItsBudget(t *testing.T) {
	pay := Row{Op: OpPay, ID: IDOf(alice, "k"), Account: alice, To: bob, Amount: 1, Key: []byte("order-2026-11-24-042"), ToText: []byte("merchant-042")}
	deliver := Row{Op: OpDeliver}
	for range 8 {
		deliver.AddLeg(Leg{})
	}
	const status = 1
	total := len(pay.Append(nil)) + status + (len(deliver.Append(nil))+status+7)/8
	t.Logf("%d bytes", total)
	if total > 160 {
		t.Errorf("a cross-partition transfer journals %d bytes", total)
	}
}

func TestRecordsComeBack(t *testing.T) {
	for _, want := range []Account{{}, {Available: -AmountMax, Reserved: AmountMax, Flags: 15, Version: 1<<48 - 1, StatusSeq: 1<<48 - 1, Asset: 65535, OverdraftLimit: AmountMax}} {
		if got, err := ParseAccount(want.Append(nil)); err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
	}
	res := Reservation{Status: Tried, Payer: alice, To: bob, Amount: AmountMax, Remaining: 5, Captured: 6, Asset: 7, CreatedMS: 1 << 50, ExpiresMS: 1<<50 + 1, ResolvedMS: 1<<50 + 2}
	if got, err := ParseReservation(res.Append(nil)); err != nil || got != res {
		t.Errorf("%+v came back as %+v, %v", res, got, err)
	}
	key := KeyRecord{Status: InsufficientFunds, Op: OpPay, TimeMS: 1 << 50, Epoch: 1<<32 - 1, Seq: 1<<56 - 1, Detail: uint64(AmountMax), Content: []byte("content")}
	if got, err := ParseKeyRecord(key.Append(nil)); err != nil || !reflect.DeepEqual(got, key) {
		t.Errorf("%+v came back as %+v, %v", key, got, err)
	}
	if AccountSize != len(Account{}.Append(nil)) || ReservationSize != len(Reservation{}.Append(nil)) || KeyHeadSize != len(KeyRecord{}.Append(nil)) || LegSize != len(AppendLeg(nil, Leg{})) {
		t.Error("a size constant is not the size")
	}
}

func TestPartComesBack(t *testing.T) {
	want := Book{Epoch: 1<<32 - 1, Seq: 1<<56 - 1, TimeMS: 1 << 50, EvictedMS: 1<<50 - 1}
	var got Book
	if err := got.ParsePart(want.AppendPart(nil)); err != nil || got != want {
		t.Errorf("%+v came back as %+v, %v", want, got, err)
	}
	if err := got.ParsePart(want.AppendPart(nil)[:PartSize-7]); err == nil {
		t.Error("a part record of another build was read")
	}
}

func FuzzRow(f *testing.F) {
	for _, r := range sampleRows() {
		f.Add(r.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Row
		n, err := r.Parse(b)
		if err != nil {
			return
		}
		again := r.Append(nil)
		var r2 Row
		for i := range r.LegCount {
			_ = r.Leg(i)
		}
		if _, err := r2.Parse(again); err != nil || len(again) != n || !bytes.Equal(r2.Append(nil), again) {
			t.Fatalf("%x was read, but packs into %x: %v", b[:n], again, err)
		}
	})
}
