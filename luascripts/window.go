package luascripts

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/redis/go-redis/v9"

	"walletd/journal"
	"walletd/journal/planted"
)

// The key window in a shard (decision 11). Key records lie in a hash per time slice, by their own time. A train looks into the
// slices that are live, which is mostly one. Behind them are sealed slices: the filter has the ids of their records, so that
// a train looks into them only for an id that the filter may know. A slice that every partition has evicted is dropped.
//
//	dropped  |  behind: sealed  …  |  closed  |  live, written to
//	         oldest              sealed      floor               now
//
// The keeper closes slices that are past (no train writes into them, whatever the clock does), reads them, puts their ids into
// the filter, seals them, has them evicted, and drops them. Each step may be repeated; a keeper whose shard it is no
// more is refused. What the scripts hold to: a record that is dropped, or not looked for, is known to the filter.

// Window is what a shard has of the key window.
type Window struct {
	SliceMS  int64   // a slice n holds the records from n × SliceMS on
	Floor    int64   // slices below are closed: they get no more records
	Sealed   int64   // slices below are in the filter
	Filtered bool    // the filter has something
	Slices   []int64 // that there are, rising
}

const (
	windowHeadSize = 7 + 7 + 7 + 1
	sliceSize      = 7

	// Where packed records have the times that scripts compare, counted from 1.
	partEvictedAt         = 4 + 7 + 7 + 1
	reservationResolvedAt = journal.ReservationSize - 7 + 1
)

func parseWindow(b []byte) (w Window, err error) {
	if len(b) < windowHeadSize || (len(b)-windowHeadSize)%sliceSize != 0 {
		return w, fmt.Errorf("%w: window of %d bytes", journal.ErrBadRecord, len(b))
	}
	w = Window{SliceMS: int64(u56(b)), Floor: int64(u56(b[7:])), Sealed: int64(u56(b[14:])), Filtered: b[21] == 1}
	if w.SliceMS == 0 {
		return w, fmt.Errorf("%w: window of no time", journal.ErrBadRecord)
	}
	for b = b[windowHeadSize:]; len(b) > 0; b = b[sliceSize:] {
		w.Slices = append(w.Slices, int64(u56(b)))
	}
	return w, nil
}

// Window reads the shard's window. A shard has one since its first Load.
func (s *Shard) Window(ctx context.Context) (w Window, err error) {
	b, err := s.client.HGet(ctx, partsKey, windowField).Bytes()
	if err == nil {
		w, err = parseWindow(b)
	}
	return w, s.fault("read the window of", err)
}

// CloseSlices lets no train write into the slices that are past by the shard's clock. keeper, here
// and below: the epoch in which the caller admitted trains. ErrOvertaken: somebody else has done so; nothing has changed.
func (s *Shard) CloseSlices(ctx context.Context, keeper uint32) error {
	answer, err := s.client.Eval(ctx, closeSlicesScript.text, []string{partsKey}, epochWord(keeper)).Int()
	return s.fault("close slices of", overtaken(answer, err))
}

// ReadSlice answers some of the ids in a slice, and from where to go on: 0 when that was all. A slice that is closed is read as
// a whole, whatever happens meanwhile.
func (s *Shard) ReadSlice(ctx context.Context, slice int64, cursor uint64) (ids []journal.ID, next uint64, err error) {
	words, next, err := s.client.HScan(ctx, keysKey(slice), cursor, "", scanCount).Result()
	if err != nil {
		return nil, 0, s.fault("read a slice of", err)
	}
	for i := 0; i < len(words); i += 2 {
		if len(words[i]) != len(journal.ID{}) {
			return nil, 0, s.fault("read a slice of", badField([]byte(words[i])))
		}
		ids = append(ids, journal.ID([]byte(words[i])))
	}
	return ids, next, nil
}

// FilterPlace names a block of the shard's filter.
type FilterPlace struct{ Partition, Block int }

func (p FilterPlace) field() string {
	return string(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(p.Partition)), uint16(p.Block)))
}

// FilterBlocksMax bounds an AddToFilter: about a millisecond of the shard.
const FilterBlocksMax = 100

// AddToFilter adds to the filter what is in these blocks, at most FilterBlocksMax.
func (s *Shard) AddToFilter(ctx context.Context, keeper uint32, blocks map[FilterPlace]*journal.FilterBlock) error {
	if len(blocks) == 0 || planted.Is(planted.EvictUnfiltered) {
		return nil
	}
	args := []any{epochWord(keeper)}
	for at, b := range blocks {
		args = append(args, at.field(), b[:])
	}
	answer, err := s.scriptOn(ctx, filterScript, []string{partsKey, filterKey}, args...)
	return s.fault("add to the filter of", overtaken(answer, err))
}

// Seal says that the filter has the ids of all slices below that one, which are closed.
func (s *Shard) Seal(ctx context.Context, keeper uint32, below int64) error {
	answer, err := s.scriptOn(ctx, sealScript, []string{partsKey}, epochWord(keeper), appendU56(nil, uint64(below)))
	return s.fault("seal slices of", overtaken(answer, err))
}

// DropSlice drops a slice, and answers how many key records it had. Its caller knows that the evictions behind it are durable for every partition of the shard.
// ErrOvertaken: somebody else owns or loads the shard, or a partition may still need the slice.
func (s *Shard) DropSlice(ctx context.Context, keeper uint32, slice int64) (records int64, err error) {
	n, err := s.scriptOn(ctx, dropSliceScript, []string{partsKey}, epochWord(keeper), appendU56(nil, uint64(slice)))
	if err == nil && n < 0 {
		err = ErrOvertaken
	}
	return int64(max(n, 0)), s.fault("drop a slice of", err)
}

// Sweep removes some of the reservations that their partitions have evicted, which is durable, and answers how many, and from
// where to go on: 0 when all have been looked at. partitions is the number of the whole wallet's.
func (s *Shard) Sweep(ctx context.Context, keeper uint32, partitions int, cursor uint64, evictedMS func(partition int) int64) (removed int, next uint64, err error) {
	words, next, err := s.client.HScan(ctx, reservationsKey, cursor, "", scanCount).Result()
	if err != nil {
		return 0, 0, s.fault("sweep", err)
	}
	args := []any{epochWord(keeper)}
	for i := 0; i+1 < len(words); i += 2 {
		r, err := journal.ParseReservation([]byte(words[i+1]))
		if err != nil || len(words[i]) != len(journal.ID{}) {
			return 0, 0, s.fault("sweep", fmt.Errorf("reservation %x: %w", words[i], badField([]byte(words[i]))))
		}
		if p := journal.ID([]byte(words[i])).Partition(partitions); r.Status != journal.Tried && r.ResolvedMS < evictedMS(p) {
			args = append(args, partitionField(p)+words[i])
		}
	}
	if len(args) == 1 {
		return 0, next, nil
	}
	removed, err = s.scriptOn(ctx, sweepScript, []string{partsKey, reservationsKey}, args...)
	if removed < 0 {
		err = ErrOvertaken
	}
	return max(removed, 0), next, s.fault("sweep", err)
}

// scriptOn runs a keeper's script, which may be repeated, and answers its number.
func (s *Shard) scriptOn(ctx context.Context, sc script, keys []string, args ...any) (int, error) {
	return s.client.Eval(ctx, sc.text, keys, args...).Int()
}

// Held counts what the shard remembers.
type Held struct {
	Slices       int
	Keys         int64
	Reservations int64
	FilterBlocks int64
	FilterFill   float64 // part of the bits that are set, of the filter of so many partitions, 0 … 1; from a sample
}

// filterSample is how many blocks are looked at for the filter's fill.
const filterSample = 64

// Held asks how much the shard remembers.
func (s *Shard) Held(ctx context.Context, partitions int) (h Held, err error) {
	w, err := s.Window(ctx)
	if err != nil {
		return h, err
	}
	p := s.client.Pipeline()
	for _, slice := range w.Slices {
		p.HLen(ctx, keysKey(slice))
	}
	reservations, blocks, sample := p.HLen(ctx, reservationsKey), p.HLen(ctx, filterKey), p.HRandFieldWithValues(ctx, filterKey, filterSample)
	cmds, err := p.Exec(ctx)
	if err != nil {
		return h, s.fault("count the records of", err)
	}
	for _, c := range cmds[:len(w.Slices)] {
		h.Keys += c.(*redis.IntCmd).Val()
	}
	h.Slices, h.Reservations, h.FilterBlocks = len(w.Slices), reservations.Val(), blocks.Val()
	ones := 0
	for _, kv := range sample.Val() {
		if len(kv.Value) == journal.FilterBlockSize {
			b := journal.FilterBlock([]byte(kv.Value))
			ones += b.Ones()
		}
	}
	if n := len(sample.Val()); n > 0 && partitions > 0 {
		h.FilterFill = float64(ones) / float64(n*8*journal.FilterBlockSize) * float64(h.FilterBlocks) / float64(partitions*journal.FilterBlocks)
	}
	return h, nil
}
