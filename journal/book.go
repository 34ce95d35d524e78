package journal

import (
	"encoding/binary"
	"fmt"
)

// State is where a Book keeps a partition's records. Memory is one; the projector has one over its store.
type State interface {
	Account(Handle) (Account, bool)
	SetAccount(Handle, Account)
	// Details are created_ms u56 and AccountDetails as JSON.
	Details(Handle) ([]byte, bool)
	SetDetails(Handle, []byte)
	Key(ID) (KeyRecord, bool)
	// SetKey's record shares memory with the event: the State copies what it keeps.
	SetKey(ID, KeyRecord)
	Reservation(ID) (Reservation, bool)
	SetReservation(ID, Reservation)
	// Delivered is the seq of the source partition's journal up to which its legs have been credited here.
	Delivered(source int) uint64
	SetDelivered(source int, seq uint64)
	// Evict forgets the key records and the resolved reservations whose time is before beforeMS. It remembers their ids.
	Evict(beforeMS int64)
	// MaybeEvicted reports whether the id may be one that Evict has forgotten; of those, always.
	MaybeEvicted(ID) bool
}

// Book is the pure fold of one partition's events: the same input always gives the same state. It reads no clock and
// talks to nobody. Apply trusts the recorded outcome; Decide says what an act would answer now, and is what the acts in
// Lua are held against by random differential runs.
type Book struct {
	Partition  int
	Partitions int // of the whole wallet
	Epoch      uint32
	Seq        uint64
	TimeMS     int64
	EvictedMS  int64 // the cut-off of the last eviction; 0: none
	State      State
}

// NewBook is an empty Book in memory.
func NewBook(partition, partitions int) *Book {
	return &Book{Partition: partition, Partitions: partitions, State: NewMemory()}
}

// PartSize is the length of a packed part record, bytes.
const PartSize = 4 + 7 + 7 + 7

// AppendPart packs epoch u32, seq u56, time_ms u56, evicted_ms u56: the partition's record in its shard. A partition without one does not serve.
func (b *Book) AppendPart(dst []byte) []byte {
	dst = appendU56(binary.BigEndian.AppendUint32(dst, b.Epoch), b.Seq)
	return appendU56(appendU56(dst, uint64(b.TimeMS)), uint64(b.EvictedMS))
}

// ParsePart unpacks a part record into the Book's epoch, seq, time and cut-off.
func (b *Book) ParsePart(p []byte) error {
	if len(p) != PartSize {
		return fmt.Errorf("%w: part of %d bytes", ErrBadRecord, len(p))
	}
	b.Epoch, b.Seq, b.TimeMS, b.EvictedMS = binary.BigEndian.Uint32(p), u56(p[4:]), int64(u56(p[11:])), int64(u56(p[18:]))
	return nil
}

// Outcome is what an act answers.
type Outcome struct {
	Status    Status
	Journaled bool   // it has a seq and an event; false for reads, repeats and refusals that are not stored
	Replayed  bool   // the first outcome of the key; First has it
	Detail    uint64 // insufficient_funds: what is missing; limit_exceeded: the limit; exceeds_reservation: what remains; confirm: ConfirmDetail
	First     KeyRecord
	Delivered uint64 // delivery_gap: the number that delivered[source] is
	StatusSeq uint64 // check: the payee's
}

func refused(s Status) Outcome { return Outcome{Status: s} }

// freeze is a refusal of a keyed act, stored under its key where semantics section 1 says so.
func freeze(s Status, detail uint64) Outcome {
	return Outcome{Status: s, Journaled: s.Frozen(), Detail: detail}
}

func accepted(s Status) Outcome { return Outcome{Status: s, Journaled: true} }

// Decide answers what the act packed in row would answer at nowMS, changing nothing.
func (b *Book) Decide(packed []byte, nowMS int64) (Outcome, error) {
	var r Row
	if _, err := r.Parse(packed); err != nil {
		return Outcome{}, err
	}
	nowMS = max(nowMS, b.TimeMS)
	switch r.Op {
	case OpOpen:
		if _, ok := b.State.Account(r.Account); ok {
			return refused(AccountExists), nil
		}
		return accepted(Opened), nil
	case OpAlter:
		return b.decideAlter(&r), nil
	case OpRead:
		if _, ok := b.State.Account(r.Account); !ok {
			return refused(AccountNotFound), nil
		}
		return Outcome{Status: OK}, nil
	case OpCheck:
		return b.decideCheck(&r), nil
	case OpTransfer, OpPay, OpReserve:
		return b.decideTry(&r, packed), nil
	case OpConfirm:
		return b.decideConfirm(&r, packed, nowMS), nil
	case OpCancel:
		return b.decideCancel(&r, nowMS), nil
	case OpExpire:
		if res, ok := b.State.Reservation(r.ID); ok && res.Status == Tried && nowMS >= res.ExpiresMS {
			return accepted(Expired), nil
		}
		return refused(NotDue), nil
	case OpDeliver:
		return b.decideDeliver(&r), nil
	case OpLook:
		if _, reserved := b.State.Reservation(r.ID); reserved {
			return Outcome{Status: OK}, nil
		}
		if _, seen := b.State.Key(r.ID); seen {
			return Outcome{Status: OK}, nil
		}
		return b.unknown(r.ID, &r), nil
	case OpEvict:
		if r.CutoffMS > b.EvictedMS && r.CutoffMS <= nowMS {
			return accepted(Evicted), nil
		}
		return refused(NotDue), nil
	}
	return Outcome{}, fmt.Errorf("%w: %v", ErrBadRow, r.Op)
}

func (b *Book) decideAlter(r *Row) Outcome {
	a, ok := b.State.Account(r.Account)
	_, opened := b.State.Details(r.Account) // a suspense account was not, and cannot be altered
	switch {
	case !ok || !opened:
		return refused(AccountNotFound)
	case r.ExpectedVersion != 0 && r.ExpectedVersion != a.Version:
		return refused(PreconditionFailed)
	case r.ExpectedStatusSeq != a.StatusSeq:
		return refused(AlterConflict)
	case r.Flags.Has(Issuance) != a.Flags.Has(Issuance):
		return refused(FlagsConflict)
	case r.Flags.Has(Closed) && !a.Flags.Has(Closed) && (a.Available != 0 || a.Reserved != 0):
		return refused(AccountNotEmpty)
	case !a.Flags.Has(Issuance) && a.Available < -r.OverdraftLimit:
		return refused(ConditionFailed)
	}
	return accepted(Altered)
}

func (b *Book) decideCheck(r *Row) Outcome {
	a, ok := b.State.Account(r.Account)
	if !ok {
		return refused(PayeeNotFound)
	}
	o := Outcome{Status: OK, StatusSeq: a.StatusSeq}
	switch {
	case a.Asset != r.Asset:
		o.Status = AssetMismatch
	case a.Flags.Has(Closed):
		o.Status = PayeeClosed
	case a.Flags.Has(FrozenReceiving):
		o.Status = PayeeFrozen
	case r.Amount > a.room():
		o.Status = BalanceOverflow
	}
	return o
}

// verdict is the payee's part in a decision: as its check said, or as this partition sees it.
func (b *Book) verdict(v uint8, payee Handle, asset Asset, amount Amount) Status {
	if v != VerdictLocal {
		return max(Status(v), OK)
	}
	return b.decideCheck(&Row{Account: payee, Asset: asset, Amount: amount}).Status
}

// old reports whether an id that is not in the window may be one that was evicted, and nobody has looked.
func (b *Book) old(id ID, r *Row) bool { return b.EvictedMS > r.ClearedMS && b.State.MaybeEvicted(id) }

// unknown is the answer about an id of which there is nothing here.
func (b *Book) unknown(id ID, r *Row) Outcome {
	if b.old(id, r) {
		return refused(KeyOld)
	}
	return refused(ReservationNotFound)
}

// firstAnswer is the key rule (semantics section 2): nil when the key is new.
func (b *Book) firstAnswer(r *Row, packed []byte) *Outcome {
	k, seen := b.State.Key(r.ID)
	if !seen {
		if b.old(r.ID, r) {
			return &Outcome{Status: KeyOld}
		}
		return nil
	}
	if k.Status == Tombstone {
		return &Outcome{Status: CancelledBeforeTry}
	}
	if s := differing(k, r.Op, Content(packed)); s != None {
		return &Outcome{Status: s}
	}
	return &Outcome{Status: k.Status, Replayed: true, Detail: k.Detail, First: k}
}

// differing names the first field in which a repeat differs: kind, to, amount, asset, expires_in_s, final, reference.
func differing(k KeyRecord, op Op, content []byte) Status {
	if kindOf(k.Op) != kindOf(op) {
		return KeyReusedKind
	}
	first := k.Content
	switch {
	case string(first) == string(content):
		return None
	case string(first[:12]) != string(content[:12]):
		return KeyReusedTo
	case string(first[12:19]) != string(content[12:19]):
		return KeyReusedAmount
	case op == OpConfirm:
		return KeyReusedFinal
	case string(first[19:21]) != string(content[19:21]):
		return KeyReusedAsset
	case op == OpReserve && string(first[25:29]) != string(content[25:29]):
		return KeyReusedExpires
	}
	return KeyReusedReference
}

// kindOf joins transfer and pay: for the client both are a transfer.
func kindOf(o Op) Op {
	if o == OpPay {
		return OpTransfer
	}
	return o
}

// decideTry decides transfer, pay and reserve, in the order of semantics section 1.
func (b *Book) decideTry(r *Row, packed []byte) Outcome {
	if o := b.firstAnswer(r, packed); o != nil {
		return *o
	}
	if r.Account == r.To {
		return refused(SameAccount)
	}
	payee := OK
	if r.Op != OpReserve || !r.To.IsZero() { // only a reservation may leave its payee open
		payee = b.verdict(r.Verdict, r.To, r.Asset, r.Amount)
	}
	payer, ok := b.State.Account(r.Account)
	if (ok && payer.Asset != r.Asset) || payee == AssetMismatch {
		return refused(AssetMismatch)
	}
	switch {
	case !ok:
		return refused(PayerNotFound)
	case payer.Flags.Has(Closed):
		return freeze(PayerClosed, 0)
	case payer.Flags.Has(FrozenSending):
		return freeze(PayerFrozen, 0)
	case payee == PayeeNotFound || payee == PayeeClosed || payee == PayeeFrozen:
		return freeze(payee, 0)
	}
	if r.Op == OpReserve { // never from the overdraft; the payee's room is looked at when it is captured
		if r.Amount > payer.Available {
			return freeze(InsufficientFunds, missing(r.Amount, payer.Available))
		}
		return accepted(Tried)
	}
	if r.Amount > payer.spendable() {
		if payer.Flags.Has(Issuance) {
			return freeze(LimitExceeded, uint64(AmountMax))
		}
		return freeze(InsufficientFunds, missing(r.Amount, payer.spendable()))
	}
	if payee == BalanceOverflow {
		return freeze(BalanceOverflow, 0)
	}
	return accepted(Confirmed)
}

// missing is amount − has, at most AmountMax (which is as far as Lua counts).
func missing(amount, has Amount) uint64 { return uint64(min(amount-has, AmountMax)) }

func (b *Book) decideConfirm(r *Row, packed []byte, nowMS int64) Outcome {
	if o := b.firstAnswer(r, packed); o != nil {
		return *o
	}
	res, ok := b.State.Reservation(r.Reservation)
	if !ok {
		switch k, seen := b.State.Key(r.Reservation); {
		case !seen:
			return b.unknown(r.Reservation, r)
		case k.Status == Tombstone:
			return freeze(AlreadyCancelled, 0)
		}
		return refused(ReservationNotFound)
	}
	if res.Payer == r.To {
		return refused(SameAccount)
	}
	take := r.Amount
	if take == 0 {
		take = res.Remaining
	}
	payee := b.verdict(r.Verdict, r.To, res.Asset, take)
	switch {
	case payee == AssetMismatch:
		return refused(AssetMismatch)
	case payee == PayeeNotFound || payee == PayeeClosed || payee == PayeeFrozen:
		return freeze(payee, 0)
	case res.Status == Confirmed:
		return freeze(AlreadyConfirmed, 0)
	case res.Status == Cancelled:
		return freeze(AlreadyCancelled, 0)
	case res.Status == Expired || nowMS >= res.ExpiresMS:
		return freeze(ReservationExpired, 0)
	case take > res.Remaining:
		return freeze(ExceedsReservation, uint64(res.Remaining))
	case payee == BalanceOverflow:
		return freeze(BalanceOverflow, 0)
	}
	after := captured(res, take, r.Final)
	return Outcome{Status: after.Status, Journaled: true, Detail: ConfirmDetail(after)}
}

// captured is the reservation after a confirm of take.
func captured(res Reservation, take Amount, final bool) Reservation {
	res.Captured += take
	res.Remaining -= take
	if final || res.Remaining == 0 {
		res.Remaining = 0
		res.Status = Confirmed
	}
	return res
}

func (b *Book) decideCancel(r *Row, nowMS int64) Outcome {
	res, ok := b.State.Reservation(r.ID)
	k, seen := b.State.Key(r.ID)
	switch {
	case r.ByKey && seen && k.Status == Confirmed:
		return refused(AlreadyConfirmed)
	case r.ByKey && seen && k.Status != Tried: // a tombstone, or a Try that was refused: there is nothing to release
		return Outcome{Status: OK}
	case !ok && seen && k.Status == Tombstone:
		return Outcome{Status: OK}
	case !ok && seen:
		return refused(ReservationNotFound)
	case !ok && r.ByKey && !b.old(r.ID, r):
		if _, ok := b.State.Account(r.Account); !ok {
			return refused(PayerNotFound)
		}
		return accepted(Tombstone)
	case !ok:
		return b.unknown(r.ID, r)
	case res.Status == Confirmed:
		return refused(AlreadyConfirmed)
	case res.Status != Tried:
		return Outcome{Status: OK}
	case nowMS >= res.ExpiresMS:
		return accepted(Expired)
	}
	return accepted(Cancelled)
}
