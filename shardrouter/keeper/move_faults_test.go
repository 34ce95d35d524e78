package keeper

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/relay"
	"walletd/shardrouter"
)

// breaks stops a keeper at a step of a move, once, until it is told to go on.
type breaks struct {
	mu      sync.Mutex
	shard   string // whose keeper
	step    string
	reached chan struct{}
	goOn    chan struct{}
}

func newBreaks(shard, step string) *breaks {
	return &breaks{shard: shard, step: step, reached: make(chan struct{}), goOn: make(chan struct{})}
}

func (b *breaks) config(k *Config) {
	shard := k.Shard
	k.RestMin, k.RestMax = 10*time.Millisecond, 100*time.Millisecond
	k.atStep = func(step string) {
		b.mu.Lock()
		mine := shard == b.shard && step == b.step
		if mine {
			b.step = ""
		}
		b.mu.Unlock()
		if mine {
			close(b.reached)
			<-b.goOn
		}
	}
}

// brokenMove moves partition 0 from s1 to s2 under load, and does something at a step; the wallet must come to rest as if nothing
// had been.
func brokenMove(t *testing.T, shard, step string, do func(c *cluster, goOn func())) *cluster {
	t.Helper()
	br := newBreaks(shard, step)
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: br.config})
	goOn := sync.OnceFunc(func() { close(br.goOn) })
	t.Cleanup(goOn)
	c.keepAll()
	b := c.bank(2, 300)
	all := b.run(3, func() {
		c.must(shardrouter.RequestMove(t.Context(), c.static, 0, "s2"))
		select {
		case <-br.reached:
		case <-time.After(patience):
			t.Fatalf("%s was never reached", step)
		}
		do(c, goOn)
	})
	b.check(t, c.rest(), 300, all)
	return c
}

// TestKeeperDiesInAMove: the keeper of either side is killed at each step, and another one comes; the move completes.
func TestKeeperDiesInAMove(t *testing.T) {
	for shard, steps := range map[string][]string{
		"s1": {"freezing", "frozen", "left", "noted", "gone"},
		"s2": {"folded", "loading", "loaded", "asked", "matched", "claimed", "served", "joined", "published"},
	} {
		for _, step := range steps {
			t.Run(shard+" "+step, func(t *testing.T) {
				brokenMove(t, shard, step, func(c *cluster, goOn func()) {
					k := c.keepers["k-"+shard]
					k.cancel()
					goOn()
					_ = k.stop()
					delete(c.keepers, "k-"+shard)
					i := 0
					if shard == "s2" {
						i = 1
					}
					c.keep(i, "next-"+shard)
					c.there(0, "s2")
				})
			})
		}
	}
}

// TestRedisDiesInAMove: the same when a shard loses all that it has.
func TestRedisDiesInAMove(t *testing.T) {
	for shard, steps := range map[string][]string{
		"s1": {"freezing", "frozen", "noted"},
		"s2": {"loading", "loaded", "asked", "claimed", "served", "joined"},
	} {
		for _, step := range steps {
			t.Run(shard+" "+step, func(t *testing.T) {
				brokenMove(t, shard, step, func(c *cluster, goOn func()) {
					i := 0
					if shard == "s2" {
						i = 1
					}
					c.redis[i].Kill()
					goOn()
					c.must(c.redis[i].Restart(t.Context()))
					c.there(0, "s2")
				})
			})
		}
	}
}

// TestMoveTakenBackAtEachStep: the partition serves where it was, in a later epoch at most, and neither shard begins a new reign.
func TestMoveTakenBackAtEachStep(t *testing.T) {
	for shard, steps := range map[string][]string{
		"s1": {"frozen", "noted"},
		"s2": {"loaded", "asked", "matched", "claimed", "joined"},
	} {
		for _, step := range steps {
			t.Run(shard+" "+step, func(t *testing.T) {
				c := brokenMove(t, shard, step, func(c *cluster, goOn func()) {
					c.must(shardrouter.AbortMove(t.Context(), c.static, 0))
					goOn()
					a := c.asker()
					if o := a.sure(0, journal.Row{Op: journal.OpRead, Account: c.account(0, "issuer")}); o.Status != journal.OK {
						t.Errorf("%v", o.Status)
					}
				})
				if p := c.static.Current().Partitions[0]; p.Shard != "s1" {
					t.Errorf("it is at %s", p.Shard)
				}
				for name, k := range c.keepers {
					if s := k.Stats(); s.Reigns != 1 || s.MovesIn+s.MovesOut > 0 {
						t.Errorf("keeper %s: %d reigns, %d in, %d out", name, s.Reigns, s.MovesIn, s.MovesOut)
					}
				}
				c.moveTo(0, "s2") // and another time it goes
				c.rest()
			})
		}
	}
}

// TestFreezeWithoutAJournal: the last events of a partition that is frozen do not become durable. It serves again, in its epoch, and
// moves when the journal is back.
func TestFreezeWithoutAJournal(t *testing.T) {
	br, l := newBreaks("s1", "freezing"), &mute{}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: br.config, journalOf: func(name string, log journal.Log) journal.Log {
		if name != "k-s1" {
			return log
		}
		l.Log = log
		return l
	}})
	goOn := sync.OnceFunc(func() { close(br.goOn) })
	t.Cleanup(goOn)
	c.keepAll()
	b := c.bank(2, 100)
	s1 := c.shard(0)
	seq := func() uint64 {
		parts, err := s1.Parts(t.Context())
		c.must(err)
		return parts[0].Seq
	}
	c.must(shardrouter.RequestMove(t.Context(), c.static, 0, "s2"))
	<-br.reached
	l.away.Store(true)
	before, moved := seq(), make(chan journal.Status, 1)
	go func() {
		a := c.asker()
		moved <- a.move(b.customers[0], b.customers[1], "last", 5, a.sure)
	}()
	c.eventually("an event is in the outbox", func() bool { return seq() > before })
	goOn()
	c.eventually("it is taken back", func() bool { return c.keepers["k-s1"].Stats().MovesTaken == 1 })
	if p := c.static.Current().Partitions[0]; p.Shard != "s1" || p.Epoch != c.static.Current().Shards["s1"].Epoch {
		t.Errorf("it is %+v", p)
	}
	l.away.Store(false)
	c.there(0, "s2")
	if s := <-moved; s != journal.Confirmed {
		t.Errorf("the last transfer: %v", s)
	}
	if got := c.rest().account(b.customers[1]).Available; got != 105 {
		t.Errorf("its payee has %d", got)
	}
}

// TestNoteOfADeposedSource: a successor has begun in the partition's log, and its predecessor, who does not know that, notes where it
// stopped. That says nothing about the journal: the move begins again, and completes.
func TestNoteOfADeposedSource(t *testing.T) {
	brokenMove(t, "s1", "left", func(c *cluster, goOn func()) {
		epoch, err := c.static.NextEpoch(t.Context(), "s1", []int{0})
		c.must(err)
		_, err = relay.Claim(t.Context(), c.log, journal.Cursor{}, epoch, "somebody", 1, nil)
		c.must(err)
		goOn()
		c.there(0, "s2")
	})
}

// TestMoveOfADifferingState is given up: the source's shard is not what its journal says. It says so, and the source goes on.
func TestMoveOfADifferingState(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2})
	c.keepAll()
	b := c.bank(1, 100)
	c.rest()
	stray := ""
	for i := 0; stray == ""; i++ {
		if h := fmt.Sprintf("%07dstray", i*104729); journal.Handle([]byte(h)).Partition(2) == 0 {
			stray = h
		}
	}
	c.redisCLI(0, "hset", "details", stray, "1234567{}")
	c.must(shardrouter.RequestMove(t.Context(), c.static, 0, "s2"))
	c.eventually("it is given up", func() bool {
		moves, err := c.static.Moves(t.Context())
		c.must(err)
		return moves[0].State == shardrouter.MoveFailed && strings.Contains(moves[0].Reason, "digest")
	})
	a := c.asker()
	if s := a.move(b.customers[0], b.customers[1], "after", 1, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	if p := c.static.Current().Partitions[0]; p.Shard != "s1" {
		t.Errorf("it is at %s", p.Shard)
	}
	c.redisCLI(0, "hdel", "details", stray)
	c.moveTo(0, "s2")
	c.rest()
}

// blind shows no move that is freezing: whoever looks now and then may miss that one was, and was taken back.
type blind struct{ kept }

type kept interface{ shardrouter.Moves }

func (b blind) WatchMoves(ctx context.Context, fn func(map[int]shardrouter.Move)) {
	b.kept.WatchMoves(ctx, func(all map[int]shardrouter.Move) {
		if all[0].State != shardrouter.MoveFreezing {
			fn(all)
		}
	})
}

// TestFreezeTakenBackUnseen: the source begins anew just after the destination has asked, which sees nothing of that; it asks again.
func TestFreezeTakenBackUnseen(t *testing.T) {
	var c *cluster
	var once sync.Once
	c = newCluster(t, clusterOptions{servers: 2, partitions: 2, config: func(k *Config) {
		if k.Shard == "s2" {
			k.Moves = blind{k.Moves}
			return
		}
		k.atStep = func(step string) {
			if step != "freezing" {
				return
			}
			once.Do(func() { // this freeze is the one that a reign before ours was asked for
				c.must(c.static.ChangeMove(t.Context(), 0, func(_ *shardrouter.Map, now *shardrouter.Move) (*shardrouter.Move, error) {
					return &shardrouter.Move{Partition: 0, From: now.From, To: now.To, State: shardrouter.MoveCopying, Copied: now.Copied, Of: now.Of}, nil
				}))
			})
		}
	}})
	c.keepAll()
	b := c.bank(2, 300)
	all := b.run(3, func() { c.moveTo(0, "s2") })
	b.check(t, c.rest(), 300, all)
}
