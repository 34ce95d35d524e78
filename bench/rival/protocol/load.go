package protocol

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// load is a closed loop: as many transfers unanswered as the window, for a while; then it waits until all have ended. It is
// guarded by machine.mu.
type load struct {
	accounts int // in each shard
	hot      bool
	amount   int64
	window   int
	until    time.Time
	strange  int // one in so many has a payee that nobody knows; 0: none
	dice     *rand.Rand

	n          int64 // begun
	unanswered int
	unfinished int
	over       chan struct{} // closed when all have ended

	yes, no  int64
	moved    []int64 // by account, what answers say
	bytes    int64   // journaled
	latency  *hdrhistogram.Histogram
	flight   *hdrhistogram.Histogram // from the debit to the credit
	flightUS int64                   // Σ of those × amount
	locked   *hdrhistogram.Histogram
	lockedUS int64
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// fill begins transfers as long as there is room and time. Staged.
func (l *load) fill(m *machine) {
	for l.unanswered < l.window && time.Now().Before(l.until) {
		l.unanswered++
		l.unfinished++
		m.proto.begin(m, l.draw())
	}
	if l.unfinished == 0 && !time.Now().Before(l.until) {
		select {
		case <-l.over:
		default:
			close(l.over)
		}
	}
}

// draw makes the next transfer: from a random account of one shard to one of the other. The hot account, the first of the first
// shard, is a side of every second one.
func (l *load) draw() *transfer {
	l.n++
	t := &transfer{home: l.dice.IntN(shards), amount: l.amount, begun: time.Now()}
	payer, payee := l.dice.IntN(l.accounts), l.dice.IntN(l.accounts)
	if l.hot && l.n%2 == 0 {
		if t.home == 0 {
			payer = 0
		} else {
			payee = 0
		}
	}
	t.payer, t.payee = accountOf(t.home, payer, l.accounts), accountOf(1-t.home, payee, l.accounts)
	if l.strange > 0 && l.n%int64(l.strange) == 0 {
		t.payee = account{index: -1, name: [12]byte{'n', 'o', 'b', 'o', 'd', 'y'}}
	}
	binary.BigEndian.PutUint64(t.id[:], uint64(l.n))
	binary.BigEndian.PutUint64(t.id[8:], l.dice.Uint64())
	return t
}

func accountOf(shard, i, accounts int) (a account) {
	a.index = shard*accounts + i
	a.name[0] = 'a'
	binary.BigEndian.PutUint64(a.name[4:], uint64(a.index))
	return a
}

// answer is when the client hears of it. Staged.
func (l *load) answer(m *machine, t *transfer, yes bool) {
	record(l.latency, time.Since(t.begun))
	l.unanswered--
	if yes {
		l.yes++
		l.moved[t.payer.index] -= t.amount
		l.moved[t.payee.index] += t.amount
	} else {
		l.no++
	}
	l.fill(m)
}

// finish is when nothing is left to do for it. Staged.
func (l *load) finish(m *machine, _ *transfer) {
	l.unfinished--
	l.fill(m)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), 60_000_000)) // the bounds are the histogram's
}

// note tells the time of what a shard has done.
func (l *load) note(s *step, shard int, now time.Time) {
	if s.status != statusOK {
		return
	}
	switch s.op {
	case opPay, opTryPayer, opDebit:
		s.t.debited = now
	case opConfirmPayee, opCredit:
		l.credited(s.t, now)
	case opDeliver:
		for _, t := range s.group.legs {
			l.credited(t, now)
		}
	case opPreparePayer, opPreparePayee:
		s.t.locked[shard] = now
	case opCommitPayer, opCommitPayee:
		l.unlocked(s.t, shard, now)
		if s.t.debited.IsZero() { // whichever of the two comes first: then the sum is wrong until the other does
			s.t.debited = now
		} else {
			l.credited(s.t, now)
		}
	case opAbort:
		l.unlocked(s.t, shard, now)
	case opOpen, opCheck, opLeg, opTryPayee, opConfirmPayer, opCancelPayer, opCancelPayee, opEnd, opRefund, opRefuse, opDecide: // move nothing that is seen
	}
}

func (l *load) credited(t *transfer, now time.Time) {
	d := now.Sub(t.debited)
	record(l.flight, d)
	l.flightUS += d.Microseconds() * t.amount
}

func (l *load) unlocked(t *transfer, shard int, now time.Time) {
	if t.locked[shard].IsZero() {
		return
	}
	d := now.Sub(t.locked[shard])
	record(l.locked, d)
	l.lockedUS += d.Microseconds()
}
