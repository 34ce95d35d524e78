package gateway

import (
	"sync"
	"testing"

	"walletd/journal"
	"walletd/journal/rows"
)

// bookShards are shards in memory: the reference acts (journal.Book) instead of Lua, every answer at once. It stands in
// where a test is about the doors; what needs a shard's own behaviour is tested on real ones (deploy/systemtest).
type bookShards struct {
	mu     sync.Mutex
	books  []*journal.Book
	nowMS  int64
	legs   []leg
	refuse journal.Status // answers every row instead
	hold   bool           // answers nothing
}

type leg struct {
	source int
	seq    uint64
	journal.Leg
}

func newBookShards(partitions int) *bookShards {
	b := &bookShards{nowMS: 1_700_000_000_000}
	for p := range partitions {
		b.books = append(b.books, journal.NewBook(p, partitions))
	}
	return b
}

func (b *bookShards) Changed(*journal.Event, journal.Change) {}
func (b *bookShards) Leg(e *journal.Event, l journal.Leg) {
	b.legs = append(b.legs, leg{e.Partition, e.Seq, l})
}

func (b *bookShards) Submit(st *rows.Stage) {
	type answer struct {
		sink rows.Sink
		o    rows.Outcome
	}
	var answers []answer
	b.mu.Lock()
	st.Each(func(sec *rows.Section) {
		start, carry := uint32(0), uint32(0)
		for _, m := range sec.Metas {
			o := b.act(sec.Partition, append([]byte(nil), sec.Rows[start:m.End]...))
			o.Tag, o.Owner, o.Op = m.Tag, m.Owner, m.Op
			o.Carry = append([]byte(nil), sec.Carry[carry:m.Carry]...)
			start, carry = m.End, m.Carry
			answers = append(answers, answer{m.Sink, o})
		}
	})
	b.deliver()
	hold := b.hold
	b.mu.Unlock()
	st.Reset()
	if hold {
		return
	}
	for _, a := range answers {
		a.sink.Settle([]rows.Outcome{a.o})
	}
}

func (b *bookShards) act(p int, row []byte) rows.Outcome {
	book := b.books[p]
	if b.refuse != journal.None {
		return rows.Outcome{Status: b.refuse}
	}
	b.nowMS++
	var r journal.Row
	if _, err := r.Parse(row); err != nil {
		return rows.Outcome{Status: journal.Malformed}
	}
	d, err := book.Decide(row, b.nowMS)
	if err != nil {
		panic(err)
	}
	o := rows.Outcome{Status: d.Status, Replayed: d.Replayed, Detail: d.Detail, TimeMS: b.nowMS}
	if d.Journaled {
		e := journal.Event{Position: journal.Position{Partition: p, Epoch: 1, Seq: book.Seq + 1}, TimeMS: b.nowMS, Status: d.Status, Packed: row}
		if err := book.Apply(&e, b); err != nil {
			panic(err)
		}
	}
	o.Position = journal.Position{Partition: p, Epoch: 1, Seq: book.Seq}
	if d.Replayed {
		o.Position, o.TimeMS = journal.Position{Partition: p, Epoch: d.First.Epoch, Seq: d.First.Seq}, d.First.TimeMS
	}
	o.Record = record(book, &r, d.Status)
	return o
}

func record(book *journal.Book, r *journal.Row, s journal.Status) []byte {
	switch {
	case r.Op == journal.OpRead && s == journal.OK:
		a, _ := book.State.Account(r.Account)
		rec := a.Append(nil)
		if r.Details {
			d, _ := book.State.Details(r.Account)
			rec = append(rec, d...)
		}
		return rec
	case r.Op == journal.OpConfirm && s.Accepted():
		res, _ := book.State.Reservation(r.Reservation)
		return res.Append(nil)
	case r.Op == journal.OpCancel && s.Accepted():
		if res, ok := book.State.Reservation(r.ID); ok {
			return res.Append(nil)
		}
	case r.Op == journal.OpLook && s == journal.OK:
		rec := []byte{0}
		if res, ok := book.State.Reservation(r.ID); ok {
			rec = res.Append([]byte{journal.ReservationSize})
		}
		if k, ok := book.State.Key(r.ID); ok {
			rec = k.Append(rec)
		}
		return rec
	}
	return nil
}

// deliver carries the decided legs to their payees at once.
func (b *bookShards) deliver() {
	for len(b.legs) > 0 {
		l := b.legs[0]
		b.legs = b.legs[1:]
		q := l.Payee.Partition(len(b.books))
		r := journal.Row{Op: journal.OpDeliver, Source: l.source, From: b.books[q].State.Delivered(l.source), UpTo: l.seq}
		r.AddLeg(l.Leg)
		if o := b.act(q, r.Append(nil)); o.Status != journal.Delivered {
			panic(o.Status)
		}
	}
}

// sums are the totals per asset over all partitions: 0 at every moment (promise P1).
func (b *bookShards) sums(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	sums := map[journal.Asset]int64{}
	for _, book := range b.books {
		book.State.(*journal.Memory).Sums(sums)
	}
	for asset, sum := range sums {
		if sum != 0 {
			t.Errorf("asset %d: the balances sum up to %d", asset, sum)
		}
	}
}
