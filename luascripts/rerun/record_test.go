package rerun

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
)

const recordedPartitions = 3

// recorder makes a journal of what the acts of a build decide, at times of its choosing, as keepers would have written it.
type recorder struct {
	t      testing.TB
	rng    *rand.Rand
	log    *journalLog
	nowMS  int64
	shards []*luascripts.Scratch
	homes  []*recordedHome
	keys   int
}

// recordedHome is a partition.
type recordedHome struct {
	cursor   journal.Cursor
	book     *journal.Book
	epoch    uint32 // in which acts run
	events   []journal.Event
	accounts []string
	legs     [recordedPartitions][]recordedLeg // decided, not delivered yet, by destination
	open     []journal.ID                      // reservations that were tried
	last     []byte                            // frame
}

type recordedLeg struct {
	seq uint64
	leg journal.Leg
}

func newRecorder(t testing.TB) *recorder {
	r := &recorder{t: t, rng: rand.New(rand.NewPCG(7, 24)), log: &journalLog{partitions: make([][][]byte, recordedPartitions)}, nowMS: 1_790_000_000_000}
	for p := range recordedPartitions {
		s, err := luascripts.OpenScratch(t.Context(), luascripts.Config{Addr: local.Redis(t).Addr, KeySlice: 3 * time.Hour}, nil)
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		must(t, s.Begin(t.Context(), p))
		r.shards = append(r.shards, s)
		r.homes = append(r.homes, &recordedHome{cursor: journal.Cursor{Partition: p}, book: journal.NewBook(p, recordedPartitions)})
		r.takeOver(p)
	}
	return r
}

// takeOver begins an epoch; what is not written yet is adopted in it.
func (r *recorder) takeOver(p int) {
	h := r.homes[p]
	fenced, err := r.shards[p].Fence(r.t.Context(), luascripts.Claim{Seen: luascripts.Part{Partition: p, Epoch: h.epoch, Seq: h.book.Seq}, Epoch: h.epoch + 1})
	must(r.t, err)
	if !fenced[0].Done {
		r.t.Fatalf("partition %d is not taken over: %+v", p, fenced[0])
	}
	h.epoch++
	f := journal.NewEpochFrame(p, h.epoch, r.nowMS, "keeper")
	r.put(p, f.Seal(nil))
}

func (r *recorder) put(p int, record []byte) {
	h := r.homes[p]
	r.log.partitions[p] = append(r.log.partitions[p], append([]byte(nil), record...))
	_, _, err := h.cursor.Next(h.cursor.Offset, record)
	must(r.t, err)
}

// cut writes what has happened as one frame.
func (r *recorder) cut(p int) {
	h := r.homes[p]
	if len(h.events) == 0 {
		return
	}
	f := journal.Frame{Kind: journal.FrameEvents, Partition: p, Epoch: h.cursor.Epoch, FirstSeq: h.events[0].Seq, Count: len(h.events), Prev: h.cursor.Chain}
	for rest := h.events; len(rest) > 0; {
		b := journal.Block{TimeMS: rest[0].TimeMS, Epoch: rest[0].Epoch}
		for len(rest) > 0 && rest[0].TimeMS == b.TimeMS && rest[0].Epoch == b.Epoch {
			b.Events, b.Count, rest = append(append(b.Events, rest[0].Packed...), byte(rest[0].Status)), b.Count+1, rest[1:]
		}
		f.Payload = b.Append(f.Payload)
	}
	h.last, h.events = f.Seal(nil), nil
	r.put(p, h.last)
}

// act runs one act; what is journaled becomes an event. Nothing runs twice: a row of a known key is not sent.
func (r *recorder) act(p int, row journal.Row) rows.Outcome {
	r.t.Helper()
	h := r.homes[p]
	r.nowMS = max(r.nowMS, h.book.TimeMS)
	var train luascripts.Train
	train.Section(p, h.epoch)
	train.Add(row.Append(nil))
	reply, err := r.shards[p].RunAt(r.t.Context(), &train, []int64{r.nowMS})
	must(r.t, err)
	var o rows.Outcome
	if !reply.NextSection() || !reply.NextRow(&o) || reply.Err() != nil {
		r.t.Fatalf("%+v: %v %v", row, reply.Section(), reply.Err())
	}
	if reply.Journaled() {
		e := journal.Event{Position: o.Position, TimeMS: o.TimeMS, Status: o.Status, Packed: row.Append(nil)}
		if err := h.book.Apply(&e, recordedEffects{h}); err != nil {
			r.t.Fatalf("%+v: %v", row, err)
		}
		h.events = append(h.events, e)
	}
	must(r.t, r.shards[p].Tend(r.t.Context(), r.nowMS, h.book.EvictedMS, recordedPartitions, reply.Entry()))
	o.Record, o.Carry = nil, nil
	return o
}

type recordedEffects struct{ h *recordedHome }

func (recordedEffects) Changed(*journal.Event, journal.Change) {}
func (x recordedEffects) Leg(e *journal.Event, l journal.Leg) {
	q := l.Payee.Partition(recordedPartitions)
	x.h.legs[q] = append(x.h.legs[q], recordedLeg{e.Seq, l})
}

// expect runs an act that must have this outcome.
func (r *recorder) expect(want journal.Status, p int, row journal.Row) journal.Row {
	r.t.Helper()
	if o := r.act(p, row); o.Status != want || o.Replayed {
		r.t.Fatalf("%v answers %v (replayed %v), want %v: %+v", row.Op, o.Status, o.Replayed, want, row)
	}
	return row
}

func (r *recorder) key() []byte {
	r.keys++
	return fmt.Appendf(nil, "key-%d", r.keys)
}

// named is an account's id that lives in that partition.
func named(p int, name string) string {
	for n := 0; ; n++ {
		if id := fmt.Sprintf("%s-%d", name, n); homeOf(id) == p {
			return id
		}
	}
}

func homeOf(id string) int { return journal.HandleOf(id).Partition(recordedPartitions) }

// open opens an account and answers its id.
func (r *recorder) open(p int, name string, asset journal.Asset, flags journal.Flags, limit journal.Amount) string {
	r.t.Helper()
	id := named(p, name)
	details, err := json.Marshal(journal.AccountDetails{ID: id, Asset: journal.DevAssets.Code(asset)})
	must(r.t, err)
	r.expect(journal.Opened, p, journal.Row{Op: journal.OpOpen, Account: journal.HandleOf(id), Asset: asset, Flags: flags, OverdraftLimit: limit, Text: details})
	if flags == 0 && asset == 0 {
		r.homes[p].accounts = append(r.homes[p].accounts, id)
	}
	return id
}

// alter sets an account's flags.
func (r *recorder) alter(id string, flags journal.Flags) {
	r.t.Helper()
	h := journal.HandleOf(id)
	b := r.homes[homeOf(id)].book
	a, _ := b.State.Account(h)
	details, _ := b.State.Details(h)
	r.expect(journal.Altered, b.Partition, journal.Row{Op: journal.OpAlter, Account: h, ExpectedVersion: a.Version, ExpectedStatusSeq: a.StatusSeq,
		Flags: flags | a.Flags&journal.Issuance, OverdraftLimit: a.OverdraftLimit, Text: details[7:]})
}

// try is a transfer, pay or reserve, whichever; to "" only with a reserve. The verdict on a payee elsewhere is what its Book says.
func (r *recorder) try(op journal.Op, from, to string, amount journal.Amount) journal.Row {
	row := journal.Row{Op: op, Account: journal.HandleOf(from), Amount: amount, Key: r.key(), ToText: []byte(to), Verdict: journal.VerdictLocal}
	a, _ := r.homes[homeOf(from)].book.State.Account(row.Account)
	row.Asset = a.Asset
	row.ID = journal.IDOf(row.Account, row.Key)
	if to != "" {
		row.To = journal.HandleOf(to)
	}
	if op == journal.OpReserve {
		row.ExpiresInS = 600
	}
	if r.keys%4 == 0 {
		row.Reference = fmt.Appendf(nil, "order \"%d\", ü", r.keys)
	}
	r.judge(homeOf(from), &row, row.Asset, amount)
	return row
}

// judge checks the payee where it lives.
func (r *recorder) judge(p int, row *journal.Row, asset journal.Asset, amount journal.Amount) {
	row.Verdict = journal.VerdictLocal
	if row.To.IsZero() || row.To.Partition(recordedPartitions) == p {
		if row.Op == journal.OpPay {
			row.Op = journal.OpTransfer
		}
		return
	}
	if row.Op == journal.OpTransfer {
		row.Op = journal.OpPay
	}
	check := journal.Row{Op: journal.OpCheck, Account: row.To, Asset: asset, Amount: amount}
	o := r.act(row.To.Partition(recordedPartitions), check)
	row.Verdict = uint8(o.Status)
}

// reserve reserves, and answers the id.
func (r *recorder) reserve(from, to string, amount journal.Amount) journal.ID {
	r.t.Helper()
	row := r.expect(journal.Tried, homeOf(from), r.try(journal.OpReserve, from, to, amount))
	return row.ID
}

func (r *recorder) confirm(id journal.ID, to string, amount journal.Amount, final bool) journal.Row {
	p := id.Partition(recordedPartitions)
	res, _ := r.homes[p].book.State.Reservation(id)
	row := journal.Row{Op: journal.OpConfirm, Reservation: id, To: journal.HandleOf(to), ToText: []byte(to), Amount: amount, Final: final, Key: r.key()}
	row.ID = journal.ConfirmIDOf(id, row.Key)
	if amount == 0 {
		amount = max(res.Remaining, 1)
	}
	r.judge(p, &row, res.Asset, amount)
	return row
}

// deliver carries what p has decided for q, at most so many legs.
func (r *recorder) deliver(p, q, most int) {
	r.t.Helper()
	r.cut(p) // only what is durable
	h := r.homes[p]
	n := min(len(h.legs[q]), most)
	row := journal.Row{Op: journal.OpDeliver, Source: p, From: r.homes[q].book.State.Delivered(p), UpTo: h.cursor.Seq}
	if n < len(h.legs[q]) {
		row.UpTo = h.legs[q][n-1].seq
	}
	for _, l := range h.legs[q][:n] {
		row.AddLeg(l.leg)
	}
	if row.UpTo == row.From {
		return
	}
	h.legs[q] = h.legs[q][n:]
	r.expect(journal.Delivered, q, row)
}

func (r *recorder) deliverAll() {
	for p := range recordedPartitions {
		for q := range recordedPartitions {
			for len(r.homes[p].legs[q]) > 0 {
				r.deliver(p, q, 50)
			}
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
