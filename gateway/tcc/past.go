package tcc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// Past is what the journal says of ids that a shard may have evicted (decision 11): the projection, here or elsewhere.
type Past interface {
	// Past answers every question, in order. An error says that none is answered.
	Past(ctx context.Context, questions []Question) ([]Known, error)
}

// Question asks about an id, as its partition was at the position or later.
type Question struct {
	At journal.Position
	ID journal.ID
}

// Known is what the journal says of an id. The zero value but EvictedMS: it has never been used.
type Known struct {
	Behind      bool              // the projection has not come to the position in time
	EvictedMS   int64             // the partition's cut-off at the position that the answer reflects
	Seen        bool              // Key is there
	Key         journal.KeyRecord // with its content
	Reserved    bool              // Reservation is there
	Reservation journal.Reservation
}

// Bounds of what is asked.
const (
	askedMax   = 16 << 10 // rows that wait for an answer; more are refused, and nothing has moved
	atOnce     = 256      // rows in a call
	callsMax   = 4        // at one time
	askTimeout = 2 * time.Second
)

// asked is a row that a shard answered with key_old.
type asked struct {
	row       []byte
	out       rows.Outcome   // the shard's
	otherwise journal.Status // the answer when the key was never used; none: the row goes on
	sink      rows.Sink
}

// past asks the projection. Calls run on goroutines of their own, which end when nothing waits.
type past struct {
	c     *Coordinator
	asks  Past // nil: there is nobody to ask
	found atomic.Uint64
	clear atomic.Uint64
	fails atomic.Uint64

	mu      sync.Mutex
	waiting []asked
	calls   int
}

// PastCounts are how many rows met a key that may be old: it was used before; it was not, and they went on; nobody could say.
func (c *Coordinator) PastCounts() (found, cleared, failed uint64) {
	return c.past.found.Load(), c.past.clear.Load(), c.past.fails.Load()
}

// Old takes an outcome key_old off a sink's hands: the row is answered from the projection, or goes to its shard again, and
// is settled with the sink some time later, on another goroutine. False: nobody can be asked; the outcome stands as it is, and
// nothing has moved.
func (c *Coordinator) Old(o *rows.Outcome, sink rows.Sink) bool {
	return c.past.take(o, o.Record, journal.None, sink)
}

func (p *past) take(o *rows.Outcome, row []byte, otherwise journal.Status, sink rows.Sink) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asks == nil || len(p.waiting) >= askedMax {
		p.fails.Add(1)
		return false
	}
	a := asked{row: append([]byte(nil), row...), out: *o, otherwise: otherwise, sink: sink}
	a.out.Owner, a.out.Record, a.out.Carry = nil, nil, nil
	p.waiting = append(p.waiting, a)
	if p.calls < callsMax {
		p.calls++
		go p.run()
	}
	return true
}

// run makes one call after the other while something waits.
func (p *past) run() {
	for {
		p.mu.Lock()
		n := min(len(p.waiting), atOnce)
		some := append([]asked(nil), p.waiting[:n]...)
		p.waiting = append(p.waiting[:0], p.waiting[n:]...)
		if n == 0 {
			p.calls--
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		p.call(some)
	}
}

func (p *past) call(some []asked) {
	var questions []Question
	rowsOf, readable := make([]journal.Row, 0, len(some)), some[:0]
	for _, a := range some {
		var r journal.Row
		if _, err := r.Parse(a.row); err != nil { // it came from our own stage; nothing has moved
			p.fails.Add(1)
			a.out.Status = journal.Malformed
			a.sink.Settle([]rows.Outcome{a.out})
			continue
		}
		rowsOf, readable = append(rowsOf, r), append(readable, a)
		questions = append(questions, Question{a.out.Position, r.ID})
		if r.Op == journal.OpConfirm {
			questions = append(questions, Question{a.out.Position, r.Reservation})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	answers, err := p.asks.Past(ctx, questions)
	if err != nil || len(answers) != len(questions) {
		answers = make([]Known, len(questions))
		for i := range answers {
			answers[i].Behind = true
		}
	}
	st := p.c.Stage()
	for i := range readable {
		n := 1
		if rowsOf[i].Op == journal.OpConfirm {
			n = 2
		}
		p.answer(st, &readable[i], &rowsOf[i], answers[:n])
		answers = answers[n:]
	}
	p.c.Submit(st)
}

// answer settles a row, or stages it to go on.
func (p *past) answer(st *rows.Stage, a *asked, r *journal.Row, known []Known) {
	e := elder{partitions: p.c.partitions, asked: a, row: r, known: known}
	switch out, to := e.decide(); to {
	case goesOn:
		p.clear.Add(1)
		r.ClearedMS = known[0].EvictedMS
		st.Add(a.out.Position.Partition, r, a.sink, a.out.Tag)
	case nobodyKnows:
		p.fails.Add(1)
		a.sink.Settle([]rows.Outcome{out})
	default:
		p.found.Add(1)
		a.sink.Settle([]rows.Outcome{out})
	}
}
