package rerun

import (
	"slices"

	"walletd/journal"
)

// record plays a wallet's life in which everything that a journal can say is said: each act with each outcome that is recorded, in
// three partitions, then some everyday traffic.
func (r *recorder) record() {
	for p := range recordedPartitions {
		r.nowMS += 7
		r.tries(p)
		r.reservations(p)
		r.channels(p)
		r.takeOver(p)
	}
	r.traffic(500)
	r.days()
	r.deliverAll()
	for p := range recordedPartitions {
		r.cut(p)
	}
}

const big = journal.AmountMax // 2^53-1

// tries are transfers and pays with every outcome.
func (r *recorder) tries(p int) {
	q := (p + 1) % recordedPartitions
	bank := r.open(p, "bank", 0, journal.Issuance, 0)
	payer, shop := r.open(p, "payer", 0, 0, 0), r.open(p, "shop", 0, 0, 0)
	limited := r.open(p, "limited", 0, 0, 500)
	there := r.open(q, "there", 0, 0, 0)
	r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, bank, payer, 1_000_000))
	r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, bank, shop, 100_000))
	r.nowMS++
	r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, payer, shop, 1234))
	r.expect(journal.Confirmed, p, r.try(journal.OpPay, payer, there, 55))
	r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, limited, shop, 500)) // all of the overdraft, to the unit
	r.expect(journal.InsufficientFunds, p, r.try(journal.OpTransfer, limited, shop, 1))
	r.expect(journal.InsufficientFunds, p, r.try(journal.OpPay, payer, there, 2_000_000))
	r.expect(journal.PayeeNotFound, p, r.try(journal.OpTransfer, payer, named(p, "nobody"), 5))
	r.expect(journal.PayeeNotFound, p, r.try(journal.OpPay, payer, named(q, "nobody"), 5))
	r.nowMS += 3

	rich := r.open(p, "rich", 0, 0, 0)
	vault := r.open(p, "vault", 0, journal.Issuance, 0)
	r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, vault, rich, big-10))
	r.expect(journal.BalanceOverflow, p, r.try(journal.OpTransfer, payer, rich, 11))
	r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, payer, rich, 10)) // to the cap, to the unit
	r.expect(journal.BalanceOverflow, q, r.elsewhere(q, bank, rich))
	r.expect(journal.LimitExceeded, p, r.try(journal.OpTransfer, vault, shop, 11))
	r.expect(journal.LimitExceeded, p, r.try(journal.OpPay, vault, there, 11))
	r.cut(p)

	shut, cold, deaf := r.open(p, "shut", 0, 0, 0), r.open(p, "cold", 0, 0, 0), r.open(p, "deaf", 0, 0, 0)
	r.alter(shut, journal.Closed)
	r.alter(cold, journal.FrozenSending)
	r.alter(deaf, journal.FrozenReceiving)
	shutThere, deafThere := r.open(q, "shut-there", 0, 0, 0), r.open(q, "deaf-there", 0, 0, 0)
	r.alter(shutThere, journal.Closed)
	r.alter(deafThere, journal.FrozenReceiving)
	for _, op := range []journal.Op{journal.OpTransfer, journal.OpReserve} {
		r.expect(journal.PayerClosed, p, r.try(op, shut, shop, 1))
		r.expect(journal.PayerFrozen, p, r.try(op, cold, shop, 1))
		r.expect(journal.PayeeClosed, p, r.try(op, payer, shut, 1))
		r.expect(journal.PayeeFrozen, p, r.try(op, payer, deaf, 1))
	}
	for _, op := range []journal.Op{journal.OpPay, journal.OpReserve} {
		r.expect(journal.PayerClosed, p, r.try(op, shut, there, 1))
		r.expect(journal.PayerFrozen, p, r.try(op, cold, there, 1))
		r.expect(journal.PayeeClosed, p, r.try(op, payer, shutThere, 1))
		r.expect(journal.PayeeFrozen, p, r.try(op, payer, deafThere, 1))
	}
	r.alter(deaf, 0)
	r.alter(shut, journal.Closed|journal.FrozenSending)
	r.alter(shut, 0)
	r.cut(p)
}

// elsewhere is a pay from partition q to an account that lives in another one.
func (r *recorder) elsewhere(q int, _, to string) journal.Row {
	from := r.open(q, "from-elsewhere", 0, 0, 1_000_000)
	return r.try(journal.OpPay, from, to, 11)
}

// reservations are reserved, captured, cancelled and expired in every way.
func (r *recorder) reservations(p int) {
	q := (p + 1) % recordedPartitions
	bank, payer, shop, there := named(p, "bank"), named(p, "payer"), named(p, "shop"), named(q, "there")
	r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, bank, payer, 50_000))
	r.expect(journal.PayeeNotFound, p, r.try(journal.OpReserve, payer, named(p, "nobody"), 5))
	r.expect(journal.InsufficientFunds, p, r.try(journal.OpReserve, named(p, "limited"), shop, 1)) // never from the overdraft

	id := r.reserve(payer, "", 300)
	r.expect(journal.ExceedsReservation, p, r.confirm(id, shop, 301, true))
	r.expect(journal.PayeeNotFound, p, r.confirm(id, named(p, "nobody"), 1, true))
	r.expect(journal.PayeeNotFound, p, r.confirm(id, named(q, "nobody"), 1, true))
	r.expect(journal.PayeeFrozen, p, r.confirm(id, named(q, "deaf-there"), 1, true))
	r.expect(journal.PayeeClosed, p, r.confirm(id, named(q, "shut-there"), 1, true))
	r.expect(journal.BalanceOverflow, p, r.confirm(id, named(p, "rich"), 1, true))
	r.expect(journal.Tried, p, r.confirm(id, shop, 100, false))
	r.nowMS += 12
	r.expect(journal.Tried, p, r.confirm(id, there, 50, false))
	r.expect(journal.Confirmed, p, r.confirm(id, there, 0, false)) // all that remains ends it
	r.expect(journal.AlreadyConfirmed, p, r.confirm(id, shop, 1, true))
	id = r.reserve(payer, there, 400)
	r.expect(journal.Confirmed, p, r.confirm(id, there, 1, true)) // the rest goes back

	id = r.reserve(payer, shop, 77)
	r.expect(journal.Cancelled, p, journal.Row{Op: journal.OpCancel, ID: id})
	r.expect(journal.AlreadyCancelled, p, r.confirm(id, shop, 1, true))
	row := r.try(journal.OpReserve, payer, shop, 78)
	r.expect(journal.Tried, p, row)
	r.expect(journal.Cancelled, p, journal.Row{Op: journal.OpCancel, ByKey: true, ID: row.ID, Account: row.Account, Key: row.Key})
	row = r.try(journal.OpReserve, payer, shop, 79)
	r.expect(journal.Tombstone, p, journal.Row{Op: journal.OpCancel, ByKey: true, ID: row.ID, Account: row.Account, Key: row.Key})
	r.expect(journal.CancelledBeforeTry, p, row)                            // not journaled
	r.expect(journal.AlreadyCancelled, p, r.confirm(row.ID, shop, 1, true)) // of a tombstone

	late, kept, swept := r.reserve(payer, shop, 80), r.reserve(payer, shop, 81), r.reserve(payer, "", 82)
	r.nowMS += 600_000 - 1
	r.expect(journal.Tried, p, r.confirm(kept, shop, 1, false)) // one millisecond before its time
	r.nowMS++
	r.expect(journal.ReservationExpired, p, r.confirm(late, shop, 1, true)) // to the millisecond
	r.expect(journal.Expired, p, journal.Row{Op: journal.OpCancel, ID: late})
	r.expect(journal.Expired, p, journal.Row{Op: journal.OpExpire, ID: kept})
	r.expect(journal.ReservationExpired, p, r.confirm(kept, shop, 1, true))
	r.expect(journal.Expired, p, journal.Row{Op: journal.OpExpire, ID: swept})
	r.homes[p].open = append(r.homes[p].open, r.reserve(payer, "", 500))
	r.cut(p)
}

// channels carry credits to payees that are closed meanwhile, and more than a payee may hold.
func (r *recorder) channels(p int) {
	q, s := (p+1)%recordedPartitions, (p+2)%recordedPartitions
	bank, payer := named(p, "bank"), named(p, "payer")
	closing, full := r.open(q, "closing", 0, 0, 0), r.open(q, "full", 0, 0, 0)
	r.expect(journal.Confirmed, p, r.try(journal.OpPay, payer, closing, 9))
	r.alter(closing, journal.Closed)
	other := r.open(s, "other-bank", 0, journal.Issuance, 0)
	r.expect(journal.Confirmed, p, r.try(journal.OpPay, r.open(p, "third-bank", 0, journal.Issuance, 0), full, big/5*3))
	r.expect(journal.Confirmed, s, r.try(journal.OpPay, other, full, big/5*3))
	r.deliver(p, q, 2) // in two deliveries
	r.deliver(p, q, 50)
	r.deliver(s, q, 50) // to the suspense account
	r.deliver(p, s, 50) // moves on without a leg
	euro := r.open(p, "euro", 1, journal.Issuance, 0)
	r.expect(journal.Confirmed, p, r.try(journal.OpPay, euro, r.open(q, "euro-there", 1, 0, 0), 100_000_000_000_001)) // over 10^14
	r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, bank, payer, 200_000_000_000_003))
	r.deliver(p, q, 50)
	r.cut(p)
	r.put(p, r.homes[p].last) // an append that was repeated
}

// traffic is what wallets do all day.
func (r *recorder) traffic(n int) {
	for range n {
		r.nowMS += int64(r.rng.IntN(4)) * int64(r.rng.IntN(40))
		p := r.rng.IntN(recordedPartitions)
		h := r.homes[p]
		from := h.accounts[r.rng.IntN(len(h.accounts))]
		to := r.homes[r.rng.IntN(recordedPartitions)]
		payee := to.accounts[r.rng.IntN(len(to.accounts))]
		if payee == from {
			continue
		}
		amount := 1 + journal.Amount(r.rng.IntN(2000))
		switch r.rng.IntN(10) {
		case 0:
			row := r.try(journal.OpReserve, from, payee, amount)
			if o := r.act(p, row); o.Status == journal.Tried {
				h.open = append(h.open, row.ID)
			}
		case 1:
			if len(h.open) > 0 {
				r.act(p, r.confirm(h.open[r.rng.IntN(len(h.open))], payee, amount/2, r.rng.IntN(2) == 0))
			}
		case 2:
			r.deliver((p+1)%recordedPartitions, p, 1+r.rng.IntN(20))
		default:
			r.act(p, r.try(journal.OpTransfer, from, payee, amount))
		}
		if r.rng.IntN(20) == 0 {
			r.cut(p)
		}
	}
}

// days go by: keys are sealed, evicted and dropped, and a key that is older than the window is sent again, and cleared.
func (r *recorder) days() {
	const hour = 3_600_000
	old := make([]journal.Row, recordedPartitions)
	for p := range recordedPartitions {
		old[p] = r.expect(journal.Confirmed, p, r.try(journal.OpTransfer, named(p, "bank"), named(p, "payer"), 3))
	}
	evictedMS := r.nowMS + 1
	var long [recordedPartitions]journal.ID
	for i := range 4 {
		for p := range recordedPartitions { // the key of a reservation is sealed when that is ended
			if i > 0 {
				r.expect(journal.Cancelled, p, journal.Row{Op: journal.OpCancel, ID: long[p]})
			}
			row := r.try(journal.OpReserve, named(p, "payer"), "", 1)
			row.ExpiresInS = 30 * 24 * 3600
			r.expect(journal.Tried, p, row)
			long[p] = row.ID
		}
		r.nowMS += 3*hour + 1
		r.traffic(20)
		p := i % recordedPartitions
		r.expect(journal.Evicted, p, journal.Row{Op: journal.OpEvict, CutoffMS: evictedMS + int64(i)})
	}
	for p := range recordedPartitions {
		again := old[p]
		r.expect(journal.KeyOld, p, again) // not journaled
		if slices.Contains([]int{0, 1}, p) {
			again.ClearedMS = r.homes[p].book.EvictedMS // a projection that never saw it: the id is executed, as if it were new
			r.expect(journal.Confirmed, p, again)
		}
		r.takeOver(p)
	}
	r.traffic(30)
}
