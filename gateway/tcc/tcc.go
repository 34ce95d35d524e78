package tcc

import (
	"sync"

	"walletd/journal"
	"walletd/journal/rows"
)

// Coordinator stages acts and carries them over their steps. All methods may be called from several goroutines, each with a stage of its own.
type Coordinator struct {
	partitions int
	shards     rows.Shards
	stages     sync.Pool
	past       past
}

// New makes a coordinator of a wallet with so many partitions. asks knows the keys that shards have evicted; nil: nobody does,
// and their outcomes stay key_old.
func New(partitions int, shards rows.Shards, asks Past) *Coordinator {
	c := &Coordinator{partitions: partitions, shards: shards}
	c.past.c, c.past.asks = c, asks
	c.stages.New = func() any { return rows.NewStage(partitions) }
	return c
}

// Partitions is the number of partitions of the wallet.
func (c *Coordinator) Partitions() int { return c.partitions }

// Stage lends a stage; Submit takes it back.
func (c *Coordinator) Stage() *rows.Stage { return c.stages.Get().(*rows.Stage) }

// Submit hands the stage to the shards and returns it to the pool: the caller must not use it again.
func (c *Coordinator) Submit(st *rows.Stage) {
	c.shards.Submit(st)
	c.stages.Put(st)
}

// Try is what transfers and reservations have in common. The texts are copied when the row is packed.
type Try struct {
	ID         journal.ID
	From, To   journal.Handle // To is zero for a reservation whose payee comes with the confirm
	Amount     journal.Amount
	Asset      journal.Asset
	ExpiresInS uint32 // reservations
	Key        []byte
	ToText     []byte
	Reference  []byte
}

func (t *Try) row(op journal.Op) journal.Row {
	return journal.Row{Op: op, ID: t.ID, Account: t.From, To: t.To, Amount: t.Amount, Asset: t.Asset,
		ExpiresInS: t.ExpiresInS, Key: t.Key, ToText: t.ToText, Reference: t.Reference}
}

// Transfer stages a transfer: one act where payer and payee share a partition, else a check and then a pay.
func (c *Coordinator) Transfer(st *rows.Stage, t *Try, sink rows.Sink, tag uint64) {
	home := t.From.Partition(c.partitions)
	if t.To.Partition(c.partitions) == home {
		r := t.row(journal.OpTransfer)
		r.Verdict = journal.VerdictLocal
		st.Add(home, &r, sink, tag)
		return
	}
	r := t.row(journal.OpPay)
	c.check(st, &r, t.Asset, t.Amount, sink, tag)
}

// Reserve stages a reservation; a payee that is named already must be one that could be credited.
func (c *Coordinator) Reserve(st *rows.Stage, t *Try, sink rows.Sink, tag uint64) {
	r := t.row(journal.OpReserve)
	home := t.From.Partition(c.partitions)
	switch {
	case t.To.IsZero():
		st.Add(home, &r, sink, tag)
	case t.To.Partition(c.partitions) == home:
		r.Verdict = journal.VerdictLocal
		st.Add(home, &r, sink, tag)
	default:
		c.check(st, &r, t.Asset, t.Amount, sink, tag)
	}
}

// check stages the check of next's payee, with next as its carry.
func (c *Coordinator) check(st *rows.Stage, next *journal.Row, asset journal.Asset, amount journal.Amount, owner rows.Sink, tag uint64) {
	check := journal.Row{Op: journal.OpCheck, Account: next.To, Asset: asset, Amount: amount}
	st.AddCheck(next.To.Partition(c.partitions), &check, next, c, owner, tag)
}

// Confirm is a capture. To may be zero: the payee is then the one that the reservation names.
type Confirm struct {
	ID          journal.ID // of the confirm
	Reservation journal.ID
	To          journal.Handle
	Amount      journal.Amount // 0: all that remains
	Final       bool
	Key         []byte
	ToText      []byte
}

// Confirm stages a confirm: first a look at the reservation, which knows payee and asset.
func (c *Coordinator) Confirm(st *rows.Stage, q *Confirm, sink rows.Sink, tag uint64) {
	look := journal.Row{Op: journal.OpLook, ID: q.Reservation}
	next := journal.Row{Op: journal.OpConfirm, ID: q.ID, Reservation: q.Reservation, To: q.To, Amount: q.Amount, Final: q.Final, Key: q.Key, ToText: q.ToText}
	st.AddCheck(q.Reservation.Partition(c.partitions), &look, &next, c, sink, tag)
}

// Cancel stages a cancel by the reservation's id.
func (c *Coordinator) Cancel(st *rows.Stage, id journal.ID, sink rows.Sink, tag uint64) {
	st.Add(id.Partition(c.partitions), &journal.Row{Op: journal.OpCancel, ID: id}, sink, tag)
}

// CancelByKey stages a cancel of whatever the payer asked for under the key, also when that has not arrived yet.
func (c *Coordinator) CancelByKey(st *rows.Stage, payer journal.Handle, key []byte, sink rows.Sink, tag uint64) {
	id := journal.IDOf(payer, key)
	st.Add(id.Partition(c.partitions), &journal.Row{Op: journal.OpCancel, ByKey: true, ID: id, Account: payer, Key: key}, sink, tag)
}

// Read stages a strong read of an account, with its details or without.
func (c *Coordinator) Read(st *rows.Stage, account journal.Handle, details bool, sink rows.Sink, tag uint64) {
	st.Add(account.Partition(c.partitions), &journal.Row{Op: journal.OpRead, Account: account, Details: details}, sink, tag)
}

// Look stages a look at a reservation or key by its id.
func (c *Coordinator) Look(st *rows.Stage, id journal.ID, sink rows.Sink, tag uint64) {
	st.Add(id.Partition(c.partitions), &journal.Row{Op: journal.OpLook, ID: id}, sink, tag)
}

// Account stages an open or alter.
func (c *Coordinator) Account(st *rows.Stage, r *journal.Row, sink rows.Sink, tag uint64) {
	st.Add(r.Account.Partition(c.partitions), r, sink, tag)
}

// Settle implements rows.Sink for the steps on the way: checks and looks, whose carry is the row that follows.
func (c *Coordinator) Settle(outcomes []rows.Outcome) {
	st := c.Stage()
	for i := range outcomes {
		if o := &outcomes[i]; o.Op == journal.OpLook {
			c.looked(st, o)
		} else {
			c.checked(st, o)
		}
	}
	c.Submit(st)
}

// checked sends the carried row to its home with the check's verdict.
func (c *Coordinator) checked(st *rows.Stage, o *rows.Outcome) {
	switch o.Status {
	case journal.OK, journal.AssetMismatch, journal.PayeeNotFound, journal.PayeeClosed, journal.PayeeFrozen, journal.BalanceOverflow:
		// The carry is ours until we return; the stage copies it.
		o.Carry[journal.VerdictAt] = byte(o.Status)
		st.AddPacked(c.homeOf(o.Carry), o.Carry, o.Owner, o.Tag)
	default:
		c.askKey(st, o)
	}
}

// askKey comes where a row cannot go home as it is, because its payee's shard does not answer or its payee is not the
// reservation's: a key that was seen has its answer all the same, which comes before everything else (semantics
// section 1). The verdict keeps why there was none.
func (c *Coordinator) askKey(st *rows.Stage, o *rows.Outcome) {
	var next journal.Row
	if _, err := next.Parse(o.Carry); err != nil {
		c.refuse(o, o.Status)
		return
	}
	next.Verdict = uint8(o.Status)
	st.AddCheck(c.homeOf(o.Carry), &journal.Row{Op: journal.OpLook, ID: next.ID}, &next, c, o.Owner, o.Tag)
}

// keyAsked sends a row whose key was seen, for the act has the words; its verdict is one that can neither move nor store.
func (c *Coordinator) keyAsked(st *rows.Stage, next *journal.Row, o *rows.Outcome) {
	why := journal.Status(next.Verdict)
	if o.Status == journal.KeyOld && c.past.take(o, o.Carry, why, o.Owner) {
		return
	}
	if _, seen := o.Key(); !seen || o.Status != journal.OK {
		c.refuse(o, why)
		return
	}
	next.Verdict = uint8(journal.AssetMismatch)
	st.Add(c.homeOf(o.Carry), next, o.Owner, o.Tag)
}

// looked completes a confirm with what the reservation says, and checks its payee.
func (c *Coordinator) looked(st *rows.Stage, o *rows.Outcome) {
	var next journal.Row
	if _, err := next.Parse(o.Carry); err != nil {
		c.refuse(o, journal.Malformed)
		return
	}
	if next.Verdict != 0 { // never of a confirm on its way to its reservation
		c.keyAsked(st, &next, o)
		return
	}
	if o.Status == journal.KeyOld && c.past.take(o, o.Carry, journal.None, o.Owner) {
		return
	}
	if o.Status != journal.OK {
		c.refuse(o, o.Status)
		return
	}
	home := c.homeOf(o.Carry)
	res, ok := o.Reservation()
	if !ok { // a tombstone, or no reservation at all: the act at home has the words
		next.Verdict = uint8(journal.OK)
		st.Add(home, &next, o.Owner, o.Tag)
		return
	}
	if next.To.IsZero() {
		next.To = res.To
	}
	if next.To.IsZero() || (!res.To.IsZero() && next.To != res.To) {
		why := *o
		why.Status = journal.ConditionFailed
		c.askKey(st, &why) // a key that was seen comes first, here too
		return
	}
	amount := next.Amount
	if amount == 0 {
		amount = max(res.Remaining, 1)
	}
	if next.To.Partition(c.partitions) == home {
		next.Verdict = journal.VerdictLocal
		st.Add(home, &next, o.Owner, o.Tag)
		return
	}
	c.check(st, &next, res.Asset, amount, o.Owner, o.Tag)
}

// homeOf is the home partition of a packed transfer, pay, reserve or confirm: its id says it.
func (c *Coordinator) homeOf(row []byte) int {
	return journal.ID(row[journal.VerdictAt+1:]).Partition(c.partitions)
}

// refuse settles a step's own refusal with the owner of the act, as the act's.
func (c *Coordinator) refuse(o *rows.Outcome, s journal.Status) {
	out := *o
	out.Status, out.Owner, out.Carry, out.Record, out.Detail = s, nil, nil, nil, 0
	if len(o.Carry) > 2 {
		out.Op = journal.Op(o.Carry[2])
	}
	o.Owner.Settle([]rows.Outcome{out})
}
