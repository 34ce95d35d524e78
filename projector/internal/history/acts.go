package history

import (
	"fmt"

	"walletd/journal"
)

// step tries one random act somewhere.
func (h *History) step() {
	h.nowMS += int64(h.rng.IntN(3)) // several events share a millisecond
	p := h.rng.IntN(h.Partitions)
	switch n := h.rng.IntN(100); {
	case n < 55:
		h.transfer(p)
	case n < 65:
		h.reserve(p)
	case n < 75:
		h.resolve(p)
	case n < 90:
		h.deliver(p)
	case h.Plain:
		h.transfer(p)
	case n < 93:
		h.alter(p)
	case n < 95:
		h.tombstone(p)
	case n < 96:
		h.repeat()
	case n < 97:
		h.expire(p)
	case n < 98:
		h.evict(p)
	default:
		h.disturb(p)
	}
	if h.writers[p].Pending() >= 1+h.rng.IntN(h.FrameMax) {
		h.writers[p].Cut()
	}
}

func (h *History) transfer(p int) {
	payer := h.pick(p)
	if h.rng.IntN(3) == 0 {
		payer = h.accounts[p][h.rng.IntN(h.Assets)*(h.Accounts+1)] // issuance: so that there is money to move
	}
	asset := h.assetOf[payer]
	row := journal.Row{Op: journal.OpTransfer, Account: payer, To: h.payee(p, asset), Amount: 1 + journal.Amount(h.rng.IntN(500)), Asset: asset, Key: h.key()}
	row.ID = journal.IDOf(payer, row.Key)
	row.Verdict = h.verdict(p, row.To, asset, row.Amount)
	if row.Verdict != journal.VerdictLocal {
		row.Op = journal.OpPay
	}
	row.ToText = []byte(h.Names[row.To])
	if h.rng.IntN(3) == 0 {
		row.Reference = []byte("order 42")
	}
	h.act(p, row)
	h.used = append(h.used, usedKey{p, row.Append(nil)})
}

// repeat sends a row again: the first answer comes back and nothing is journaled.
func (h *History) repeat() {
	if len(h.used) == 0 {
		return
	}
	u := h.used[h.rng.IntN(len(h.used))]
	o, err := h.Books[u.partition].Decide(u.packed, h.nowMS)
	if err != nil {
		panic(err)
	}
	id := mustRow(u.packed).ID
	if _, seen := h.Ever[u.partition].Keys[id]; o.Journaled && seen {
		panic("a repeat would be journaled")
	}
}

func mustRow(packed []byte) (r journal.Row) {
	if _, err := r.Parse(packed); err != nil {
		panic(err)
	}
	return r
}

func (h *History) reserve(p int) {
	payer := h.pick(p)
	asset := h.assetOf[payer]
	row := journal.Row{Op: journal.OpReserve, Account: payer, Amount: 1 + journal.Amount(h.rng.IntN(300)), Asset: asset, ExpiresInS: 1 + uint32(h.rng.IntN(3)), Key: h.key()}
	row.ID = journal.IDOf(payer, row.Key)
	if h.rng.IntN(2) == 0 {
		row.To = h.payee(p, asset)
		row.ToText = []byte(h.Names[row.To])
		row.Verdict = h.verdict(p, row.To, asset, row.Amount)
	}
	if h.act(p, row).Status == journal.Tried {
		h.open[p] = append(h.open[p], row.ID)
	}
}

// resolve confirms (wholly, in part, or leaving it open) or cancels a reservation that was once open.
func (h *History) resolve(p int) {
	if len(h.open[p]) == 0 {
		return
	}
	i := h.rng.IntN(len(h.open[p]))
	id := h.open[p][i]
	res, _ := h.Books[p].State.Reservation(id)
	var row journal.Row
	if h.rng.IntN(3) == 0 {
		row = journal.Row{Op: journal.OpCancel, ID: id}
	} else {
		row = journal.Row{Op: journal.OpConfirm, Reservation: id, To: res.To, Final: h.rng.IntN(2) == 0, Key: h.key()}
		row.ID = journal.ConfirmIDOf(id, row.Key)
		if row.To.IsZero() {
			row.To = h.payee(p, res.Asset)
		}
		row.ToText = []byte(h.Names[row.To])
		if h.rng.IntN(2) == 0 {
			row.Amount = 1 + journal.Amount(h.rng.IntN(200))
		}
		row.Verdict = h.verdict(p, row.To, res.Asset, max(row.Amount, res.Remaining))
	}
	h.act(p, row)
	if after, _ := h.Books[p].State.Reservation(id); after.Status != journal.Tried && h.rng.IntN(2) == 0 {
		h.open[p] = append(h.open[p][:i], h.open[p][i+1:]...)
	}
}

func (h *History) expire(p int) {
	for _, id := range h.open[p] {
		if res, _ := h.Books[p].State.Reservation(id); res.Status == journal.Tried {
			h.nowMS = max(h.nowMS, res.ExpiresMS)
			h.act(p, journal.Row{Op: journal.OpExpire, ID: id})
			return
		}
	}
}

// evictBehind is how long keys live, ms: a few hundred acts.
const evictBehind = 200

func (h *History) evict(p int) {
	h.act(p, journal.Row{Op: journal.OpEvict, CutoffMS: h.nowMS - evictBehind - int64(h.rng.IntN(evictBehind))})
}

func (h *History) tombstone(p int) {
	payer := h.pick(p)
	key := h.key()
	h.act(p, journal.Row{Op: journal.OpCancel, ByKey: true, Account: payer, ID: journal.IDOf(payer, key), Key: key})
}

// alter freezes, thaws, closes or opens an account.
func (h *History) alter(p int) {
	account := h.pick(p)
	a, _ := h.Books[p].State.Account(account)
	details, _ := h.Books[p].State.Details(account)
	flags := a.Flags & journal.Issuance
	if h.rng.IntN(2) == 0 {
		flags |= []journal.Flags{journal.FrozenSending, journal.FrozenReceiving, journal.Closed}[h.rng.IntN(3)]
	}
	h.act(p, journal.Row{Op: journal.OpAlter, Account: account, ExpectedStatusSeq: a.StatusSeq, Flags: flags, OverdraftLimit: a.OverdraftLimit, Text: details[7:]})
}

// thaw opens an account in every direction.
func (h *History) thaw(account journal.Handle) {
	b := h.Books[account.Partition(h.Partitions)]
	a, _ := b.State.Account(account)
	details, _ := b.State.Details(account)
	h.act(b.Partition, journal.Row{Op: journal.OpAlter, Account: account, ExpectedStatusSeq: a.StatusSeq, Flags: a.Flags & journal.Issuance, OverdraftLimit: a.OverdraftLimit, Text: details[7:]})
}

// deliver carries some of the durable legs of one channel to q.
func (h *History) deliver(q int) {
	p := h.rng.IntN(h.Partitions)
	durable := h.writers[p].Durable()
	pending := h.legs[p][q]
	n := 0
	for n < len(pending) && pending[n].seq <= durable && n < 20 {
		n++
	}
	from := h.Books[q].State.Delivered(p)
	row := journal.Row{Op: journal.OpDeliver, Source: p, From: from, UpTo: durable}
	if n < len(pending) && pending[n].seq <= durable {
		row.UpTo = pending[n-1].seq
	}
	if row.UpTo < from || (n == 0 && h.rng.IntN(10) != 0) {
		return
	}
	for _, s := range pending[:n] {
		row.AddLeg(s.leg)
	}
	h.act(q, row)
	h.legs[p][q] = pending[n:]
}

// DeliverAll carries everything in flight, so that the wallet is at rest.
func (h *History) DeliverAll() {
	for p := range h.Partitions {
		h.writers[p].Cut()
		for q := range h.Partitions {
			pending := h.legs[p][q]
			for len(pending) > 0 {
				n := min(len(pending), 1000)
				row := journal.Row{Op: journal.OpDeliver, Source: p, From: h.Books[q].State.Delivered(p), UpTo: pending[n-1].seq}
				for _, s := range pending[:n] {
					row.AddLeg(s.leg)
				}
				h.act(q, row)
				pending = pending[n:]
			}
			h.legs[p][q] = nil
		}
	}
	for p := range h.Partitions {
		h.writers[p].Cut()
	}
}

// disturb writes what a reader must drop: a takeover and a zombie's frame, or an append that was repeated.
func (h *History) disturb(p int) {
	w := h.writers[p]
	if h.rng.IntN(2) == 0 {
		if w.Repeat() {
			h.Dropped[journal.DropDuplicate]++
		}
		return
	}
	w.Epoch(h.nowMS, "next")
	if h.rng.IntN(2) == 0 {
		w.Zombie(h.nowMS)
		h.Dropped[journal.DropStaleEpoch]++
	}
}

// Flood sends one payee of partition q more than it may hold, from two other partitions at once (three are needed): both
// pays are accepted while neither has arrived, and the second goes to the suspense account.
func (h *History) Flood(q int) (payee journal.Handle) {
	payee = h.accounts[q][1]
	h.thaw(payee)
	for i := 1; i <= 2; i++ {
		p := (q + i) % h.Partitions
		payer := h.accounts[p][0]
		h.thaw(payer)
		a, _ := h.Books[p].State.Account(payer)
		row := journal.Row{Op: journal.OpPay, Account: payer, To: payee, Amount: min(a.Available+journal.AmountMax, journal.AmountMax*3/5), Asset: 0, Key: h.key(), ToText: []byte(h.Names[payee])}
		row.ID = journal.IDOf(payer, row.Key)
		if o := h.act(p, row); o.Status != journal.Confirmed {
			panic(o.Status)
		}
	}
	return payee
}

// PayToClosed sends an account of partition q, which is opened for that, an amount from elsewhere, and closes it before
// the amount arrives.
func (h *History) PayToClosed(q int) (payee journal.Handle) {
	for i := 0; ; i++ {
		id := fmt.Sprintf("closing-%d-%d", q, i)
		if payee = journal.HandleOf(id); payee.Partition(h.Partitions) == q && h.Names[payee] == "" {
			h.openAccount(id, payee, 0, false)
			break
		}
	}
	p := (q + 1) % h.Partitions
	payer := h.accounts[p][0]
	h.thaw(payer)
	row := journal.Row{Op: journal.OpPay, Account: payer, To: payee, Amount: 1, Key: h.key(), ToText: []byte(h.Names[payee])}
	row.ID = journal.IDOf(payer, row.Key)
	if o := h.act(p, row); o.Status != journal.Confirmed {
		panic(o.Status)
	}
	a, _ := h.Books[q].State.Account(payee)
	details, _ := h.Books[q].State.Details(payee)
	h.act(q, journal.Row{Op: journal.OpAlter, Account: payee, ExpectedStatusSeq: a.StatusSeq, Flags: journal.Closed, Text: details[7:]})
	return payee
}
