package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"

	"github.com/klauspost/compress/zstd"

	"walletd/journal"
)

// Records are the contents of a file, in its order. A Writer takes them, a Reader gives them.
type Records interface {
	Account(journal.Handle, journal.Account)
	Details(journal.Handle, []byte)
	Key(journal.ID, journal.KeyRecord)
	Reservation(journal.ID, journal.Reservation)
	Delivered(source int, seq uint64)
	// Filter takes a block of the filter of evicted ids.
	Filter(n int, b *journal.FilterBlock)
	Behind(dest int, seq uint64)
	Leg(seq uint64, l journal.Leg)
}

// Writer writes a file to a stream. It holds one block in memory, whatever the partition's size.
type Writer struct {
	dst    io.Writer // and whole
	whole  hash.Hash
	digest hash.Hash
	filter hash.Hash
	dump   *journal.Dumper
	pack   *zstd.Encoder // nil: blocks stay plain
	totals Totals
	now    block
	buf    []byte // of the open block
	out    []byte // scratch
	val    []byte // scratch
	size   int64
	err    error
}

var _ Records = (*Writer)(nil)

// NewWriter begins a file. Records are given in the order of Records' methods, each kind sorted; then Close.
func NewWriter(dst io.Writer, h *Header, compress bool) (*Writer, error) {
	w := &Writer{whole: sha256.New(), digest: sha256.New(), filter: sha256.New(), totals: Totals{Sums: map[journal.Asset]int64{}}}
	w.dst = io.MultiWriter(dst, w.whole)
	w.dump = journal.NewDumper(w.digest, h.Cursor.Partition, h.Partitions, h.Cursor.Seq, h.TimeMS, h.EvictedMS)
	if compress {
		var err error
		if w.pack, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(blockMax)); err != nil {
			return nil, fmt.Errorf("write snapshot: %w", err)
		}
	}
	if len(h.Wallet) > 255 {
		return nil, fmt.Errorf("write snapshot: a wallet's name of %d bytes", len(h.Wallet))
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("write snapshot: %w", err)
	}
	w.write(h.append(nil))
	return w, w.err
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	var n int
	n, w.err = w.dst.Write(b)
	w.size += int64(n)
}

// open makes room for a record of a section.
func (w *Writer) open(s Section) {
	if w.now.section != s || len(w.buf) >= blockBytes {
		w.flush()
		w.now.section = s
	}
	w.now.records++
	w.totals.Records[s]++
}

// flush writes the open block.
func (w *Writer) flush() {
	if len(w.buf) == 0 {
		return
	}
	b, stored := w.now, w.buf
	if w.pack != nil {
		w.out = w.pack.EncodeAll(w.buf, w.out[:0])
		if len(w.out) < len(w.buf) {
			b.packing, stored = packed, w.out
		}
	}
	b.raw, b.stored = uint32(len(w.buf)), uint32(len(stored))
	head := b.append(make([]byte, 0, blockHead))
	b.crc = checksum(head[:blockHead-4], stored)
	w.write(b.append(head[:0]))
	w.write(stored)
	w.buf, w.now = w.buf[:0], block{}
}

// Account implements Records, as the methods below do.
func (w *Writer) Account(h journal.Handle, a journal.Account) {
	w.open(Accounts)
	w.buf = a.Append(append(w.buf, h[:]...))
	w.totals.Sums[a.Asset] += int64(a.Available + a.Reserved)
	w.dump.Account(h, a)
}

func (w *Writer) Details(h journal.Handle, d []byte) {
	w.open(Details)
	w.buf = append(binary.BigEndian.AppendUint32(append(w.buf, h[:]...), uint32(len(d))), d...)
	w.dump.Details(h, d)
}

func (w *Writer) Key(id journal.ID, k journal.KeyRecord) {
	w.open(Keys)
	w.val = k.Append(w.val[:0])
	w.buf = append(binary.BigEndian.AppendUint16(append(w.buf, id[:]...), uint16(len(w.val))), w.val...)
	w.dump.Key(id, k)
}

func (w *Writer) Reservation(id journal.ID, r journal.Reservation) {
	w.open(Reservations)
	w.buf = r.Append(append(w.buf, id[:]...))
	w.dump.Reservation(id, r)
}

func (w *Writer) Delivered(source int, seq uint64) {
	w.open(Delivered)
	w.number(source, seq)
	w.dump.Delivered(source, seq)
}

func (w *Writer) number(n int, seq uint64) {
	w.buf = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(w.buf, uint16(n)), seq)
}

func (w *Writer) Filter(n int, b *journal.FilterBlock) {
	if *b == (journal.FilterBlock{}) {
		return
	}
	w.open(Filter)
	start := len(w.buf)
	w.buf = append(binary.BigEndian.AppendUint16(w.buf, uint16(n)), b[:]...)
	_, _ = w.filter.Write(w.buf[start:]) // a hash does not fail
}

func (w *Writer) Behind(dest int, seq uint64) {
	w.open(Behind)
	w.number(dest, seq)
}

func (w *Writer) Leg(seq uint64, l journal.Leg) {
	w.open(Legs)
	w.buf = journal.AppendLeg(binary.BigEndian.AppendUint64(w.buf, seq), l)
}

// Written is what a file came to.
type Written struct {
	Totals
	Size   int64
	SHA256 journal.Hash // of the whole file
}

// Close writes the end of the file.
func (w *Writer) Close() (Written, error) {
	w.flush()
	if w.err == nil {
		w.err = w.dump.Err()
	}
	w.digest.Sum(w.totals.Digest[:0])
	w.filter.Sum(w.totals.Filter[:0])
	w.now, w.buf = block{section: trailerBlock, records: 1}, w.totals.append(w.buf)
	pack := w.pack
	w.pack = nil
	w.flush()
	var sum journal.Hash
	w.whole.Sum(sum[:0])
	w.write(sum[:])
	if pack != nil {
		_ = pack.Close() // it holds no stream
	}
	if w.err != nil {
		return Written{}, fmt.Errorf("write snapshot: %w", w.err)
	}
	file := Written{Totals: w.totals, Size: w.size}
	w.whole.Sum(file.SHA256[:0])
	return file, nil
}

func assetsOf(sums map[journal.Asset]int64) []journal.Asset {
	return slices.Sorted(maps.Keys(sums))
}
