package protocol

// Protocols are the four, in the order in which they are told.
var Protocols = []string{"2pc", "saga", "tcc", "channels"}

func newCoordinator(name string) coordinator {
	switch name {
	case "2pc":
		return &twoPhase{lines: map[int][]*transfer{}}
	case "saga":
		return saga{}
	case "tcc":
		return tcc{}
	}
	return channels{}
}

// channels is the wallet's: the payer's act is the decision, and its journal carries the credit (design section 6).
type channels struct{}

func (channels) begin(m *machine, t *transfer) { m.send(1-t.home, opCheck, t) }

func (channels) next(m *machine, t *transfer, o op, status byte) {
	switch {
	case o == opCheck && status == statusOK:
		m.send(t.home, opPay, t)
	case o == opCheck: // home records the refusal under the key
		m.send(t.home, opRefuse, t)
	case o == opPay && status == statusOK:
		m.load.answer(m, t, true)
		m.carry(t)
	default:
		m.load.answer(m, t, false)
		m.load.finish(m, t)
	}
}

// tcc keeps a record per leg: Try both, and the payer's Confirm is the decision.
type tcc struct{}

func (tcc) begin(m *machine, t *transfer) {
	m.send(t.home, opTryPayer, t)
	m.send(1-t.home, opTryPayee, t)
}

func (tcc) next(m *machine, t *transfer, o op, status byte) {
	t.no = t.no || status != statusOK
	if t.open > 0 {
		return
	}
	switch o {
	case opTryPayer, opTryPayee:
		if t.no {
			m.send(t.home, opCancelPayer, t)
			m.send(1-t.home, opCancelPayee, t)
			return
		}
		m.send(t.home, opConfirmPayer, t)
	case opConfirmPayer:
		m.load.answer(m, t, true)
		m.send(1-t.home, opConfirmPayee, t)
	case opConfirmPayee:
		m.load.finish(m, t)
	default:
		m.load.answer(m, t, false)
		m.load.finish(m, t)
	}
}

// saga debits, then credits, and pays back where that is refused. The payer's record is its log.
type saga struct{}

func (saga) begin(m *machine, t *transfer) { m.send(t.home, opDebit, t) }

func (saga) next(m *machine, t *transfer, o op, status byte) {
	switch {
	case o == opDebit && status == statusOK:
		m.send(1-t.home, opCredit, t)
	case o == opCredit && status == statusOK:
		m.load.answer(m, t, true)
		m.send(t.home, opEnd, t)
	case o == opCredit:
		m.send(t.home, opRefund, t)
	case o == opEnd:
		m.load.finish(m, t)
	default: // refused at once, or paid back
		m.load.answer(m, t, false)
		m.load.finish(m, t)
	}
}

// twoPhase prepares both under locks, decides in its log, and commits both. Its coordinator has the locks of both accounts
// before it prepares, the lower number first, and lets others stand in line.
type twoPhase struct {
	lines map[int][]*transfer // by account that is taken: who waits for it, in order
}

func (p *twoPhase) begin(m *machine, t *transfer) { p.acquire(m, t) }

// acquire takes the locks that the transfer has not got, as far as they are free.
func (p *twoPhase) acquire(m *machine, t *transfer) {
	accounts := [2]int{min(t.payer.index, t.payee.index), max(t.payer.index, t.payee.index)}
	for t.locks < 2 {
		line, taken := p.lines[accounts[t.locks]]
		if taken {
			p.lines[accounts[t.locks]] = append(line, t)
			return
		}
		p.lines[accounts[t.locks]] = nil
		t.locks++
	}
	m.send(t.home, opPreparePayer, t)
	m.send(1-t.home, opPreparePayee, t)
}

// release gives a lock to the first in line.
func (p *twoPhase) release(m *machine, index int) {
	line := p.lines[index]
	if len(line) == 0 {
		delete(p.lines, index)
		return
	}
	first := line[0]
	p.lines[index] = line[1:]
	first.locks++
	p.acquire(m, first)
}

func (p *twoPhase) next(m *machine, t *transfer, o op, status byte) {
	t.no = t.no || status != statusOK
	if t.open > 0 {
		return
	}
	switch {
	case o == opPreparePayer || o == opPreparePayee:
		m.decide(t)
	case o == opDecide && t.no:
		m.load.answer(m, t, false)
		m.send(t.home, opAbort, t)
		m.send(1-t.home, opAbort, t)
	case o == opDecide:
		m.load.answer(m, t, true)
		m.send(t.home, opCommitPayer, t)
		m.send(1-t.home, opCommitPayee, t)
	default:
		m.load.finish(m, t)
		p.release(m, t.payer.index)
		p.release(m, t.payee.index)
	}
}
