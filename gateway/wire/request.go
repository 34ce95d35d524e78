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

// The header argument is the value of Idempotency-Key, empty without one: a key may be in the body, the header or both, then equal.

// ParseTransfer reads the body of POST /v1/transfers.
func ParseTransfer(body []byte, header string, assets journal.Assets) (t Transfer, f *Fault) {
	panic("to come")
}

// ParseBatch reads the body of POST /v1/transfers/batch. Items carry their own keys and their own faults.
func ParseBatch(body []byte, assets journal.Assets) (b Batch, f *Fault) { panic("to come") }

// ParseReserve reads the body of POST /v1/reservations.
func ParseReserve(body []byte, header string, assets journal.Assets) (r Reserve, f *Fault) {
	panic("to come")
}

// ParseConfirm reads the body of POST /v1/reservations/{id}/confirm; an empty body is {}.
func ParseConfirm(body []byte, header string, reservation journal.ID) (c Confirm, f *Fault) {
	panic("to come")
}

// ParseCancel reads the body of POST /v1/reservations/{id}/cancel; an empty body is {}.
func ParseCancel(body []byte, reservation journal.ID) (c Cancel, f *Fault) { panic("to come") }

// ParseCancelByKey reads the body of POST /v1/reservations/cancel. A header key is not looked at: the key names the reservation.
func ParseCancelByKey(body []byte) (c Cancel, f *Fault) { panic("to come") }

// ParseReverse reads the body of POST /v1/transfers/{id}/reverse; an empty body is {}.
func ParseReverse(body []byte, header string) (r Reverse, f *Fault) { panic("to come") }

// ValidAccount reports whether id can name an account: 1–64 of A–Z a–z 0–9 . _ -, first a letter or digit.
func ValidAccount[T string | []byte](id T) bool { panic("to come") }

// ValidKey reports whether key is 1–255 printable ASCII characters.
func ValidKey[T string | []byte](key T) bool { panic("to come") }
