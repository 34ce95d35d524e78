package lane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"walletd/luascripts"
	"walletd/shardrouter"
)

// Shard is what a lane needs of a shard; *luascripts.Shard is one.
type Shard interface {
	// Run sends a train, in the epoch of Config.Open. Its errors say whether something may have moved (luascripts.NothingMoved).
	Run(ctx context.Context, t *luascripts.Train) (luascripts.Reply, error)
	// SubscribeMarks calls fn with every mark that is published, until ctx ends. fn does not keep the slice.
	SubscribeMarks(ctx context.Context, fn func([]luascripts.Mark)) error
	Close() error
}

// Config says what the lanes stand on. Zero values get the defaults named here.
type Config struct {
	Partitions int                // of the wallet
	Map        shardrouter.Source // who owns them

	// Open makes the client of a shard at host:port, in the epoch that the map shows for it, without connecting; nil =
	// luascripts.Open with its defaults.
	Open func(addr string, epoch uint32) (Shard, error)

	QueueActs  int           // 16,384: what may wait for one shard; more is refused with Overloaded
	QueueBytes int           // 32 MiB: the same in bytes
	HeldRows   int           // 65,536: outcomes of one shard that may wait for the journal; no train leaves before there is room
	HeldFor    time.Duration // 10 s: how long an outcome waits for the journal; then nobody knows it
	RetryFor   time.Duration // 2 s: how long rows wait for a shard that provably did not run them
	UnsureFor  time.Duration // 10 s: how long rows that may have run are sent again

	// HandOver, if set, is told of every train of a shard that was answered and left something in the outbox, before its outcomes are
	// settled, and with nil of one whose reply is lost: addr and epoch are where and in which it was sent. It is called on the
	// lane's goroutine and must not block; the train is the lane's again when it returns. The way to a keeper in this process.
	HandOver func(shard, addr string, epoch uint32, t *luascripts.Train)
	// Trained, if set, is told of every train that was answered, on the lane's goroutine: it must not block.
	Trained func(Trained)
	Log     *slog.Logger // nil = none
}

// Trained is one train that came back.
type Trained struct {
	Shard    string
	Acts     int
	Rows     int
	Duration time.Duration // from the sending to the reply
}

func (c Config) withDefaults() Config {
	if c.Open == nil {
		c.Open = func(addr string, epoch uint32) (Shard, error) {
			return luascripts.Open(luascripts.Config{Addr: addr, Epoch: epoch})
		}
	}
	if c.HandOver == nil {
		c.HandOver = func(string, string, uint32, *luascripts.Train) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	setInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	setInt(&c.QueueActs, 16<<10)
	setInt(&c.QueueBytes, 32<<20)
	setInt(&c.HeldRows, 64<<10)
	setTime := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	setTime(&c.HeldFor, 10*time.Second)
	setTime(&c.RetryFor, 2*time.Second)
	setTime(&c.UnsureFor, 10*time.Second)
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Partitions < 1 || c.Partitions > shardrouter.PartitionsMax {
		errs = append(errs, fmt.Errorf("%d partitions", c.Partitions))
	}
	if c.Map == nil {
		errs = append(errs, errors.New("no map"))
	}
	if c.QueueActs < luascripts.ActsMax || c.QueueBytes < luascripts.TrainBytesMax {
		errs = append(errs, fmt.Errorf("a queue of %d acts, %d bytes does not hold one train", c.QueueActs, c.QueueBytes))
	}
	if c.HeldRows < 1 {
		errs = append(errs, fmt.Errorf("%d held rows", c.HeldRows))
	}
	for _, d := range []time.Duration{c.HeldFor, c.RetryFor, c.UnsureFor} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("a time of %v", d))
		}
	}
	return errors.Join(errs...)
}
