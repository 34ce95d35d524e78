package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"walletd/journal"
)

// Reader reads a file from a stream. It holds one block in memory, and believes nothing: sizes are bounded before
// anything is reserved for them.
type Reader struct {
	src    io.Reader
	name   string
	whole  hash.Hash
	filter hash.Hash
	unpack *zstd.Decoder
	header Header
	at     int64 // bytes read
	place  int64 // of the block
	buf    []byte
	raw    []byte
	last   struct {
		section Section
		name    []byte
	}
	totals Totals // as counted
}

// NewReader reads the header. name is for errors, which are ErrDamaged or the stream's own.
func NewReader(src io.Reader, name string) (*Reader, error) {
	r := &Reader{src: src, name: name, whole: sha256.New(), filter: sha256.New(), totals: Totals{Sums: map[journal.Asset]int64{}}}
	var err error
	if r.unpack, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(blockMax), zstd.WithDecoderLowmem(true)); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if err := r.readHeader(); err != nil {
		r.unpack.Close()
		return nil, err
	}
	return r, nil
}

// Header is what the file is of.
func (r *Reader) Header() Header { return r.header }

func (r *Reader) damaged(what string, err error) error {
	return fmt.Errorf("%w: %s at byte %d (%s): %w", ErrDamaged, r.name, r.place, what, err)
}

// fill reads exactly n bytes behind what is in buf.
func (r *Reader) fill(n int, what string) error {
	start := len(r.buf)
	r.buf = append(r.buf, make([]byte, n)...)
	got, err := io.ReadFull(r.src, r.buf[start:])
	r.at += int64(got)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return r.damaged(what, errors.New("it ends here"))
	case err != nil:
		return fmt.Errorf("read snapshot %s at byte %d: %w", r.name, r.at, err)
	}
	return nil
}

func (r *Reader) readHeader() error {
	const what = "header"
	if err := r.fill(len(magic)+4, what); err != nil {
		return err
	}
	n, err := headerSize(r.buf)
	if err != nil {
		return r.damaged(what, err)
	}
	if err := r.fill(n-len(r.buf), what); err != nil {
		return err
	}
	if r.header, err = parseHeader(r.buf); err != nil {
		return r.damaged(what, err)
	}
	_, _ = r.whole.Write(r.buf) // a hash does not fail
	return nil
}

// Each gives every record to into, in order, and answers what the file comes to. Until it has answered without an error,
// nothing that was given may be believed: the checksum of the whole stands at the end. It may be called once. What into
// is given it must copy.
func (r *Reader) Each(into Records) (Written, error) {
	defer r.unpack.Close()
	for {
		end, err := r.block(into)
		if err != nil {
			return Written{}, err
		}
		if end {
			return r.end()
		}
	}
}

// block reads one block. end: it was the trailer.
func (r *Reader) block(into Records) (end bool, err error) {
	r.place, r.buf = r.at, r.buf[:0]
	if err := r.fill(blockHead, "block"); err != nil {
		return false, err
	}
	b, err := parseBlock(r.buf)
	if err != nil {
		return false, r.damaged("block", err)
	}
	what := b.section.String()
	if err := r.fill(int(b.stored), what); err != nil {
		return false, err
	}
	if stored := r.buf[blockHead:]; checksum(r.buf[:blockHead-4], stored) != b.crc {
		return false, r.damaged(what, errors.New("the block's checksum is another"))
	}
	_, _ = r.whole.Write(r.buf)
	raw, err := r.rawOf(&b)
	if err != nil {
		return false, r.damaged(what, err)
	}
	if b.section == trailerBlock {
		return true, r.trailer(&b, raw)
	}
	if err := r.records(&b, raw, into); err != nil {
		return false, r.damaged(what, err)
	}
	return false, nil
}

func (r *Reader) rawOf(b *block) (raw []byte, err error) {
	raw = r.buf[blockHead:]
	if b.packing == packed {
		if r.raw, err = r.unpack.DecodeAll(raw, r.raw[:0]); err != nil {
			return nil, err
		}
		raw = r.raw
	}
	if len(raw) != int(b.raw) {
		return nil, fmt.Errorf("%d bytes unpacked, %d named", len(raw), b.raw)
	}
	return raw, nil
}

// records takes a block apart.
func (r *Reader) records(b *block, raw []byte, into Records) error {
	if b.section < 1 || int(b.section) > sectionsMax || b.section < r.last.section {
		return fmt.Errorf("it follows %v", r.last.section)
	}
	if b.section != r.last.section {
		r.last.section, r.last.name = b.section, r.last.name[:0]
	}
	var n uint32
	for ; len(raw) > 0; n++ {
		size, err := r.record(b.section, raw, into)
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		raw = raw[size:]
	}
	if n != b.records || n == 0 {
		return fmt.Errorf("%d records, %d named", n, b.records)
	}
	r.totals.Records[b.section] += uint64(n)
	return nil
}

// layouts are the sections' records: the name, then so many bytes, or as many as the length behind the name says.
var layouts = [sectionsMax + 1]struct{ name, length, value int }{
	Accounts: {12, 0, journal.AccountSize}, Details: {12, 4, 0}, Keys: {16, 2, 0}, Reservations: {16, 0, journal.ReservationSize},
	Delivered: {2, 0, 8}, Filter: {2, 0, journal.FilterBlockSize}, Behind: {2, 0, 8}, Legs: {8, 0, journal.LegSize},
}

func (r *Reader) record(s Section, b []byte, into Records) (size int, err error) {
	l := layouts[s]
	value := l.value
	if len(b) >= l.name+l.length {
		switch l.length {
		case 2:
			value = int(binary.BigEndian.Uint16(b[l.name:]))
		case 4:
			value = int(binary.BigEndian.Uint32(b[l.name:]))
		}
	}
	if size = l.name + l.length + value; len(b) < size {
		return 0, fmt.Errorf("%d bytes, %d are needed", len(b), size)
	}
	name, v := b[:l.name], b[l.name+l.length:size]
	// Legs of one event have one seq.
	if c := bytes.Compare(r.last.name, name); len(r.last.name) > 0 && (c > 0 || (c == 0 && s != Legs)) {
		return 0, errors.New("it is not sorted")
	}
	r.last.name = append(r.last.name[:0], name...)
	return size, r.give(s, name, v, into)
}

func (r *Reader) give(s Section, name, v []byte, into Records) error {
	be := binary.BigEndian
	switch s {
	case Accounts:
		a, err := journal.ParseAccount(v)
		if err != nil {
			return err
		}
		r.totals.Sums[a.Asset] += int64(a.Available + a.Reserved)
		into.Account(journal.Handle(name), a)
	case Details:
		into.Details(journal.Handle(name), v)
	case Keys:
		k, err := journal.ParseKeyRecord(v)
		if err != nil {
			return err
		}
		into.Key(journal.ID(name), k)
	case Reservations:
		res, err := journal.ParseReservation(v)
		if err != nil {
			return err
		}
		into.Reservation(journal.ID(name), res)
	case Filter:
		b := journal.FilterBlock(v)
		if b == (journal.FilterBlock{}) {
			return errors.New("a block without a bit")
		}
		_, _ = r.filter.Write(name) // a hash does not fail
		_, _ = r.filter.Write(v)
		into.Filter(int(be.Uint16(name)), &b)
	case Legs:
		var row journal.Row
		row.SetLegs(v)
		into.Leg(be.Uint64(name), row.Leg(0))
	default:
		return r.giveNumber(s, int(be.Uint16(name)), be.Uint64(v), into)
	}
	return nil
}

func (r *Reader) giveNumber(s Section, partition int, seq uint64, into Records) error {
	if partition >= r.header.Partitions {
		return fmt.Errorf("partition %d of %d", partition, r.header.Partitions)
	}
	if s == Delivered {
		into.Delivered(partition, seq)
	} else {
		into.Behind(partition, seq)
	}
	return nil
}

// trailer holds what the file says about itself against what was read.
func (r *Reader) trailer(b *block, raw []byte) error {
	const what = "trailer"
	t, err := parseTotals(raw)
	if err != nil {
		return r.damaged(what, err)
	}
	if b.packing != plain || b.records != 1 || !bytes.Equal(t.append(nil), raw) {
		return r.damaged(what, errors.New("not as it is written"))
	}
	r.totals.Digest = t.Digest
	r.filter.Sum(r.totals.Filter[:0])
	if !bytes.Equal(r.totals.append(nil), raw) {
		return r.damaged(what, fmt.Errorf("it names %v records and sums %v, there are %v and %v", t.Records[1:], t.Sums, r.totals.Records[1:], r.totals.Sums))
	}
	return nil
}

// end looks at the checksum of the whole, and that nothing follows.
func (r *Reader) end() (Written, error) {
	r.place, r.buf = r.at, r.buf[:0]
	const what = "checksum of the file"
	var want journal.Hash
	r.whole.Sum(want[:0])
	if err := r.fill(len(want), what); err != nil {
		return Written{}, err
	}
	if !bytes.Equal(r.buf, want[:]) {
		return Written{}, r.damaged(what, errors.New("it is another"))
	}
	_, _ = r.whole.Write(r.buf)
	r.place = r.at
	if n, err := io.ReadFull(r.src, make([]byte, 1)); n > 0 {
		return Written{}, r.damaged("end", errors.New("more follows"))
	} else if !errors.Is(err, io.EOF) {
		return Written{}, fmt.Errorf("read snapshot %s at byte %d: %w", r.name, r.at, err)
	}
	file := Written{Totals: r.totals, Size: r.at}
	r.whole.Sum(file.SHA256[:0])
	return file, nil
}
