package lane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/journal"
	"walletd/journal/rows"
)

// TestPartitionThatDoesNotServe: rows wait for a map with another epoch; without one they are refused, nothing moved.
func TestPartitionThatDoesNotServe(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(*world)
		heal  func(*world)
	}{
		{"another epoch", func(w *world) { w.load(0, 2) }, func(w *world) { w.republish(0, 2, "") }},
		{"came back empty", func(w *world) {
			if err := w.shards[0].Wipe(w.Context(), 1<<32-1); err != nil {
				w.Fatal(err)
			}
		}, func(w *world) { w.load(0, 2); w.republish(0, 2, "") }},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t, 1, nil, func(c *Config) { c.RetryFor = 400 * time.Millisecond })
			w.durable()
			c.spoil(w)
			open := journal.Row{Op: journal.OpOpen, Account: account(1, "a"), Text: []byte(`{}`)}
			unserved := func() {
				t.Helper()
				began := time.Now()
				if o := w.ask(1, open); o.Status != journal.ShardUnavailable {
					t.Fatalf("without another map: %v", o.Status)
				}
				if took := time.Since(began); took < 300*time.Millisecond {
					t.Errorf("refused after %v", took)
				}
			}
			unserved()
			if c.what == "came back empty" { // and serves for a while: then it is waited for again
				w.load(0, 1)
				w.eventually("it serves", func() bool { return w.ask(1, journal.Row{Op: journal.OpRead}).Status == journal.AccountNotFound })
				c.spoil(w)
				unserved()
			}
			// The next owner's map comes while rows wait.
			w2 := newWorld(t, 1, nil, nil)
			w2.durable()
			c.spoil(w2)
			s := newSink()
			w2.send(s, 1, open)
			w2.send(s, 2, journal.Row{Op: journal.OpOpen, Account: account(2, "a"), Text: []byte(`{}`)})
			w2.eventually("both were refused", func() bool { return w2.stats().Refused >= 2 })
			c.heal(w2)
			for tag, o := range s.wait(t, 2) {
				if o.Status != journal.Opened || o.Position.Epoch != 2 {
					t.Errorf("row %d: %v in epoch %d", tag, o.Status, o.Position.Epoch)
				}
			}
		})
	}
}

// TestShardThatAdmitsNoTrain: it lost its library, by a restart or by somebody's hand. Rows wait for the next epoch; without
// one they are refused. Nothing runs, though the partitions are there, in the epoch that the map shows.
func TestShardThatAdmitsNoTrain(t *testing.T) {
	w := newWorld(t, 1, nil, func(c *Config) { c.RetryFor = 400 * time.Millisecond })
	bank, shop := w.open(1, "bank", journal.Issuance), w.open(1, "shop", 0)
	w.durable()
	w.redisCLI(0, "function", "flush")
	began := time.Now()
	if o := w.ask(1, transfer(bank, shop, "a", 1)); o.Status != journal.ShardUnavailable {
		t.Errorf("without another map: %v", o.Status)
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("refused after %v", took)
	}
	if got := w.available(shop); got != 0 {
		t.Errorf("%d moved", got)
	}

	// The next owner's map comes while rows wait.
	w = newWorld(t, 1, nil, nil)
	w.durable()
	w.redisCLI(0, "function", "flush")
	s := newSink()
	open := journal.Row{Op: journal.OpOpen, Account: account(1, "a"), Text: []byte(`{}`)}
	tag := w.send(s, 1, open)
	w.eventually("it was tried", func() bool { return w.stats().Faults > 0 })
	w.load(0, 2)
	w.republish(0, 2, "")
	if o := s.wait(t, 1)[tag]; o.Status != journal.Opened || o.Position.Epoch != 2 {
		t.Errorf("in the next epoch: %v in %d", o.Status, o.Position.Epoch)
	}
}

// TestShardThatForgot: data of before, in the epoch that is served, in a process that admits it. Its new events take seqs that
// are durable already, so that their outcomes would leave at once, and nobody would journal them.
func TestShardThatForgot(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	w.open(1, "a", 0)
	w.open(1, "b", 0)
	w.durable()
	w.load(0, 1) // empty
	if o := w.ask(1, journal.Row{Op: journal.OpOpen, Account: account(1, "c"), Text: []byte(`{}`)}); o.Status != journal.OutcomeUnknown {
		t.Errorf("an act: %v", o.Status)
	}
	if o := w.ask(1, journal.Row{Op: journal.OpRead, Account: account(1, "a")}); o.Status != journal.ShardUnavailable {
		t.Errorf("a read: %v", o.Status)
	}
	if o := w.ask(2, journal.Row{Op: journal.OpOpen, Account: account(2, "c"), Text: []byte(`{}`)}); o.Status != journal.Opened {
		t.Errorf("another partition: %v", o.Status)
	}
}

// TestLaneWithAnOldMap gets nothing executed after a takeover, whatever the shard holds.
func TestLaneWithAnOldMap(t *testing.T) {
	w := newWorld(t, 1, nil, func(c *Config) { c.RetryFor = 200 * time.Millisecond })
	bank, shop := w.open(1, "bank", journal.Issuance), w.open(1, "shop", 0)
	w.durable()
	if was, err := w.shards[0].Stop(t.Context(), 1); err != nil || !was {
		t.Fatal(was, err)
	}
	if err := w.shards[0].Admit(t.Context(), 2, forever); err != nil { // the partitions are in epoch 1 still: not they hold it back
		t.Fatal(err)
	}
	if o := w.ask(1, transfer(bank, shop, "a", 1)); o.Status != journal.ShardUnavailable {
		t.Errorf("%v", o.Status)
	}
	if got := w.available(shop); got != 0 {
		t.Errorf("%d moved", got)
	}
}

// TestOthersInTheTrainGoOn: a partition that does not serve holds nobody else up.
func TestOthersInTheTrainGoOn(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	w.durable()
	b := journal.NewBook(1, partitions)
	b.Epoch = 2
	if err := w.shards[0].Load(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s := newSink()
	for p := range partitions {
		w.tag++
		w.stage.Add(p, &journal.Row{Op: journal.OpOpen, Account: account(p, "a"), Text: []byte(`{}`)}, s, uint64(p))
	}
	w.lanes.Submit(w.stage)
	outs := s.wait(t, partitions-1)
	if _, ok := outs[1]; ok {
		t.Fatalf("partition 1: %v", outs[1].Status)
	}
	if err := w.shards[0].Admit(t.Context(), 2, forever); err != nil {
		t.Fatal(err)
	}
	w.republish(0, 2, "") // of all: now the others do not serve
	for p, o := range s.wait(t, partitions) {
		if o.Status != journal.Opened {
			t.Errorf("partition %d: %v", p, o.Status)
		}
	}
}

// TestFullRedis: what only releases money goes on, the rest is refused at once, and nothing moved.
func TestFullRedis(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	bank := w.open(1, "bank", journal.Issuance)
	fund := w.open(1, "fund", 0)
	w.durable()
	w.ask(1, transfer(bank, fund, "fund", 100))
	r := journal.IDOf(fund, "r")
	w.ask(1, journal.Row{Op: journal.OpReserve, ID: r, Account: fund, Amount: 10, ExpiresInS: 60})
	w.redisCLI(0, "config", "set", "maxmemory", "1")
	s := newSink()
	w.tag += 2
	w.stage.Add(1, &journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(fund, "t"), Account: fund, To: bank, Amount: 1}, s, 1)
	w.stage.Add(1, &journal.Row{Op: journal.OpCancel, ID: r}, s, 2)
	w.stage.Add(2, &journal.Row{Op: journal.OpDeliver, Source: 1, From: 9, UpTo: 9}, s, 3)
	w.stage.Add(3, &journal.Row{Op: journal.OpRead, Account: account(3, "x")}, s, 4)
	w.lanes.Submit(w.stage)
	outs := s.wait(t, 4)
	for tag, want := range map[uint64]journal.Status{1: journal.Overloaded, 2: journal.Cancelled, 3: journal.DeliveryGap, 4: journal.AccountNotFound} {
		if outs[tag].Status != want {
			t.Errorf("row %d: %v, want %v", tag, outs[tag].Status, want)
		}
	}
	w.redisCLI(0, "config", "set", "maxmemory", "0")
	if o := w.ask(1, transfer(fund, bank, "t", 1)); o.Status != journal.Confirmed || o.Replayed {
		t.Errorf("with room again: %v, replayed %t", o.Status, o.Replayed)
	}
}

// TestReadOnlyShard: a shard that became a replica refuses; that heals without another map, too.
func TestReadOnlyShard(t *testing.T) {
	w := newWorld(t, 1, nil, func(c *Config) { c.RetryFor = 300 * time.Millisecond })
	w.durable()
	w.redisCLI(0, "config", "set", "min-replicas-to-write", "1")
	if o := w.ask(1, journal.Row{Op: journal.OpOpen, Account: account(1, "a"), Text: []byte(`{}`)}); o.Status != journal.ShardUnavailable {
		t.Errorf("%v", o.Status)
	}
	s := newSink()
	w.redisCLI(0, "config", "set", "min-replicas-to-write", "0")
	w.send(s, 1, journal.Row{Op: journal.OpOpen, Account: account(1, "b"), Text: []byte(`{}`)})
	if o := s.wait(t, 1)[w.tag]; o.Status != journal.Opened {
		t.Errorf("healed: %v", o.Status)
	}
}

// TestEveryRowIsAnsweredOnce: many producers, faults of every kind, the end in the middle of it: each row is settled
// exactly once, and what was acknowledged is there.
func TestEveryRowIsAnsweredOnce(t *testing.T) {
	proxies := []*faultproxy.Proxy{}
	w := newWorld(t, 2, func(addr string) string {
		p := faultproxy.ForTest(t, addr)
		proxies = append(proxies, p)
		return p.Addr()
	}, func(c *Config) {
		quick(c)
		c.RetryFor, c.UnsureFor, c.HeldFor = 100*time.Millisecond, 400*time.Millisecond, 500*time.Millisecond
	})
	banks, shops := make([]journal.Handle, partitions), make([]journal.Handle, partitions)
	for p := range partitions {
		banks[p], shops[p] = w.open(p, "bank", journal.Issuance), w.open(p, "shop", 0)
	}
	w.durable()

	const producers, each = 4, 1500
	sinks := make([]*sink, producers)
	var wg sync.WaitGroup
	for n := range producers {
		sinks[n] = newSink()
		wg.Go(func() {
			stage := rows.NewStage(partitions)
			rng := rand.New(rand.NewPCG(uint64(n), 3))
			for i := range each {
				p := rng.IntN(partitions)
				r := transfer(banks[p], shops[p], fmt.Sprint(n, "-", i), 1)
				if i%7 == 0 {
					r = journal.Row{Op: journal.OpRead, Account: shops[p]}
				}
				stage.Add(p, &r, sinks[n], uint64(i))
				if rng.IntN(20) == 0 {
					w.lanes.Submit(stage)
					time.Sleep(time.Duration(rng.IntN(4)) * time.Millisecond) // spread over the faults
				}
			}
			w.lanes.Submit(stage)
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	var faults sync.WaitGroup
	faults.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			p := proxies[i%2]
			switch i % 5 {
			case 0, 1:
				p.DropNextReply(isTrain)
			case 2:
				p.Cut()
			case 3:
				p.Refuse(true)
				pauseFor(ctx, 150*time.Millisecond)
			case 4:
				p.BlackHole(true)
				pauseFor(ctx, 200*time.Millisecond)
			}
			pauseFor(ctx, 20*time.Millisecond)
			for _, p := range proxies {
				p.Heal()
			}
		}
	})
	wg.Wait()
	stop()
	faults.Wait()
	w.end() // with rows under way
	acknowledged, unknown := 0, 0
	for _, s := range sinks {
		for _, o := range s.wait(t, each) {
			switch {
			case o.Op == journal.OpTransfer && o.Status == journal.Confirmed:
				acknowledged++
			case o.Op == journal.OpTransfer && o.Status == journal.OutcomeUnknown:
				unknown++
			case o.Status != journal.OK && !o.Status.Retryable():
				t.Errorf("%v: %v", o.Op, o.Status)
			}
		}
	}
	moved := 0
	for _, shop := range shops {
		moved += int(w.available(shop))
	}
	if moved < acknowledged || moved > acknowledged+unknown {
		t.Errorf("%d acknowledged, %d unknown, %d moved", acknowledged, unknown, moved)
	}
	if acknowledged == 0 {
		t.Error("nothing was acknowledged: the test shows nothing")
	}
	t.Logf("%d acknowledged, %d unknown, of %d", acknowledged, unknown, producers*each)
}
