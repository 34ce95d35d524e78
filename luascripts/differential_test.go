package luascripts

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

// The acts in Lua answer what journal.Book.Decide answers and change what Book.Apply changes, row by row, over random
// trains; in the end the shard's dump is the Book's, and so is the fold of the outbox.
func TestActsAreTheBook(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	acts := 0
	seen := map[string]int{}
	for seed := uint64(1); seed <= 16; seed++ {
		d := newDifferential(t, s, seed)
		for range 120 {
			d.train()
		}
		d.finish()
		acts += d.acts
		for what, n := range d.seen {
			seen[what] += n
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d acts, %d kinds of outcome", acts, len(seen))
	for _, what := range everyOutcome() {
		if seen[what] == 0 {
			t.Errorf("%s never happened: the acts that the test makes are too tame", what)
		}
	}
}

// everyOutcome lists what the random acts must have met: every status that an act can answer, by its op.
func everyOutcome() []string {
	var all []string
	add := func(op journal.Op, statuses ...journal.Status) {
		for _, s := range statuses {
			all = append(all, fmt.Sprintf("%v %v", op, s))
		}
	}
	try := []journal.Status{
		journal.SameAccount, journal.AssetMismatch, journal.PayerNotFound, journal.PayerClosed, journal.PayerFrozen, journal.PayeeNotFound,
		journal.PayeeClosed, journal.PayeeFrozen, journal.InsufficientFunds, journal.CancelledBeforeTry, journal.KeyReusedTo,
		journal.KeyReusedAmount, journal.KeyReusedAsset, journal.KeyReusedReference, journal.KeyReusedKind,
	}
	add(journal.OpTransfer, append(try, journal.Confirmed, journal.LimitExceeded, journal.BalanceOverflow)...)
	add(journal.OpPay, append(try, journal.Confirmed, journal.LimitExceeded, journal.BalanceOverflow)...)
	add(journal.OpReserve, append(try, journal.Tried, journal.KeyReusedExpires)...)
	add(journal.OpConfirm, journal.Confirmed, journal.Tried, journal.ReservationNotFound, journal.SameAccount, journal.AssetMismatch, journal.PayeeNotFound,
		journal.PayeeClosed, journal.PayeeFrozen, journal.AlreadyConfirmed, journal.AlreadyCancelled, journal.ReservationExpired,
		journal.ExceedsReservation, journal.BalanceOverflow, journal.KeyReusedTo, journal.KeyReusedAmount, journal.KeyReusedFinal)
	add(journal.OpCancel, journal.Cancelled, journal.Expired, journal.OK, journal.Tombstone, journal.AlreadyConfirmed, journal.ReservationNotFound, journal.PayerNotFound)
	add(journal.OpExpire, journal.Expired, journal.NotDue)
	add(journal.OpDeliver, journal.Delivered, journal.DeliveryGap, journal.SuspenseFull)
	add(journal.OpOpen, journal.Opened, journal.AccountExists)
	add(journal.OpAlter, journal.Altered, journal.AccountNotFound, journal.PreconditionFailed, journal.AlterConflict, journal.FlagsConflict,
		journal.AccountNotEmpty, journal.ConditionFailed)
	add(journal.OpRead, journal.OK, journal.AccountNotFound)
	add(journal.OpCheck, journal.OK, journal.PayeeNotFound, journal.AssetMismatch, journal.PayeeClosed, journal.PayeeFrozen, journal.BalanceOverflow)
	add(journal.OpLook, journal.OK, journal.ReservationNotFound)
	add(journal.OpEvict, journal.Evicted, journal.NotDue)
	for _, op := range []journal.Op{journal.OpTransfer, journal.OpPay, journal.OpReserve, journal.OpConfirm, journal.OpCancel, journal.OpLook} {
		add(op, journal.KeyOld)
	}
	return append(all, "slice dropped", "reservation swept")
}

type differential struct {
	*world
	t     testing.TB
	s     *Shard
	tr    Train
	asked []uint32 // the epochs of its sections
	acts  int
	last  uint64 // outbox entry read
	seen  map[string]int
	sums  map[journal.Asset]int64 // what the channels carry: taken from payers, minus credited to payees
	fold  map[int]*journal.Book   // of the outbox
}

func newDifferential(t testing.TB, s *Shard, seed uint64) *differential {
	d := &differential{world: newWorld(seed, 3), t: t, s: s, seen: map[string]int{}, sums: map[journal.Asset]int64{}, fold: map[int]*journal.Book{}}
	wiped(t, s)
	s.keySlice = testSlice
	var books []*journal.Book
	for p, b := range d.books {
		d.fold[p] = journal.NewBook(p, d.partitions)
		books = append(books, b)
	}
	must(t, s.Load(t.Context(), books...))
	return d
}

// train sends one, of sections in any order, some of them of a wrong epoch.
func (d *differential) train() {
	d.t.Helper()
	d.collect()
	d.run()
	if d.one(0.4) {
		d.tend()
	}
}

// collect packs a random train.
func (d *differential) collect() {
	d.tr.Reset()
	d.asked = d.asked[:0]
	for range 1 + d.IntN(4) {
		p := d.IntN(d.partitions)
		epoch := d.books[p].Epoch
		if d.one(0.05) {
			epoch += uint32(pick(d.world, 1, -1))
		}
		if d.one(0.05) {
			p = d.partitions + 1 // nobody has it
		}
		d.tr.Section(p, epoch)
		d.asked = append(d.asked, epoch)
		for range d.IntN(20) {
			if p > d.partitions {
				d.tr.Add(d.row(0))
			} else {
				d.tr.Add(d.row(p))
			}
		}
	}
	if d.one(0.3) {
		d.passTime()
	}
}

// run runs the train and holds every answer against the Book.
func (d *differential) run() {
	d.t.Helper()
	reply, err := d.s.Run(d.t.Context(), &d.tr)
	must(d.t, err)
	var happened []Happened
	for i := 0; reply.NextSection(); i++ {
		happened = d.section(&reply, d.asked[i], happened)
	}
	must(d.t, reply.Err())
	d.outbox(happened)
}

func (d *differential) section(reply *Reply, asked uint32, happened []Happened) []Happened {
	d.t.Helper()
	sec := reply.Section()
	b := d.books[sec.Partition]
	var o rows.Outcome
	want := journal.OK
	switch {
	case b == nil:
		want = journal.Uninitialised
	case asked != b.Epoch:
		want = journal.StaleEpoch
	}
	if sec.Status != want {
		d.t.Fatalf("a section of partition %d in epoch %d is %v, want %v", sec.Partition, asked, sec.Status, want)
	}
	if sec.Status != journal.OK {
		for reply.NextRow(&o) {
			if o.Status != sec.Status || reply.Journaled() || o.Record != nil {
				d.t.Fatalf("row of a section %v answers %v", sec.Status, o.Status)
			}
		}
		return happened
	}
	if sec.Epoch != b.Epoch || sec.Base != b.Seq || sec.TimeMS < b.TimeMS {
		d.t.Fatalf("section %+v, the book is at epoch %d seq %d time %d", sec, b.Epoch, b.Seq, b.TimeMS)
	}
	h := Happened{Partition: sec.Partition, FirstSeq: b.Seq + 1, Block: journal.Block{TimeMS: sec.TimeMS, Epoch: sec.Epoch}}
	for reply.NextRow(&o) {
		d.acts++
		d.outcome(b, reply, &o)
		if reply.Journaled() {
			h.Count++
			h.Events = append(append(h.Events, reply.Row()...), byte(o.Status))
		}
	}
	if h.Count > 0 {
		happened = append(happened, h)
	}
	return happened
}

// outcome holds one answer against Decide, and applies its event to the Book.
func (d *differential) outcome(b *journal.Book, reply *Reply, o *rows.Outcome) {
	d.t.Helper()
	var r journal.Row
	_, err := r.Parse(reply.Row())
	must(d.t, err)
	want, err := b.Decide(reply.Row(), o.TimeMS)
	if o.Replayed {
		want, err = b.Decide(reply.Row(), reply.Section().TimeMS)
	}
	must(d.t, err)
	d.seen[fmt.Sprintf("%v %v", o.Op, o.Status)]++

	detail := want.Detail + want.Delivered + want.StatusSeq // at most one is not 0
	if o.Op != r.Op || o.Status != want.Status || o.Replayed != want.Replayed || o.Detail != detail || reply.Journaled() != want.Journaled {
		d.t.Fatalf("%+v\nanswers %v replayed %v detail %d journaled %v\nwant    %+v", r, o.Status, o.Replayed, o.Detail, reply.Journaled(), want)
	}
	if want.Journaled {
		e := journal.Event{Position: o.Position, TimeMS: o.TimeMS, Status: o.Status, Packed: reply.Row()}
		if err := b.Apply(&e, carried{d.sums}); err != nil {
			d.t.Fatalf("%+v: %v", r, err)
		}
	}
	at := journal.Position{Partition: b.Partition, Epoch: b.Epoch, Seq: b.Seq}
	if want.Replayed {
		at.Epoch, at.Seq = want.First.Epoch, want.First.Seq
		if o.TimeMS != want.First.TimeMS {
			d.t.Fatalf("%v: first answered at %d, told %d", r.Op, want.First.TimeMS, o.TimeMS)
		}
	}
	if o.Position != at || reply.Seq() != b.Seq {
		d.t.Fatalf("%v %v at %v (seq %d), want %v (seq %d)", r.Op, o.Status, o.Position, reply.Seq(), at, b.Seq)
	}
	record := wantRecord(b, &r, o.Status)
	if o.Status == journal.KeyOld {
		record = reply.Row()
	}
	if !bytes.Equal(o.Record, record) {
		d.t.Fatalf("%v %v carries %x, want %x", r.Op, o.Status, o.Record, record)
	}
}

// wantRecord is what an answer carries beside its status, from the Book after the act.
func wantRecord(b *journal.Book, r *journal.Row, status journal.Status) []byte {
	reservation := func(id journal.ID) []byte {
		if res, ok := b.State.Reservation(id); ok {
			return res.Append(nil)
		}
		return nil
	}
	switch {
	case r.Op == journal.OpRead && status == journal.OK:
		a, _ := b.State.Account(r.Account)
		record := a.Append(nil)
		if details, ok := b.State.Details(r.Account); ok && r.Details {
			record = append(record, details...)
		}
		return record
	case r.Op == journal.OpConfirm && status.Accepted():
		return reservation(r.Reservation)
	case r.Op == journal.OpCancel && status.Accepted() && status != journal.Tombstone:
		if k, seen := b.State.Key(r.ID); r.ByKey && seen && k.Status != journal.Tried {
			return nil
		}
		return reservation(r.ID)
	case r.Op == journal.OpLook && status == journal.OK:
		res := reservation(r.ID)
		record := append([]byte{byte(len(res))}, res...)
		if k, ok := b.State.Key(r.ID); ok {
			record = k.Append(record)
		}
		return record
	}
	return nil
}

// outbox reads what the train left and holds it against the answers, and against the entry made of its reply, byte for byte.
func (d *differential) outbox(want []Happened) {
	d.t.Helper()
	entries, err := d.s.ReadOutbox(d.t.Context(), d.last, 10, 0)
	must(d.t, err)
	id, packed, err := d.tr.AppendEntry(nil)
	must(d.t, err)
	if len(want) == 0 {
		if len(entries) != 0 || id != 0 {
			d.t.Fatalf("nothing happened, but the outbox has %d entries, and the reply names %d", len(entries), id)
		}
		return
	}
	if len(entries) == 1 && (id != entries[0].ID || !bytes.Equal(packed, entries[0].sections)) {
		d.t.Fatalf("the reply gives entry %d\n%x, the outbox has %d\n%x", id, packed, entries[0].ID, entries[0].sections)
	}
	if len(entries) != 1 || entries[0].ID != d.last+1 {
		d.t.Fatalf("outbox behind %d: %d entries", d.last, len(entries))
	}
	d.last = entries[0].ID
	var got []Happened
	must(d.t, entries[0].Each(func(h Happened) error {
		got = append(got, h)
		return d.refold(h)
	}))
	if !slices.EqualFunc(got, want, func(a, b Happened) bool {
		return a.Partition == b.Partition && a.FirstSeq == b.FirstSeq && bytes.Equal(a.Append(nil), b.Append(nil))
	}) {
		d.t.Fatalf("outbox %+v\nwant   %+v", got, want)
	}
}

// refold applies a run of events as the projector does: from a sealed frame.
func (d *differential) refold(h Happened) error {
	f := journal.Frame{Kind: journal.FrameEvents, Partition: h.Partition, Epoch: h.Epoch, FirstSeq: h.FirstSeq, Count: h.Count, Payload: h.Append(nil)}
	f, err := journal.ParseFrame(f.Seal(nil))
	if err != nil {
		return err
	}
	return f.EachEvent(func(e *journal.Event) error { return d.fold[h.Partition].Apply(e, nil) })
}

// passTime moves the time of every partition on, as if its last event had been later.
func (d *differential) passTime() {
	step := int64(pick(d.world, 1, 999, 1000, 1001, 60_000, 4_000_000))
	for p, b := range d.books {
		b.TimeMS += step
		d.fold[p].TimeMS = b.TimeMS
		must(d.t, d.s.client.HSet(d.t.Context(), partsKey, partitionField(p), b.AppendPart(nil)).Err())
	}
}

// finish compares the three: the shard, the Books that were held against it, and the fold of the outbox.
func (d *differential) finish() {
	d.t.Helper()
	w, err := d.s.Window(d.t.Context())
	must(d.t, err)
	for _, slice := range w.Slices {
		d.filter(slice)
	}
	shard, err := d.s.Dump(d.t.Context(), d.partitions)
	must(d.t, err)
	d.covered(shard)
	sums := map[journal.Asset]int64{}
	for p, b := range d.books {
		want := dumpText(d.t, b)
		if got := dumpText(d.t, shard[p]); got != want {
			d.t.Errorf("partition %d: the shard has\n%s\nthe book\n%s", p, got, want)
		}
		if got := dumpText(d.t, d.fold[p]); got != want {
			d.t.Errorf("partition %d: the outbox folds to\n%s\nthe book is\n%s", p, got, want)
		}
		b.State.(*journal.Memory).Sums(sums)
	}
	for asset := range d.sums {
		if sums[asset]+d.sums[asset] != 0 {
			d.t.Errorf("asset %d: accounts %d + on channels %d is not 0", asset, sums[asset], d.sums[asset])
		}
	}
}

// carried sums what the channels carry.
type carried struct{ sums map[journal.Asset]int64 }

func (c carried) Changed(e *journal.Event, ch journal.Change) {
	if journal.Op(e.Packed[2]) == journal.OpDeliver {
		c.sums[ch.After.Asset] -= int64(ch.Amount)
	}
}

func (c carried) Leg(_ *journal.Event, l journal.Leg) { c.sums[l.Asset] += int64(l.Amount) }

func dumpText(t testing.TB, b *journal.Book) string {
	t.Helper()
	if b == nil {
		t.Fatal("no such partition")
	}
	var out bytes.Buffer
	must(t, b.Dump(&out))
	return out.String()
}

// openShard opens a shard that runs its trains, whatever epochs their sections name.
func openShard(t testing.TB, addr string) *Shard {
	t.Helper()
	s, err := Open(Config{Addr: addr})
	must(t, err)
	must(t, s.Admit(t.Context(), 0, forever))
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wiped empties a shard, and gives it a lease again, which lies with its parts.
func wiped(t testing.TB, s *Shard) {
	t.Helper()
	must(t, s.Wipe(t.Context(), 1<<32-1))
	must(t, s.Admit(t.Context(), 0, forever))
}
