package filelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"walletd/journal"
)

// Layout of a segment, big-endian:
//
//	head     "WALLSEG1", version u16, partitions u16, number u32, capacity u64, previous_end u64, crc u32, zeros to 64
//	record   magic u32, crc u32, length u32, back u32, partition u16, offset u48, then length bytes
//	rest     zeros up to capacity; a clean stop cuts them off
//
// crc is CRC-32C of everything behind it. back is how many bytes before the record its write began: what one write put
// down is durable before the next one starts. previous_end is where the segment before ends.
const (
	segmentMagic    = "WALLSEG1"
	formatVersion   = 1
	segmentHeadSize = 64
	segmentHeadUsed = 36

	recordMagic    = 0xf7a3_1d0e // in no text: every byte is either no UTF-8 or a control character
	recordHeadSize = 4 + 4 + 4 + 4 + 2 + 6
)

// recordBytesMax bounds a record's content.
const recordBytesMax = journal.FrameBytesMax

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentHead describes a segment.
type segmentHead struct {
	partitions  int
	number      uint32
	capacity    int64
	previousEnd int64
}

func (h segmentHead) pack() []byte {
	b := make([]byte, segmentHeadSize)
	copy(b, segmentMagic)
	binary.BigEndian.PutUint16(b[8:], formatVersion)
	binary.BigEndian.PutUint16(b[10:], uint16(h.partitions))
	binary.BigEndian.PutUint32(b[12:], h.number)
	binary.BigEndian.PutUint64(b[16:], uint64(h.capacity))
	binary.BigEndian.PutUint64(b[24:], uint64(h.previousEnd))
	binary.BigEndian.PutUint32(b[32:], crc32.Checksum(b[:32], castagnoli))
	return b
}

func parseSegmentHead(b []byte) (h segmentHead, err error) {
	if len(b) < segmentHeadUsed || string(b[:8]) != segmentMagic {
		return h, errors.New("not the head of a segment")
	}
	if binary.BigEndian.Uint32(b[32:]) != crc32.Checksum(b[:32], castagnoli) {
		return h, errors.New("the segment's head does not match its checksum")
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != formatVersion {
		return h, fmt.Errorf("segment of version %d, this build reads %d", v, formatVersion)
	}
	return segmentHead{
		partitions: int(binary.BigEndian.Uint16(b[10:])), number: binary.BigEndian.Uint32(b[12:]),
		capacity: int64(binary.BigEndian.Uint64(b[16:])), previousEnd: int64(binary.BigEndian.Uint64(b[24:])),
	}, nil
}

// record is one record as it lies in a segment; content shares memory with what it was read into.
type record struct {
	partition int
	offset    int64
	back      uint32
	length    int
	content   []byte
}

// size is the record's length in the segment, bytes.
func (r *record) size() int64 { return recordHeadSize + int64(r.length) }

// appendRecord packs a record onto dst, which begins where its write begins.
func appendRecord(dst []byte, partition int, offset int64, content []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, recordMagic)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(content)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(at))
	dst = binary.BigEndian.AppendUint64(dst, uint64(partition)<<48|uint64(offset))
	dst = append(dst, content...)
	binary.BigEndian.PutUint32(dst[at+4:], crc32.Checksum(dst[at+8:], castagnoli))
	return dst
}

// Why bytes are no record.
var (
	errNothing  = errors.New("no record here")
	errCutShort = errors.New("the record is cut short")
	errChecksum = errors.New("the record does not match its checksum")
)

// parseRecordHead reads a record's head; length is within bounds, nothing else is checked.
func parseRecordHead(b []byte) (r record, err error) {
	if len(b) < recordHeadSize {
		return r, errCutShort
	}
	if binary.BigEndian.Uint32(b) != recordMagic {
		return r, errNothing
	}
	n := binary.BigEndian.Uint32(b[8:])
	if n > recordBytesMax {
		return r, fmt.Errorf("a record of %d bytes, the most is %d", n, recordBytesMax)
	}
	place := binary.BigEndian.Uint64(b[16:])
	return record{
		partition: int(place >> 48), offset: int64(place & (1<<48 - 1)),
		back: binary.BigEndian.Uint32(b[12:]), length: int(n),
	}, nil
}

// parseRecord reads the record at the start of b, whole and sound.
func parseRecord(b []byte) (r record, err error) {
	if r, err = parseRecordHead(b); err != nil {
		return r, err
	}
	if int64(len(b)) < r.size() {
		return r, errCutShort
	}
	b = b[:r.size()]
	if crc32.Checksum(b[8:], castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return r, errChecksum
	}
	r.content = b[recordHeadSize:]
	return r, nil
}

// location is a place in the log: segment number and byte.
type location uint64

func locationOf(segment uint32, pos int64) location {
	return location(uint64(segment)<<32 | uint64(pos))
}

func (l location) segment() uint32 { return uint32(l >> 32) }
func (l location) pos() int64      { return int64(l & (1<<32 - 1)) }

// segmentBytesMax keeps positions within a location's 32 bits, whatever a single write adds.
const segmentBytesMax = 1 << 30

const segmentSuffix = ".seg"

func segmentName(number uint32) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }

// segmentNumber reads a segment's number from its file's name; false for other files.
func segmentNumber(name string) (uint32, bool) {
	text, ok := strings.CutSuffix(name, segmentSuffix)
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), ok && err == nil && name == segmentName(uint32(n))
}
