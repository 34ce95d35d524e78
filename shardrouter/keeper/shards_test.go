package keeper

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
)

// TestShardKilledUnderLoad: a Redis dies and comes back empty, several times; what was acknowledged is there.
func TestShardKilledUnderLoad(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 8})
	c.keepAll()
	b := c.bank(2, 500)
	all := b.run(8, func() {
		for i := range 3 {
			time.Sleep(150 * time.Millisecond) // traffic
			c.redis[i%2].Kill()
			if err := c.redis[i%2].Restart(t.Context()); err != nil {
				t.Error(err)
			}
			k := c.keepers["k-"+shardName(i%2)]
			c.eventually("the shard is rebuilt", func() bool { s := k.Stats(); return s.State == Serving && s.Rebuilt >= uint64(i/2+2) })
		}
		time.Sleep(100 * time.Millisecond)
	})
	b.check(t, c.rest(), 500, all)
}

// TestShardAwayForLong: the keeper waits for it with what the log says ready, and rebuilds it when it is back.
func TestShardAwayForLong(t *testing.T) {
	t.Parallel() // it mostly waits
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2, config: func(k *Config) { k.Unreachable, k.RestMax = 100*time.Millisecond, 100*time.Millisecond }})
	c.keepAll()
	b := c.bank(1, 100)
	c.rest()
	k := c.keepers["k-s1"]
	first := k.Stats().Epoch
	c.redis[0].Kill()
	c.eventually("it waits for the shard", func() bool { return k.Stats().State == Waiting })
	c.must(c.redis[0].Restart(t.Context()))
	c.eventually("it serves", func() bool { return k.Stats().State == Serving })
	if s := k.Stats(); s.Epoch > first+2 || s.Rebuilt < 2 {
		t.Errorf("epoch %d after %d, %d times rebuilt", s.Epoch, first, s.Rebuilt)
	}
	a := c.asker()
	a.move(b.customers[0], b.customers[1], "after", 1, a.sure)
	if got := c.rest().account(b.customers[1]).Available; got != 101 {
		t.Errorf("%d", got)
	}
}

// TestUnfitShardIsNotServed, until its settings are right.
func TestUnfitShardIsNotServed(t *testing.T) {
	t.Parallel() // it mostly waits
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2, redisArgs: []string{"--maxmemory-policy", "allkeys-lru"}})
	k := c.keep(0, "k")
	c.eventually("it says why it waits", func() bool { return k.Stats().State == Waiting })
	c.redisCLI(0, "config", "set", "maxmemory-policy", "noeviction")
	c.eventually("it serves", func() bool { return k.Stats().State == Serving })
	rebuilt := k.Stats().Rebuilt
	c.redisCLI(0, "config", "set", "maxmemory-policy", "allkeys-lru") // while it serves: who knows what is gone
	c.eventually("it is noticed", func() bool { return k.Stats().State == Waiting })
	c.redisCLI(0, "config", "set", "maxmemory-policy", "noeviction")
	c.eventually("it serves again", func() bool { return k.Stats().State == Serving })
	if s := k.Stats(); s.Rebuilt != rebuilt+1 || s.Adopted != 0 {
		t.Errorf("%d rebuilt after %d, %d adopted", s.Rebuilt, rebuilt, s.Adopted)
	}
}

// evictSomething makes a Redis drop a key that is not ours, and leaves its settings as they were.
func (c *cluster) evictSomething(server int) {
	c.Helper()
	c.redisCLI(server, "set", "junk", "x", "ex", "1000")
	c.redisCLI(server, "config", "set", "maxmemory-policy", "volatile-ttl", "maxmemory", "1")
	c.redisCLI(server, "get", "junk")
	c.redisCLI(server, "config", "set", "maxmemory-policy", "noeviction", "maxmemory", "0")
	if n, err := c.shard(server).Evicted(c.Context()); err != nil || n != 1 {
		c.Fatalf("%d keys were evicted, %v", n, err)
	}
}

// TestEvictionWhileNobodyLooked: the settings are right again when the keeper looks; what has gone cannot be seen.
func TestEvictionWhileNobodyLooked(t *testing.T) {
	t.Parallel() // it mostly waits
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1})
	c.keepAll()
	c.bank(1, 100)
	c.evictSomething(0)
	k := c.keepers["k-s1"]
	c.eventually("it is rebuilt", func() bool { s := k.Stats(); return s.State == Serving && s.Rebuilt == 2 })
	a := c.asker()
	a.open(c.account(0, "later"), 0)
	if s := k.Stats(); s.Reigns != 2 {
		t.Errorf("%+v", s)
	}
}

// said is what a keeper logs.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), what)
}

// TestSettingsThatAreWarnedAbout cost no reign, and are warned about once.
func TestSettingsThatAreWarnedAbout(t *testing.T) {
	t.Parallel() // it mostly waits
	log := &said{}
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1, config: func(k *Config) {
		k.Log, k.WatchEvery = slog.New(slog.NewTextHandler(log, nil)), 5*time.Millisecond
	}})
	c.keepAll()
	c.redisCLI(0, "config", "set", "save", "3600 1")
	c.eventually("it is warned", func() bool { return log.count("CONFIG SET save") == 1 })
	c.redisCLI(0, "config", "set", "appendonly", "yes")
	c.eventually("of both", func() bool { return log.count("CONFIG SET appendonly no") == 1 })
	c.redisCLI(0, "config", "set", "save", "")
	c.redisCLI(0, "config", "set", "appendonly", "no")
	c.eventually("all is well", func() bool { return log.count("settings are right again") == 1 })
	if s := c.keepers["k-s1"].Stats(); s.Reigns != 1 || s.State != Serving || log.count("settings are wrong") > 3 {
		t.Errorf("%+v, warned %d times", s, log.count("settings are wrong"))
	}
}

// TestShardWithAnotherHistoryIsRebuilt: what a keeper finds in a shard is believed only when it continues the log.
func TestShardWithAnotherHistoryIsRebuilt(t *testing.T) {
	for _, tc := range []struct {
		what    string
		spoil   func(c *cluster, s *luascripts.Shard)
		adopted uint64
	}{
		{"as it was", func(*cluster, *luascripts.Shard) {}, 1},
		{"as it was, but started again since", func(c *cluster, _ *luascripts.Shard) {
			c.redisCLI(0, "save")
			c.redis[0].Kill()
			c.must(c.redis[0].Restart(c.Context()))
			parts, err := c.shard(0).Parts(c.Context())
			if err != nil || len(parts) != 2 {
				c.Fatalf("it came back with %v, %v", parts, err)
			}
		}, 0},
		{"as it was, but its scripts were flushed", func(c *cluster, _ *luascripts.Shard) { c.redisCLI(0, "script", "flush") }, 0},
		{"as it was, but something was evicted", func(c *cluster, _ *luascripts.Shard) { c.evictSomething(0) }, 0},
		{"empty", func(c *cluster, s *luascripts.Shard) { c.must(s.Wipe(c.Context(), 1<<32-1)) }, 0},
		{"behind", func(c *cluster, s *luascripts.Shard) {
			c.must(s.Wipe(c.Context(), 1<<32-1))
			c.must(s.Load(c.Context(), c.older(0), c.older(1)))
		}, 0},
		{"ahead without an outbox", func(c *cluster, s *luascripts.Shard) {
			b := c.fold()
			b.book[0].Seq += 5
			c.must(s.Wipe(c.Context(), 1<<32-1))
			c.must(s.Load(c.Context(), b.book[0], b.book[1]))
		}, 0},
		{"of an epoch that never started", func(c *cluster, s *luascripts.Shard) {
			b := c.fold()
			for _, book := range b.book {
				book.Epoch = 1000
			}
			c.must(s.Wipe(c.Context(), 1<<32-1))
			c.must(s.Load(c.Context(), b.book...))
		}, 0},
		{"of an epoch before the log's last events", func(c *cluster, s *luascripts.Shard) {
			b := c.fold()
			for _, book := range b.book {
				book.Epoch = 0
			}
			c.must(s.Wipe(c.Context(), 1<<32-1))
			c.must(s.Load(c.Context(), b.book...))
		}, 0},
		{"other events in the outbox", func(c *cluster, s *luascripts.Shard) {
			c.openStrangers(s, c.older(0), c.older(1)) // where the log has others
		}, 0},
		{"ahead with a hole before the outbox", func(c *cluster, s *luascripts.Shard) {
			b := c.fold()
			for _, book := range b.book {
				book.Seq += 2
			}
			c.openStrangers(s, b.book...)
		}, 0},
		{"a partition gone", func(c *cluster, s *luascripts.Shard) {
			b := c.fold()
			c.must(s.Wipe(c.Context(), 1<<32-1))
			c.must(s.Load(c.Context(), b.book[1]))
		}, 0},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, clusterOptions{servers: 1, partitions: 2})
			c.keepAll()
			b := c.bank(1, 100)
			a := c.asker()
			a.move(b.customers[0], b.customers[1], "x", 7, a.sure)
			c.rest()
			c.stopKeepers()
			tc.spoil(c, c.shard(0))
			k := c.keep(0, "next")
			c.eventually("it serves", func() bool { return k.Stats().State == Serving })
			if s := k.Stats(); s.Adopted != tc.adopted || s.Rebuilt != 1-tc.adopted {
				t.Errorf("%d adopted, %d rebuilt", s.Adopted, s.Rebuilt)
			}
			a.move(b.customers[1], b.customers[0], "y", 9, a.sure)
			in := c.rest()
			if got := in.account(b.customers[0]).Available; got != 102 {
				t.Errorf("%d", got)
			}
		})
	}
}

// openStrangers makes the shard go on from some Books, by an event each.
func (c *cluster) openStrangers(s *luascripts.Shard, books ...*journal.Book) {
	c.Helper()
	var t luascripts.Train
	for p, book := range books {
		book.Epoch = c.static.Current().Partitions[0].Epoch
		t.Section(p, book.Epoch)
		t.Add((&journal.Row{Op: journal.OpOpen, Account: c.account(p, "stranger"), Text: []byte(`{}`)}).Append(nil))
	}
	c.must(s.Wipe(c.Context(), 1<<32-1))
	c.must(s.Load(c.Context(), books...))
	_, err := s.Run(c.Context(), &t)
	c.must(err)
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// older is a partition's Book as it was a few events ago.
func (c *cluster) older(p int) *journal.Book {
	c.Helper()
	full := c.fold().book[p]
	book := journal.NewBook(p, c.partitions)
	cursor := journal.Cursor{Partition: p}
	stop := errors.New("far enough")
	_, err := c.log.Read(c.Context(), p, 0, func(offset int64, record []byte) error {
		f, v, err := cursor.Next(offset, record)
		if err != nil || v != journal.Accepted {
			return err
		}
		return f.EachEvent(func(e *journal.Event) error {
			if e.Seq == full.Seq {
				return stop
			}
			return book.Apply(e, nil)
		})
	})
	if err != nil && !errors.Is(err, stop) {
		c.Fatal(err)
	}
	return book
}

// TestOutboxSpoiledWhileServing: a relay that cannot go on is not begun again on the same shard; it is rebuilt.
func TestOutboxSpoiledWhileServing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2})
	c.keepAll()
	b := c.bank(1, 100)
	c.rest()
	k := c.keepers["k-s1"]
	c.must(c.shard(0).Load(t.Context(), func() *journal.Book { // somebody skips seqs under the keeper
		book := c.fold().book[0]
		book.Seq, book.Epoch = book.Seq+3, k.Stats().Epoch
		return book
	}()))
	a := c.asker()
	if s := a.move(b.issuers[0], b.customers[0], "x", 7, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	if s := k.Stats(); s.Rebuilt != 2 || s.Adopted != 0 {
		t.Errorf("%d rebuilt, %d adopted", s.Rebuilt, s.Adopted)
	}
	if got := c.rest().account(b.customers[0]).Available; got != 107 {
		t.Errorf("%d", got)
	}
}

// TestShardAheadIsAdopted: events that no keeper had journaled are, by the next one, in the epoch in which they ran.
func TestShardAheadIsAdopted(t *testing.T) {
	t.Parallel() // it mostly waits
	c := newCluster(t, clusterOptions{servers: 1, partitions: 4})
	c.keepAll()
	b := c.bank(1, 100)
	c.rest()
	epoch := c.keepers["k-s1"].Stats().Epoch
	c.stopKeepers()
	stage, late := rows.NewStage(4), &quiet{}
	for i := range 40 {
		from, to := b.issuers[i%4], b.customers[i%4]
		stage.Add(i%4, &journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(from, fmt.Sprint("a", i)), Account: from, To: to, Amount: 1}, late, 0)
		if i%5 == 0 { // a pay whose leg only the next keeper can deliver
			other := b.customers[(i+1)%4]
			stage.Add(i%4, &journal.Row{Op: journal.OpPay, Verdict: uint8(journal.OK), ID: journal.IDOf(from, fmt.Sprint("p", i)), Account: from, To: other, Amount: 1000}, late, 0)
		}
	}
	c.lanes.Submit(stage)
	before := c.fold().events
	s := c.shard(0)
	c.eventually("they have run", func() bool {
		parts, err := s.Parts(t.Context())
		c.must(err)
		n := uint64(0)
		for _, p := range parts {
			n += p.Seq
		}
		return n == uint64(before)+48
	})
	k := c.keep(0, "next")
	c.eventually("it serves", func() bool { return k.Stats().State == Serving })
	in := c.rest()
	if s := k.Stats(); s.Adopted != 1 || s.Epoch <= epoch {
		t.Errorf("%d adopted in epoch %d after %d", s.Adopted, s.Epoch, epoch)
	}
	if got := in.account(b.customers[0]).Available; got != 100+10+2*1000 {
		t.Errorf("customer 0 has %d", got)
	}
	rec, _ := in.book[0].State.Key(journal.IDOf(b.issuers[0], "a0"))
	if rec.Epoch != epoch {
		t.Errorf("adopted under epoch %d, ran in %d", rec.Epoch, epoch)
	}
}
