package rival

import (
	"context"
	"encoding/binary"
	"sync/atomic"

	"walletd/journal"
	"walletd/journal/rows"
)

// Postgres is the micro-batching rival: a batch is one statement and one commit. Most batches can be accepted as a whole
// (schema.sql, together); one in which something is refused or repeated is decided in its order (in_order); where an id is there
// twice, one by one.
type Postgres struct {
	conn       postgresConn
	statements bool   // it keeps them, too
	seq        uint64 // of the last transfer that it has seen
	patience   int    // batches until it tries again to have one accepted as a whole

	// Batches of transfers so far, by how they were decided.
	Together, InOrder, OneByOne atomic.Int64

	// A batch being made, column by column.
	transfers, opens, reads []int // rows of the batch
	ids, payers, payees     column
	amounts, refs, assets   column
	handles, deltas, lows   column
	highs, changes, kinds   column
	places                  [2]column // of payers and payees in handles
	sums                    sums
	legs                    [4]column // accounts, amounts, and what is missing to the balances and versions after the batch
	opened                  [5]column // handles, assets, flags, limits, details
	read                    column
}

// NewPostgres is a store on the database at dsn, where the rival is installed. With statements it keeps each account's changes,
// with the balance after each, as the wallet's projection does.
func NewPostgres(dsn string, statements bool) *Postgres {
	return &Postgres{conn: postgresConn{dsn: dsn}, statements: statements}
}

// Close closes its connection.
func (p *Postgres) Close() { p.conn.close() }

// Run implements Store: accounts are opened first, and read last, so that a read sees every transfer before it.
func (p *Postgres) Run(ctx context.Context, b *Batch) {
	p.fill(b)
	p.open(ctx, b)
	p.move(ctx, b)
	p.conn.readAccounts(ctx, &p.read, p.reads, b, p.seq)
}

// fill sorts the rows into columns.
func (p *Postgres) fill(b *Batch) {
	p.transfers, p.opens, p.reads = p.transfers[:0], p.opens[:0], p.reads[:0]
	for c, element := range map[*column]uint32{
		&p.ids: uuidOID, &p.payers: uuidOID, &p.payees: uuidOID, &p.amounts: int8OID, &p.refs: int4OID, &p.assets: int2OID,
		&p.opened[0]: uuidOID, &p.opened[1]: int2OID, &p.opened[2]: int2OID, &p.opened[3]: int8OID, &p.opened[4]: byteaOID, &p.read: uuidOID,
	} {
		c.reset(element)
	}
	p.sums.reset()
	b.each(func(i int, r *journal.Row, _ *rows.Outcome) {
		switch r.Op {
		case journal.OpTransfer:
			p.transfers = append(p.transfers, i)
			p.ids.id(r.ID)
			p.payers.handle(r.Account)
			p.payees.handle(r.To)
			p.amounts.int8(int64(r.Amount))
			p.refs.int4(int32(journal.RefSum(r.Reference)))
			p.assets.int2(int16(r.Asset))
			p.sums.transfer(r)
		case journal.OpOpen:
			p.opens = append(p.opens, i)
			p.opened[0].handle(r.Account)
			p.opened[1].int2(int16(r.Asset))
			p.opened[2].int2(int16(r.Flags))
			p.opened[3].int8(int64(r.OverdraftLimit))
			p.opened[4].bytes(r.Text)
		case journal.OpRead:
			p.reads = append(p.reads, i)
			p.read.handle(r.Account)
		default: // stays Malformed
		}
	})
}

func (p *Postgres) open(ctx context.Context, b *Batch) {
	if len(p.opens) == 0 {
		return
	}
	o := &p.opened
	answer, err := p.conn.call(ctx, "open", o[0].value(), o[1].value(), o[2].value(), o[3].value(), o[4].value())
	if err == nil {
		at := int64(be64(answer[0][1]))
		err = elements(answer[0][0], len(p.opens), 1, func(i int, opened []byte) {
			out := &b.outs[p.opens[i]]
			out.Status, out.TimeMS, out.Position = journal.AccountExists, at, journal.Position{Epoch: 1, Seq: p.seq}
			if opened[0] == 1 {
				out.Status = journal.Opened
			}
		})
	}
	if err != nil {
		giveAll(b, p.opens, failure(err))
	}
}

func giveAll(b *Batch, which []int, s journal.Status) {
	for _, i := range which {
		b.outs[i].Status = s
	}
}

// patience is how many batches are decided in order after one that could not be accepted as a whole: an attempt costs half of
// what it saves, and where some are refused most batches have one.
const patience = 16

func (p *Postgres) move(ctx context.Context, b *Batch) {
	if len(p.transfers) == 0 {
		return
	}
	if p.patience--; p.sums.plain && p.patience < 0 {
		done, err := p.together(ctx, b)
		if done {
			return
		}
		if err != nil {
			giveAll(b, p.transfers, failure(err))
			return
		}
		p.patience = patience
	}
	if err := p.inOrder(ctx, b); err != nil {
		giveAll(b, p.transfers, failure(err))
	}
}

// together tries the batch as a whole; neither done nor an error: it must be decided one by one.
func (p *Postgres) together(ctx context.Context, b *Batch) (done bool, err error) {
	p.sums.columns(&p.handles, &p.deltas, &p.lows, &p.highs, &p.changes, &p.kinds)
	name, values := "together", [][]byte{p.handles.value(), p.deltas.value(), p.lows.value(), p.highs.value(), p.changes.value(), p.kinds.value(),
		p.ids.value(), p.payers.value(), p.payees.value(), p.amounts.value(), p.refs.value(), p.assets.value()}
	if p.statements {
		name = "together_with_entries"
		p.sums.entries(&p.legs)
		for i := range p.legs {
			values = append(values, p.legs[i].value())
		}
	}
	answer, err := p.conn.call(ctx, name, values...)
	if refusedWith(err, notTogether, uniqueViolation) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p.Together.Add(1)
	base, at := be64(answer[0][0]), int64(be64(answer[0][1]))
	for n, i := range p.transfers {
		out := &b.outs[i]
		out.Status, out.TimeMS, out.Position = journal.Confirmed, at, journal.Position{Epoch: 1, Seq: base + uint64(n) + 1}
	}
	p.seq = base + uint64(len(p.transfers))
	return true, nil
}

// replayed is added to the status of a first outcome.
const replayed = 128

func (p *Postgres) inOrder(ctx context.Context, b *Batch) error {
	name, count := "in_order", &p.InOrder
	var values [][]byte
	if p.sums.repeated() {
		name, count = "one_by_one", &p.OneByOne
	} else {
		p.sums.places(&p.handles, &p.places)
		values = append(values, p.handles.value(), p.places[0].value(), p.places[1].value())
	}
	values = append(values, p.ids.value(), p.payers.value(), p.payees.value(), p.amounts.value(), p.refs.value(), p.assets.value(), boolean(p.statements))
	answer, err := p.conn.call(ctx, name, values...)
	if err != nil {
		return err
	}
	count.Add(1)
	n := len(p.transfers)
	for k, part := range []struct {
		size int
		take func(out *rows.Outcome, v uint64)
	}{
		{2, func(out *rows.Outcome, v uint64) {
			out.Status, out.Replayed = journal.Status(v&^replayed), v&replayed != 0
		}},
		{8, func(out *rows.Outcome, v uint64) { out.Detail = v }},
		{8, func(out *rows.Outcome, v uint64) { out.Position = journal.Position{Epoch: 1, Seq: v} }},
		{8, func(out *rows.Outcome, v uint64) { out.TimeMS = int64(v) }},
	} {
		err := elements(answer[0][k], n, part.size, func(i int, e []byte) {
			var v [8]byte
			copy(v[8-len(e):], e)
			part.take(&b.outs[p.transfers[i]], binary.BigEndian.Uint64(v[:]))
		})
		if err != nil {
			return err
		}
	}
	for _, i := range p.transfers {
		p.seq = max(p.seq, b.outs[i].Position.Seq)
	}
	return nil
}

// sums are what a batch does to each of its accounts, were all its transfers accepted.
type sums struct {
	plain bool // none of them is to oneself, and no account is named with two assets
	ids   []journal.ID
	seen  map[journal.ID]struct{}
	index map[journal.Handle]int32
	each  []sum
	legs  []leg // two a transfer
}

// leg is one side of a transfer: what its account has come to by it, within the batch.
type leg struct {
	of      int32 // in each
	amount  int64
	delta   int64
	changes int64
}

type sum struct {
	handle           journal.Handle
	asset            journal.Asset
	delta, low, high int64
	changes          int64
}

func (s *sums) reset() {
	s.plain, s.ids, s.each, s.legs = true, s.ids[:0], s.each[:0], s.legs[:0]
	if s.index == nil {
		s.index = map[journal.Handle]int32{}
	}
	clear(s.index)
}

func (s *sums) transfer(r *journal.Row) {
	s.ids = append(s.ids, r.ID)
	s.plain = s.plain && r.Account != r.To
	payer := s.change(r.Account, r.Asset, -int64(r.Amount))
	payee := s.change(r.To, r.Asset, int64(r.Amount))
	// Sums beyond what an account can hold cannot be accepted as a whole, and could pass int64 in a batch of many.
	s.plain = s.plain && payee <= int64(journal.AmountMax) && payer >= -2*int64(journal.AmountMax)
}

// change adds one side of a transfer, and answers what its account has come to.
func (s *sums) change(h journal.Handle, asset journal.Asset, by int64) int64 {
	i, ok := s.index[h]
	if !ok {
		i = int32(len(s.each))
		s.index[h] = i
		s.each = append(s.each, sum{handle: h, asset: asset})
	}
	of := &s.each[i]
	s.plain = s.plain && of.asset == asset
	of.delta += by
	of.low, of.high = min(of.low, of.delta), max(of.high, of.delta)
	of.changes++
	s.legs = append(s.legs, leg{i, by, of.delta, of.changes})
	return of.delta
}

// repeated reports whether an id is there twice.
func (s *sums) repeated() bool {
	if s.seen == nil {
		s.seen = map[journal.ID]struct{}{}
	}
	clear(s.seen)
	for _, id := range s.ids {
		s.seen[id] = struct{}{}
	}
	return len(s.seen) < len(s.ids)
}

// places are the batch's accounts, and for each transfer where its payer and its payee are among them, from 1.
func (s *sums) places(handles *column, places *[2]column) {
	handles.reset(uuidOID)
	for i := range s.each {
		handles.handle(s.each[i].handle)
	}
	for side := range places {
		places[side].reset(int4OID)
		for i := side; i < len(s.legs); i += 2 {
			places[side].int4(s.legs[i].of + 1)
		}
	}
}

func (s *sums) entries(c *[4]column) {
	c[0].reset(uuidOID)
	for i := 1; i < 4; i++ {
		c[i].reset(int8OID)
	}
	for _, l := range s.legs {
		of := &s.each[l.of]
		c[0].handle(of.handle)
		c[1].int8(l.amount)
		c[2].int8(of.delta - l.delta)
		c[3].int8(of.changes - l.changes)
	}
}

func (s *sums) columns(handles, deltas, lows, highs, changes, kinds *column) {
	handles.reset(uuidOID)
	for _, c := range []*column{deltas, lows, highs, changes} {
		c.reset(int8OID)
	}
	kinds.reset(int2OID)
	for i := range s.each {
		of := &s.each[i]
		handles.handle(of.handle)
		deltas.int8(of.delta)
		lows.int8(of.low)
		highs.int8(of.high)
		changes.int8(of.changes)
		kinds.int2(int16(of.asset))
	}
}
