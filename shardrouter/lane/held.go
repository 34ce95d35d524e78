package lane

import (
	"sync"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// wait is what an outcome waits for: the seq up to which its partition must be durable, and whom it goes to then.
type wait struct {
	sink rows.Sink
	need uint64
}

// bulk is the outcomes of one train for one partition that wait for the journal. It is pooled; records and carries are
// copied into it, so that it depends on no other buffer.
type bulk struct {
	epoch uint32
	at    time.Time
	outs  []rows.Outcome
	waits []wait
	bytes []byte  // records and carries of outs
	in    *ledger // where the outcomes are counted

	next int  // the first that is not answered; guarded by held.mu
	lost bool // waited too long; guarded by held.mu
}

var bulks = sync.Pool{New: func() any { return new(bulk) }}

func newBulk(epoch uint32, at time.Time, in *ledger) *bulk {
	b := bulks.Get().(*bulk)
	b.epoch, b.at, b.in = epoch, at, in
	return b
}

func (b *bulk) recycle() {
	clear(b.outs)
	clear(b.waits)
	*b = bulk{outs: kept(b.outs), waits: kept(b.waits), bytes: kept(b.bytes)}
	bulks.Put(b)
}

// add takes an outcome and copies what it points to.
func (b *bulk) add(o *rows.Outcome, w wait) {
	b.outs = append(b.outs, *o)
	b.waits = append(b.waits, w)
	last := &b.outs[len(b.outs)-1]
	last.Record, last.Carry = b.keep(o.Record), b.keep(o.Carry)
}

func (b *bulk) keep(p []byte) []byte {
	if p == nil {
		return nil
	}
	n := len(b.bytes)
	b.bytes = append(b.bytes, p...) // when it moves, earlier slices keep the old array
	return b.bytes[n:len(b.bytes):len(b.bytes)]
}

// held is one partition's outcomes on their way out: they leave when the journal is durable up to what they need, in the
// epoch in which they were made (output-commit rule, design section 4). Outcomes of an epoch that is over are never
// answered as they are: whether their events came into the journal is for the next owner to say. But marks of the epoch just
// before are true for ever, and may come late: after a move its last ones cross with the map that shows the new owner.
type held struct {
	grace time.Duration // how long outcomes of the epoch before wait for its last marks

	releasing sync.Mutex // while outcomes are settled: one at a time, so they leave in order

	mu    sync.Mutex
	epoch uint32 // the highest seen, in a map or a mark
	seq   uint64 // durable in that epoch; 0 before its first mark
	away  bool   // the journal does not take the partition's events, as its keeper says in that epoch
	bulks []*bulk

	before uint32 // the epoch before, 0 when it is forgotten
	was    uint64 // durable in it
	until  time.Time
}

// watermark is the newest epoch seen and what is durable in it.
func (h *held) watermark() (epoch uint32, seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epoch, h.seq
}

// durableIn is what is known to be durable in an epoch.
func (h *held) durableIn(epoch uint32) uint64 {
	if e, seq := h.watermark(); e == epoch {
		return seq
	}
	return 0
}

// hold keeps a bulk until it is ripe, or lost.
func (h *held) hold(b *bulk) {
	b.in.hold(len(b.outs))
	h.mu.Lock()
	h.bulks = append(h.bulks, b)
	ripe := h.epoch > b.epoch || (h.epoch == b.epoch && h.seq >= b.waits[0].need)
	h.mu.Unlock()
	if ripe { // a mark came since the lane looked
		h.release()
	}
}

// journalAway tells whether the journal takes the partition's events.
func (h *held) journalAway() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.away
}

// began takes an epoch that a map shows; its keeper's marks follow.
func (h *held) began(epoch uint32) {
	h.mu.Lock()
	known := epoch <= h.epoch
	h.mu.Unlock()
	if !known {
		h.mark(epoch, 0, false)
	}
}

// mark takes a mark.
func (h *held) mark(epoch uint32, seq uint64, away bool) {
	h.mu.Lock()
	if epoch >= h.epoch {
		h.away = away
	}
	switch {
	case epoch > h.epoch:
		h.before, h.was, h.until = h.epoch, h.seq, time.Now().Add(h.grace)
		h.epoch, h.seq = epoch, seq
	case epoch == h.before && seq > h.was:
		h.was = seq
	case epoch == h.epoch && seq > h.seq:
		h.seq = seq
	default:
		h.mu.Unlock()
		return
	}
	wake := len(h.bulks) > 0
	h.mu.Unlock()
	if wake {
		h.release()
	}
}

// durable is what is durable in an epoch, and whether no mark of it is waited for any more. Guarded by mu.
func (h *held) durable(epoch uint32) (seq uint64, over bool) {
	switch {
	case epoch >= h.epoch:
		return h.seq, false
	case epoch == h.before && time.Now().Before(h.until):
		return h.was, false
	}
	return 0, true
}

// giveUp ends the waiting of everything held since before then.
func (h *held) giveUp(then time.Time) {
	h.mu.Lock()
	late := len(h.bulks) > 0 && h.bulks[0].epoch < h.epoch // its last marks have not come
	for _, b := range h.bulks {
		if b.at.Before(then) {
			b.lost, late = true, true
		}
	}
	h.mu.Unlock()
	if late {
		h.release()
	}
}

// release answers all that is ripe or lost.
func (h *held) release() {
	h.releasing.Lock()
	defer h.releasing.Unlock()
	for {
		r, ok := h.ripe()
		if !ok {
			return
		}
		outs, waits := r.bulk.outs[r.from:r.to], r.bulk.waits[r.from:r.to]
		if r.lost {
			for i := range outs {
				lose(&outs[i], r.why)
			}
		}
		settle(outs, waits)
		r.bulk.in.release(len(outs))
		if r.last {
			r.bulk.recycle()
		}
	}
}

// ripeness is a range of a bulk's outcomes that may be answered.
type ripeness struct {
	bulk     *bulk
	from, to int
	lost     bool
	why      journal.Status // for what only looked
	last     bool           // of the bulk
}

// ripe takes the next range. Rows wait for rising seqs, but for checks, which wait for an older one: a check that is not
// answered at once goes with the rows before it.
func (h *held) ripe() (r ripeness, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.bulks) == 0 {
		return r, false
	}
	b := h.bulks[0]
	durable, over := h.durable(b.epoch)
	r = ripeness{bulk: b, from: b.next, to: b.next, lost: b.lost || over, why: journal.ShardUnavailable}
	if b.lost {
		r.why = journal.JournalUnavailable
	}
	for r.to < len(b.outs) && (r.lost || (b.epoch <= h.epoch && b.waits[r.to].need <= durable)) {
		r.to++
	}
	if r.to == r.from {
		return r, false
	}
	b.next = r.to
	if r.last = r.to == len(b.outs); r.last {
		n := copy(h.bulks, h.bulks[1:])
		h.bulks[n] = nil
		h.bulks = h.bulks[:n]
	}
	return r, true
}

// lose makes an outcome one that nobody knows; what only looked moved nothing, and hears why.
func lose(o *rows.Outcome, why journal.Status) {
	*o = rows.Outcome{Owner: o.Owner, Tag: o.Tag, Op: o.Op, Status: journal.OutcomeUnknown, Carry: o.Carry}
	if looks(o.Op) {
		o.Status = why
	}
}

// looks reports whether an act changes nothing, whatever comes.
func looks(op journal.Op) bool {
	return op == journal.OpRead || op == journal.OpCheck || op == journal.OpLook
}

// settle answers outcomes, one call for each run with one sink.
func settle(outs []rows.Outcome, waits []wait) {
	for i := 0; i < len(outs); {
		j := i + 1
		for j < len(outs) && waits[j].sink == waits[i].sink {
			j++
		}
		waits[i].sink.Settle(outs[i:j:j])
		i = j
	}
}
