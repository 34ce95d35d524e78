package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"walletd/journal"
	"walletd/projector/view"
)

// Shards are the live shards, to an auditor.
type Shards interface {
	// Dump reads everything that the shards hold, partition by partition, while acts go on. A partition that no shard
	// serves is left out.
	Dump(ctx context.Context) ([]Dump, error)
}

// Dump is what a shard holds of a partition. It need not be of one moment: each record may be as any event in
// (Before, After] left it, or as it was at Before.
type Dump struct {
	Partition int
	Shard     string // its name, for the report
	Before    uint64 // the partition's seq before the first record was read
	After     uint64 // and after the last one
	Epoch     uint32 // of the partition in the shard, read together with After
	State     *journal.Memory
}

// ErrNotServed says that no shard serves a partition at the moment.
var ErrNotServed = errors.New("no shard serves the partition")

// Accounts reads accounts of live shards, some at a time.
type Accounts interface {
	// Accounts reads at most AccountsMax accounts of one partition, and how far that is, in one moment. Errors: ErrNotServed; others
	// say that it could not be found out.
	Accounts(ctx context.Context, partition int, handles []journal.Handle) (Moment, error)
}

// AccountsMax bounds what Accounts reads at a time.
const AccountsMax = 128

// Moment is what a shard holds of some accounts at (Epoch, Seq) of their partition. It may be ahead of the journal; a shard that
// was deposed may be ahead on events that the journal has dropped.
type Moment struct {
	Shard    string // its name, for the report
	Epoch    uint32
	Seq      uint64
	Accounts []journal.Account
	Found    []bool // whether there is such an account
}

// Config says what to audit.
type Config struct {
	Log        journal.Log
	Partitions []int          // nil: all. Conservation and channels are of the whole wallet and need all.
	Assets     journal.Assets // names for the report
	Shards     Shards         // nil: not compared
	View       *view.View     // nil: not compared
	// Progress is told how many of the log's records are read, now and then, on the caller's goroutine; nil: nobody.
	Progress func(done, total int64)
	// Patience is how long to wait for the journal to reach what a shard has done already; 0: 10 s.
	Patience time.Duration
	// DifferencesMax bounds the list in the report; the rest is counted. 0: 100.
	DifferencesMax int
}

func (c *Config) validate() error {
	if c.Log == nil {
		return errors.New("reconcile: no log")
	}
	var err error
	if c.Partitions, err = chosen(c.Log, c.Partitions); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	if c.View != nil && c.View.Partitions() != c.Log.Partitions() {
		return fmt.Errorf("reconcile: the log has %d partitions, the view %d", c.Log.Partitions(), c.View.Partitions())
	}
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	if c.DifferencesMax == 0 {
		c.DifferencesMax = 100
	}
	return nil
}

// chosen are the partitions to read: sorted, each once, all when none is named.
func chosen(log journal.Log, partitions []int) ([]int, error) {
	if partitions == nil {
		for p := range log.Partitions() {
			partitions = append(partitions, p)
		}
	}
	partitions = slices.Compact(slices.Sorted(slices.Values(partitions)))
	for _, p := range partitions {
		if p < 0 || p >= log.Partitions() {
			return nil, fmt.Errorf("there is no partition %d of %d", p, log.Partitions())
		}
	}
	return partitions, nil
}
