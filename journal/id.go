package journal

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Handle is an account in rows and in shards: the first 12 bytes of the SHA-256 of its id (design section 5).
type Handle [12]byte

// HandleOf returns the handle of an account id.
func HandleOf[T string | []byte](account T) Handle {
	sum := sha256.Sum256([]byte(account))
	return Handle(sum[:12])
}

// Partition is the account's partition among n: the handle's first four bytes mod n. n is fixed for ever at cluster creation.
func (h Handle) Partition(n int) int {
	if q, _, ok := h.Suspense(); ok {
		return q
	}
	return int(binary.BigEndian.Uint32(h[:4]) % uint32(n))
}

// IsZero reports whether h names nobody (a reservation without a payee).
func (h Handle) IsZero() bool { return h == Handle{} }

const suspensePrefix = "suspense"

// SuspenseHandle is the partition's account of that asset for credits that would pass the cap (design section 6).
// It is not a hash: 8 bytes "suspense", the partition, the asset.
func SuspenseHandle(partition int, asset Asset) (h Handle) {
	copy(h[:], suspensePrefix)
	binary.BigEndian.PutUint16(h[8:], uint16(partition))
	binary.BigEndian.PutUint16(h[10:], uint16(asset))
	return h
}

// Suspense tells whether h is a suspense account, and of which partition and asset.
func (h Handle) Suspense() (partition int, asset Asset, ok bool) {
	if string(h[:8]) != suspensePrefix {
		return 0, 0, false
	}
	return int(binary.BigEndian.Uint16(h[8:])), Asset(binary.BigEndian.Uint16(h[10:])), true
}

// ID names a transfer, a reservation or a confirm: the first four bytes of the payer's handle (so that the id alone
// finds the home partition) and twelve bytes of a SHA-256 over payer and client key (semantics section 2).
type ID [16]byte

// IDOf derives the id of a transfer or reservation from the paying account and the client's key.
func IDOf[T string | []byte](payer Handle, key T) ID {
	var buf [1 + 12 + 255]byte
	buf[0] = 't'
	n := 1 + copy(buf[1:], payer[:])
	n += copy(buf[n:], key)
	return newID(payer[:4], buf[:n])
}

// ConfirmIDOf derives the id of a confirm: its key is scoped to the reservation.
func ConfirmIDOf[T string | []byte](reservation ID, key T) ID {
	var buf [1 + 16 + 255]byte
	buf[0] = 'c'
	n := 1 + copy(buf[1:], reservation[:])
	n += copy(buf[n:], key)
	return newID(reservation[:4], buf[:n])
}

func newID(home, content []byte) (id ID) {
	sum := sha256.Sum256(content)
	copy(id[:4], home)
	copy(id[4:], sum[:12])
	return id
}

// Partition is the id's home partition among n.
func (id ID) Partition(n int) int { return int(binary.BigEndian.Uint32(id[:4]) % uint32(n)) }

const idChars = "0123456789abcdefghjkmnpqrstvwxyz"

var idText = base32.NewEncoding(idChars).WithPadding(base32.NoPadding)

// Prefixes of ids in text.
const (
	TransferPrefix    = "tr_"
	ReservationPrefix = "rs_"
)

// Text returns the id as clients see it: prefix and 26 characters.
func (id ID) Text(prefix string) string { return string(id.AppendText(nil, prefix)) }

// AppendText appends the id's text to dst.
func (id ID) AppendText(dst []byte, prefix string) []byte {
	dst = append(dst, prefix...)
	return idText.AppendEncode(dst, id[:])
}

// ErrBadID says that a text is no id of the expected kind.
var ErrBadID = errors.New("not an id")

// IDChars is the length of an id's text behind its prefix.
const IDChars = 26

// ParseID reads an id from its text.
func ParseID(prefix, text string) (id ID, err error) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || !id.ParseChars([]byte(rest)) {
		return ID{}, ErrBadID
	}
	return id, nil
}

// idValues maps the characters of an id to their five bits; 0xff: none.
var idValues = func() (v [256]byte) {
	for i := range v {
		v[i] = 0xff
	}
	for i, c := range []byte(idChars) {
		v[c] = byte(i)
	}
	return v
}()

// ParseChars reads an id from its text behind the prefix, without an allocation: who makes transfers reads one for each.
func (id *ID) ParseChars(text []byte) bool {
	if len(text) != IDChars {
		return false
	}
	var bits uint64
	var n uint
	at := 0
	for _, c := range text {
		v := idValues[c]
		if v == 0xff {
			return false
		}
		bits = bits<<5 | uint64(v)
		if n += 5; n >= 8 {
			n -= 8
			id[at] = byte(bits >> n)
			at++
		}
	}
	return bits&(1<<n-1) == 0 // else another text would be the same id
}

// Position is a place in a partition's history: (partition, epoch, seq), "3.1.42" in text.
type Position struct {
	Partition int
	Epoch     uint32
	Seq       uint64
}

func (p Position) String() string {
	return string(p.AppendText(make([]byte, 0, 24)))
}

// AppendText appends "partition.epoch.seq".
func (p Position) AppendText(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(p.Partition), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(p.Epoch), 10)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, p.Seq, 10)
}

// ParsePosition reads "partition.epoch.seq".
func ParsePosition(s string) (Position, error) {
	p, rest, ok := ScanPosition([]byte(s))
	if !ok || len(rest) > 0 {
		return Position{}, fmt.Errorf("position %q: want partition.epoch.seq", s)
	}
	return p, nil
}

// ScanPosition reads "partition.epoch.seq" at the beginning of b, without an allocation, and answers what is behind it.
func ScanPosition(b []byte) (p Position, rest []byte, ok bool) {
	var n [3]uint64
	for i, limit := range [...]uint64{1 << 16, 1 << 32, 1 << 56} {
		if i > 0 {
			if len(b) == 0 || b[0] != '.' {
				return p, b, false
			}
			b = b[1:]
		}
		if n[i], b, ok = ScanNumber(b); !ok || n[i] >= limit {
			return p, b, false
		}
	}
	return Position{int(n[0]), uint32(n[1]), n[2]}, b, true
}

// ScanNumber reads a number of at most 17 digits, enough for 2^56, at the beginning of b, and answers what is behind it.
func ScanNumber(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < 17 && b[i] >= '0' && b[i] <= '9' {
		n = n*10 + uint64(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}
