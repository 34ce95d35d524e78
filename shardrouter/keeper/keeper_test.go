package keeper

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/shardrouter"
)

// TestNothingIsAnsweredWithoutAKeeper: rows run, nobody makes them durable, nobody is answered.
func TestNothingIsAnsweredWithoutAKeeper(t *testing.T) {
	t.Parallel() // it mostly waits
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2})
	c.keepAll()
	a := c.asker()
	h := c.account(0, "first")
	a.open(h, journal.Issuance)
	c.stopKeepers()
	before := c.fold().events

	stage, late := rows.NewStage(2), c.asker()
	stage.Add(0, &journal.Row{Op: journal.OpOpen, Account: c.account(0, "second"), Text: []byte(`{}`)}, late, 0)
	c.lanes.Submit(stage)
	s := c.shard(0)
	c.eventually("it has run", func() bool {
		parts, err := s.Parts(t.Context())
		return err == nil && parts[0].Seq == 2
	})
	select {
	case o := <-late.out:
		t.Fatalf("answered %v, though the log does not have it", o.Status)
	case <-time.After(300 * time.Millisecond): // longer than any mark takes
	}
	// Its next keeper adopts it. What was held belongs to an epoch that is over; asked again, it has happened.
	c.keep(0, "again")
	if o := <-late.out; o.Status != journal.OutcomeUnknown {
		t.Errorf("answered %v by a later epoch", o.Status)
	}
	if o := a.sure(0, journal.Row{Op: journal.OpOpen, Account: c.account(0, "second"), Text: []byte(`{}`)}); o.Status != journal.AccountExists {
		t.Errorf("opened again: %v", o.Status)
	}
	if s := c.keepers["again"].Stats(); s.Adopted != 1 || s.Rebuilt != 0 {
		t.Errorf("%d adopted, %d rebuilt", s.Adopted, s.Rebuilt)
	}
	if in := c.rest(); in.events != before+1 {
		t.Errorf("%d events after %d", in.events, before)
	}
}

// quiet hears outcomes and keeps nothing.
type quiet struct{ answered atomic.Int64 }

func (q *quiet) Settle(outs []rows.Outcome) { q.answered.Add(int64(len(outs))) }

// TestLostLeadershipEndsNoReign, as long as nobody else starts an epoch in the log; the keeper queues up again beside it.
func TestLostLeadershipEndsNoReign(t *testing.T) {
	t.Parallel() // it mostly waits
	e := &elections{}
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2, config: func(k *Config) { e.Election, k.Election = k.Election, e }})
	c.keepAll()
	k := c.keepers["k-s1"]
	first := k.Stats().Epoch
	e.end()
	c.eventually("it leads again", func() bool { return e.count() == 2 })
	c.bank(1, 100)
	c.rest()
	if s := k.Stats(); s.State != Serving || s.Epoch != first {
		t.Errorf("%+v", s)
	}
	c.keep(0, "other") // everybody leads here
	c.eventually("the log ends it", func() bool { return k.Stats().Epoch != first })
}

// elections remembers the leadership that it gave.
type elections struct {
	shardrouter.Election
	mu    sync.Mutex
	last  *shardrouter.Leadership
	given int
}

func (e *elections) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.given
}

func (e *elections) Elect(ctx context.Context, shard, me string) (*shardrouter.Leadership, error) {
	l, err := e.Election.Elect(ctx, shard, me)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = l
	e.given++
	return l, err
}

func (e *elections) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last.Resign()
}

// TestDamagedJournalIsNotServed: nothing is rebuilt from a log that is not what keepers wrote.
func TestDamagedJournalIsNotServed(t *testing.T) {
	t.Parallel() // it mostly waits
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2})
	c.keepAll()
	c.bank(1, 100)
	c.rest()
	c.stopKeepers()
	c.journalOf = func(_ string, l journal.Log) journal.Log { return &spoiled{l} }
	k := c.keep(0, "next")
	done := make(chan error, 1)
	go func() { done <- k.stopped() }()
	select {
	case err := <-done:
		if !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("it goes on: %+v", k.Stats())
	}
	delete(c.keepers, "next")
	if s := k.Stats(); s.State != Damaged {
		t.Errorf("%+v", s)
	}
	if s := c.static.Current().Shards["s1"]; s.State != shardrouter.StateDown {
		t.Errorf("the map shows %+v", s)
	}
	// What nobody can journal does not run.
	before, err := c.shard(0).Parts(t.Context())
	c.must(err)
	h := c.account(0, "late")
	if o := c.asker().ask(0, journal.Row{Op: journal.OpOpen, Account: h, Text: []byte(`{}`)}); o.Status != journal.ShardUnavailable {
		t.Errorf("%v", o.Status)
	}
	if after, err := c.shard(0).Parts(t.Context()); err != nil || after[0] != before[0] {
		t.Errorf("%v, before %v, %v", after, before, err)
	}
	c.journalOf = nil
	next := c.keep(0, "after the repair")
	c.eventually("it serves", func() bool { return next.Stats().State == Serving })
}

// spoiled is a log with one wrong byte.
type spoiled struct{ journal.Log }

func (l *spoiled) Read(ctx context.Context, p int, from int64, fn func(int64, []byte) error) (int64, error) {
	return l.Log.Read(ctx, p, from, func(offset int64, record []byte) error {
		if offset == 2 {
			record = append([]byte(nil), record...)
			record[len(record)-1] ^= 1
		}
		return fn(offset, record)
	})
}
