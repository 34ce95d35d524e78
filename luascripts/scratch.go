package luascripts

import (
	"context"
	"fmt"
	"strings"
	"time"

	"walletd/journal"
)

// Scratch is a Redis that serves nobody: recorded rows run there again through the production acts, at the times at which they ran
// (decision 24). It holds one partition at a time, from its first event on. One goroutine uses it.
//
// The train is the production train but for one expression: where that takes the shard's clock for a section's acts, this
// one takes the time that RunAt names. What stands behind the clock (it never goes back within a partition) stays.
type Scratch struct {
	*Shard
	train     script
	partition int
	times     []byte // of a train's sections, packed

	// How far Tend is.
	trimmed   uint64 // outbox entries
	next      int64  // the first slice that is not sealed yet
	evictedMS int64  // what has been dropped
}

const (
	clockRead     = "math.max(clock,"
	recordedClock = "math.max(read('>I7', ARGV[#ARGV], 7 * s - 6),"

	scratchKeeper = 1           // the epoch in which Tend does a keeper's work
	scratchReads  = time.Minute // nobody else waits, and the machine may be busy
	scratchOutbox = 64          // entries kept at most
)

// OpenScratch opens an empty Redis that is the caller's alone: Begin wipes it. change, if not nil, changes the acts' text: tests
// show with it that a changed act is found.
func OpenScratch(ctx context.Context, c Config, change func(text string) string) (*Scratch, error) {
	if c.ReadTimeout == 0 {
		c.ReadTimeout = scratchReads
	}
	text := plant(onceText)
	if strings.Count(text, clockRead) != 1 {
		return nil, fmt.Errorf("open scratch shard: the train reads its clock at %d places (%q), not at one", strings.Count(text, clockRead), clockRead)
	}
	if text = strings.Replace(text, clockRead, recordedClock, 1); change != nil {
		text = change(text)
	}
	s, err := Open(c)
	if err != nil {
		return nil, err
	}
	x := &Scratch{Shard: s, train: newScript("#!lua\n" + text)}
	if err := s.client.ScriptLoad(ctx, x.train.text).Err(); err != nil {
		_ = s.Close()
		return nil, s.fault("load the train into", err)
	}
	return x, nil
}

// Begin empties the Redis and makes it the shard of that partition, which has no event yet. The partition's epoch is 0: Fence sets it.
func (x *Scratch) Begin(ctx context.Context, partition int) error {
	if err := x.Wipe(ctx, 1<<32-1); err != nil {
		return err
	}
	x.partition, x.trimmed, x.next, x.evictedMS = partition, 0, 0, 0
	const forever = 1<<53 - 1
	window := append(appendU56(nil, uint64(x.keySlice.Milliseconds())), make([]byte, windowHeadSize-7)...)
	return x.fault("begin", x.client.HSet(ctx, partsKey,
		partitionField(partition), journal.NewBook(partition, partition+1).AppendPart(nil),
		windowField, window, keeperField, epochWord(scratchKeeper), leaseField, appendU56(nil, forever)).Err())
}

// RunAt runs a train as Run does, the rows of each of its sections at the time of that index, ms since 1970.
func (x *Scratch) RunAt(ctx context.Context, t *Train, timesMS []int64) (Reply, error) {
	if len(timesMS) != len(t.sections) {
		return Reply{}, fmt.Errorf("run a train of %d sections at %d times", len(t.sections), len(timesMS))
	}
	x.times = x.times[:0]
	for _, ms := range timesMS {
		x.times = appendU56(x.times, uint64(ms))
	}
	t.pack(0)
	if err := x.send(ctx, t, "evalsha", x.train.sha, x.times); err != nil {
		return Reply{}, fmt.Errorf("run a train of %d acts again on scratch shard %s: %w", t.acts, x.addr, err)
	}
	return newReply(t), nil
}

// Tend does what a keeper does beside the acts, by the recorded time: it seals the slices of keys that are past, drops what the
// partition has evicted, and now and then forgets outbox entries up to the id. It is cheap while there is nothing to do. The next
// train must not be of an earlier time.
func (x *Scratch) Tend(ctx context.Context, nowMS, evictedMS int64, partitions int, outbox uint64) error {
	if outbox >= x.trimmed+scratchOutbox {
		if err := x.Trim(ctx, scratchKeeper, outbox); err != nil {
			return err
		}
		x.trimmed = outbox
	}
	if slice := nowMS / x.keySlice.Milliseconds(); slice > x.next {
		if err := x.sealBelow(ctx, slice); err != nil {
			return err
		}
	}
	if evictedMS <= x.evictedMS {
		return nil
	}
	if err := x.drop(ctx, evictedMS, partitions); err != nil {
		return err
	}
	x.evictedMS = evictedMS
	return nil
}

// sealBelow closes the slices below one, puts their ids into the filter, and seals them.
func (x *Scratch) sealBelow(ctx context.Context, below int64) error {
	x.next = below
	w, err := x.Window(ctx)
	if err != nil {
		return err
	}
	var past []int64
	for _, slice := range w.Slices {
		if slice >= w.Sealed && slice < below {
			past = append(past, slice)
		}
	}
	if len(past) == 0 {
		return nil
	}
	if err := x.closeBelow(ctx, below); err != nil {
		return err
	}
	for _, slice := range past {
		if err := x.intoFilter(ctx, slice); err != nil {
			return err
		}
	}
	return x.Seal(ctx, scratchKeeper, below)
}

// closeBelow is CloseSlices, by the recorded time.
func (x *Scratch) closeBelow(ctx context.Context, slice int64) error {
	window, err := x.client.HGet(ctx, partsKey, windowField).Bytes()
	if err != nil {
		return x.fault("close slices of", err)
	}
	copy(window[7:14], appendU56(nil, uint64(slice)))
	return x.fault("close slices of", x.client.HSet(ctx, partsKey, windowField, window).Err())
}

func (x *Scratch) intoFilter(ctx context.Context, slice int64) error {
	for cursor := uint64(0); ; {
		ids, next, err := x.ReadSlice(ctx, slice, cursor)
		if err != nil {
			return err
		}
		blocks := map[FilterPlace]*journal.FilterBlock{}
		for i, id := range ids {
			at := FilterPlace{x.partition, journal.FilterBlockOf(id)}
			if blocks[at] == nil {
				blocks[at] = new(journal.FilterBlock)
			}
			blocks[at].Add(id)
			if len(blocks) == FilterBlocksMax || i == len(ids)-1 {
				if err := x.AddToFilter(ctx, scratchKeeper, blocks); err != nil {
					return err
				}
				clear(blocks)
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// drop drops the slices and removes the reservations that the partition has evicted.
func (x *Scratch) drop(ctx context.Context, evictedMS int64, partitions int) error {
	w, err := x.Window(ctx)
	if err != nil {
		return err
	}
	for _, slice := range w.Slices {
		if slice < w.Sealed && (slice+1)*w.SliceMS <= evictedMS {
			if _, err := x.DropSlice(ctx, scratchKeeper, slice); err != nil {
				return err
			}
		}
	}
	for cursor := uint64(0); ; {
		_, next, err := x.Sweep(ctx, scratchKeeper, partitions, cursor, func(int) int64 { return evictedMS })
		if err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
