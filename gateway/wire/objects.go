package wire

import "walletd/journal"

// The readers of the requests' objects, common to both doors. Each starts behind the opening bracket and ends behind
// the closing one; it returns the fields that the document names, so that the door can say which are missing.

const (
	transferFields = fKey | fFrom | fTo | fAmount | fAsset | fReference
	transferNeeds  = fKey | fFrom | fTo | fAmount | fAsset
	reserveFields  = transferFields | fExpires
	reserveNeeds   = fKey | fFrom | fAmount | fAsset // the payee may come with the confirm
	confirmFields  = fKey | fAmount | fTo | fFinal
)

// transfer reads a transfer.
func (s *scanner) transfer(t *Transfer, assets journal.Assets) (seen fields) {
	*t = Transfer{}
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		s.transferField(s.field(name, transferFields, &seen), t, assets)
	}
	return seen
}

// transferField reads a field that transfer and reserve have in common.
func (s *scanner) transferField(f fields, t *Transfer, assets journal.Assets) {
	switch f {
	case fKey:
		t.Key = s.key()
	case fFrom:
		t.From = s.account("from")
	case fTo:
		t.To = s.account("to")
	case fAmount:
		t.Amount = s.amount("amount")
	case fAsset:
		t.Asset = s.asset(assets)
	case fReference:
		t.Reference = s.text("reference", 0, ReferenceMax)
	}
}

// reserve reads a reserve.
func (s *scanner) reserve(r *Reserve, assets journal.Assets) (seen fields) {
	var t Transfer
	*r = Reserve{ExpiresInS: ExpiresNormal}
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		f := s.field(name, reserveFields, &seen)
		if f == fExpires {
			r.ExpiresInS = s.expires()
			continue
		}
		s.transferField(f, &t, assets)
	}
	r.Key, r.From, r.To, r.Amount, r.Asset, r.Reference = t.Key, t.From, t.To, t.Amount, t.Asset, t.Reference
	return seen
}

func (s *scanner) expires() uint32 {
	n := s.integer("expires_in_s", 1)
	if n > ExpiresMax {
		s.fail("malformed", "expires_in_s", "must be 1 to 2592000 seconds")
		return 0
	}
	return uint32(n)
}

// batch reads a batch.
func (s *scanner) batch(b *Batch, assets journal.Assets) {
	*b = Batch{Items: b.Items[:0]}
	var seen fields
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		switch s.field(name, fTransfers|fAtomic, &seen) {
		case fTransfers:
			s.items(b, assets)
		case fAtomic:
			b.Atomic = s.boolean("atomic")
		}
	}
	s.need(seen, fTransfers)
}

// itemLeast is the length of about the shortest transfer in a batch, bytes.
const itemLeast = 50

// items reads the transfers of a batch. What is wrong with one is its own fault and leaves the others alone.
func (s *scanner) items(b *Batch, assets journal.Assets) {
	if !s.array("transfers") {
		return
	}
	if b.Items == nil {
		b.Items = make([]Item, 0, min(BatchMax, (len(s.b)-s.i)/itemLeast+1))
	}
	outer, tooMany := s.fault, false
	for more := s.firstItem(); more && s.syntax == ""; more = s.nextItem() {
		if tooMany = len(b.Items) == BatchMax; tooMany {
			s.skip()
			continue
		}
		b.Items = append(b.Items, Item{})
		item := &b.Items[len(b.Items)-1]
		s.fault = nil
		if s.object("") {
			s.need(s.transfer(&item.Transfer, assets), transferNeeds)
		}
		item.Fault = s.fault
	}
	s.fault = outer
	if tooMany {
		s.fail("malformed", "transfers", "more than 1000 transfers")
	}
}

// confirm reads a confirm, whose fields are known. unheardOf: the reservation that it names cannot be an id; that is to
// be answered, after every other fault, as a reservation that nobody knows.
func (s *scanner) confirm(c *Confirm, known fields) (seen fields, unheardOf bool) {
	*c = Confirm{Final: true}
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		switch s.field(name, known, &seen) {
		case fKey:
			c.Key = s.key()
		case fAmount:
			c.Amount = s.amount("amount")
		case fTo:
			c.To = s.account("to")
		case fFinal:
			c.Final = s.boolean("final")
		case fReservation:
			c.Reservation, unheardOf = s.reservation()
		}
	}
	return seen, unheardOf
}

// cancel reads a cancel, whose fields are known; unheardOf as in confirm.
func (s *scanner) cancel(c *Cancel, known fields) (seen fields, unheardOf bool) {
	*c = Cancel{}
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		switch s.field(name, known, &seen) {
		case fKey:
			c.Key = s.key()
		case fFrom:
			c.From = s.account("from")
		case fReservation:
			c.Reservation, unheardOf = s.reservation()
		}
	}
	return seen, unheardOf
}

func (s *scanner) reservation() (id journal.ID, unheardOf bool) {
	b := s.text("reservation", 1, anyLength)
	if b == nil {
		return id, false
	}
	id, err := journal.ParseID(journal.ReservationPrefix, string(b))
	return id, err != nil
}
