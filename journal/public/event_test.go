package public

import (
	"encoding/json"
	"testing"

	"walletd/journal"
)

// world is a Book of two partitions and the public events of what it has done.
type world struct {
	t     *testing.T
	books [2]*journal.Book
	names map[journal.Handle]string
	had   []string
	// now is what is applied at the moment.
	row    journal.Row
	number int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, names: map[journal.Handle]string{}}
	for p := range w.books {
		w.books[p] = journal.NewBook(p, len(w.books))
	}
	return w
}

func (w *world) name(h journal.Handle) string { return w.names[h] }

// Changed implements journal.Effects.
func (w *world) Changed(e *journal.Event, c journal.Change) {
	w.number++
	p := Of(e, &w.row, w.number, &c)
	w.had = append(w.had, p.ID.String()+" "+string(p.AppendJSON(nil, w.name, journal.DevAssets)))
}

// Leg implements journal.Effects.
func (w *world) Leg(*journal.Event, journal.Leg) {}

// act applies what an act would have given, at 1.7e12 ms.
func (w *world) act(partition int, status journal.Status, r journal.Row) {
	w.t.Helper()
	b := w.books[partition]
	e := journal.Event{Position: journal.Position{Partition: partition, Epoch: 3, Seq: b.Seq + 1}, TimeMS: 1_700_000_000_123, Status: status, Packed: r.Append(nil)}
	w.row, w.number = journal.Row{}, 0
	if _, err := w.row.Parse(e.Packed); err != nil {
		w.t.Fatal(err)
	}
	if err := b.Apply(&e, w); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open(id string, flags journal.Flags) journal.Handle {
	w.t.Helper()
	h := journal.HandleOf(id)
	w.names[h] = id
	text, err := json.Marshal(journal.AccountDetails{ID: id, Asset: "USD", Owner: "o\"1", Metadata: map[string]string{"z": "1", "a": "é"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.act(h.Partition(2), journal.Opened, journal.Row{Op: journal.OpOpen, Account: h, Flags: flags, Text: text})
	return h
}

// in finds an account id of a partition.
func in(partition int, from string) string {
	for i := 'a'; ; i++ {
		if id := from + string(i); journal.HandleOf(id).Partition(2) == partition {
			return id
		}
	}
}

func TestWhatTheJournalMeansForThePublic(t *testing.T) {
	w := newWorld(t)
	bank := w.open(in(0, "bank-"), journal.Issuance)
	ann := w.open(in(0, "ann-"), 0)
	far := w.open(in(1, "far-"), 0)
	w.had = nil
	try := func(op journal.Op, key string, payer, payee journal.Handle, amount journal.Amount) journal.Row {
		r := journal.Row{Op: op, ID: journal.IDOf(payer, key), Account: payer, To: payee, ToText: []byte(w.name(payee)), Amount: amount, Key: []byte(key), Reference: []byte("order 42")}
		if payee.Partition(2) == payer.Partition(2) {
			r.Verdict = journal.VerdictLocal
		}
		if op == journal.OpReserve {
			r.ExpiresInS = 60
		}
		return r
	}
	w.act(0, journal.Confirmed, try(journal.OpTransfer, "k-1", bank, ann, 1000))
	w.act(0, journal.Confirmed, try(journal.OpPay, "k-2", ann, far, 100))
	deliver := journal.Row{Op: journal.OpDeliver, Source: 0, UpTo: 4}
	deliver.AddLeg(journal.Leg{Of: journal.OpPay, ID: journal.IDOf(ann, "k-2"), Payer: ann, Payee: far, Amount: 100})
	w.act(1, journal.Delivered, deliver)
	w.act(0, journal.Tried, try(journal.OpReserve, "k-3", ann, far, 500))
	rs := journal.IDOf(ann, "k-3")
	w.act(0, journal.Tried, journal.Row{Op: journal.OpConfirm, ID: journal.ConfirmIDOf(rs, "c-1"), Reservation: rs, To: bank, Verdict: journal.VerdictLocal, Amount: 200, Key: []byte("c-1")})
	w.act(0, journal.Cancelled, journal.Row{Op: journal.OpCancel, ID: rs})
	w.act(0, journal.Tried, try(journal.OpReserve, "k-4", ann, far, 5))
	w.act(0, journal.Expired, journal.Row{Op: journal.OpExpire, ID: journal.IDOf(ann, "k-4")})
	w.act(0, journal.InsufficientFunds, try(journal.OpTransfer, "k-5", ann, bank, 99_999)) // a refusal moves nothing
	w.act(0, journal.Altered, journal.Row{Op: journal.OpAlter, Account: ann, Flags: journal.FrozenSending, OverdraftLimit: 7, Text: []byte(`{"id":"ann-a"}`)})
	end := `","created_at":"2023-11-14T22:13:20.123Z"}`
	tr1, tr2, rs3, rs4 := journal.IDOf(bank, "k-1").Text("tr_"), journal.IDOf(ann, "k-2").Text("tr_"), rs.Text("rs_"), journal.IDOf(ann, "k-4").Text("rs_")
	b, a, f := w.name(bank), w.name(ann), w.name(far)
	want := []string{
		`0.3.3-1 {"type":"transfer.sent","account":"` + b + `","version":2,"asset":"USD","transfer":"` + tr1 + `","amount":1000,"counterparty":"` + a + `","key":"k-1","reference":"order 42","available_change":-1000,"reserved_change":0,"available":-1000,"reserved":0,"position":"0.3.3` + end,
		`0.3.3-2 {"type":"transfer.received","account":"` + a + `","version":2,"asset":"USD","transfer":"` + tr1 + `","amount":1000,"counterparty":"` + b + `","available_change":1000,"reserved_change":0,"available":1000,"reserved":0,"position":"0.3.3` + end,
		`0.3.4-1 {"type":"transfer.sent","account":"` + a + `","version":3,"asset":"USD","transfer":"` + tr2 + `","amount":100,"counterparty":"` + f + `","key":"k-2","reference":"order 42","available_change":-100,"reserved_change":0,"available":900,"reserved":0,"position":"0.3.4` + end,
		`1.3.2-1 {"type":"transfer.received","account":"` + f + `","version":2,"asset":"USD","transfer":"` + tr2 + `","amount":100,"counterparty":"` + a + `","available_change":100,"reserved_change":0,"available":100,"reserved":0,"position":"1.3.2` + end,
		`0.3.5-1 {"type":"reservation.tried","account":"` + a + `","version":4,"asset":"USD","reservation":"` + rs3 + `","status":"tried","amount":500,"counterparty":"` + f + `","key":"k-3","reference":"order 42","available_change":-500,"reserved_change":500,"available":400,"reserved":500,"position":"0.3.5` + end,
		`0.3.6-1 {"type":"reservation.confirmed","account":"` + a + `","version":5,"asset":"USD","reservation":"` + rs3 + `","status":"tried","amount":200,"counterparty":"` + b + `","key":"c-1","available_change":0,"reserved_change":-200,"available":400,"reserved":300,"position":"0.3.6` + end,
		`0.3.6-2 {"type":"transfer.received","account":"` + b + `","version":3,"asset":"USD","reservation":"` + rs3 + `","amount":200,"counterparty":"` + a + `","available_change":200,"reserved_change":0,"available":-800,"reserved":0,"position":"0.3.6` + end,
		`0.3.7-1 {"type":"reservation.cancelled","account":"` + a + `","version":6,"asset":"USD","reservation":"` + rs3 + `","status":"cancelled","amount":300,"counterparty":"` + f + `","available_change":300,"reserved_change":-300,"available":700,"reserved":0,"position":"0.3.7` + end,
		`0.3.8-1 {"type":"reservation.tried","account":"` + a + `","version":7,"asset":"USD","reservation":"` + rs4 + `","status":"tried","amount":5,"counterparty":"` + f + `","key":"k-4","reference":"order 42","available_change":-5,"reserved_change":5,"available":695,"reserved":5,"position":"0.3.8` + end,
		`0.3.9-1 {"type":"reservation.expired","account":"` + a + `","version":8,"asset":"USD","reservation":"` + rs4 + `","status":"expired","amount":5,"counterparty":"` + f + `","available_change":5,"reserved_change":-5,"available":700,"reserved":0,"position":"0.3.9` + end,
		`0.3.11-1 {"type":"account.changed","account":"` + a + `","version":9,"asset":"USD","status":"open","frozen":{"sending":true,"receiving":false},"issuance":false,"overdraft_limit":7,"available":700,"reserved":0,"position":"0.3.11` + end,
	}
	if len(w.had) != len(want) {
		t.Errorf("%d events, want %d", len(w.had), len(want))
	}
	for i := range min(len(w.had), len(want)) {
		if w.had[i] != want[i] {
			t.Errorf("event %d:\nhave %s\nwant %s", i, w.had[i], want[i])
		}
	}
}

func TestAnOpeningTellsTheAccount(t *testing.T) {
	w := newWorld(t)
	w.open("ann", 0)
	if len(w.had) != 1 || !json.Valid([]byte(w.had[0][len("1.3.1-1 "):])) {
		t.Fatalf("have %q", w.had)
	}
	var body struct {
		Type     string
		Version  int
		Owner    string
		Metadata map[string]string
	}
	if err := json.Unmarshal([]byte(w.had[0][len("1.3.1-1 "):]), &body); err != nil {
		t.Fatal(err)
	}
	if body.Type != "account.changed" || body.Version != 1 || body.Owner != `o"1` || body.Metadata["a"] != "é" {
		t.Errorf("have %+v", body)
	}
}

func TestIDsAreReadAsTheyAreWritten(t *testing.T) {
	a := ID{journal.Position{Partition: 3, Epoch: 1, Seq: 42}, 2}
	if b, err := ParseID(a.String()); err != nil || b != a || a.String() != "3.1.42-2" {
		t.Errorf("%v is read as %v, %v", a, b, err)
	}
	for _, bad := range []string{"", "3.1.42", "3.1.42-", "3.1.42-0", "3.1.42-01", "3.1.42-+1", "3.1-1", "x"} {
		if id, err := ParseID(bad); err == nil {
			t.Errorf("%q is read as %v", bad, id)
		}
	}
	if next := (ID{journal.Position{Partition: 3, Epoch: 1, Seq: 42}, 3}); !a.Before(next) || next.Before(a) || a.Before(a) {
		t.Error("numbers do not order")
	}
	if next := (ID{journal.Position{Partition: 3, Epoch: 1, Seq: 43}, 1}); !a.Before(next) || next.Before(a) {
		t.Error("seqs do not order")
	}
}
