package keeper

import (
	"context"
	"errors"
	"sync"
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

// stale is a log as a broker shows it that has lost its quorum: it ends where it did, and takes nothing more.
type stale struct {
	mute
	ends sync.Map // by partition
}

func (l *stale) End(ctx context.Context, p int) (int64, error) {
	if !l.away.Load() {
		end, err := l.Log.End(ctx, p)
		l.ends.Store(p, end)
		return end, err
	}
	end, _ := l.ends.Load(p)
	return end.(int64), nil
}

// A keeper that was elected, and lost that, and was elected again: in between another may have been, and may have begun a reign
// that a broker without its quorum does not show. So the log's end proves nothing to it any more.
func TestElectedAgainIsNotCertain(t *testing.T) {
	l, e := &stale{}, &elections{}
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2,
		journalOf: func(_ string, log journal.Log) journal.Log { l.Log = log; return l },
		config: func(k *Config) {
			k.Lease = 200 * time.Millisecond
			e.Election, k.Election = k.Election, e
		}})
	c.keepAll()
	b := c.bank(1, 100)
	c.rest()
	a := c.asker()
	look := journal.Row{Op: journal.OpRead, Account: b.customers[0]}
	c.eventually("it has seen the log's end", func() bool {
		for p := range c.partitions {
			end, err := c.log.End(t.Context(), p)
			if seen, _ := l.ends.Load(p); err != nil || seen != end {
				return false
			}
		}
		return true
	})
	l.away.Store(true)
	time.Sleep(300 * time.Millisecond) // more than a lease
	if o := a.ask(0, look); o.Status != journal.OK {
		t.Errorf("while it is certain: %v", o.Status)
	}
	e.end()
	c.eventually("it is elected again", func() bool { return e.count() == 2 })
	c.eventually("the lease is over", func() bool { return a.ask(0, look).Status == journal.ShardUnavailable })
	l.away.Store(false)
	if s := a.move(b.customers[0], b.issuers[0], "again", 1, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	if s := c.keepers["k-s1"].Stats(); s.Reigns != 1 {
		t.Errorf("%d reigns", s.Reigns)
	}
}

// A keeper that waits for a shard, and loses its leadership meanwhile, starts no epoch any more: whoever leads has one, and counts
// on that nobody starts a later one.
func TestUnelectedStartsNoEpoch(t *testing.T) {
	e := &elections{}
	c := newCluster(t, clusterOptions{servers: 1, replicas: 1, partitions: 1, config: func(k *Config) {
		soon(k)
		if k.Name == "k-s1" {
			e.Election, k.Election = &once{Election: k.Election}, e
		}
	}})
	c.keepAll()
	c.rest()
	k := c.keepers["k-s1"]
	c.replicas[0][0].Kill()
	c.redis[0].Kill()
	c.eventually("it waits for a candidate", func() bool { return k.Stats().State == Waiting })
	epoch := k.Stats().Epoch
	e.end()
	c.must(c.replicas[0][0].Restart(t.Context()))
	c.eventually("it waits to be elected", func() bool { return k.Stats().State == Electing })
	if next, err := c.static.NextEpoch(t.Context(), "s1", []int{0}); err != nil || next > epoch+2 { // it may have taken one, and left it
		t.Errorf("the next epoch is %d, it waited in %d; %v", next, epoch, err)
	}
	if s := k.Stats(); s.Failovers != 0 {
		t.Errorf("%+v", s)
	}
	other := c.keep(0, "other")
	c.eventually("another keeper fails over", func() bool { return other.Stats().State == Serving })
}
