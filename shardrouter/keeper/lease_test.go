package keeper

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"walletd/journal"
)

// mute is a log that cannot be asked where it ends while it is away, and takes nothing.
type mute struct {
	journal.Log
	away atomic.Bool
}

var errMute = errors.New("nobody answers")

func (l *mute) End(ctx context.Context, p int) (int64, error) {
	if l.away.Load() {
		return 0, errMute
	}
	return l.Log.End(ctx, p)
}

func (l *mute) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	if l.away.Load() {
		offsets := make([]int64, len(records))
		for i := range offsets {
			offsets[i] = -1
		}
		return offsets, errMute
	}
	return l.Log.Append(ctx, records)
}

// A shard whose keeper cannot ask the log answers nobody after the lease, reads included, and goes on when it can.
func TestLeaseNeedsTheLog(t *testing.T) {
	l := &mute{}
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2,
		journalOf: func(_ string, log journal.Log) journal.Log { l.Log = log; return l },
		config:    func(k *Config) { k.Lease = 200 * time.Millisecond }})
	c.keepAll()
	b := c.bank(1, 100)
	a := c.asker()
	look := journal.Row{Op: journal.OpRead, Account: b.customers[0]}
	if o := a.ask(0, look); o.Status != journal.OK {
		t.Fatalf("%v", o.Status)
	}
	l.away.Store(true)
	c.eventually("the lease is over", func() bool { return a.ask(0, look).Status == journal.ShardUnavailable })
	if s := a.move(b.customers[0], b.issuers[0], "late", 1, a.ask); s != journal.ShardUnavailable {
		t.Errorf("a transfer: %v", s)
	}
	l.away.Store(false)
	if s := a.move(b.customers[0], b.issuers[0], "again", 1, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	if s := c.keepers["k-s1"].Stats(); s.Reigns != 1 {
		t.Errorf("%d reigns", s.Reigns)
	}
}
