package lane

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
)

// config asks a Redis for a setting, as an operator would.
func (w *world) redisCLI(server int, args ...string) string {
	w.Helper()
	host, port, _ := strings.Cut(w.redis[server].Addr, ":")
	out, err := exec.CommandContext(w.Context(), "redis-cli", append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		w.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return string(out)
}

func isTrain(request []byte) bool {
	return bytes.Contains(bytes.ToLower(request[:min(len(request), 64)]), []byte("fcall"))
}

// quick makes clients that give an answer up after a short time.
func quick(c *Config) {
	c.Open = func(addr string, epoch uint32) (Shard, error) {
		return luascripts.Open(luascripts.Config{Addr: addr, Epoch: epoch, ReadTimeout: 150 * time.Millisecond, DialTimeout: 150 * time.Millisecond})
	}
}

// proxied is a world with a proxy before its shard.
func proxied(t *testing.T, change func(*Config)) (*world, *faultproxy.Proxy) {
	var p *faultproxy.Proxy
	w := newWorld(t, 1, func(addr string) string { p = faultproxy.ForTest(t, addr); return p.Addr() }, change)
	return w, p
}

// TestLostRepliesMoveOnce: trains run and their replies are lost, again and again; every transfer happens exactly once.
func TestLostRepliesMoveOnce(t *testing.T) {
	w, proxy := proxied(t, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	w.durable()
	const n = 2000
	s := newSink()
	var dropped []<-chan struct{}
	for i := range n {
		if i%200 == 0 {
			dropped = append(dropped, proxy.DropNextReply(isTrain))
		}
		w.send(s, 1, transfer(bank, shop, fmt.Sprint("k", i), 1))
	}
	outs := s.wait(t, n)
	replayed := 0
	for tag, o := range outs {
		if o.Status != journal.Confirmed {
			t.Fatalf("row %d: %v", tag, o.Status)
		}
		if o.Replayed {
			replayed++
		}
	}
	if got := w.available(shop); got != n {
		t.Errorf("%d moved, want %d", got, n)
	}
	if replayed == 0 || proxy.Counts().DroppedReplies == 0 || w.stats().Unknown == 0 {
		t.Errorf("no reply was lost: %d replayed, %+v of %d", replayed, proxy.Counts(), len(dropped))
	}
}

// TestLostReplyOfEachAct: what each act answers when it ran and its reply was lost.
func TestLostReplyOfEachAct(t *testing.T) {
	w, proxy := proxied(t, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	fund := w.open(1, "fund", 0)
	w.durable()
	if o := w.ask(1, transfer(bank, fund, "fund", 100)); o.Status != journal.Confirmed {
		t.Fatal(o.Status)
	}
	for _, key := range []string{"r1", "r2"} {
		r := journal.Row{Op: journal.OpReserve, Verdict: journal.VerdictLocal, ID: journal.IDOf(fund, key), Account: fund, To: shop, Amount: 10, ExpiresInS: 60}
		if o := w.ask(1, r); o.Status != journal.Tried {
			t.Fatal(o.Status)
		}
	}
	r1, r2 := journal.IDOf(fund, "r1"), journal.IDOf(fund, "r2")
	a, _, err := (func() (journal.Account, []byte, error) {
		o := w.ask(1, journal.Row{Op: journal.OpRead, Account: shop})
		return o.Account()
	})()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what     string
		row      journal.Row
		want     journal.Status
		replayed bool
	}{
		{"transfer", transfer(bank, shop, "t", 5), journal.Confirmed, true},
		{"confirm", journal.Row{Op: journal.OpConfirm, Verdict: journal.VerdictLocal, ID: journal.ConfirmIDOf(r1, "c"), Reservation: r1, To: shop, Final: true}, journal.Confirmed, true},
		{"cancel", journal.Row{Op: journal.OpCancel, ID: r2}, journal.OK, false},
		{"open", journal.Row{Op: journal.OpOpen, Account: account(1, "new"), Text: []byte(`{}`)}, journal.AccountExists, false},
		{"alter", journal.Row{Op: journal.OpAlter, Account: shop, ExpectedStatusSeq: a.StatusSeq, Flags: journal.FrozenSending, Text: []byte(`{}`)}, journal.OutcomeUnknown, false},
		{"transfer of a payer unknown so far", transfer(account(1, "nobody"), shop, "t", 5), journal.OutcomeUnknown, false},
		{"read", journal.Row{Op: journal.OpRead, Account: shop}, journal.OK, false},
	} {
		gone := proxy.DropNextReply(isTrain)
		o := w.ask(1, c.row)
		<-gone
		if o.Status != c.want || o.Replayed != c.replayed {
			t.Errorf("%s: %v replayed %t, want %v replayed %t", c.what, o.Status, o.Replayed, c.want, c.replayed)
		}
	}
	if got := w.available(shop); got != 5+10 {
		t.Errorf("the shop has %d", got)
	}
}

// TestShardOutOfReach: provably nothing moved; rows wait a while for it to come back, then they are refused, and while it
// stays away new rows are refused at once.
func TestShardOutOfReach(t *testing.T) {
	w, proxy := proxied(t, func(c *Config) { c.RetryFor = 500 * time.Millisecond })
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	w.durable()
	proxy.Refuse(true)
	proxy.Cut()

	s := newSink()
	w.send(s, 1, transfer(bank, shop, "back in time", 1))
	w.eventually("it was tried", func() bool { return w.stats().Faults > 1 })
	proxy.Refuse(false)
	if o := s.wait(t, 1)[w.tag]; o.Status != journal.Confirmed {
		t.Fatalf("back in time: %v", o.Status)
	}

	proxy.Refuse(true)
	proxy.Cut()
	began := time.Now()
	if o := w.ask(1, transfer(bank, shop, "away", 2)); o.Status != journal.ShardUnavailable {
		t.Errorf("%v", o.Status)
	}
	if took := time.Since(began); took < 400*time.Millisecond || took > 2*time.Second {
		t.Errorf("refused after %v", took)
	}
	began = time.Now()
	if o := w.ask(2, journal.Row{Op: journal.OpRead, Account: account(2, "any")}); o.Status != journal.ShardUnavailable {
		t.Errorf("%v", o.Status)
	}
	if took := time.Since(began); took > 300*time.Millisecond {
		t.Errorf("a shard known to be away refuses after %v", took)
	}
	proxy.Refuse(false)
	w.eventually("it serves again", func() bool { return w.ask(1, transfer(bank, shop, "again", 4)).Status == journal.Confirmed })
	if got := w.available(shop); got != 5 {
		t.Errorf("the shop has %d", got)
	}
}

// TestAnswerThatNeverComes: the shard may have run the train. It is sent again until a bound, then nobody knows.
func TestAnswerThatNeverComes(t *testing.T) {
	w, proxy := proxied(t, func(c *Config) { quick(c); c.UnsureFor, c.RetryFor = 600*time.Millisecond, 300*time.Millisecond })
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	w.durable()
	w.ask(1, transfer(bank, shop, "warm", 1))
	proxy.BlackHole(true)
	s := newSink()
	first := w.send(s, 1, transfer(bank, shop, "k", 2))
	w.eventually("it is on its way", func() bool { return w.stats().Unknown > 0 })
	second := w.send(s, 1, transfer(bank, shop, "never sent", 4))
	if _, ok := s.wait(t, 1)[second]; !ok {
		t.Error("what was never sent waits for what may have run")
	}
	outs := s.wait(t, 2)
	if outs[first].Status != journal.OutcomeUnknown || outs[second].Status != journal.ShardUnavailable {
		t.Errorf("%v, and what waited behind it %v", outs[first].Status, outs[second].Status)
	}
	proxy.Heal()
	w.eventually("the first can be asked again", func() bool { return w.ask(1, transfer(bank, shop, "k", 2)).Status == journal.Confirmed })
	if got := w.available(shop); got != 3 {
		t.Errorf("the shop has %d", got)
	}
}

// TestElsewhereWhileATrainHangs: a shard has been out of reach for as long as rows wait, and the train that finds that out was sent
// before the map showed another place: nobody is refused, they go there.
func TestElsewhereWhileATrainHangs(t *testing.T) {
	var runs atomic.Int64
	w, proxy := proxied(t, func(c *Config) {
		c.RetryFor = 300 * time.Millisecond
		c.Open = func(addr string, epoch uint32) (Shard, error) {
			s, err := luascripts.Open(luascripts.Config{Addr: addr, Epoch: epoch, ReadTimeout: time.Second})
			return &counted{s, &runs}, err
		}
	})
	w.open(1, "warm", 0)
	proxy.BlackHole(true)
	before := runs.Load()
	s := newSink()
	hangs := w.send(s, 1, opening(account(1, "hangs")))
	w.eventually("it is sent again", func() bool { return runs.Load() == before+2 })
	waits := w.send(s, 1, opening(account(1, "waits")))
	w.load(0, 2)
	w.republish(0, 2, w.redis[0].Addr)
	w.durable()
	if outs := s.wait(t, 2); outs[hangs].Status != journal.Opened || outs[waits].Status != journal.Opened {
		t.Errorf("%v, and what waited behind it %v", outs[hangs].Status, outs[waits].Status)
	}
}

// counted counts the trains that left.
type counted struct {
	*luascripts.Shard
	runs *atomic.Int64
}

func (s *counted) Run(ctx context.Context, t *luascripts.Train) (luascripts.Reply, error) {
	s.runs.Add(1)
	return s.Shard.Run(ctx, t)
}

func opening(h journal.Handle) journal.Row {
	return journal.Row{Op: journal.OpOpen, Account: h, Text: []byte(`{"id":"x"}`)}
}

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
