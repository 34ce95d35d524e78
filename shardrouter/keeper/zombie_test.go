package keeper

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/kafkalog"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// gate is a log whose appends of events can be held up, as those of a process that is frozen between reading its outbox
// and writing.
type gate struct {
	journal.Log
	mu      sync.Mutex
	closed  bool
	arrived chan struct{} // somebody waits at the gate
	open    chan struct{}
}

func newGate(l journal.Log) *gate {
	return &gate{Log: l, arrived: make(chan struct{}, 1), open: make(chan struct{})}
}

func (g *gate) shut() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
}

func (g *gate) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	if closed {
		select {
		case g.arrived <- struct{}{}:
		default:
		}
		<-g.open // a frozen process does not see its context end
	}
	return g.Log.Append(context.WithoutCancel(ctx), records)
}

// once is an election that its candidate wins once and never again.
type once struct {
	shardrouter.Election
	mu  sync.Mutex
	won bool
}

func (o *once) Elect(ctx context.Context, shard, me string) (*shardrouter.Leadership, error) {
	o.mu.Lock()
	won := o.won
	o.won = true
	o.mu.Unlock()
	if won {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return o.Election.Elect(ctx, shard, me)
}

// acknowledged remembers what a keeper said was durable.
type acknowledged struct {
	mu    sync.Mutex
	marks map[int]luascripts.Mark
}

func (a *acknowledged) note(marks []luascripts.Mark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.marks == nil {
		a.marks = map[int]luascripts.Mark{}
	}
	for _, m := range marks {
		a.marks[m.Partition] = m
	}
}

func (a *acknowledged) of(partition int) luascripts.Mark {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.marks[partition]
}

// testZombie freezes a keeper between reading and appending, lets another take over, and thaws it.
func testZombie(t *testing.T, log journal.Log) {
	var g *gate
	said := map[string]*acknowledged{"old": {}, "new": {}}
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2, log: log,
		journalOf: func(name string, l journal.Log) journal.Log {
			if name != "old" {
				return l
			}
			g = newGate(l)
			return g
		},
		config: func(k *Config) {
			lanes, note := k.Marks, said[k.Name].note
			k.Marks = func(m []luascripts.Mark) { note(m); lanes(m) }
			if k.Name == "old" {
				k.Election = &once{Election: k.Election}
			}
		},
	})
	old := c.keep(0, "old")
	c.eventually("the first serves", func() bool { return old.Stats().State == Serving })
	b := c.bank(1, 100)
	c.rest()
	before := said["old"].of(0)

	g.shut()
	stage, late := rows.NewStage(2), &quiet{}
	for i := range 20 {
		from, to := b.issuers[0], b.customers[0]
		stage.Add(0, &journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(from, fmt.Sprint(i)), Account: from, To: to, Amount: 1}, late, 0)
	}
	c.lanes.Submit(stage)
	select {
	case <-g.arrived: // it has read them, and is about to append
	case <-time.After(patience):
		t.Fatal("nothing came to the gate")
	}
	if n := late.answered.Load(); n != 0 {
		t.Fatalf("%d answered before they were appended", n)
	}

	young := c.keep(0, "new")
	c.eventually("the second serves", func() bool { return young.Stats().State == Serving })
	if s := young.Stats(); s.Adopted != 1 {
		t.Errorf("it rebuilt a shard that was ahead: %+v", s)
	}
	a := c.asker()
	if s := a.move(b.issuers[0], b.customers[0], "after", 1, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	c.eventually("the second has journaled them", func() bool { return young.Stats().Marks != nil && said["new"].of(0).Seq >= before.Seq+21 })

	close(g.open) // the zombie appends now
	c.eventually("the first notices", func() bool { s := old.Stats(); return s.State == Electing && s.Reigns == 1 })
	if after := said["old"].of(0); after != before {
		t.Errorf("the zombie acknowledged %+v, behind %+v", after, before)
	}
	c.eventually("all are answered", func() bool { return late.answered.Load() == 20 })
	a.move(b.customers[0], b.customers[1], "more", 1, a.sure)
	in := c.rest()
	if in.stale == 0 {
		t.Error("the zombie's frame is not in the log: the test shows nothing")
	}
	if got := in.account(b.customers[0]).Available; got != 100+20+1-1 {
		t.Errorf("%d", got)
	}
	if s := young.Stats(); s.Reigns != 1 || s.State != Serving {
		t.Errorf("the second did not go on: %+v", s)
	}
}

// TestZombieKeeper on this machine's log and on Kafka: fencing is the log's order, whatever keeps it.
func TestZombieKeeper(t *testing.T) {
	t.Run("filelog", func(t *testing.T) { testZombie(t, nil) })
	t.Run("kafka", func(t *testing.T) { testZombie(t, kafkaLog(t, 2)) })
}

// kafkaLog is a topic of its own on a real broker.
func kafkaLog(t *testing.T, partitions int) journal.Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := kafkalog.Config{Brokers: []string{local.SharedKafka(t).Addr}, Topic: fmt.Sprintf("keeper-%x", time.Now().UnixNano()), Partitions: partitions, Replicas: 1, Dev: true}
	if err := kafkalog.CreateTopic(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	l, err := kafkalog.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestWalletOnKafka: shards die and keepers come and go, with Kafka as the journal.
func TestWalletOnKafka(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 4, log: kafkaLog(t, 4)})
	c.keepAll()
	b := c.bank(1, 500)
	all := b.run(6, func() {
		c.redis[0].Kill()
		c.must(c.redis[0].Restart(t.Context()))
		if err := c.keepers["k-s2"].stop(); err == nil {
			t.Error("a keeper ended by itself")
		}
		c.keep(1, "k-s2")
		c.eventually("both serve again", func() bool {
			one, two := c.keepers["k-s1"].Stats(), c.keepers["k-s2"].Stats()
			return one.State == Serving && one.Rebuilt == 2 && two.State == Serving
		})
		time.Sleep(200 * time.Millisecond) // traffic
	})
	b.check(t, c.rest(), 500, all)
}
