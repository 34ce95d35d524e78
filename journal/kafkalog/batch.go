package kafkalog

import (
	"encoding/binary"
	"hash/crc32"

	"walletd/journal"
)

// A record batch (message format 2), big-endian:
//
//	base_offset i64, length i32 (of all behind it), leader_epoch i32, magic i8 = 2, crc u32 (CRC-32C of all behind it),
//	attributes i16, last_offset_delta i32, base_timestamp i64, max_timestamp i64, producer_id i64, producer_epoch i16,
//	base_sequence i32, count i32, records
//
// A record: length varint, attributes i8, timestamp_delta varint, offset_delta varint, key length varint and key, value
// length varint and value, count of headers varint, headers. Ours has no key and no headers, and is alone in its batch.
const (
	batchHeadSize = 61
	batchCRCAt    = 17
	batchAttrAt   = 21
	batchCountAt  = 57
	batchMagic    = 2

	attrCompression   = 0x07
	attrTransactional = 0x10
	attrControl       = 0x20

	// batchOverhead is the most that a batch adds to its one frame, bytes.
	batchOverhead = batchHeadSize + 5 + 1 + 1 + 1 + 1 + 5 + 1
)

// messageBytesMin is what the topic must let through in one batch, bytes.
const messageBytesMin = journal.FrameBytesMax + batchOverhead

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendBatch packs a frame as a batch onto dst.
func appendBatch(dst []byte, timeMS int64, frame []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, 0)              // base offset: the broker's to set
	dst = binary.BigEndian.AppendUint32(dst, 0)              // length
	dst = binary.BigEndian.AppendUint32(dst, 1<<32-1)        // leader epoch: none
	dst = append(dst, batchMagic, 0, 0, 0, 0, 0, 0)          // magic, crc, attributes
	dst = binary.BigEndian.AppendUint32(dst, 0)              // last offset delta
	dst = binary.BigEndian.AppendUint64(dst, uint64(timeMS)) // base timestamp
	dst = binary.BigEndian.AppendUint64(dst, uint64(timeMS)) // max timestamp
	dst = binary.BigEndian.AppendUint64(dst, 1<<64-1)        // producer id: none
	dst = binary.BigEndian.AppendUint16(dst, 1<<16-1)        // producer epoch
	dst = binary.BigEndian.AppendUint32(dst, 1<<32-1)        // base sequence
	dst = binary.BigEndian.AppendUint32(dst, 1)              // count

	var value [binary.MaxVarintLen64]byte
	valueHead := binary.PutVarint(value[:], int64(len(frame)))
	dst = binary.AppendVarint(dst, int64(1+1+1+1+valueHead+len(frame)+1))
	dst = append(dst, 0, 0, 0, 1) // attributes, timestamp delta, offset delta, key length -1
	dst = append(append(dst, value[:valueHead]...), frame...)
	dst = append(dst, 0) // no headers

	b := dst[at:]
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttrAt:], castagnoli))
	return dst
}

// eachRecord calls fn for every record of the batches in b from offset from on, up to (not including) limit, and answers
// the offset behind the last one. b may end within a batch. An error of fn is answered as it is; everything that is not
// a dense run of sound batches as keepers write them is a journal.ErrDamaged.
func eachRecord(b []byte, partition int, from, limit int64, fn func(offset int64, value []byte) error) (next int64, err error) {
	for next = from; len(b) >= batchHeadSize && next < limit; {
		base := int64(binary.BigEndian.Uint64(b))
		size := int64(binary.BigEndian.Uint32(b[8:])) + 12
		if size < batchHeadSize || base < 0 {
			return next, damaged(partition, next, "a batch of %d bytes at offset %d", size, base)
		}
		if size > int64(len(b)) {
			return next, nil // cut short by the bound of the fetch
		}
		batch := b[:size:size]
		b = b[size:]
		if next, err = inBatch(batch, partition, base, next, limit, fn); err != nil {
			return next, err
		}
	}
	return next, nil
}

// inBatch is eachRecord for one whole batch.
func inBatch(b []byte, partition int, base, next, limit int64, fn func(int64, []byte) error) (int64, error) {
	if b[16] != batchMagic {
		return next, damaged(partition, base, "message format %d, no keeper writes that", b[16])
	}
	if want, have := binary.BigEndian.Uint32(b[batchCRCAt:]), crc32.Checksum(b[batchAttrAt:], castagnoli); want != have {
		return next, damaged(partition, base, "the batch's CRC is %08x, its content's %08x", want, have)
	}
	if attr := binary.BigEndian.Uint16(b[batchAttrAt:]); attr&(attrCompression|attrTransactional|attrControl) != 0 {
		return next, damaged(partition, base, "a batch with attributes %#x, no keeper writes that", attr)
	}
	r := reader{b: b[batchHeadSize:]}
	for range int32(binary.BigEndian.Uint32(b[batchCountAt:])) {
		delta, value := readRecord(&r)
		if r.bad {
			return next, damaged(partition, next, "a record of the batch at offset %d cannot be read", base)
		}
		switch offset := base + delta; {
		case offset < next: // the batch began before what was asked for
		case next >= limit:
			return next, nil
		case offset > next:
			return next, damaged(partition, next, "the record is missing; offset %d follows", offset)
		default:
			if err := fn(offset, value); err != nil {
				return next, err
			}
			next++
		}
	}
	return next, nil
}

// readRecord reads a record's offset delta and value.
func readRecord(r *reader) (delta int64, value []byte) {
	body := reader{b: r.take(int(r.varint()))}
	body.take(1)
	body.varint() // timestamp delta
	delta = body.varint()
	if n := body.varint(); n > 0 {
		body.take(int(n)) // key
	}
	if n := body.varint(); n >= 0 {
		value = body.take(int(n))
	}
	r.bad = r.bad || body.bad
	return delta, value
}
