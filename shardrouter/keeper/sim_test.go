package keeper

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// The channels against destinations that are Books and a way to them that loses, repeats, delays and reorders rows, and
// against destinations that forget what was not durable (the model of design section 6, on the real code). The time is
// the test's own: nothing here waits.

const simPartitions = 4

// destination is a partition that credits. Events are durable up to a point; a crash forgets the rest.
type destination struct {
	number  int
	book    *journal.Book
	events  [][]byte // packed rows that happened
	durable int
	held    []answer // outcomes that wait until their event is durable
}

type answer struct {
	needs int // events
	out   rows.Outcome
	sink  rows.Sink
}

func (d *destination) rebuild() {
	d.book = journal.NewBook(d.number, simPartitions)
	for i, packed := range d.events[:d.durable] {
		status := journal.Delivered
		if journal.Op(packed[2]) == journal.OpOpen {
			status = journal.Opened
		}
		d.book.Epoch = 1
		e := journal.Event{Position: journal.Position{Partition: d.number, Epoch: 1, Seq: uint64(i + 1)}, Status: status, Packed: packed}
		if err := d.book.Apply(&e, nil); err != nil {
			panic(err)
		}
	}
	d.events, d.held = d.events[:d.durable], nil
}

// run does a row, as the shard would.
func (d *destination) run(packed []byte) rows.Outcome {
	o, err := d.book.Decide(packed, 0)
	if err != nil {
		panic(err)
	}
	out := rows.Outcome{Op: journal.Op(packed[2]), Status: o.Status, Detail: o.Delivered}
	if o.Journaled {
		e := journal.Event{Position: journal.Position{Partition: d.number, Epoch: 1, Seq: d.book.Seq + 1}, Status: o.Status, Packed: packed}
		if err := d.book.Apply(&e, nil); err != nil {
			panic(err)
		}
		d.events = append(d.events, packed)
	}
	return out
}

type sim struct {
	*testing.T
	rng   *rand.Rand
	now   time.Time
	dest  [simPartitions]*destination
	rough bool
	late  []parcel // rows on their way
	c     *channels
	stage *rows.Stage
	seq   uint64 // of the source
	sent  [simPartitions][]journal.Leg
	log   *memLog
	most  int // legs in one row
	small bool
	reads int // of the log
}

type parcel struct {
	dest int
	row  []byte
	meta rows.Meta
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{T: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_800_000_000, 0), stage: rows.NewStage(simPartitions),
		log: &memLog{}, small: seed%2 == 1}
	for q := range s.dest {
		d := &destination{number: q}
		d.rebuild()
		for i := range 3 {
			row := journal.Row{Op: journal.OpOpen, Account: payee(q, i), Text: []byte(`{}`)}
			if out := d.run(row.Append(nil)); out.Status != journal.Opened {
				t.Fatal(out.Status)
			}
		}
		d.durable = len(d.events)
		s.dest[q] = d
	}
	s.c = s.channels()
	return s
}

// channels makes those of a new keeper, in half of the runs with little memory.
func (s *sim) channels() *channels {
	c := newChannels(simPartitions, 15*time.Second, slog.New(slog.DiscardHandler), func() {})
	c.clock = func() time.Time { return s.now }
	if s.small {
		c.limits = limits{group: 3, channel: 6, all: 12}
	}
	return c
}

// payee is the i-th account of a partition.
func payee(partition, i int) journal.Handle {
	for n := 0; ; n++ {
		if h := journal.HandleOf(fmt.Sprintf("payee-%d-%d", i, n)); h.Partition(simPartitions) == partition {
			return h
		}
	}
}

// Submit implements rows.Shards: a way that loses, repeats, delays and reorders.
func (s *sim) Submit(stage *rows.Stage) {
	stage.Each(func(sec *rows.Section) {
		start := uint32(0)
		for _, m := range sec.Metas {
			s.late = append(s.late, parcel{sec.Partition, append([]byte(nil), sec.Rows[start:m.End]...), m})
			start = m.End
		}
	})
	stage.Reset()
}

// carry brings some of the rows under way to their destinations.
func (s *sim) carry() {
	if s.rough {
		s.rng.Shuffle(len(s.late), func(i, j int) { s.late[i], s.late[j] = s.late[j], s.late[i] })
	}
	n := len(s.late)
	if s.rough && n > 0 {
		n = s.rng.IntN(n + 1)
	}
	parcels := append([]parcel(nil), s.late[:n]...)
	s.late = append(s.late[:0], s.late[n:]...)
	for _, p := range parcels {
		s.deliver(p)
	}
}

func (s *sim) deliver(p parcel) {
	d := s.dest[p.dest]
	answers := true
	if s.rough {
		switch s.rng.IntN(8) {
		case 0: // lost; nobody answers
			return
		case 1: // refused; nothing moved
			p.meta.Sink.Settle([]rows.Outcome{{Tag: p.meta.Tag, Op: p.meta.Op, Status: journal.ShardUnavailable}})
			return
		case 2: // runs, the answer is lost
			answers = false
		case 3: // runs now and again later: a zombie sent it, too
			s.late = append(s.late, p)
		}
	}
	var r journal.Row
	if _, err := r.Parse(p.row); err != nil {
		s.Fatal(err)
	}
	s.most = max(s.most, r.LegCount)
	out := d.run(p.row)
	out.Tag = p.meta.Tag
	if answers {
		d.held = append(d.held, answer{needs: len(d.events), out: out, sink: p.meta.Sink})
	}
}

// commit makes some of a destination's events durable and lets the answers go that waited for them.
func (s *sim) commit(d *destination) {
	d.durable = len(d.events)
	if s.rough {
		d.durable -= s.rng.IntN(min(3, len(d.events)-3) + 1)
	}
	held := d.held
	d.held = nil
	for _, a := range held {
		if a.needs > d.durable {
			d.held = append(d.held, a)
			continue
		}
		a.sink.Settle([]rows.Outcome{a.out})
	}
}

// crash makes a destination forget what was not durable; who waited for answers learns that nobody knows.
func (s *sim) crash(d *destination) {
	held := d.held
	d.rebuild()
	for _, a := range held {
		a.out.Status = journal.OutcomeUnknown
		a.sink.Settle([]rows.Outcome{a.out})
	}
	s.c.moved(d.number)
}

// decide lets the source decide some legs, durably: one frame.
func (s *sim) decide(events int) {
	first := s.seq + 1
	for range events {
		q := 1 + s.rng.IntN(simPartitions-1)
		l := journal.Leg{Of: journal.OpPay, Payer: journal.Handle{9}, Payee: payee(q, s.rng.IntN(3)), Amount: journal.Amount(1 + s.rng.IntN(9))}
		s.seq++
		l.ID[15], l.ID[14], l.ID[13] = byte(s.seq), byte(s.seq>>8), byte(s.seq>>16)
		s.sent[q] = append(s.sent[q], l)
	}
	s.log.append(s.T, s.frame(first))
}

// frame makes the frame of the events from first on, from what was decided.
func (s *sim) frame(first uint64) []journal.Row {
	byID := map[uint64]journal.Leg{}
	for _, legs := range s.sent {
		for i := len(legs) - 1; i >= 0; i-- {
			seq := seqOf(legs[i])
			if seq < first {
				break
			}
			byID[seq] = legs[i]
		}
	}
	var out []journal.Row
	for seq := first; seq <= s.seq; seq++ {
		l := byID[seq]
		out = append(out, journal.Row{Op: journal.OpPay, ID: l.ID, Account: l.Payer, To: l.Payee, Amount: l.Amount, Asset: l.Asset})
	}
	return out
}

// tellDurable reports the events behind seq as the relay would.
func (s *sim) tellDurable(after uint64) {
	legs := make([]destined, s.seq-after)
	for q, ls := range s.sent {
		for i := len(ls) - 1; i >= 0; i-- {
			seq := seqOf(ls[i])
			if seq <= after {
				break
			}
			legs[seq-after-1] = destined{q, packLeg(seq, ls[i])}
		}
	}
	s.c.report(legs, s.log.cursor)
}

// seqOf is the seq of the event that decided a leg: its id says so.
func seqOf(l journal.Leg) uint64 {
	return uint64(l.ID[15]) | uint64(l.ID[14])<<8 | uint64(l.ID[13])<<16
}

// check holds what the destinations credited against what the source decided.
func (s *sim) check() {
	s.Helper()
	for q := 1; q < simPartitions; q++ {
		var got []journal.Leg
		for _, packed := range s.dest[q].events {
			var r journal.Row
			if _, err := r.Parse(packed); err != nil {
				s.Fatal(err)
			}
			for i := range r.LegCount {
				got = append(got, r.Leg(i))
			}
		}
		if len(got) != len(s.sent[q]) {
			s.Fatalf("partition %d credited %d legs of %d", q, len(got), len(s.sent[q]))
		}
		for i := range got {
			if got[i] != s.sent[q][i] {
				s.Fatalf("partition %d, leg %d: %+v, want %+v", q, i, got[i], s.sent[q][i])
			}
		}
	}
}

// settle lets everything come to rest without faults.
func (s *sim) settle(ok func() bool) {
	s.Helper()
	s.rough = false
	for range 10_000 {
		s.step()
		if ok() {
			return
		}
	}
	s.Fatalf("never comes to rest: %+v", s.c.counts)
}

func (s *sim) step() {
	s.now = s.now.Add(time.Duration(s.rng.IntN(200)) * time.Millisecond)
	s.readLog()
	s.c.pump(s.now, s.stage)
	s.Submit(s.stage)
	s.carry()
	for _, d := range s.dest[1:] {
		s.commit(d)
	}
}

func (s *sim) idle() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, ch := range s.c.sources[0].dest {
		if ch != nil && (!ch.known || !ch.live || ch.waiting() > 0 || ch.flight.under) {
			return false
		}
	}
	return len(s.late) == 0
}
