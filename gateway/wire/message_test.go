package wire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"walletd/journal"
)

const someReservation = "rs_0123456789abcdefghjkmnpqr0"

// Each row: a message, the id to answer with (0: none), what is answered.
var messages = []struct {
	line   string
	id     uint64
	answer string
}{
	{`{}`, 0, "fine"},
	{` { } `, 0, "fine"},
	{`{"id":1,"connect":{}}`, 1, "fine"},
	{`{"id":1,"connect":{"token":"abc"}}`, 1, "fine"},
	{`{"id":1,"connect":{"token":""}}`, 1, "fine"},
	{`{"id":2,"transfer":{"key":"k-1","from":"alice","to":"bob","amount":1250,"asset":"USD"}}`, 2, "fine"},
	{`{"transfer":{"key":"k-1","from":"alice","to":"bob","amount":1250,"asset":"USD"},"id":2}`, 2, "fine"},
	{`{"\u0069d":2,"b\u0061lance":{"account":"alice"}}`, 2, "fine"},
	{`{"id":9007199254740991,"balance":{"account":"alice"}}`, 9007199254740991, "fine"},
	{`{"id":3,"batch":{"transfers":[{}]}}`, 3, "fine"},
	{`{"id":4,"reserve":{"key":"k","from":"alice","amount":5,"asset":"USD"}}`, 4, "fine"},
	{`{"id":5,"confirm":{"reservation":"` + someReservation + `","key":"c"}}`, 5, "fine"},
	{`{"id":6,"cancel":{"reservation":"` + someReservation + `"}}`, 6, "fine"},
	{`{"id":6,"cancel":{"from":"alice","key":"k"}}`, 6, "fine"},
	{`{"id":7,"refresh":{"token":"abc"}}`, 7, "fine"},
	{`{"id":8,"subscribe":{"channel":"account:alice"}}`, 8, "fine"},
	{`{"id":8,"subscribe":{"channel":"account:alice","since":{"version":15}}}`, 8, "fine"},
	{`{"id":8,"subscribe":{"channel":"account:alice","since":{"version":0}}}`, 8, "fine"},

	// The id.
	{`{"balance":{"account":"alice"}}`, 0, "malformed id"},
	{`{"id":0,"balance":{"account":"alice"}}`, 0, "amount_out_of_range id"},
	{`{"id":-1,"balance":{"account":"alice"}}`, 0, "amount_out_of_range id"},
	{`{"id":9007199254740992,"balance":{"account":"alice"}}`, 0, "amount_out_of_range id"},
	{`{"id":"1","balance":{"account":"alice"}}`, 0, "malformed id"},
	{`{"id":1.0,"balance":{"account":"alice"}}`, 0, "malformed id"},
	{`{"id":null,"balance":{"account":"alice"}}`, 0, "malformed id"},
	{`{"id":1,"balance":{"account":"alice"},"id":2}`, 0, "duplicate_field id"},
	{`{"balance":{"account":"-"},"id":2}`, 2, "malformed account"},

	// The command.
	{`{"id":1}`, 1, "malformed"},
	{`{"id":1,"fly":{}}`, 1, "unknown_command fly"},
	{`{"fly":{"to":[1,2]},"id":1}`, 1, "unknown_command fly"},
	{`{"id":1,"fly":null}`, 1, "unknown_command fly"},
	{`{"id":1,"Transfer":{}}`, 1, "unknown_command Transfer"},
	{`{"id":1,"ping":{}}`, 1, "unknown_command ping"},
	{`{"id":1,"fly":{},"balance":{"account":"alice"}}`, 1, "unknown_command fly"},
	{`{"id":1,"balance":{"account":"alice"},"fly":{}}`, 1, "unknown_command fly"},
	{`{"fly":{}}`, 0, "unknown_command fly"},
	{`{"id":1,"balance":{"account":"alice"},"balance":{"account":"alice"}}`, 1, "duplicate_field balance"},
	{`{"id":1,"balance":{"account":"alice"},"refresh":{"token":"x"}}`, 1, "malformed refresh"},
	{`{"id":1,"balance":null}`, 1, "malformed balance"},
	{`{"id":1,"balance":"alice"}`, 1, "malformed balance"},
	{`{"id":1,"transfer":[]}`, 1, "malformed transfer"},

	// Unparsable text: no id, whatever it seems to say.
	{`{"id":1,"balance":{"account":"alice"}`, 0, "malformed"},
	{`{"id":1,"balance":{"account":"alice"}}}`, 0, "malformed"},
	{`{"id":1,"balance":{"account":"alice"}} {}`, 0, "malformed"},
	{`{"id":1,"fly":{]}`, 0, "malformed"},
	{`hello`, 0, "malformed"},
	{`[]`, 0, "malformed"},
	{`1`, 0, "malformed"},
	{`"x"`, 0, "malformed"},
	{`null`, 0, "malformed"},

	// The commands' fields.
	{`{"id":1,"connect":{"token":7}}`, 1, "malformed token"},
	{`{"id":1,"connect":{"token":"` + strings.Repeat("t", TokenMax+1) + `"}}`, 1, "malformed token"},
	{`{"id":1,"connect":{"user":"x"}}`, 1, "unknown_field user"},
	{`{"id":1,"refresh":{}}`, 1, "malformed token"},
	{`{"id":1,"transfer":{"from":"alice","to":"bob","amount":1,"asset":"USD"}}`, 1, "key_required key"},
	{`{"id":1,"transfer":{"key":"k","from":"alice","to":"bob","amount":"1","asset":"USD"}}`, 1, "malformed amount"},
	{`{"id":1,"transfer":{"key":"k","from":"alice","to":"bob","amount":1,"asset":"USD","id":2}}`, 1, "unknown_field id"},
	{`{"id":1,"balance":{}}`, 1, "malformed account"},
	{`{"id":1,"balance":{"account":7}}`, 1, "malformed account"},
	{`{"id":1,"reserve":{"from":"alice","amount":5,"asset":"USD"}}`, 1, "key_required key"},
	{`{"id":1,"confirm":{"key":"c"}}`, 1, "malformed reservation"},
	{`{"id":1,"confirm":{"reservation":"` + someReservation + `"}}`, 1, "key_required key"},
	{`{"id":1,"confirm":{"reservation":7,"key":"c"}}`, 1, "malformed reservation"},
	{`{"id":1,"confirm":{"reservation":"","key":"c"}}`, 1, "malformed reservation"},
	{`{"id":1,"confirm":{"reservation":"rs_nope","key":"c"}}`, 1, "reservation_not_found reservation"},
	{`{"id":1,"confirm":{"reservation":"tr_` + someReservation[3:] + `","key":"c"}}`, 1, "reservation_not_found reservation"},
	{`{"id":1,"confirm":{"reservation":"rs_nope","key":"c","amount":0}}`, 1, "amount_out_of_range amount"},
	{`{"id":1,"confirm":{"reservation":"rs_nope"}}`, 1, "key_required key"},
	{`{"id":1,"cancel":{}}`, 1, "malformed reservation"},
	{`{"id":1,"cancel":{"reservation":"rs_nope"}}`, 1, "reservation_not_found reservation"},
	{`{"id":1,"cancel":{"from":"alice"}}`, 1, "key_required key"},
	{`{"id":1,"cancel":{"key":"k"}}`, 1, "malformed from"},
	{`{"id":1,"cancel":{"reservation":"` + someReservation + `","key":"k"}}`, 1, "malformed key"},
	{`{"id":1,"cancel":{"reservation":"` + someReservation + `","from":"alice","key":"k"}}`, 1, "malformed from"},
	{`{"id":1,"batch":{}}`, 1, "malformed transfers"},
	{`{"id":1,"subscribe":{}}`, 1, "malformed channel"},
	{`{"id":1,"subscribe":{"channel":"alice"}}`, 1, "malformed channel"},
	{`{"id":1,"subscribe":{"channel":"account:"}}`, 1, "malformed channel"},
	{`{"id":1,"subscribe":{"channel":"account:.x"}}`, 1, "malformed channel"},
	{`{"id":1,"subscribe":{"channel":"shard:s1"}}`, 1, "malformed channel"},
	{`{"id":1,"subscribe":{"channel":7}}`, 1, "malformed channel"},
	{`{"id":1,"subscribe":{"channel":"account:alice","since":15}}`, 1, "malformed since"},
	{`{"id":1,"subscribe":{"channel":"account:alice","since":null}}`, 1, "malformed since"},
	{`{"id":1,"subscribe":{"channel":"account:alice","since":{}}}`, 1, "malformed since.version"},
	{`{"id":1,"subscribe":{"channel":"account:alice","since":{"version":-1}}}`, 1, "amount_out_of_range since.version"},
	{`{"id":1,"subscribe":{"channel":"account:alice","since":{"version":"15"}}}`, 1, "malformed since.version"},
	{`{"id":1,"subscribe":{"channel":"account:alice","since":{"epoch":1}}}`, 1, "unknown_field since.epoch"},
	{`{"id":1,"subscribe":{"channel":"account:alice","since":{"version":1},"x":1}}`, 1, "unknown_field x"},
}

func TestMessages(t *testing.T) {
	m := NewMessage(journal.DevAssets) // one for all, as a connection has
	for _, c := range messages {
		f := ParseMessage([]byte(c.line), m)
		if got := say(f); got != c.answer || m.ID != c.id {
			t.Errorf("%.200s: id %d, %s; want id %d, %s", c.line, m.ID, got, c.id, c.answer)
		}
	}
}

func TestMessageValues(t *testing.T) {
	id, err := journal.ParseID(journal.ReservationPrefix, someReservation)
	if err != nil {
		t.Fatal(err)
	}
	alice, k := []byte("alice"), []byte("k")
	for _, c := range []struct {
		line    string
		command Command
		part    func(m *Message) any
		want    any
	}{
		{`{}`, CommandPing, func(m *Message) any { return m.ID }, uint64(0)},
		{`{"id":1,"connect":{"token":"t"}}`, CommandConnect, func(m *Message) any { return m.Connect }, Token{[]byte("t")}},
		{`{"id":1,"connect":{}}`, CommandConnect, func(m *Message) any { return m.Connect }, Token{}},
		{`{"id":1,"refresh":{"token":"t"}}`, CommandRefresh, func(m *Message) any { return m.Refresh }, Token{[]byte("t")}},
		{`{"id":1,"transfer":{"key":"k","from":"alice","to":"bob","amount":7,"asset":"EUR","reference":"r"}}`, CommandTransfer,
			func(m *Message) any { return m.Transfer }, Transfer{k, alice, []byte("bob"), 7, 1, []byte("r")}},
		{`{"id":1,"transfer":{"key":"k","from":"alice","to":"bob","amount":7,"asset":"USD"}}`, CommandTransfer,
			func(m *Message) any { return m.Transfer }, Transfer{k, alice, []byte("bob"), 7, 0, nil}},
		{`{"id":1,"balance":{"account":"alice"}}`, CommandBalance, func(m *Message) any { return m.Balance }, Balance{alice}},
		{`{"id":1,"reserve":{"key":"k","from":"alice","amount":7,"asset":"EUR"}}`, CommandReserve,
			func(m *Message) any { return m.Reserve }, Reserve{Key: k, From: alice, Amount: 7, Asset: 1, ExpiresInS: ExpiresNormal}},
		{`{"id":1,"confirm":{"reservation":"` + someReservation + `","key":"k","amount":3,"final":false}}`, CommandConfirm,
			func(m *Message) any { return m.Confirm }, Confirm{Reservation: id, Key: k, Amount: 3}},
		{`{"id":1,"confirm":{"reservation":"` + someReservation + `","key":"k"}}`, CommandConfirm,
			func(m *Message) any { return m.Confirm }, Confirm{Reservation: id, Key: k, Final: true}},
		{`{"id":1,"cancel":{"reservation":"` + someReservation + `"}}`, CommandCancel, func(m *Message) any { return m.Cancel }, Cancel{Reservation: id}},
		{`{"id":1,"cancel":{"key":"k","from":"alice"}}`, CommandCancel, func(m *Message) any { return m.Cancel }, Cancel{ByKey: true, From: alice, Key: k}},
		{`{"id":1,"subscribe":{"since":{"version":15},"channel":"account:alice"}}`, CommandSubscribe,
			func(m *Message) any { return m.Subscribe }, Subscribe{[]byte("account:alice"), alice, true, 15}},
		{`{"id":1,"subscribe":{"channel":"account:alice"}}`, CommandSubscribe,
			func(m *Message) any { return m.Subscribe }, Subscribe{[]byte("account:alice"), alice, false, 0}},
		{`{"id":1,"batch":{"transfers":[{"key":"k","from":"alice","to":"bob","amount":7,"asset":"EUR"}]}}`, CommandBatch,
			func(m *Message) any { return m.Batch }, Batch{Items: []Item{{Transfer: Transfer{k, alice, []byte("bob"), 7, 1, nil}}}}},
		{`{"id":1,"batch":{"transfers":[]}}`, CommandBatch, func(m *Message) any { return m.Batch }, Batch{Items: []Item{}}},
	} {
		m := NewMessage(journal.DevAssets)
		// What an earlier message said must not shine through.
		before := `{"id":9,"` + c.command.String() + `":{"key":"x","from":"x","to":"x","amount":9,"asset":"BTC","reference":"x","token":"x","account":"x","channel":"account:x","since":{"version":9},"final":false,"atomic":true,"transfers":[{"key":"x"}],"reservation":"` + someReservation + `"}}`
		if f := ParseMessage([]byte(before), m); c.command != CommandPing && f == nil {
			t.Fatalf("%s was to leave a fault behind", before)
		}
		f := ParseMessage([]byte(c.line), m)
		if f != nil || m.Command != c.command || !reflect.DeepEqual(c.part(m), c.want) {
			t.Errorf("%s: %v %+v, want %v %+v (%+v)", c.line, m.Command, c.part(m), c.command, c.want, f)
		}
	}
}

func TestNextLine(t *testing.T) {
	for frame, want := range map[string]string{
		"":                       "",
		"\n":                     "",
		" \n\t\r\n\n":            "",
		"{}":                     "[{}]",
		"{}\n":                   "[{}]",
		"{}\n{}":                 "[{}][{}]",
		"\n\n{\"id\":1}\n\n{}\n": "[{\"id\":1}][{}]",
		"{}\r\n{}\r\n":           "[{}\r][{}\r]",
	} {
		var got strings.Builder
		rest := []byte(frame)
		for {
			line, r, ok := NextLine(rest)
			if !ok {
				break
			}
			fmt.Fprintf(&got, "[%s]", line)
			rest = r
		}
		if got.String() != want {
			t.Errorf("frame %q: %s, want %s", frame, got.String(), want)
		}
	}
}

// The hot path leaves nothing for the garbage collector: neither reading nor answering a transfer.
func TestTransferPathDoesNotAllocate(t *testing.T) {
	m, buf := NewMessage(journal.DevAssets), make([]byte, 0, 1024)
	line := []byte(canonical)
	escaped := []byte(`{"id":7,"transfer":{"key":"\u006b","from":"alice","to":"bob","amount":1,"asset":"USD","reference":"a \"b\" é"}}`)
	batch := []byte(`{"id":7,"batch":{"transfers":[` + strings.TrimSuffix(strings.Repeat(`{"key":"k","from":"alice","to":"bob","amount":1,"asset":"USD"},`, itemsKeep/2), ",") + `]}}`)
	id, p := journal.ID{1}, journal.Position{Partition: 1, Epoch: 2, Seq: 3}
	for name, act := range map[string]func(){
		"a transfer": func() {
			if f := ParseMessage(line, m); f != nil {
				t.Fatal(f)
			}
		},
		"a transfer with escapes": func() {
			if f := ParseMessage(escaped, m); f != nil {
				t.Fatal(f)
			}
		},
		"a batch": func() {
			if f := ParseMessage(batch, m); f != nil || len(m.Batch.Items) != itemsKeep/2 {
				t.Fatal(f, len(m.Batch.Items))
			}
		},
		"an answer": func() { buf = AppendOKTransfer(buf[:0], 7, id, journal.Confirmed, p) },
		"a refusal": func() { buf = AppendRefusal(buf[:0], 7, journal.InsufficientFunds, 250) },
		"two shapes": func() {
			buf = AppendTransfer(AppendBalance(buf[:0], &BalanceReply{Account: "alice"}), &TransferReply{})
		},
	} {
		act() // the first time may make room
		if n := testing.AllocsPerRun(100, act); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A connection does not keep what one large message needed.
func TestMessageGivesBackLargeBuffers(t *testing.T) {
	m := NewMessage(journal.DevAssets)
	big := `{"id":1,"batch":{"transfers":[` + strings.TrimSuffix(strings.Repeat(`{"key":"\u006b"},`, 1000), ",") + `]},"x":"` + strings.Repeat(`\n`, 2*scratchKeep) + `"}`
	ParseMessage([]byte(big), m)
	if len(m.Batch.Items) != 1000 {
		t.Fatalf("%d items", len(m.Batch.Items))
	}
	if f := ParseMessage([]byte(canonical), m); f != nil || cap(m.Batch.Items) > itemsKeep || cap(m.scan.scratch) > scratchKeep {
		t.Errorf("kept %d items and %d bytes (%+v)", cap(m.Batch.Items), cap(m.scan.scratch), f)
	}
}
