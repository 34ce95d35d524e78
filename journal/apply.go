package journal

import "fmt"

// Change is one version of one account: what an event did to it. It is what a statement's entry is made of.
type Change struct {
	Account Handle
	Of      Op // open, alter, transfer, pay, reserve, confirm, cancel, expire; for a delivered credit the act that decided it (pay, confirm)
	ID      ID // transfer or reservation; zeros for open and alter
	Other   Handle
	Amount  Amount // moved, reserved or released; 0 for open and alter
	Before  Account
	After   Account
	Flagged bool // a credit to a payee that is closed meanwhile, or one that went to the suspense account
}

// Effects are told what an event does, while it is applied. Both calls come in the event's own order.
type Effects interface {
	Changed(*Event, Change)
	// Leg is a decided credit for another partition, to be carried by the channel.
	Leg(*Event, Leg)
}

// applying is one event on its way into the Book.
type applying struct {
	*Book
	e *Event
	r Row
	x Effects
}

// Apply folds the partition's next event. It trusts the recorded outcome, but not blindly: an event that is not the next
// one, or that would break an invariant (a balance beyond its bounds, a credit of nobody), is ErrDamaged. The State may then
// hold half of it: whoever keeps the State throws away what has not been committed.
func (b *Book) Apply(e *Event, x Effects) error {
	a := applying{Book: b, e: e, x: x}
	if _, err := a.r.Parse(e.Packed); err != nil {
		return fmt.Errorf("%w: event %v: %w", ErrDamaged, e.Position, err)
	}
	return a.next()
}

// ApplyRow is Apply for who has the event's row unpacked already.
func (b *Book) ApplyRow(e *Event, r *Row, x Effects) error {
	a := applying{Book: b, e: e, r: *r, x: x}
	return a.next()
}

func (a *applying) next() error {
	b, e := a.Book, a.e
	if e.Partition != b.Partition || e.Seq != b.Seq+1 {
		return fmt.Errorf("%w: event %v does not follow seq %d of partition %d", ErrDamaged, e.Position, b.Seq, b.Partition)
	}
	if err := a.apply(); err != nil {
		return fmt.Errorf("%w: event %v (%v, %v): %w", ErrDamaged, e.Position, a.r.Op, e.Status, err)
	}
	b.Seq, b.Epoch, b.TimeMS = e.Seq, e.Epoch, max(b.TimeMS, e.TimeMS)
	return nil
}

func (a *applying) apply() error {
	if !a.e.Status.Journaled(a.r.Op.Keyed()) {
		return fmt.Errorf("an outcome that is never journaled")
	}
	if a.r.Op.Keyed() && !a.e.Status.Accepted() {
		return a.refuse()
	}
	switch a.r.Op {
	case OpOpen:
		return a.open()
	case OpAlter:
		return a.alter()
	case OpTransfer, OpPay:
		return a.transfer()
	case OpReserve:
		return a.reserve()
	case OpConfirm:
		return a.confirm()
	case OpCancel:
		return a.cancel()
	case OpExpire:
		return a.release(a.r.ID)
	case OpDeliver:
		return a.deliver()
	case OpEvict:
		return a.evict()
	}
	return fmt.Errorf("not an act that is journaled")
}

// refuse stores a refusal under its key. What was missing follows from the state, which is as it was when it was refused.
func (a *applying) refuse() error {
	var detail uint64
	switch a.e.Status {
	case InsufficientFunds:
		payer, ok := a.State.Account(a.r.Account)
		if !ok {
			return fmt.Errorf("payer unknown")
		}
		has := payer.Available
		if a.r.Op != OpReserve {
			has = payer.spendable()
		}
		detail = missing(a.r.Amount, has)
	case LimitExceeded:
		detail = uint64(AmountMax)
	case ExceedsReservation:
		res, _ := a.State.Reservation(a.r.Reservation)
		detail = uint64(res.Remaining)
	}
	a.setKey(detail)
	return nil
}

func (a *applying) setKey(detail uint64) {
	a.State.SetKey(a.r.ID, KeyRecord{Status: a.e.Status, Op: a.r.Op, TimeMS: a.e.TimeMS, Epoch: a.e.Epoch, Seq: a.e.Seq, Detail: detail,
		Content: Content(a.e.Packed)})
}

// change writes one version of an account, after looking at its bounds.
func (a *applying) change(h Handle, c Change) error {
	c.Account = h
	c.After.Version = c.Before.Version + 1
	low := -c.After.OverdraftLimit
	if c.After.Flags.Has(Issuance) {
		low = -AmountMax
	}
	if c.After.Available < low || c.After.Reserved < 0 || c.After.Available+c.After.Reserved > AmountMax {
		return fmt.Errorf("account %x would have available %d, reserved %d (lower bound %d)", h, c.After.Available, c.After.Reserved, low)
	}
	a.State.SetAccount(h, c.After)
	if a.x != nil {
		a.x.Changed(a.e, c)
	}
	return nil
}

// move changes an account's available and reserved by these amounts.
func (a *applying) move(h Handle, of Op, id ID, other Handle, amount, available, reserved Amount) error {
	before, ok := a.State.Account(h)
	if !ok {
		return fmt.Errorf("account %x is unknown", h)
	}
	after := before
	after.Available += available
	after.Reserved += reserved
	return a.change(h, Change{Of: of, ID: id, Other: other, Amount: amount, Before: before, After: after})
}

func (a *applying) open() error {
	if _, ok := a.State.Account(a.r.Account); ok {
		return fmt.Errorf("the account exists")
	}
	a.State.SetDetails(a.r.Account, append(appendU56(nil, uint64(a.e.TimeMS)), a.r.Text...))
	return a.change(a.r.Account, Change{Of: OpOpen, After: Account{Flags: a.r.Flags, StatusSeq: a.e.Seq, Asset: a.r.Asset, OverdraftLimit: a.r.OverdraftLimit}})
}

func (a *applying) alter() error {
	before, ok := a.State.Account(a.r.Account)
	details, ok2 := a.State.Details(a.r.Account)
	if !ok || !ok2 {
		return fmt.Errorf("the account is unknown")
	}
	after := before
	after.Flags, after.OverdraftLimit, after.StatusSeq = a.r.Flags, a.r.OverdraftLimit, a.e.Seq
	a.State.SetDetails(a.r.Account, append(append([]byte(nil), details[:7]...), a.r.Text...))
	return a.change(a.r.Account, Change{Of: OpAlter, Before: before, After: after})
}

func (a *applying) transfer() error {
	r := &a.r
	if r.Account == r.To {
		return fmt.Errorf("payer and payee are one account")
	}
	if err := a.move(r.Account, r.Op, r.ID, r.To, r.Amount, -r.Amount, 0); err != nil {
		return err
	}
	a.setKey(0)
	return a.credit(r.ID, r.Account, r.Amount)
}

// credit gives the payee of a decided row its money: at once when it lives here, else by the channel.
func (a *applying) credit(id ID, payer Handle, amount Amount) error {
	local := a.r.Op == OpTransfer || (a.r.Op == OpConfirm && a.r.Verdict == VerdictLocal)
	if local {
		return a.move(a.r.To, a.r.Op, id, payer, amount, amount, 0)
	}
	if a.x != nil {
		asset := a.r.Asset
		if a.r.Op == OpConfirm {
			res, _ := a.State.Reservation(id)
			asset = res.Asset
		}
		a.x.Leg(a.e, Leg{Of: a.r.Op, ID: id, Payer: payer, Payee: a.r.To, Amount: amount, Asset: asset})
	}
	return nil
}

func (a *applying) reserve() error {
	r := &a.r
	if err := a.move(r.Account, OpReserve, r.ID, r.To, r.Amount, -r.Amount, r.Amount); err != nil {
		return err
	}
	a.State.SetReservation(r.ID, Reservation{Status: Tried, Payer: r.Account, To: r.To, Amount: r.Amount, Remaining: r.Amount, Asset: r.Asset,
		CreatedMS: a.e.TimeMS, ExpiresMS: a.e.TimeMS + 1000*int64(r.ExpiresInS)})
	a.setKey(0)
	return nil
}

func (a *applying) confirm() error {
	res, ok := a.State.Reservation(a.r.Reservation)
	if !ok || res.Status != Tried {
		return fmt.Errorf("the reservation is not open")
	}
	take := a.r.Amount
	if take == 0 {
		take = res.Remaining
	}
	if take > res.Remaining || take <= 0 || res.Payer == a.r.To {
		return fmt.Errorf("captures %d of %d", take, res.Remaining)
	}
	after := captured(res, take, a.r.Final)
	freed := res.Remaining - after.Remaining
	if err := a.move(res.Payer, OpConfirm, a.r.Reservation, a.r.To, take, freed-take, -freed); err != nil {
		return err
	}
	if a.e.Status != after.Status {
		return fmt.Errorf("the reservation is %v afterwards", after.Status)
	}
	if after.Status != Tried {
		after.ResolvedMS = a.e.TimeMS
	}
	a.State.SetReservation(a.r.Reservation, after)
	a.setKey(ConfirmDetail(after))
	return a.credit(a.r.Reservation, res.Payer, take)
}

func (a *applying) cancel() error {
	if a.e.Status == Tombstone {
		a.State.SetKey(a.r.ID, KeyRecord{Status: Tombstone, Op: OpCancel, TimeMS: a.e.TimeMS, Epoch: a.e.Epoch, Seq: a.e.Seq})
		return nil
	}
	return a.release(a.r.ID)
}

// release ends a reservation as cancelled or expired and gives what remains back.
func (a *applying) release(id ID) error {
	res, ok := a.State.Reservation(id)
	if !ok || res.Status != Tried || (a.e.Status != Cancelled && a.e.Status != Expired) {
		return fmt.Errorf("the reservation is not open")
	}
	of := OpCancel
	if a.e.Status == Expired {
		of = OpExpire
	}
	if err := a.move(res.Payer, of, id, res.To, res.Remaining, res.Remaining, -res.Remaining); err != nil {
		return err
	}
	res.Status, res.Remaining, res.ResolvedMS = a.e.Status, 0, a.e.TimeMS
	a.State.SetReservation(id, res)
	return nil
}

// evict forgets what is older than the cut-off: no act sees it any more.
func (a *applying) evict() error {
	if a.r.CutoffMS <= a.EvictedMS || a.r.CutoffMS > a.e.TimeMS {
		return fmt.Errorf("evicts what is before %d at %d, behind %d", a.r.CutoffMS, a.e.TimeMS, a.EvictedMS)
	}
	a.EvictedMS = a.r.CutoffMS
	a.State.Evict(a.r.CutoffMS)
	return nil
}

func (a *applying) deliver() error {
	r := &a.r
	if d := a.State.Delivered(r.Source); d != r.From || r.UpTo < r.From {
		return fmt.Errorf("delivers %d…%d of partition %d, delivered is %d", r.From, r.UpTo, r.Source, d)
	}
	for i := range r.LegCount {
		l := r.Leg(i)
		h, before := a.creditTo(l, a.State.Account)
		after := before
		after.Available += l.Amount
		err := a.change(h, Change{Of: l.Of, ID: l.ID, Other: l.Payer, Amount: l.Amount, Before: before, After: after,
			Flagged: h != l.Payee || before.Flags.Has(Closed)})
		if err != nil {
			return err
		}
	}
	a.State.SetDelivered(r.Source, r.UpTo)
	return nil
}
