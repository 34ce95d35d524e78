package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"walletd/journal"
)

// Version is the version of the file's layout, which docs/snapshots.md describes byte by byte.
const Version = 1

const magic = "wsnap\r\n\x1a" // what a transfer as text would spoil is at the beginning

// ErrDamaged says that a file is not what was written. It names the file and the place; nothing of such a file is used.
var ErrDamaged = errors.New("snapshot damaged")

// Header says what a file is of: a partition of a wallet, at a cut of its log.
type Header struct {
	Wallet     string // at most 255 bytes
	Partitions int    // of the whole wallet
	Cursor     journal.Cursor
	Last       journal.Hash // SHA-256 of the record before Cursor.Offset: this log, and no other
	Genesis    journal.Hash // SHA-256 of the log's first record
	BookEpoch  uint32       // of the last event; Cursor.Epoch may have started since
	TimeMS     int64        // of the last event
	EvictedMS  int64        // keys before it have left the window; 0: none has
	CreatedMS  int64
}

// Position is the last event that the file holds.
func (h *Header) Position() journal.Position {
	return journal.Position{Partition: h.Cursor.Partition, Epoch: h.BookEpoch, Seq: h.Cursor.Seq}
}

const headerFixed = len(magic) + 2 + 2 + 2 + 2 + 8 + 4 + 8 + 3*32 + 4 + 3*8 + 1

func (h *Header) append(dst []byte) []byte {
	start, be := len(dst), binary.BigEndian
	dst = be.AppendUint16(append(dst, magic...), Version)
	dst = be.AppendUint16(dst, uint16(headerFixed+len(h.Wallet)+4))
	dst = be.AppendUint16(be.AppendUint16(dst, uint16(h.Partitions)), uint16(h.Cursor.Partition))
	dst = be.AppendUint64(be.AppendUint32(be.AppendUint64(dst, uint64(h.Cursor.Offset)), h.Cursor.Epoch), h.Cursor.Seq)
	dst = append(append(append(dst, h.Cursor.Chain[:]...), h.Last[:]...), h.Genesis[:]...)
	dst = be.AppendUint64(be.AppendUint32(dst, h.BookEpoch), uint64(h.TimeMS))
	dst = be.AppendUint64(be.AppendUint64(dst, uint64(h.EvictedMS)), uint64(h.CreatedMS))
	dst = append(append(dst, byte(len(h.Wallet))), h.Wallet...)
	return be.AppendUint32(dst, checksum(dst[start:]))
}

// headerSize reads the length of the header from its first bytes.
func headerSize(b []byte) (int, error) {
	if string(b[:len(magic)]) != magic {
		return 0, errors.New("it does not begin like a snapshot")
	}
	if v := binary.BigEndian.Uint16(b[len(magic):]); v != Version {
		return 0, fmt.Errorf("version %d of the layout, this build reads %d", v, Version)
	}
	n := int(binary.BigEndian.Uint16(b[len(magic)+2:]))
	if n < headerFixed+4 || n > headerFixed+255+4 {
		return 0, fmt.Errorf("a header of %d bytes", n)
	}
	return n, nil
}

func parseHeader(b []byte) (h Header, err error) {
	be, body := binary.BigEndian, b[:len(b)-4]
	if be.Uint32(b[len(body):]) != checksum(body) {
		return h, errors.New("the header's checksum is another")
	}
	f := body[len(magic)+4:]
	h.Partitions, h.Cursor.Partition = int(be.Uint16(f)), int(be.Uint16(f[2:]))
	h.Cursor.Offset, h.Cursor.Epoch, h.Cursor.Seq = int64(be.Uint64(f[4:])), be.Uint32(f[12:]), be.Uint64(f[16:])
	h.Cursor.Chain, h.Last, h.Genesis = journal.Hash(f[24:56]), journal.Hash(f[56:88]), journal.Hash(f[88:120])
	h.BookEpoch, h.TimeMS = be.Uint32(f[120:]), int64(be.Uint64(f[124:]))
	h.EvictedMS, h.CreatedMS = int64(be.Uint64(f[132:])), int64(be.Uint64(f[140:]))
	if f = f[148:]; len(f) != 1+int(f[0]) {
		return h, errors.New("the wallet's name is cut short")
	}
	h.Wallet = string(f[1:])
	return h, h.check()
}

func (h *Header) check() error {
	if h.Partitions < 1 || h.Cursor.Partition >= h.Partitions || h.Cursor.Offset < 0 || h.TimeMS < 0 || h.EvictedMS < 0 || h.CreatedMS < 0 {
		return fmt.Errorf("a cut of partition %d of %d at offset %d", h.Cursor.Partition, h.Partitions, h.Cursor.Offset)
	}
	return nil
}

// Section is a kind of records. A file has them in this order, each sorted by what a record begins with.
type Section uint8

// The sections. Values are frozen: they are on disk.
const (
	Accounts     Section = 1 // handle 12, account
	Details      Section = 2 // handle 12, length u32, details
	Keys         Section = 3 // id 16, length u16, key record: those in the window, tombstones among them
	Reservations Section = 4 // id 16, reservation: open ones, and those in the window
	Delivered    Section = 5 // source u16, seq u64
	Filter       Section = 6 // block u16, 128 bytes: of the filter of keys that have left the window; blocks without a bit are not there
	Behind       Section = 7 // destination u16, seq u64: the legs decided behind it are in Legs
	Legs         Section = 8 // seq u64, leg: decided for other partitions, and not known to be credited
	trailerBlock Section = 255
)

const sectionsMax = int(Legs)

var sectionNames = [...]string{"", "accounts", "details", "keys", "reservations", "delivered", "filter", "behind", "legs"}

func (s Section) String() string {
	if int(s) < len(sectionNames) && s > 0 {
		return sectionNames[s]
	}
	if s == trailerBlock {
		return "trailer"
	}
	return fmt.Sprintf("section#%d", uint8(s))
}

// A block's head: section u8, packing u8, records u32, raw u32, stored u32, crc32c u32 (of the 14 bytes before it and the
// stored bytes).
const blockHead = 1 + 1 + 4 + 4 + 4 + 4

// Packings of a block.
const (
	plain  = 0
	packed = 1 // zstd
)

const (
	blockBytes = 256 << 10 // a block is closed when it has so much
	blockMax   = 1 << 20   // no block is larger, raw or stored
)

type block struct {
	section Section
	packing uint8
	records uint32
	raw     uint32
	stored  uint32
	crc     uint32
}

func (b *block) append(dst []byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(append(dst, byte(b.section), b.packing), b.records)
	return be.AppendUint32(be.AppendUint32(be.AppendUint32(dst, b.raw), b.stored), b.crc)
}

func parseBlock(h []byte) (b block, err error) {
	be := binary.BigEndian
	b = block{Section(h[0]), h[1], be.Uint32(h[2:]), be.Uint32(h[6:]), be.Uint32(h[10:]), be.Uint32(h[14:])}
	if b.packing > packed || b.raw > blockMax || b.stored > blockMax || (b.packing == plain && b.raw != b.stored) {
		return b, fmt.Errorf("a block of %d bytes, %d stored, packing %d", b.raw, b.stored, b.packing)
	}
	return b, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(parts ...[]byte) (sum uint32) {
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// Totals are what a file says about itself at its end.
type Totals struct {
	Records [sectionsMax + 1]uint64 // by section
	Sums    map[journal.Asset]int64 // available + reserved of every account
	Digest  journal.Hash            // of the Book (journal.Book.Digest)
	Filter  journal.Hash            // of the filter (journal.Filter.Digest)
}

func (t *Totals) append(dst []byte) []byte {
	be := binary.BigEndian
	for _, n := range t.Records[1:] {
		dst = be.AppendUint64(dst, n)
	}
	dst = be.AppendUint32(dst, uint32(len(t.Sums)))
	for _, asset := range assetsOf(t.Sums) {
		dst = be.AppendUint64(be.AppendUint16(dst, uint16(asset)), uint64(t.Sums[asset]))
	}
	return append(append(dst, t.Digest[:]...), t.Filter[:]...)
}

func parseTotals(b []byte) (t Totals, err error) {
	be := binary.BigEndian
	const fixed, digests = 8*sectionsMax + 4, 2 * sha256.Size
	if len(b) < fixed || uint64(len(b)) != uint64(fixed)+10*uint64(be.Uint32(b[fixed-4:]))+uint64(digests) {
		return t, fmt.Errorf("a trailer of %d bytes", len(b))
	}
	for s := range sectionsMax {
		t.Records[s+1] = be.Uint64(b[8*s:])
	}
	t.Sums = map[journal.Asset]int64{}
	for b = b[fixed:]; len(b) > digests; b = b[10:] {
		t.Sums[journal.Asset(be.Uint16(b))] = int64(be.Uint64(b[2:]))
	}
	t.Digest, t.Filter = journal.Hash(b[:sha256.Size]), journal.Hash(b[sha256.Size:])
	return t, nil
}
