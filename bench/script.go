package bench

import (
	mathrand "math/rand/v2"
	"slices"
)

// scriptLen is how many operations are drawn; a run walks through them in a circle.
const scriptLen = 1 << 18

// kind is what an operation is.
type kind uint8

const (
	kindTransfer    kind = iota
	kindPoor             // a transfer of more than there is: must be refused
	kindRepeat           // a transfer that was acknowledged, again: must answer the same and move nothing
	kindReserve          // Try, then Confirm
	kindRead             // a balance
	kindLook             // SmallBank's Balance: both of a customer's
	kindDeposit          // DepositChecking: the teller pays in
	kindSave             // TransactSavings, into it: the teller pays in
	kindDraw             // TransactSavings, out of it: paid to the teller
	kindAmalgamate       // Amalgamate: all that a customer has goes to another's checking
	kindCheck            // WriteCheck: paid to the teller
	kindSendPayment      // SendPayment: from checking to checking
	kinds
)

var kindNames = [kinds]string{"transfer", "refused_transfer", "repeated_transfer", "reserve_confirm", "balance",
	"smallbank_balance", "deposit_checking", "transact_savings_in", "transact_savings_out", "amalgamate", "write_check", "send_payment"}

// op is one operation: indices of accounts.
type op struct {
	from, to uint32
	kind     kind
}

// script is what a load does: drawn before, so that the load itself only puts texts together.
type script struct {
	*people
	ops []op
}

func newScript(p *people, l *Load, operations int) (*script, error) {
	if err := p.possible(l.Cross); err != nil {
		return nil, err
	}
	s := &script{people: p, ops: make([]op, operations)}
	d := newDrawer(p, l)
	mix := newMix(l.Workload, d)
	for i := range s.ops {
		s.ops[i] = mix.next()
	}
	return s, nil
}

// crosses reports whether an operation's money crosses partitions.
func (s *script) crosses(o op) bool { return s.partition(o.from) != s.partition(o.to) }

// spread says of every n-th thing whether it belongs to a share: of the first n, n × share do, rounded down or up.
type spread struct {
	share float64
	n     int
}

func (s *spread) next() bool {
	s.n++
	return int(float64(s.n)*s.share) > int(float64(s.n-1)*s.share)
}

// mix decides what comes next.
type mix struct {
	d        *drawer
	workload Workload
	some     spread // reads among the transfers, or refusals, or repeats
	cross    spread
}

// Shares of the workloads that are mixtures.
const (
	readShare    = 0.95
	refusalShare = 0.20
	repeatShare  = 0.01
)

func newMix(w Workload, d *drawer) *mix {
	share := map[Workload]float64{Reads: readShare, Refusals: refusalShare, Repeats: repeatShare}[w]
	return &mix{d: d, workload: w, some: spread{share: share}, cross: spread{share: d.load.Cross}}
}

func (m *mix) next() op {
	some := m.some.next()
	switch {
	case m.workload == SmallBank:
		return m.d.smallBank(&m.cross)
	case m.workload == Reads && some:
		i := uint32(m.d.account())
		return op{i, i, kindRead}
	case m.workload == Refusals && some:
		return m.d.pay(m.cross.next(), kindPoor)
	case m.workload == Repeats && some:
		return op{kind: kindRepeat}
	case m.workload == Reservations:
		return m.d.pay(m.cross.next(), kindReserve)
	}
	return m.d.pay(m.cross.next(), kindTransfer)
}

// drawer draws accounts and pairs of them.
type drawer struct {
	*people
	load *Load
	r    *mathrand.Rand
	zipf *zipf
	rank []uint32 // account of a rank
	hot  int
	busy spread // the hot account's transfers
}

func newDrawer(p *people, l *Load) *drawer {
	d := &drawer{people: p, load: l, r: mathrand.New(mathrand.NewPCG(l.Seed, 0x77616c6c6574)), busy: spread{share: hotShare}}
	switch l.Distribution {
	case Uniform:
	case Zipf:
		d.zipf = newZipf(d.r, zipfExponent, len(p.accounts))
		d.rank = make([]uint32, len(p.accounts))
		for i := range d.rank {
			d.rank[i] = uint32(i)
		}
		d.r.Shuffle(len(d.rank), func(i, j int) { d.rank[i], d.rank[j] = d.rank[j], d.rank[i] })
	case Hot:
		d.hot = d.hotAccount()
	}
	return d
}

// hotShare is the share of the transfers in which the hot account is a side.
const hotShare = 0.5

// hotAccount is one that has partners of both kinds, as far as they are needed.
func (d *drawer) hotAccount() int {
	if d.load.Cross == 1 {
		return 0
	}
	return slices.IndexFunc(d.accounts, func(a account) bool { return d.first[a.partition+1]-d.first[a.partition] > 1 })
}

// account draws one by the distribution; the hot one is drawn by pay and account alone.
func (d *drawer) account() int {
	if d.load.Distribution == Hot && d.busy.next() {
		return d.hot
	}
	return d.pick()
}

func (d *drawer) pick() int {
	if d.zipf != nil {
		return int(d.rank[d.zipf.draw()])
	}
	return d.r.IntN(len(d.accounts))
}

// pay draws who pays whom.
func (d *drawer) pay(cross bool, k kind) op {
	if d.load.Distribution == Hot && d.busy.next() {
		return d.hotPair(cross, k)
	}
	for {
		if from := d.pick(); d.partners(from, cross) > 0 {
			return op{uint32(from), uint32(d.payee(from, cross)), k}
		}
	}
}

// hotPair draws the other side, and which of the two pays.
func (d *drawer) hotPair(cross bool, k kind) op {
	other := d.partner(d.hot, cross)
	if d.r.IntN(2) == 0 {
		return op{uint32(d.hot), uint32(other), k}
	}
	return op{uint32(other), uint32(d.hot), k}
}

// payee draws a payee by the distribution, among those that the share allows.
func (d *drawer) payee(from int, cross bool) int {
	for range 64 {
		to := d.pick()
		if to != from && (d.accounts[to].partition != d.accounts[from].partition) == cross {
			return to
		}
	}
	return d.partner(from, cross)
}

// partners is how many accounts can be the other side.
func (d *drawer) partners(of int, cross bool) int {
	p := d.accounts[of].partition
	if n := d.first[p+1] - d.first[p]; !cross {
		return n - 1
	} else {
		return len(d.accounts) - n
	}
}

// partner draws one of them, all alike.
func (d *drawer) partner(of int, cross bool) int {
	p := d.accounts[of].partition
	lo, hi := d.first[p], d.first[p+1]
	i := d.r.IntN(d.partners(of, cross))
	if cross {
		if i >= lo {
			i += hi - lo
		}
		return i
	}
	if i += lo; i >= of {
		i++
	}
	return i
}

// smallBank draws one of SmallBank's six transactions (M. Alomari et al., "The cost of serializability on platforms that use
// snapshot isolation", 2008), in the usual proportions of H-Store. A customer's checking account has an even index, the
// savings account is the one behind it.
func (d *drawer) smallBank(cross *spread) op {
	checking := func(i uint32) uint32 { return min(i&^1, uint32(len(d.accounts)&^1)-2) }
	customer := checking(uint32(d.account()))
	teller := func(i uint32) uint32 { return d.teller(d.accounts[i].partition) }
	switch at := d.r.IntN(100); {
	case at < 15:
		return op{customer, customer + 1, kindLook}
	case at < 30:
		return op{teller(customer), customer, kindDeposit}
	case at < 38:
		return op{teller(customer + 1), customer + 1, kindSave}
	case at < 45:
		return op{customer + 1, teller(customer + 1), kindDraw}
	case at < 60:
		return op{customer, teller(customer), kindCheck}
	case at < 75:
		return d.customers(cross.next(), kindAmalgamate, checking)
	default:
		return d.customers(cross.next(), kindSendPayment, checking)
	}
}

// customers draws two different ones.
func (d *drawer) customers(cross bool, k kind, checking func(uint32) uint32) op {
	for {
		o := d.pay(cross, k)
		if o.from, o.to = checking(o.from), checking(o.to); o.from != o.to {
			return o
		}
	}
}
