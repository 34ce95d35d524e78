package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"walletd/journal"
	"walletd/luascripts"
)

// The key window (decision 11): a shard remembers keys for so long and no longer. What the keeper does about it can be done
// again after a crash at any line, because each step looks at the shard, or at what is durable, and repeats do nothing:
//
//	close slices that are past ──> read them, ids into the filter ──> seal ──> evict (a row, journaled) ──> drop, sweep
//
// It is on nobody's way: when it stands still, the shard remembers longer.

// WindowStats are what a shard remembers.
type WindowStats struct {
	Slices       int     // hashes of key records
	Keys         int64   // records in them
	Reservations int64   // open, and resolved within the window
	FilterFill   float64 // part of the filter's bits that are set, 0 … 1
	EvictedMS    int64   // the cut-off that all partitions have durably passed; 0: none
	Dropped      uint64  // key records that went, in this reign
	Swept        uint64  // reservations
}

// keepWindow tends the window until ctx ends.
func (r *reign) keepWindow(ctx context.Context) error {
	if r.cfg.KeyWindow < 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	t := tending{reign: r}
	failing := false
	for {
		next, err := t.tend(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, luascripts.ErrOvertaken): // a load, a move or a successor: the watch knows what it means
			r.cfg.Log.Debug("key window not tended", "error", err)
		case err != nil && !failing:
			r.cfg.Log.Warn("key window not tended: the shard remembers longer", "error", err)
		}
		failing = err != nil
		pause(ctx, next)
	}
}

// Between two looks at the window.
const (
	tendMin = 50 * time.Millisecond
	tendMax = 30 * time.Second
)

// tending is owned by its goroutine.
type tending struct {
	*reign
	window luascripts.Window
	nowMS  int64
	swept  map[int]int64 // the cut-offs up to which resolved reservations are gone
}

// tend does what there is to do, and says when to look again.
func (t *tending) tend(ctx context.Context) (next time.Duration, err error) {
	if err := t.look(ctx); err != nil {
		return tendMax / 30, err
	}
	next = min(max(time.Duration(t.window.SliceMS)*time.Millisecond/8, tendMin), tendMax)
	if err := t.seal(ctx); err != nil {
		return next, err
	}
	t.evict()
	durable := t.courier.evictions.passed()
	if err := t.drop(ctx, durable); err != nil {
		return next, err
	}
	if err := t.sweep(ctx, durable); err != nil {
		return next, err
	}
	return next, t.report(ctx, durable)
}

func (t *tending) look(ctx context.Context) (err error) {
	if t.window, err = t.shard.Window(ctx); err != nil {
		return err
	}
	now, err := t.shard.Time(ctx)
	t.nowMS = now.UnixMilli()
	return err
}

// seal puts the ids of slices that are past into the filter. They are closed before they are read.
func (t *tending) seal(ctx context.Context) error {
	past := t.nowMS / t.window.SliceMS
	if past <= t.window.Sealed {
		return nil
	}
	if err := t.shard.CloseSlices(ctx, t.epoch); err != nil {
		return err
	}
	if err := t.look(ctx); err != nil {
		return err
	}
	f := filtering{tending: t, blocks: map[luascripts.FilterPlace]*journal.FilterBlock{}}
	for _, slice := range t.window.Slices {
		if slice < t.window.Sealed || slice >= t.window.Floor {
			continue
		}
		if err := f.read(ctx, slice); err != nil {
			return fmt.Errorf("seal slice %d: %w", slice, err)
		}
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	if err := t.shard.Seal(ctx, t.epoch, t.window.Floor); err != nil {
		return err
	}
	t.window.Sealed = t.window.Floor
	return nil
}

// filtering collects ids into blocks of the filter.
type filtering struct {
	*tending
	blocks map[luascripts.FilterPlace]*journal.FilterBlock
}

// blocksMax bounds the blocks in memory: 8 MiB and the map.
const blocksMax = 1 << 16

func (f *filtering) read(ctx context.Context, slice int64) error {
	for cursor := uint64(0); ; {
		began := time.Now()
		ids, next, err := f.shard.ReadSlice(ctx, slice, cursor)
		if err != nil {
			return err
		}
		for _, id := range ids {
			at := luascripts.FilterPlace{Partition: id.Partition(f.cfg.Partitions), Block: journal.FilterBlockOf(id)}
			if f.blocks[at] == nil {
				f.blocks[at] = new(journal.FilterBlock)
			}
			f.blocks[at].Add(id)
		}
		if len(f.blocks) >= blocksMax {
			if err := f.flush(ctx); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return ctx.Err()
		}
		pause(ctx, min(time.Since(began), restForTrains)) // trains come first
	}
}

// restForTrains bounds the pause after a call that keeps a shard busy.
const restForTrains = 5 * time.Millisecond

// flush adds what was collected to the shard's filter.
func (f *filtering) flush(ctx context.Context) error {
	some := make(map[luascripts.FilterPlace]*journal.FilterBlock, luascripts.FilterBlocksMax)
	send := func() error {
		began := time.Now()
		err := f.shard.AddToFilter(ctx, f.epoch, some)
		clear(some)
		pause(ctx, min(time.Since(began), restForTrains))
		return err
	}
	places := slices.SortedFunc(maps.Keys(f.blocks), func(a, b luascripts.FilterPlace) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Block, b.Block))
	})
	for _, at := range places {
		if some[at] = f.blocks[at]; len(some) == luascripts.FilterBlocksMax {
			if err := send(); err != nil {
				return err
			}
		}
	}
	clear(f.blocks)
	return send()
}

// evict has every partition forget what is older than the window, where a slice would be free then.
func (t *tending) evict() {
	slice := min((t.nowMS-t.cfg.KeyWindow.Milliseconds())/t.window.SliceMS, t.window.Sealed)
	if len(t.window.Slices) > 0 && t.window.Slices[0] < slice {
		t.courier.evictions.want(slice * t.window.SliceMS)
	}
}

// drop drops the slices that all partitions have durably evicted.
func (t *tending) drop(ctx context.Context, durable map[int]int64) error {
	upTo := least(durable)
	for _, slice := range t.window.Slices {
		if slice >= t.window.Sealed || (slice+1)*t.window.SliceMS > upTo {
			continue
		}
		n, err := t.shard.DropSlice(ctx, t.epoch, slice)
		if errors.Is(err, luascripts.ErrOvertaken) { // a partition is being loaded, or stands aside with older keys: later
			t.cfg.Log.Debug("slice not dropped", "slice", slice, "error", err)
			return nil
		}
		if err != nil {
			return err
		}
		t.count(func(s *Stats) { s.Window.Dropped += uint64(n) })
	}
	return nil
}

// sweep removes the resolved reservations that their partitions have durably evicted.
func (t *tending) sweep(ctx context.Context, durable map[int]int64) error {
	news := false
	for p, ms := range durable {
		news = news || ms > t.swept[p]
	}
	if !news {
		return nil
	}
	for cursor := uint64(0); ; {
		began := time.Now()
		n, next, err := t.shard.Sweep(ctx, t.epoch, t.cfg.Partitions, cursor, func(p int) int64 { return durable[p] })
		if err != nil {
			return err
		}
		t.count(func(s *Stats) { s.Window.Swept += uint64(n) })
		if cursor = next; cursor == 0 {
			t.swept = durable
			return nil
		}
		pause(ctx, min(time.Since(began), restForTrains))
	}
}

func (t *tending) report(ctx context.Context, durable map[int]int64) error {
	held, err := t.shard.Held(ctx, len(durable))
	if err != nil {
		return err
	}
	t.count(func(s *Stats) {
		s.Window.Slices, s.Window.Keys, s.Window.Reservations = held.Slices, held.Keys, held.Reservations
		s.Window.FilterFill, s.Window.EvictedMS = held.FilterFill, least(durable)
	})
	return nil
}

func least(by map[int]int64) int64 {
	some, low := false, int64(0)
	for _, ms := range by {
		if !some || ms < low {
			some, low = true, ms
		}
	}
	return low
}
