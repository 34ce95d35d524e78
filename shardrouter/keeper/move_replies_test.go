package keeper

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// between is the moves as one keeper sees them, who loses replies.
type between struct {
	kept
	change func(ctx context.Context, partition int, change func(*shardrouter.Map, *shardrouter.Move) (*shardrouter.Move, error)) error
	end    func(ctx context.Context, as shardrouter.Move, change func(*shardrouter.Map) (*shardrouter.Map, error)) error
}

func (b *between) ChangeMove(ctx context.Context, partition int, change func(*shardrouter.Map, *shardrouter.Move) (*shardrouter.Move, error)) error {
	if b.change != nil {
		return b.change(ctx, partition, change)
	}
	return b.kept.ChangeMove(ctx, partition, change)
}

func (b *between) EndMove(ctx context.Context, as shardrouter.Move, change func(*shardrouter.Map) (*shardrouter.Map, error)) error {
	if b.end != nil {
		return b.end(ctx, as, change)
	}
	return b.kept.EndMove(ctx, as, change)
}

// late loses the reply of the change that makes a move so, and tells so when it is as another state: "" when it is over.
func late(of *shardrouter.Moves, made, then string) *between {
	b, lost := &between{}, atomic.Bool{}
	b.change = func(ctx context.Context, p int, change func(*shardrouter.Map, *shardrouter.Move) (*shardrouter.Move, error)) error {
		now := ""
		err := (*of).ChangeMove(ctx, p, func(m *shardrouter.Map, move *shardrouter.Move) (*shardrouter.Move, error) {
			next, err := change(m, move)
			if now = ""; err == nil && next != nil && (move == nil || *move != *next) {
				now = next.State
			}
			return next, err
		})
		if err != nil || now != made || lost.Swap(true) {
			return err
		}
		for ctx.Err() == nil {
			all, err := (*of).Moves(ctx)
			if m, under := all[p]; err == nil && (m.State == then || (!under && then == "")) {
				break
			}
			pause(ctx, time.Millisecond)
		}
		return fmt.Errorf("%w: the reply is lost", shardrouter.ErrUnavailable)
	}
	return b
}

// TestMoveRepliesAreLost: what a keeper has written about a move has come about, it does not hear so, and the other one has gone on
// meanwhile. Nobody begins a new reign, and nobody takes anything back.
func TestMoveRepliesAreLost(t *testing.T) {
	for name, o := range map[string]struct{ shard, made, then string }{
		"the note, and the move is over":       {"s1", shardrouter.MoveFrozen, ""},
		"the question, and the source stopped": {"s2", shardrouter.MoveFreezing, shardrouter.MoveFrozen},
	} {
		t.Run(name, func(t *testing.T) {
			var moves shardrouter.Moves
			b := late(&moves, o.made, o.then)
			c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: func(k *Config) {
				if k.Shard == o.shard {
					b.kept = moves
					k.Moves = b
				}
			}})
			moves = c.static
			c.keepAll()
			bank := c.bank(2, 300)
			all := bank.run(3, func() {
				c.moveTo(0, "s2")
				c.eventually("the source lets go of it", func() bool { return c.keepers["k-s1"].Stats().MovesOut == 1 })
			})
			bank.check(t, c.rest(), 300, all)
			for name, k := range c.keepers {
				if s := k.Stats(); s.Reigns != 1 || s.MovesTaken != 0 {
					t.Errorf("keeper %s: %d reigns, %d moves taken back", name, s.Reigns, s.MovesTaken)
				}
			}
		})
	}
}

// abdication ends a leadership while its keeper reigns; it is not elected again.
type abdication struct {
	shardrouter.Election
	shard string
	l     atomic.Pointer[shardrouter.Leadership]
}

func (a *abdication) Elect(ctx context.Context, shard, me string) (*shardrouter.Leadership, error) {
	if shard == a.shard && a.l.Load() != nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	l, err := a.Election.Elect(ctx, shard, me)
	if shard == a.shard {
		a.l.Store(l)
	}
	return l, err
}

// lastMap is a map that is not seen to change any more.
type lastMap struct {
	shardrouter.Source
	cut atomic.Bool
}

func (m *lastMap) Watch(ctx context.Context, fn func(*shardrouter.Map)) {
	m.Source.Watch(ctx, func(now *shardrouter.Map) {
		if !m.cut.Load() {
			fn(now)
		}
	})
}

// TestFirstPartitionNeedsTheLog: a shard without partitions gets its first one, and at that moment its keeper is cut off, from the
// journal and from ZooKeeper, so that it does not know whether the map says so. It may have a successor: when its lease is over, its
// shard answers nobody.
func TestFirstPartitionNeedsTheLog(t *testing.T) {
	l, ended, seen := &mute{}, &between{}, &lastMap{}
	lead := &abdication{shard: "s2"}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2,
		journalOf: func(name string, log journal.Log) journal.Log {
			if name != "k-s2" {
				return log
			}
			l.Log = log
			return l
		},
		config: func(k *Config) {
			if k.Lease = 200 * time.Millisecond; k.Shard == "s2" {
				ended.kept, seen.Source, lead.Election = k.Moves, k.Map, k.Election
				k.Moves, k.Map, k.Election = ended, seen, lead
			}
		}})
	ended.end = func(ctx context.Context, as shardrouter.Move, change func(*shardrouter.Map) (*shardrouter.Map, error)) error {
		if as.Partition == 1 { // the way to the test's beginning
			return c.static.EndMove(ctx, as, change)
		}
		if !seen.cut.Swap(true) {
			l.away.Store(true)
			lead.l.Load().Resign()
			if err := c.static.EndMove(ctx, as, change); err != nil {
				return err
			}
		}
		return fmt.Errorf("%w: cut off", shardrouter.ErrUnavailable)
	}
	c.keepAll()
	b := c.bank(1, 100)
	c.moveTo(1, "s1") // s2 is empty
	c.moveTo(0, "s2")
	a := c.asker()
	look := journal.Row{Op: journal.OpRead, Account: b.customers[0]}
	c.eventually("the lease is over", func() bool { return a.ask(0, look).Status == journal.ShardUnavailable })
}

// TestMoveIntoAFullShard is given up before the partitions that are there are refused anything, says why, and leaves nothing behind.
func TestMoveIntoAFullShard(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2})
	c.keepAll()
	b := c.bank(2, 1000)
	a := c.asker()
	text := []byte(`{"id":"` + strings.Repeat("x", 50_000) + `"}`)
	for i := range 600 { // 30 MB
		h := c.account(0, fmt.Sprint("large", i))
		if o := a.sure(0, journal.Row{Op: journal.OpOpen, Account: h, Text: text}); o.Status != journal.Opened {
			t.Fatal(o.Status)
		}
	}
	s2 := c.shard(1)
	before, err := s2.Health(t.Context())
	c.must(err)
	c.redisCLI(1, "config", "set", "maxmemory", fmt.Sprint(before.Used+20<<20))
	ctx, stop := context.WithCancel(t.Context())
	refused, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		others := c.asker()
		for i := 0; ctx.Err() == nil; i++ {
			s := others.move(b.customers[2], b.customers[3], fmt.Sprint("meanwhile", i), 1, others.ask)
			if s != journal.Confirmed && s != journal.InsufficientFunds {
				refused++
				t.Log(s)
			}
		}
	}()
	c.must(shardrouter.RequestMove(t.Context(), c.static, 0, "s2"))
	c.eventually("it is given up", func() bool {
		moves, err := c.static.Moves(t.Context())
		c.must(err)
		return moves[0].State == shardrouter.MoveFailed && strings.Contains(moves[0].Reason, "no room")
	})
	stop()
	<-done
	if refused > 0 {
		t.Errorf("%d rows of the shard's own partition were refused", refused)
	}
	asides, err := s2.Asides(t.Context())
	c.must(err)
	if len(asides) > 0 {
		t.Errorf("there are records left: %+v", asides)
	}
	c.redisCLI(1, "config", "set", "maxmemory", "0")
	c.moveTo(0, "s2")
	c.rest()
}

// TestFollowingCostsWhatHasChanged: a partition that arrives is followed with what its events touch. The filter of what was evicted,
// megabytes, is written once; what is evicted while it is followed is in the shard's filter all the same.
func TestFollowingCostsWhatHasChanged(t *testing.T) {
	s, err := luascripts.Open(luascripts.Config{Addr: local.Redis(t).Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	b := journal.NewBook(1, 2)
	h := journal.HandleOf("somebody")
	key := func(n int) (id journal.ID) {
		for i := 0; ; i++ {
			if id = journal.IDOf(h, fmt.Sprint(n, " ", i)); id.Partition(2) == 1 {
				return id
			}
		}
	}
	set := func(n int) {
		b.State.SetKey(key(n), journal.KeyRecord{Status: journal.Confirmed, Op: journal.OpTransfer, Epoch: 1, Seq: uint64(n + 1), TimeMS: int64(n), Content: make([]byte, 25)})
	}
	for n := range 3000 {
		set(n)
	}
	b.State.Evict(2000)
	if err := s.Admit(t.Context(), 0, 0); err != nil {
		t.Fatal(err)
	}
	l, err := s.Join(t.Context(), 0, 1, 2)
	if err == nil {
		err = l.Write(t.Context(), b, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := newDelta(b)
	set(3000)
	set(3001)
	b.State.Evict(3001)
	b.EvictedMS = 3001
	changed := d.take()
	if m := changed.State.(*journal.Memory); m.Filter.Blocks() > 0 || len(m.Keys) != 2 {
		t.Errorf("a pass writes %d blocks of the filter and %d keys, 2 are new", m.Filter.Blocks(), len(m.Keys))
	}
	err = l.Write(t.Context(), changed, false)
	if b.Epoch = 1; err == nil {
		err = l.Serve(t.Context(), b)
	}
	if err != nil {
		t.Fatal(err)
	}
	dump, err := s.Dump(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if there := &dump[1].State.(*journal.Memory).Filter; !there.Covers(&d.Memory.Filter) || !there.Has(key(3000)) {
		t.Error("the shard's filter does not know all that was evicted")
	}
}

// large is a shard with so many accounts of one partition.
type large struct {
	*luascripts.Shard
	accounts int
}

func (l large) DumpPart(_ context.Context, partition, partitions int, _ bool) (*journal.Book, error) {
	b := journal.NewBook(partition, partitions)
	for i := range l.accounts {
		b.State.SetAccount(journal.Handle(fmt.Appendf(nil, "%012d", i)), journal.Account{})
	}
	return b, nil
}

// TestLargePartitionsAreNotSummedUp while they are frozen: both sides would take longer than anybody should wait.
func TestLargePartitionsAreNotSummedUp(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1})
	for n, compared := range map[int]bool{digestRecords: true, digestRecords + 1: false} {
		r := &reign{Keeper: &Keeper{cfg: Config{Partitions: 1, Moves: c.static}.withDefaults()}, shard: large{accounts: n}}
		if is := r.digest(t.Context(), 0) != ""; is != compared {
			t.Errorf("%d records are compared: %v", n, is)
		}
	}
}
