package history

import (
	"fmt"
	"math/rand/v2"

	"walletd/journal"
)

// BusyConfig shapes a wallet under load, for benchmarks: accounts that are opened and then pay each other at random.
type BusyConfig struct {
	Partitions int
	Accounts   int // of the whole wallet
	Transfers  int
	CrossIn8   int // of eight transfers, so many have their payee in another partition
	FrameBytes int // a frame is cut behind so many bytes
}

// Busy is a wallet's log under load.
type Busy struct {
	BusyConfig
	Log    *Log
	Opened []int // records of each partition that open accounts: the others are transfers
	Events int   // behind them
	Bytes  int   // of their records

	rng   *rand.Rand
	nowMS int64
	parts []*busyPart
	keys  int
}

type busyPart struct {
	w        *Writer
	accounts []busyAccount
	seq      uint64
	block    journal.Block
	payload  []byte
	count    int
	first    uint64
	legs     []journal.Row // by destination: the delivery that is being collected
	upTo     []uint64
}

type busyAccount struct {
	handle journal.Handle
	name   []byte
}

// NewBusy writes such a log. Nothing is decided: every account may be overdrawn, so every transfer is confirmed. A
// destination's legs are delivered once 64 of them are there, as a courier does under load, and all at the end.
func NewBusy(c BusyConfig) *Busy {
	b := &Busy{BusyConfig: c, Log: NewLog(c.Partitions), rng: rand.New(rand.NewPCG(1, 2)), nowMS: 1_700_000_000_000}
	for p := range c.Partitions {
		pt := &busyPart{w: NewWriter(b.Log, p), legs: make([]journal.Row, c.Partitions), upTo: make([]uint64, c.Partitions)}
		pt.w.Epoch(b.nowMS, "keeper")
		b.parts = append(b.parts, pt)
	}
	for i := range c.Accounts {
		name := fmt.Sprintf("account-%d", i)
		h := journal.HandleOf(name)
		p := h.Partition(c.Partitions)
		b.parts[p].accounts = append(b.parts[p].accounts, busyAccount{h, []byte(name)})
		b.event(p, journal.Opened, &journal.Row{Op: journal.OpOpen, Account: h, OverdraftLimit: 1 << 40, Text: fmt.Appendf(nil, `{"id":%q,"asset":"USD"}`, name)})
	}
	for p := range c.Partitions {
		b.cut(p)
		b.Opened = append(b.Opened, len(b.Log.Records(p)))
	}
	b.Events = 0
	for range c.Transfers {
		b.transfer()
	}
	for p := range c.Partitions {
		for q := range c.Partitions {
			b.deliver(p, q)
		}
	}
	for p := range c.Partitions {
		b.cut(p)
		for _, r := range b.Log.Records(p)[b.Opened[p]:] {
			b.Bytes += len(r)
		}
	}
	return b
}

func (b *Busy) transfer() {
	if b.keys++; b.keys%50 == 0 {
		b.nowMS++
	}
	p := b.rng.IntN(b.Partitions)
	q := p
	if b.rng.IntN(8) < b.CrossIn8 {
		q = (p + 1 + b.rng.IntN(b.Partitions-1)) % b.Partitions
	}
	from, to := b.pick(p), b.pick(q)
	if from.handle == to.handle {
		return
	}
	row := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, Account: from.handle, To: to.handle, Amount: 1 + journal.Amount(b.rng.IntN(100_000)),
		Key: fmt.Appendf(nil, "k-%d", b.keys), ToText: to.name}
	row.ID = journal.IDOf(row.Account, row.Key)
	if p != q {
		row.Op, row.Verdict = journal.OpPay, 0
	}
	b.event(p, journal.Confirmed, &row)
	if p != q {
		pt := b.parts[p]
		pt.legs[q].AddLeg(journal.Leg{Of: row.Op, ID: row.ID, Payer: row.Account, Payee: row.To, Amount: row.Amount})
		if pt.legs[q].LegCount == 64 {
			b.deliver(p, q)
		}
	}
}

func (b *Busy) pick(p int) busyAccount {
	accounts := b.parts[p].accounts
	return accounts[b.rng.IntN(len(accounts))]
}

func (b *Busy) deliver(p, q int) {
	pt := b.parts[p]
	row := &pt.legs[q]
	if row.LegCount == 0 {
		return
	}
	row.Op, row.Source, row.From, row.UpTo = journal.OpDeliver, p, pt.upTo[q], pt.seq
	b.event(q, journal.Delivered, row)
	pt.upTo[q] = pt.seq
	*row = journal.Row{}
}

func (b *Busy) event(p int, status journal.Status, row *journal.Row) {
	pt := b.parts[p]
	if pt.block.Count > 0 && (pt.block.TimeMS != b.nowMS || pt.block.Count == 200) {
		pt.payload = pt.block.Append(pt.payload)
		pt.block = journal.Block{Events: pt.block.Events[:0]}
	}
	pt.seq++
	if pt.count++; pt.count == 1 {
		pt.first = pt.seq
	}
	pt.block.TimeMS, pt.block.Epoch = b.nowMS, 1
	pt.block.Events = append(row.Append(pt.block.Events), byte(status))
	pt.block.Count++
	b.Events++
	if len(pt.payload)+len(pt.block.Events) >= b.FrameBytes {
		b.cut(p)
	}
}

func (b *Busy) cut(p int) {
	pt := b.parts[p]
	if pt.count == 0 {
		return
	}
	f := journal.Frame{Kind: journal.FrameEvents, Partition: p, Epoch: 1, FirstSeq: pt.first, Count: pt.count, Prev: pt.w.cursor.Chain, Payload: pt.block.Append(pt.payload)}
	pt.w.put(f.Seal(nil))
	pt.payload, pt.block, pt.count = f.Payload[:0], journal.Block{Events: pt.block.Events[:0]}, 0
}
