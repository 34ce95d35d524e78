package client

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/google/uuid"

	"walletd/journal"
)

// Transfer asks to move an amount from one account to another.
type Transfer struct {
	Key       string         // idempotency key, 1–255 printable ASCII; empty: the client makes one
	From, To  string         // account ids
	Amount    journal.Amount // minor units, 1 … 2^53−1
	Asset     string         // code: USD
	Reference string         // optional, for people
}

// Reserve asks to take an amount aside (Try).
type Reserve struct {
	Key        string // empty: the client makes one
	From       string
	To         string // may come with the confirm instead
	Amount     journal.Amount
	Asset      string
	ExpiresInS int // seconds, 1 … 2,592,000; 0: the wallet's default of a week
	Reference  string
}

// Confirm captures a reservation.
type Confirm struct {
	Reservation string // rs_…
	Key         string // scoped to the reservation; empty: the client makes one
	Amount      journal.Amount
	To          string // where the reserve did not name it
	KeepOpen    bool   // final=false: what is left stays reserved
}

// NewKey makes an idempotency key: a UUID of version 7, so that keys made later sort later.
func NewKey() string {
	if id, err := uuid.NewV7(); err == nil {
		return id.String()
	}
	return uuid.NewString()
}

// TransferID computes the id of a transfer or reservation as the wallet does, from the paying account and the key.
// Text(journal.TransferPrefix) is what it looks like.
func TransferID(from, key string) journal.ID {
	return journal.IDOf(journal.HandleOf(from), key)
}

// AppendTransfer writes a transfer command for Post. It does not make a key.
func AppendTransfer(dst []byte, t *Transfer) []byte {
	return appendTransfer(append(dst, `"transfer":`...), t)
}

func appendTransfer(dst []byte, t *Transfer) []byte {
	dst = appendText(append(dst, `{"key":`...), t.Key)
	dst = appendText(append(dst, `,"from":`...), t.From)
	dst = appendText(append(dst, `,"to":`...), t.To)
	dst = strconv.AppendInt(append(dst, `,"amount":`...), int64(t.Amount), 10)
	dst = appendText(append(dst, `,"asset":`...), t.Asset)
	if t.Reference != "" {
		dst = appendText(append(dst, `,"reference":`...), t.Reference)
	}
	return append(dst, '}')
}

func appendBatch(dst []byte, items []Transfer, which []int) []byte {
	dst = append(dst, `"batch":{"transfers":[`...)
	for n, i := range which {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendTransfer(dst, &items[i])
	}
	return append(dst, `]}`...)
}

// appendReserve writes the object of a reserve; REST carries the key in a header instead.
func appendReserve(dst []byte, r *Reserve, withKey bool) []byte {
	dst = append(dst, '{')
	if withKey {
		dst = append(appendText(append(dst, `"key":`...), r.Key), ',')
	}
	dst = appendText(append(dst, `"from":`...), r.From)
	if r.To != "" {
		dst = appendText(append(dst, `,"to":`...), r.To)
	}
	dst = strconv.AppendInt(append(dst, `,"amount":`...), int64(r.Amount), 10)
	dst = appendText(append(dst, `,"asset":`...), r.Asset)
	if r.ExpiresInS != 0 {
		dst = strconv.AppendInt(append(dst, `,"expires_in_s":`...), int64(r.ExpiresInS), 10)
	}
	if r.Reference != "" {
		dst = appendText(append(dst, `,"reference":`...), r.Reference)
	}
	return append(dst, '}')
}

// appendConfirm writes the object of a confirm. REST names the reservation in the path and the key in a header.
func appendConfirm(dst []byte, f *Confirm, socket bool) []byte {
	dst = append(dst, '{')
	if socket {
		dst = appendText(append(dst, `"reservation":`...), f.Reservation)
		dst = append(appendText(append(dst, `,"key":`...), f.Key), ',')
	}
	dst = strconv.AppendBool(append(dst, `"final":`...), !f.KeepOpen)
	if f.Amount != 0 {
		dst = strconv.AppendInt(append(dst, `,"amount":`...), int64(f.Amount), 10)
	}
	if f.To != "" {
		dst = appendText(append(dst, `,"to":`...), f.To)
	}
	return append(dst, '}')
}

// appendText writes a JSON string. Ids, keys and assets need no escapes; what does goes the long way.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			text, err := json.Marshal(s)
			if err != nil { // a string always has a JSON form
				panic(err)
			}
			return append(dst, text...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// checkText refuses texts that JSON could not carry unchanged.
func checkText(field, s string) error {
	if utf8.ValidString(s) {
		return nil
	}
	return &RefusedError{Code: "malformed", Field: field, Detail: "not UTF-8"}
}

// prepare makes a key where there is none.
func (t *Transfer) prepare() error {
	if t.Key == "" {
		t.Key = NewKey()
	}
	return firstError(checkText("key", t.Key), checkText("from", t.From), checkText("to", t.To),
		checkText("asset", t.Asset), checkText("reference", t.Reference))
}

func (r *Reserve) prepare() error {
	if r.Key == "" {
		r.Key = NewKey()
	}
	return firstError(checkText("key", r.Key), checkText("from", r.From), checkText("to", r.To),
		checkText("asset", r.Asset), checkText("reference", r.Reference))
}

func (f *Confirm) prepare() error {
	if f.Key == "" {
		f.Key = NewKey()
	}
	return firstError(checkText("reservation", f.Reservation), checkText("key", f.Key), checkText("to", f.To))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
