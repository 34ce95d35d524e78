package wire

import "walletd/journal"

// Bounds of requests (surface, "Shapes").
const (
	BodyMax       = 1 << 20 // bytes of a REST body or a WebSocket message
	BatchMax      = 1000    // transfers in one batch
	AccountMax    = 64      // characters of an account id
	KeyMax        = 255
	ReferenceMax  = 255 // bytes of UTF-8
	OwnerMax      = 255
	ExpiresMax    = 2_592_000 // seconds
	ExpiresNormal = 604_800   // when not said
)

// Transfer asks to move an amount from one account to another.
type Transfer struct {
	Key, From, To []byte
	Amount        journal.Amount
	Asset         journal.Asset
	Reference     []byte
}

// Item is one transfer of a batch, or what is wrong with it.
type Item struct {
	Transfer
	Fault *Fault
}

// Batch is up to BatchMax transfers in one request.
type Batch struct {
	Items  []Item
	Atomic bool // all or none
}

// Reserve asks to take an amount aside (Try).
type Reserve struct {
	Key, From, To []byte // To is empty when it is to be named with the confirm
	Amount        journal.Amount
	Asset         journal.Asset
	ExpiresInS    uint32
	Reference     []byte
}

// Confirm captures a reservation.
type Confirm struct {
	Reservation journal.ID
	Key         []byte
	Amount      journal.Amount // 0: all that remains
	To          []byte         // empty: named with the reservation
	Final       bool           // release the rest
}

// Cancel releases a reservation, named by its id, or by payer and key when the Try has not been answered.
type Cancel struct {
	ByKey       bool
	Reservation journal.ID
	From, Key   []byte
}

// Reverse asks for a compensating transfer.
type Reverse struct {
	Key    []byte
	Amount journal.Amount // 0: all of the rest
}

// Balance asks for an account's balance.
type Balance struct{ Account []byte }

// The header argument below is the value of Idempotency-Key, empty without one: a key may stand in the body, in the
// header or in both, and is then the same.

// ParseTransfer reads the body of POST /v1/transfers.
func ParseTransfer(body []byte, header string, assets journal.Assets) (t Transfer, f *Fault) {
	var s scanner
	f = s.parse(body, func() {
		seen := s.transfer(&t, assets)
		s.withHeader(header, &t.Key, &seen)
		s.need(seen, transferNeeds)
	})
	return t, f
}

// ParseBatch reads the body of POST /v1/transfers/batch. Items carry their own keys and their own faults.
func ParseBatch(body []byte, assets journal.Assets) (b Batch, f *Fault) {
	var s scanner
	f = s.parse(body, func() { s.batch(&b, assets) })
	return b, f
}

// ParseReserve reads the body of POST /v1/reservations.
func ParseReserve(body []byte, header string, assets journal.Assets) (r Reserve, f *Fault) {
	var s scanner
	f = s.parse(body, func() {
		seen := s.reserve(&r, assets)
		s.withHeader(header, &r.Key, &seen)
		s.need(seen, reserveNeeds)
	})
	return r, f
}

// ParseConfirm reads the body of POST /v1/reservations/{id}/confirm; an empty body is {}.
func ParseConfirm(body []byte, header string, reservation journal.ID) (c Confirm, f *Fault) {
	var s scanner
	f = s.parse(orEmpty(body), func() {
		seen, _ := s.confirm(&c, confirmFields)
		s.withHeader(header, &c.Key, &seen)
		s.need(seen, fKey)
	})
	c.Reservation = reservation
	return c, f
}

// ParseCancel reads the body of POST /v1/reservations/{id}/cancel; an empty body is {}.
func ParseCancel(body []byte, reservation journal.ID) (c Cancel, f *Fault) {
	var s scanner
	f = s.parse(orEmpty(body), func() { s.cancel(&c, 0) })
	c.Reservation = reservation
	return c, f
}

// ParseCancelByKey reads the body of POST /v1/reservations/cancel. A header key is not looked at: the key names the
// reservation, and cancelling needs none.
func ParseCancelByKey(body []byte) (c Cancel, f *Fault) {
	var s scanner
	f = s.parse(body, func() {
		seen, _ := s.cancel(&c, fFrom|fKey)
		s.need(seen, fFrom|fKey)
	})
	c.ByKey = true
	return c, f
}

// ParseReverse reads the body of POST /v1/transfers/{id}/reverse; an empty body is {}.
func ParseReverse(body []byte, header string) (r Reverse, f *Fault) {
	var s scanner
	f = s.parse(orEmpty(body), func() {
		var seen fields
		for name, ok := s.firstName(); ok; name, ok = s.nextName() {
			switch s.field(name, fKey|fAmount, &seen) {
			case fKey:
				r.Key = s.key()
			case fAmount:
				r.Amount = s.amount("amount")
			}
		}
		s.withHeader(header, &r.Key, &seen)
		s.need(seen, fKey)
	})
	return r, f
}

// parse reads a whole document with read, which starts behind its opening bracket.
func (s *scanner) parse(document []byte, read func()) *Fault {
	if len(document) > BodyMax {
		return &Fault{"payload_too_large", "", "more than 1 MiB"}
	}
	s.reset(document)
	if s.document() {
		read()
	}
	return s.result()
}

// orEmpty lets a client leave out a body in which everything is optional.
func orEmpty(body []byte) []byte {
	if len(body) == 0 {
		return []byte("{}")
	}
	return body
}
