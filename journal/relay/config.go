package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"walletd/journal"
)

// Config says what a relay stands on and whom it tells. The callbacks are called one at a time, from Run's goroutine,
// and while they run nothing further is sent than what is under way; an error of one ends Run.
type Config struct {
	Log    journal.Log
	Outbox Outbox
	// Cursors, one for each partition to relay, come from Claim: read to the log's end, with this keeper's own epoch
	// started. Others may join later, and these leave.
	Cursors []journal.Cursor

	// Continues is asked of every section that is about to be collected, whichever way it came; an error refuses it, and ends Run
	// with ErrOutbox if it was read. It is called under the relay's lock: it must neither block nor call the relay. nil = none is
	// refused.
	Continues func(*Section) error
	// OnDurable hears of every frame of ours that is in the log and counts, in order within its partition, with the offset
	// of its record. The frame's payload may be kept only until it returns. nil = nobody.
	OnDurable func(offset int64, f *journal.Frame) error
	// Watermark hears how far the journal is durable, once for all partitions of an append, after OnDurable has heard of
	// its frames. It must not keep the slice. nil = nobody.
	Watermark func(ctx context.Context, marks []Mark) error
	// OnJournal hears when the journal does not take a partition's frames, with the reason, and when it takes them again:
	// when they have been refused for RefusedFor, or unanswered for UnsureFor, and at once when the log is a
	// journal.Shortage and says that it runs short, which it does while it still takes some. nil = nobody.
	OnJournal func(partition int, available bool, cause error)
	// OnAppend hears of every request to the log: for metrics. It may be called from two goroutines at once. nil = nobody.
	OnAppend func(took time.Duration, frames, bytes int, err error)
	Logger   *slog.Logger // nil = none

	FrameBytes      int           // what a frame should hold under load, bytes; 0 = 64 KiB
	WaitMax         time.Duration // longest wait for that, under load; 0 = 3 ms, negative = never wait
	PendingBytesMax int           // collected and not yet sent; beyond it the outbox is not read. 0 = 32 MiB
	TrimEvery       time.Duration // between two trims of the outbox; 0 = 200 ms
	RetryMin        time.Duration // before the same frames are sent again, doubling; 0 = 5 ms
	RetryMax        time.Duration // at most; 0 = 1 s
	// Jitter answers how long to pause instead of the time given; nil = from half of it on, at random.
	Jitter     func(time.Duration) time.Duration
	RefusedFor time.Duration // OnJournal; 0 = 250 ms
	UnsureFor  time.Duration // the same; 0 = 2 s: a leader that moves, or a slow broker, takes less
}

func (c Config) withDefaults() Config {
	if c.Continues == nil {
		c.Continues = func(*Section) error { return nil }
	}
	if c.OnDurable == nil {
		c.OnDurable = func(int64, *journal.Frame) error { return nil }
	}
	if c.Watermark == nil {
		c.Watermark = func(context.Context, []Mark) error { return nil }
	}
	if c.OnJournal == nil {
		c.OnJournal = func(int, bool, error) {}
	}
	if c.OnAppend == nil {
		c.OnAppend = func(time.Duration, int, int, error) {}
	}
	if c.Jitter == nil {
		c.Jitter = func(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct{ v, d *time.Duration }{
		{&c.WaitMax, new(3 * time.Millisecond)}, {&c.TrimEvery, new(200 * time.Millisecond)},
		{&c.RetryMin, new(5 * time.Millisecond)}, {&c.RetryMax, new(time.Second)},
		{&c.RefusedFor, new(250 * time.Millisecond)}, {&c.UnsureFor, new(2 * time.Second)},
	} {
		if *d.v == 0 {
			*d.v = *d.d
		}
	}
	if c.FrameBytes == 0 {
		c.FrameBytes = 64 << 10
	}
	if c.PendingBytesMax == 0 {
		c.PendingBytesMax = 32 << 20
	}
	return c
}

// validate reports every problem at once.
func (c Config) validate() error {
	var errs []error
	if c.Log == nil {
		errs = append(errs, errors.New("no log"))
	}
	if c.Outbox == nil {
		errs = append(errs, errors.New("no outbox"))
	}
	seen := map[int]bool{}
	for _, cur := range c.Cursors {
		switch {
		case seen[cur.Partition]:
			errs = append(errs, fmt.Errorf("partition %d twice", cur.Partition))
		case c.Log != nil && (cur.Partition < 0 || cur.Partition >= c.Log.Partitions()):
			errs = append(errs, fmt.Errorf("no partition %d, there are %d", cur.Partition, c.Log.Partitions()))
		case cur.Epoch == 0:
			errs = append(errs, fmt.Errorf("partition %d has no epoch: claim it", cur.Partition))
		}
		seen[cur.Partition] = true
	}
	if c.FrameBytes < 0 || c.PendingBytesMax < 0 || c.TrimEvery < 0 || c.RetryMin < 0 || c.RetryMax < c.RetryMin || c.RefusedFor < 0 || c.UnsureFor < 0 {
		errs = append(errs, errors.New("a bound below zero, or retries that shrink"))
	}
	return errors.Join(errs...)
}

// Stats are a relay's figures since it was made.
type Stats struct {
	Appends    uint64 // requests to the log
	Frames     uint64 // durable
	Events     uint64 // durable
	Bytes      uint64 // durable, of frames
	Offered    uint64 // entries that were offered and taken
	Refused    uint64 // entries that were offered and not taken: they were read
	Repeats    uint64 // sections that came both ways
	Duplicates uint64 // sections that were in the journal already, and own records that landed twice
	Stale      uint64 // records of deposed keepers met in the log
	Resent     uint64 // frames sent again
	Pending    int    // bytes collected and not yet sent
	Repairing  int    // partitions whose frame is being looked for
}
