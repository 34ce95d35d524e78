package journal

func (b *Book) decideDeliver(r *Row) Outcome {
	if d := b.State.Delivered(r.Source); d != r.From {
		return Outcome{Status: DeliveryGap, Delivered: d}
	}
	if r.UpTo < r.From {
		return refused(Malformed)
	}
	credited := make(map[Handle]Account, r.LegCount)
	for i := range r.LegCount {
		l := r.Leg(i)
		to, a := b.creditTo(l, func(h Handle) (Account, bool) {
			if a, ok := credited[h]; ok {
				return a, true
			}
			return b.State.Account(h)
		})
		if l.Amount > a.room() {
			return refused(SuspenseFull)
		}
		a.Available += l.Amount
		credited[to] = a
	}
	return accepted(Delivered)
}

// creditTo is the account that a leg credits: its payee, or the partition's suspense account when the payee has no room.
func (b *Book) creditTo(l Leg, account func(Handle) (Account, bool)) (Handle, Account) {
	if a, ok := account(l.Payee); ok && l.Amount <= a.room() {
		return l.Payee, a
	}
	h := SuspenseHandle(b.Partition, l.Asset)
	a, ok := account(h)
	if !ok {
		a = Account{Asset: l.Asset}
	}
	return h, a
}
