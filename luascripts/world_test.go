package luascripts

import (
	"fmt"
	"math/rand/v2"

	"walletd/journal"
)

// world makes random acts for a small wallet: few accounts, few keys, amounts at the edges, so that everything meets
// everything. It looks into the Books to aim: an amount that is just spendable, a reservation that is open.
type world struct {
	*rand.Rand
	partitions int
	books      map[int]*journal.Book
	accounts   map[int][]journal.Handle // by partition, opened or not
	past       map[int][][]byte         // rows that were sent, by partition
	reserved   map[int][]journal.ID
	keys       int
	ids        map[int][]journal.ID
	sent       map[journal.ID]bool
}

const worldAccounts = 5 // a partition

func newWorld(seed uint64, partitions int) *world {
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, 1)), partitions: partitions, books: map[int]*journal.Book{},
		accounts: map[int][]journal.Handle{}, past: map[int][][]byte{}, reserved: map[int][]journal.ID{}, ids: map[int][]journal.ID{}, sent: map[journal.ID]bool{},
	}
	for p := range partitions {
		b := journal.NewBook(p, partitions)
		b.Epoch, b.TimeMS = uint32(1+w.IntN(3)), farFuture
		w.books[p] = b
	}
	for n, full := 0, 0; full < partitions; n++ {
		h := journal.HandleOf(fmt.Sprint("account-", seed, "-", n))
		p := h.Partition(partitions)
		if len(w.accounts[p]) == worldAccounts {
			continue
		}
		if w.accounts[p] = append(w.accounts[p], h); len(w.accounts[p]) == worldAccounts {
			full++
		}
	}
	return w
}

// farFuture is ahead of the server's clock, so that the partitions' own time stands still until a test moves it.
const farFuture = 1 << 43

func (w *world) one(in float64) bool { return w.Float64() < in }

func pick[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

func (w *world) local(p int) journal.Handle { return pick(w, w.accounts[p]...) }
func (w *world) foreign(p int) journal.Handle {
	return w.local((p + 1 + w.IntN(w.partitions-1)) % w.partitions)
}

func (w *world) asset() journal.Asset {
	if w.one(0.03) {
		return 1
	}
	return 0
}

// amount is at an edge: of the numbers, or of what the account has or may get.
func (w *world) amount(p int, h journal.Handle) journal.Amount {
	if w.one(0.35) {
		return pick[journal.Amount](w, 1, 2, 7, 1000, journal.AmountMax, journal.AmountMax-1, journal.AmountMax/2, 1<<52)
	}
	a, _ := w.books[p].State.Account(h)
	edge := pick(w, a.Available, a.Available+a.OverdraftLimit, journal.AmountMax-a.Available-a.Reserved, a.Reserved, journal.AmountMax+a.Available)
	edge += pick[journal.Amount](w, -1, 0, 1)
	return min(max(edge, 1), journal.AmountMax)
}

func (w *world) flags() journal.Flags {
	if w.one(0.7) {
		return 0
	}
	return pick(w, journal.FrozenSending, journal.FrozenReceiving, journal.Closed, journal.Closed|journal.FrozenSending|journal.FrozenReceiving)
}

func (w *world) limit() journal.Amount {
	if w.one(0.6) {
		return 0
	}
	return pick[journal.Amount](w, 1, 500, journal.AmountMax, journal.AmountMax/2)
}

func (w *world) verdict() uint8 {
	if w.one(0.6) {
		return uint8(pick(w, journal.None, journal.OK))
	}
	return uint8(pick(w, journal.AssetMismatch, journal.PayeeNotFound, journal.PayeeClosed, journal.PayeeFrozen, journal.BalanceOverflow))
}

func (w *world) key() []byte {
	w.keys++
	return fmt.Appendf(nil, "key-%d", w.IntN(w.keys/2+8))
}

func (w *world) reference() []byte { return pick(w, nil, nil, []byte("rent"), []byte("food")) }

// row is a packed random act for the partition.
func (w *world) row(p int) []byte {
	if past := w.past[p]; len(past) > 0 && w.one(0.15) {
		return w.clear(p, w.again(pick(w, past...)))
	}
	r := w.act(p)
	packed := w.clear(p, r.Append(nil))
	w.sent[r.ID] = true
	if r.Op.Keyed() {
		w.ids[p] = append(w.ids[p], r.ID)
	}
	w.past[p] = append(w.past[p], packed)
	return packed
}

// again repeats a row, now and then with one field of its content changed, or as another kind.
func (w *world) again(packed []byte) []byte {
	packed = append([]byte(nil), packed...)
	c := journal.Content(packed)
	if c == nil || w.one(0.5) {
		return packed
	}
	i := pick(w, 18, 18, w.IntN(12), len(c)-1, min(20, len(c)-1), min(24, len(c)-1))
	c[i] ^= 1
	if journal.Op(packed[2]) != journal.OpConfirm && u56(c[12:]) == 0 {
		c[i] ^= 1 // nobody moves nothing
	}
	return packed
}

func (w *world) act(p int) *journal.Row {
	h := w.local(p)
	r := &journal.Row{Account: h}
	switch n := w.IntN(100); {
	case n < 6:
		r.Op, r.Asset, r.Flags, r.OverdraftLimit, r.Text = journal.OpOpen, w.asset(), w.flags(), w.limit(), []byte(`{"id":"x"}`)
		if w.one(0.3) {
			r.Flags |= journal.Issuance
		}
	case n < 14:
		w.alter(p, r)
	case n < 15:
		w.evict(p, r)
	case n < 18:
		r.Op, r.Details = journal.OpRead, w.one(0.5)
	case n < 23:
		r.Op, r.Asset, r.Amount = journal.OpCheck, w.asset(), w.amount(p, h)
	case n < 41:
		w.try(p, r, journal.OpTransfer)
	case n < 53:
		w.try(p, r, journal.OpPay)
	case n < 66:
		w.try(p, r, journal.OpReserve)
	case n < 79:
		w.confirm(p, r)
	case n < 86:
		w.cancel(p, r)
	case n < 89:
		r.Op, r.ID = journal.OpExpire, w.reservation(p)
	case n < 97:
		w.deliver(p, r)
	default:
		r.Op, r.ID = journal.OpLook, w.reservation(p)
		if ids := w.ids[p]; len(ids) > 0 && w.one(0.6) {
			r.ID = pick(w, ids...)
		}
	}
	return r
}

func (w *world) alter(p int, r *journal.Row) {
	a, _ := w.books[p].State.Account(r.Account)
	r.Op, r.Flags, r.OverdraftLimit, r.Text = journal.OpAlter, w.flags(), w.limit(), fmt.Appendf(nil, `{"owner":"%d"}`, w.IntN(9))
	if a.Flags.Has(journal.Issuance) != w.one(0.1) {
		r.Flags |= journal.Issuance
	}
	r.ExpectedStatusSeq = a.StatusSeq
	if w.one(0.1) {
		r.ExpectedStatusSeq++
	}
	if w.one(0.3) {
		r.ExpectedVersion = a.Version + uint64(w.IntN(2))
	}
}

func (w *world) try(p int, r *journal.Row, op journal.Op) {
	r.Op, r.Asset, r.Amount, r.Key, r.Reference = op, w.asset(), w.amount(p, r.Account), w.key(), w.reference()
	r.ID = journal.IDOf(r.Account, string(r.Key))
	r.To, r.Verdict = w.local(p), journal.VerdictLocal
	if op == journal.OpPay || (op == journal.OpReserve && w.one(0.5)) {
		r.To, r.Verdict = w.foreign(p), w.verdict()
		if w.one(0.03) {
			r.To = r.Account
		}
	}
	if w.one(0.3) {
		r.Amount = w.amountFor(p, r.To)
	}
	if op != journal.OpReserve {
		return
	}
	if w.one(0.3) {
		r.To, r.Verdict = journal.Handle{}, w.verdict()
	}
	r.ExpiresInS = pick[uint32](w, 0, 1, 60, 3600)
	w.reserved[p] = append(w.reserved[p], r.ID)
}

func (w *world) amountFor(p int, payee journal.Handle) journal.Amount {
	if q := payee.Partition(w.partitions); q == p {
		return w.amount(p, payee)
	}
	return w.amount(p, w.local(p))
}

// reservation is one of the partition's, mostly a late one, or one that nobody knows.
func (w *world) reservation(p int) journal.ID {
	all := w.reserved[p]
	if len(all) == 0 || w.one(0.05) {
		return journal.IDOf(w.local(p), fmt.Sprint("nobody-", w.IntN(5)))
	}
	return all[len(all)-1-w.IntN(min(len(all), 12))]
}

func (w *world) confirm(p int, r *journal.Row) {
	r.Op, r.Reservation, r.Key, r.Final = journal.OpConfirm, w.reservation(p), w.key(), w.one(0.4)
	r.ID = journal.ConfirmIDOf(r.Reservation, string(r.Key))
	res, known := w.books[p].State.Reservation(r.Reservation)
	r.Amount = pick(w, 0, 1, res.Remaining, res.Remaining/2, res.Remaining+1, journal.AmountMax)
	r.To, r.Verdict = w.local(p), journal.VerdictLocal
	if w.one(0.4) {
		r.To, r.Verdict = w.foreign(p), w.verdict()
	}
	if known && w.one(0.05) {
		r.To = res.Payer
	}
}

func (w *world) cancel(p int, r *journal.Row) {
	r.Op, r.ByKey = journal.OpCancel, w.one(0.5)
	if !r.ByKey {
		r.ID, r.Account = w.reservation(p), journal.Handle{}
		return
	}
	r.Key = w.key()
	r.ID = journal.IDOf(r.Account, string(r.Key))
	if ids := w.ids[p]; len(ids) > 0 && w.one(0.5) {
		r.ID = pick(w, ids...)
	}
}

func (w *world) deliver(p int, r *journal.Row) {
	r.Op, r.Source = journal.OpDeliver, (p+1+w.IntN(w.partitions-1))%w.partitions
	r.From = w.books[p].State.Delivered(r.Source)
	if w.one(0.2) { // a repeat, or a gap
		r.From = uint64(max(0, int64(r.From)+int64(w.IntN(7))-3))
	}
	r.UpTo = r.From + uint64(w.IntN(4))
	payee := w.local(p)
	for range w.IntN(5) {
		if w.one(0.5) { // else the same again: legs of one delivery add up
			payee = w.local(p)
		}
		l := journal.Leg{Of: journal.OpPay, ID: journal.IDOf(w.foreign(p), "x"), Payer: w.foreign(p), Payee: payee, Asset: w.asset()}
		l.Amount = w.amount(p, l.Payee)
		if w.one(0.2) {
			l.Amount = w.amount(p, journal.SuspenseHandle(p, l.Asset))
		}
		r.AddLeg(l)
	}
}

// forever is a lease that does not end.
const forever = 1<<53 - 1
