package wire

import (
	"math/bits"
	"strconv"
	"unicode/utf8"

	"walletd/journal"
)

const amountTop = uint64(journal.AmountMax)

// nameShown bounds how much of an unknown name is said back, bytes.
const nameShown = 64

// fields is a set of fields, a bit each: which ones a document has named.
type fields uint32

// The fields of requests. Their order is the one in which missing ones are complained about; the key comes last
// because key_required comes last among the faults of a request (semantics section 1, row 1).
const (
	fID fields = 1 << iota
	fReservation
	fFrom
	fTo
	fAmount
	fAsset
	fReference
	fExpires
	fFinal
	fTransfers
	fAtomic
	fAccount
	fChannel
	fSince
	fVersion
	fToken
	fOwner
	fIssuance
	fLimit
	fMetadata
	fFrozen
	fStatus
	fSending
	fReceiving
	fKey
)

var fieldNames = [...]string{"id", "reservation", "from", "to", "amount", "asset", "reference", "expires_in_s", "final",
	"transfers", "atomic", "account", "channel", "since", "version", "token", "owner", "issuance", "overdraft_limit",
	"metadata", "frozen", "status", "sending", "receiving", "key"}

// name is the name of the set's first field.
func (f fields) name() string { return fieldNames[bits.TrailingZeros32(uint32(f))] }

// fieldOf finds the field of that name, 0 for none. Names are case-sensitive. The transfer's come first: they are hot.
func fieldOf(name []byte) fields {
	switch string(name) {
	case "key":
		return fKey
	case "from":
		return fFrom
	case "to":
		return fTo
	case "amount":
		return fAmount
	case "asset":
		return fAsset
	case "reference":
		return fReference
	}
	for i := range fieldNames {
		if fieldNames[i] == string(name) {
			return 1 << i
		}
	}
	return 0
}

// field finds the field whose value is next. It must be one of known and not in seen; else it is a fault, the value is
// passed over and the answer is 0.
func (s *scanner) field(name []byte, known fields, seen *fields) fields {
	f := fieldOf(name)
	switch {
	case f&known == 0:
		s.fail("unknown_field", shown(name), "no such field here")
	case *seen&f != 0:
		s.fail("duplicate_field", f.name(), "named twice")
	default:
		*seen |= f
		return f
	}
	s.skip()
	return 0
}

// shown is a name from a document as it is said back: bounded.
func shown(name []byte) string {
	if len(name) <= nameShown {
		return string(name)
	}
	n := nameShown
	for !utf8.RuneStart(name[n]) {
		n--
	}
	return string(name[:n]) + "…"
}

// need makes the first field of want that is not in seen a fault.
func (s *scanner) need(seen, want fields) {
	missing := want &^ seen
	switch missing {
	case 0:
	case fKey:
		s.fail("key_required", "key", "")
	default:
		s.fail("malformed", missing.name(), "missing")
	}
}

// text reads a string of min to max bytes.
func (s *scanner) text(field string, min, max int) []byte {
	if s.peek() != '"' {
		s.fail("malformed", field, "must be a string")
		s.skip()
		return nil
	}
	b, ok := s.str()
	switch {
	case !ok:
		return nil
	case len(b) < min:
		s.fail("malformed", field, "is empty")
	case len(b) > max:
		s.fail("malformed", field, "longer than "+strconv.Itoa(max)+" bytes")
	}
	return b
}

// anyLength is a maximum for texts whose own check looks at the length.
const anyLength = BodyMax

const (
	accountRule = "account ids are 1–64 characters of A–Z a–z 0–9 . _ -, first a letter or digit"
	keyRule     = "keys are 1–255 printable ASCII characters"
)

func (s *scanner) account(field string) []byte {
	b := s.text(field, 0, anyLength)
	if b != nil && !ValidAccount(b) {
		s.fail("malformed", field, accountRule)
	}
	return b
}

func (s *scanner) key() []byte {
	b := s.text("key", 0, anyLength)
	if b != nil && !ValidKey(b) {
		s.fail("malformed", "key", keyRule)
	}
	return b
}

// withHeader adds the key that a header may name: the two are one key.
func (s *scanner) withHeader(header string, key *[]byte, seen *fields) {
	switch {
	case header == "":
	case !ValidKey(header):
		s.fail("malformed", "key", keyRule)
	case *seen&fKey == 0:
		*key = []byte(header)
		*seen |= fKey
	case string(*key) != header:
		s.fail("malformed", "key", "the header Idempotency-Key and the field name different keys")
	}
}

func (s *scanner) asset(assets journal.Assets) journal.Asset {
	b := s.text("asset", 0, anyLength)
	if b == nil {
		return 0
	}
	for i := range assets {
		if assets[i].Code == string(b) {
			return journal.Asset(i)
		}
	}
	s.fail("asset_unknown", "asset", "")
	return 0
}

// integer reads a whole number of min (0 or 1) to 2^53−1.
func (s *scanner) integer(field string, min uint64) uint64 {
	if c := s.peek(); c != '-' && !isDigit(c) {
		s.fail("malformed", field, "must be an integer")
		s.skip()
		return 0
	}
	n, ok := s.number()
	switch {
	case !ok:
		return 0
	case !n.whole:
		s.fail("malformed", field, "must be an integer, without fraction and exponent")
		return 0
	case n.negative || n.value < min || n.value > amountTop:
		s.fail("amount_out_of_range", field, "must be "+strconv.FormatUint(min, 10)+" to 9007199254740991")
		return 0
	}
	return n.value
}

func (s *scanner) amount(field string) journal.Amount {
	return journal.Amount(s.integer(field, 1))
}

// boolean reads true or false.
func (s *scanner) boolean(field string) bool {
	switch s.peek() {
	case 't':
		return s.literal("true")
	case 'f':
		s.literal("false")
		return false
	}
	s.fail("malformed", field, "must be true or false")
	s.skip()
	return false
}

var accountChars = func() (t [256]bool) {
	for c := range t {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		t[c] = letter || isDigit(byte(c)) || c == '.' || c == '_' || c == '-'
	}
	return t
}()

// ValidAccount reports whether id can name an account: 1–64 of A–Z a–z 0–9 . _ -, first a letter or digit.
func ValidAccount[T string | []byte](id T) bool {
	if len(id) == 0 || len(id) > AccountMax || id[0] == '.' || id[0] == '_' || id[0] == '-' {
		return false
	}
	for i := 0; i < len(id); i++ {
		if !accountChars[id[i]] {
			return false
		}
	}
	return true
}

// ValidKey reports whether key is 1–255 printable ASCII characters.
func ValidKey[T string | []byte](key T) bool {
	if len(key) == 0 || len(key) > KeyMax {
		return false
	}
	for i := 0; i < len(key); i++ {
		if key[i] < 0x20 || key[i] > 0x7e {
			return false
		}
	}
	return true
}
