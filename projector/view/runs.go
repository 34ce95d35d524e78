package view

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"walletd/journal"
)

// Ids are found through runs: a run is the ids of some commits, sorted by a hash, in buckets of a few hundred, each one
// record of the store. A commit writes one run; fanOut runs of a level become one of the next. So a commit costs a record or
// two however many ids it has, an id is written again once a level, and a look-up reads one bucket of every run.
//
//	directory  next run u32, then runs × (number u32, level u8, bits u8, ids u32), oldest first
//	bucket     ids × (hash u64, seq u40), sorted; of the ids whose hash begins with the bucket's number, in so many bits
type run struct {
	number uint32
	level  uint8
	bits   uint8 // 2^bits buckets
	ids    uint32
}

const (
	runSize    = 4 + 1 + 1 + 4
	fanOut     = 8
	runMax     = 1 << 20 // ids: a larger run is not made; merging one takes tens of milliseconds and as many MB
	bucketIDs  = 512     // of a bucket, about
	bucketItem = 8 + 5
	seqMax     = 1<<40 - 1
)

// idAt is an id by its hash, with the seq of the event that made its key record.
type idAt struct{ hash, seq uint64 }

// HashOf is the id's part that is a hash already: what an id is looked up by.
func HashOf(id journal.ID) uint64 { return binary.BigEndian.Uint64(id[4:]) }

func (a idAt) before(b idAt) bool { return a.hash < b.hash || (a.hash == b.hash && a.seq < b.seq) }

// sortIDs sorts into room, which is as long: hashes are spread evenly, so a pass by their first bits leaves but a few in disorder.
func sortIDs(ids, room []idAt) []idAt {
	shift := 64 - max(bits.Len(uint(len(ids)))-2, 1) // some four of them begin alike
	starts := make([]int32, 1<<(64-shift)+1)
	for _, id := range ids {
		starts[id.hash>>shift+1]++
	}
	for i := range len(starts) - 1 {
		starts[i+1] += starts[i]
	}
	for _, id := range ids {
		at := &starts[id.hash>>shift]
		room[*at] = id
		*at++
	}
	for i := 1; i < len(room); i++ {
		id, j := room[i], i
		for ; j > 0 && id.before(room[j-1]); j-- {
			room[j] = room[j-1]
		}
		room[j] = id
	}
	return room
}

type directory struct {
	next uint32
	runs []run // oldest first
}

func (d *directory) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, d.next)
	for _, r := range d.runs {
		dst = append(binary.BigEndian.AppendUint32(dst, r.number), r.level, r.bits)
		dst = binary.BigEndian.AppendUint32(dst, r.ids)
	}
	return dst
}

func parseDirectory(b []byte) (d directory, err error) {
	if len(b) < 4 || (len(b)-4)%runSize != 0 {
		return d, badRecord("directory of runs", b)
	}
	d.next = binary.BigEndian.Uint32(b)
	for b = b[4:]; len(b) > 0; b = b[runSize:] {
		r := run{binary.BigEndian.Uint32(b), b[4], b[5], binary.BigEndian.Uint32(b[6:])}
		if r.bits > 32 || r.number >= d.next {
			return d, badRecord("run", b)
		}
		d.runs = append(d.runs, r)
	}
	return d, nil
}

func readDirectory(r reader, partition int) (directory, error) {
	d, _, err := get(r, prefix(nil, keyRuns, partition), parseDirectory)
	return d, err
}

func (r *run) bucket(hash uint64) uint32 {
	if r.bits == 0 {
		return 0
	}
	return uint32(hash >> (64 - r.bits))
}

// merging answers how many of the last runs, with so many ids more, become one run, and its level.
func (d *directory) merging(more int) (n int, level uint8) {
	for {
		same := 0
		ids := more
		for i := len(d.runs) - 1 - n; i >= 0 && d.runs[i].level == level && same < fanOut-1; i-- {
			ids += int(d.runs[i].ids)
			same++
		}
		if same < fanOut-1 || ids > runMax {
			return n, level
		}
		n, level, more = n+same, level+1, ids
	}
}

// addIDs puts a commit's ids into the batch, as a run or with the runs that it fills up. It answers the directory as it will
// be.
func (s *state) addIDs(d directory, ids []idAt) directory {
	if len(ids) == 0 {
		return d
	}
	if last := ids[len(ids)-1].seq; last > seqMax {
		s.fail(fmt.Errorf("%w: seq %d, it can name %d", ErrStore, last, uint64(seqMax)))
		return d
	}
	ids = sortIDs(ids, make([]idAt, len(ids)))
	n, level := d.merging(len(ids))
	old := d.runs[len(d.runs)-n:]
	lists := make([][]idAt, 0, n+1)
	for i := range old {
		list, err := readRun(s.db, s.partition, &old[i])
		if err != nil {
			s.fail(err)
			return d
		}
		lists = append(lists, list)
	}
	merged := mergeIDs(append(lists, ids))
	made := run{number: d.next, level: level, ids: uint32(len(merged))}
	for len(merged)>>made.bits > bucketIDs {
		made.bits++
	}
	s.putRun(&made, merged)
	for i := range old {
		s.deleteRun(&old[i])
	}
	return directory{d.next + 1, append(slices.Clone(d.runs[:len(d.runs)-n]), made)}
}

// mergeIDs makes one sorted list of several.
func mergeIDs(lists [][]idAt) []idAt {
	for len(lists) > 1 {
		var half [][]idAt
		for i := 0; i+1 < len(lists); i += 2 {
			half = append(half, mergeTwo(lists[i], lists[i+1]))
		}
		if len(lists)%2 == 1 {
			half = append(half, lists[len(lists)-1])
		}
		lists = half
	}
	return lists[0]
}

func mergeTwo(a, b []idAt) []idAt {
	into := make([]idAt, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if !b[0].before(a[0]) {
			into, a = append(into, a[0]), a[1:]
		} else {
			into, b = append(into, b[0]), b[1:]
		}
	}
	return append(append(into, a...), b...)
}

func (s *state) putRun(r *run, ids []idAt) {
	for len(ids) > 0 {
		bucket, n := r.bucket(ids[0].hash), 1
		for n < len(ids) && r.bucket(ids[n].hash) == bucket {
			n++
		}
		s.key, s.val = runKey(s.key[:0], s.partition, r.number, bucket), s.val[:0]
		for _, id := range ids[:n] {
			s.val = append(binary.BigEndian.AppendUint64(s.val, id.hash), byte(id.seq>>32))
			s.val = binary.BigEndian.AppendUint32(s.val, uint32(id.seq))
		}
		s.put(s.key, s.val)
		ids = ids[n:]
	}
}

func (s *state) deleteRun(r *run) {
	for bucket := range uint32(1) << r.bits {
		s.key = runKey(s.key[:0], s.partition, r.number, bucket)
		s.remove(s.key)
	}
}

func parseID(b []byte) idAt {
	return idAt{binary.BigEndian.Uint64(b), uint64(b[8])<<32 | uint64(binary.BigEndian.Uint32(b[9:]))}
}

// readRun reads a run into memory.
func readRun(r reader, partition int, of *run) (ids []idAt, err error) {
	ids = make([]idAt, 0, of.ids)
	err = scanRange(r, runKey(nil, partition, of.number, 0), runKey(nil, partition, of.number+1, 0), func(key, value []byte) error {
		if len(key) != prefixSize+8 || len(value)%bucketItem != 0 {
			return badRecord("bucket", value)
		}
		for ; len(value) > 0; value = value[bucketItem:] {
			ids = append(ids, parseID(value))
		}
		return nil
	})
	if err == nil && len(ids) != int(of.ids) {
		err = fmt.Errorf("%w: a run of %d ids has %d", ErrStore, of.ids, len(ids))
	}
	return ids, err
}

// find answers the seqs of the events that may have made the id's key record, newest first.
func (d *directory) find(r reader, partition int, id journal.ID) (seqs []uint64, err error) {
	hash := HashOf(id)
	for i := len(d.runs) - 1; i >= 0; i-- {
		of := &d.runs[i]
		_, _, err := get(r, runKey(nil, partition, of.number, of.bucket(hash)), func(b []byte) (struct{}, error) {
			n := len(b) / bucketItem
			if len(b)%bucketItem != 0 {
				return struct{}{}, badRecord("bucket", b)
			}
			lo, hi := 0, n
			for lo < hi {
				if mid := (lo + hi) / 2; binary.BigEndian.Uint64(b[mid*bucketItem:]) < hash {
					lo = mid + 1
				} else {
					hi = mid
				}
			}
			first := len(seqs)
			for ; lo < n && binary.BigEndian.Uint64(b[lo*bucketItem:]) == hash; lo++ {
				seqs = append(seqs, parseID(b[lo*bucketItem:]).seq)
			}
			slices.Reverse(seqs[first:])
			return struct{}{}, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return seqs, nil
}
