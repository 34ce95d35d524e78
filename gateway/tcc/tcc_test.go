package tcc

import (
	"testing"

	"walletd/journal"
	"walletd/journal/rows"
)

const partitions = 8

// shards remember what they were given and answer nothing by themselves.
type shards struct {
	rows []sent
}

type sent struct {
	partition int
	row       journal.Row
	meta      rows.Meta
	carry     []byte
}

func (s *shards) Submit(st *rows.Stage) {
	st.Each(func(sec *rows.Section) {
		start, carry := uint32(0), uint32(0)
		for _, m := range sec.Metas {
			x := sent{partition: sec.Partition, meta: m, carry: append([]byte(nil), sec.Carry[carry:m.Carry]...)}
			if _, err := x.row.Parse(append([]byte(nil), sec.Rows[start:m.End]...)); err != nil {
				panic(err)
			}
			s.rows = append(s.rows, x)
			start, carry = m.End, m.Carry
		}
	})
	st.Reset()
}

// take is the one row that was sent since the last call.
func (s *shards) take(t *testing.T, op journal.Op) sent {
	t.Helper()
	if len(s.rows) != 1 || s.rows[0].row.Op != op {
		t.Fatalf("sent %+v, want one %v", s.rows, op)
	}
	x := s.rows[0]
	s.rows = nil
	return x
}

// answer settles a row as its shard would.
func (x *sent) answer(s journal.Status, record []byte) {
	x.meta.Sink.Settle([]rows.Outcome{{Owner: x.meta.Owner, Tag: x.meta.Tag, Op: x.row.Op, Status: s, Record: record, Carry: x.carry}})
}

type owner struct{ outs []rows.Outcome }

func (o *owner) Settle(outs []rows.Outcome) { o.outs = append(o.outs, outs...) }

func (o *owner) one(t *testing.T) rows.Outcome {
	t.Helper()
	if len(o.outs) != 1 {
		t.Fatalf("settled %d times: %+v", len(o.outs), o.outs)
	}
	return o.outs[0]
}

// account is the n-th account of a partition.
func account(partition, n int) journal.Handle {
	var h journal.Handle
	h[3], h[11] = byte(partition), byte(n)
	return h
}

func transfer(from, to journal.Handle) *Try {
	return &Try{ID: journal.IDOf(from, "k"), From: from, To: to, Amount: 5, Asset: 1, Key: []byte("k"), ToText: []byte("to")}
}

// stage runs one request.
func stage(c *Coordinator, fn func(*rows.Stage)) {
	st := c.Stage()
	fn(st)
	c.Submit(st)
}

func TestOneActWherePayerAndPayeeShareAPartition(t *testing.T) {
	s, o := &shards{}, &owner{}
	c := New(partitions, s, nil)
	stage(c, func(st *rows.Stage) { c.Transfer(st, transfer(account(3, 1), account(3, 2)), o, 7) })
	x := s.take(t, journal.OpTransfer)
	if x.partition != 3 || x.row.Verdict != journal.VerdictLocal || x.meta.Tag != 7 {
		t.Errorf("sent %+v", x)
	}
}

func TestACheckGoesBeforeAPay(t *testing.T) {
	for _, verdict := range []journal.Status{journal.OK, journal.PayeeNotFound, journal.PayeeClosed, journal.PayeeFrozen, journal.AssetMismatch, journal.BalanceOverflow} {
		s, o := &shards{}, &owner{}
		c := New(partitions, s, nil)
		stage(c, func(st *rows.Stage) { c.Transfer(st, transfer(account(3, 1), account(5, 2)), o, 7) })
		check := s.take(t, journal.OpCheck)
		if check.partition != 5 || check.row.Account != account(5, 2) || check.row.Amount != 5 {
			t.Fatalf("checked %+v", check)
		}
		check.answer(verdict, nil)
		pay := s.take(t, journal.OpPay)
		if pay.partition != 3 || pay.row.Verdict != uint8(verdict) || pay.meta.Sink != rows.Sink(o) || pay.meta.Tag != 7 || string(pay.row.Key) != "k" {
			t.Errorf("%v: sent %+v", verdict, pay)
		}
		if len(o.outs) != 0 {
			t.Errorf("%v: the owner was told before home had decided", verdict)
		}
	}
}

// Where the payee's shard cannot be asked, a key that was seen has its first outcome, and a new one the refusal.
func TestAKeyComesBeforeAPayeeThatCannotBeAsked(t *testing.T) {
	for _, seen := range []bool{true, false} {
		s, o := &shards{}, &owner{}
		c := New(partitions, s, nil)
		stage(c, func(st *rows.Stage) { c.Transfer(st, transfer(account(3, 1), account(5, 2)), o, 7) })
		check := s.take(t, journal.OpCheck)
		check.answer(journal.ShardUnavailable, nil)
		look := s.take(t, journal.OpLook)
		if look.partition != 3 {
			t.Fatalf("looked at %+v", look)
		}
		if !seen {
			look.answer(journal.ReservationNotFound, nil)
			if out := o.one(t); out.Status != journal.ShardUnavailable || out.Tag != 7 || out.Op != journal.OpPay {
				t.Errorf("a new key: %+v", out)
			}
			continue
		}
		look.answer(journal.OK, journal.KeyRecord{Status: journal.Confirmed, Op: journal.OpPay}.Append([]byte{0}))
		pay := s.take(t, journal.OpPay)
		if pay.row.Verdict != uint8(journal.AssetMismatch) {
			t.Errorf("the row could move money: %+v", pay)
		}
	}
}

func TestReserveNeedsNoPayee(t *testing.T) {
	s, o := &shards{}, &owner{}
	c := New(partitions, s, nil)
	stage(c, func(st *rows.Stage) { c.Reserve(st, transfer(account(3, 1), journal.Handle{}), o, 1) })
	if x := s.take(t, journal.OpReserve); x.partition != 3 || x.row.Verdict != 0 {
		t.Errorf("sent %+v", x)
	}
	stage(c, func(st *rows.Stage) { c.Reserve(st, transfer(account(3, 1), account(3, 2)), o, 1) })
	if x := s.take(t, journal.OpReserve); x.row.Verdict != journal.VerdictLocal {
		t.Errorf("sent %+v", x)
	}
	stage(c, func(st *rows.Stage) { c.Reserve(st, transfer(account(3, 1), account(5, 2)), o, 1) })
	check := s.take(t, journal.OpCheck)
	check.answer(journal.PayeeFrozen, nil)
	if x := s.take(t, journal.OpReserve); x.partition != 3 || x.row.Verdict != uint8(journal.PayeeFrozen) {
		t.Errorf("sent %+v", x)
	}
}

func TestConfirmAsksItsReservationFirst(t *testing.T) {
	payer, here, there := account(3, 1), account(3, 2), account(5, 2)
	id := journal.IDOf(payer, "r")
	record := func(to journal.Handle) []byte {
		return journal.Reservation{Status: journal.Tried, Payer: payer, To: to, Amount: 9, Remaining: 9, Asset: 1}.Append([]byte{journal.ReservationSize})
	}
	begin := func(to journal.Handle) (*shards, *owner, sent) {
		s, o := &shards{}, &owner{}
		c := New(partitions, s, nil)
		q := &Confirm{ID: journal.ConfirmIDOf(id, "c"), Reservation: id, To: to, Final: true, Key: []byte("c")}
		stage(c, func(st *rows.Stage) { c.Confirm(st, q, o, 4) })
		look := s.take(t, journal.OpLook)
		if look.partition != 3 || look.row.ID != id {
			t.Fatalf("looked at %+v", look)
		}
		return s, o, look
	}
	s, _, look := begin(journal.Handle{})
	look.answer(journal.OK, record(here))
	if x := s.take(t, journal.OpConfirm); x.partition != 3 || x.row.Verdict != journal.VerdictLocal || x.row.To != here {
		t.Errorf("payee here: %+v", x)
	}
	s, _, look = begin(there)
	look.answer(journal.OK, record(journal.Handle{}))
	check := s.take(t, journal.OpCheck)
	if check.partition != 5 || check.row.Amount != 9 {
		t.Errorf("payee elsewhere: %+v", check)
	}
	check.answer(journal.OK, nil)
	if x := s.take(t, journal.OpConfirm); x.partition != 3 || x.row.To != there || x.row.Verdict != uint8(journal.OK) {
		t.Errorf("payee elsewhere: %+v", x)
	}
	s, o, look := begin(journal.Handle{})
	look.answer(journal.ReservationNotFound, nil)
	if out := o.one(t); out.Status != journal.ReservationNotFound || out.Op != journal.OpConfirm || len(s.rows) != 0 {
		t.Errorf("nobody knows it: %+v", out)
	}
	s, o, look = begin(there)
	look.answer(journal.OK, record(here)) // names another payee than the reservation
	key := s.take(t, journal.OpLook)
	key.answer(journal.ReservationNotFound, nil)
	if out := o.one(t); out.Status != journal.ConditionFailed {
		t.Errorf("another payee: %+v", out)
	}
}
