package keeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// bank opens an issuing account and some customers in every partition, each with money.
type bank struct {
	c         *cluster
	issuers   []journal.Handle
	customers []journal.Handle
}

func (c *cluster) bank(perPartition int, money journal.Amount) *bank {
	b := &bank{c: c}
	a := c.asker()
	for p := range c.partitions {
		issuer := c.account(p, "issuer")
		a.open(issuer, journal.Issuance)
		b.issuers = append(b.issuers, issuer)
		for i := range perPartition {
			h := c.account(p, fmt.Sprint("customer", i))
			a.open(h, 0)
			if s := a.move(issuer, h, "fund-"+fmt.Sprint(i), money, a.sure); s != journal.Confirmed {
				c.Fatalf("fund: %v", s)
			}
			b.customers = append(b.customers, h)
		}
	}
	return b
}

// moved is a transfer that was answered.
type moved struct {
	id       journal.ID
	from, to journal.Handle
	amount   journal.Amount
	status   journal.Status
}

// trade makes transfers at random until told to stop, each asked again until it has a definite answer.
func (b *bank) trade(ctx context.Context, worker int, rng *rand.Rand) (done []moved) {
	a := b.c.asker()
	for i := 0; ctx.Err() == nil; i++ {
		from, to := b.customers[rng.IntN(len(b.customers))], b.customers[rng.IntN(len(b.customers))]
		if from == to {
			continue
		}
		key := fmt.Sprintf("w%d-%d", worker, i)
		m := moved{id: journal.IDOf(from, key), from: from, to: to, amount: journal.Amount(1 + rng.IntN(30))}
		m.status = a.move(from, to, key, m.amount, a.sure)
		done = append(done, m)
	}
	return done
}

// run trades with some workers while something happens, and answers all that was done.
func (b *bank) run(workers int, meanwhile func()) (all []moved) {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	done := make([][]moved, workers)
	for w := range workers {
		wg.Go(func() { done[w] = b.trade(ctx, w, rand.New(rand.NewPCG(uint64(w), 9))) })
	}
	meanwhile()
	stop()
	wg.Wait()
	for _, d := range done {
		all = append(all, d...)
	}
	return all
}

// check holds the log against what clients were told.
func (b *bank) check(t *testing.T, in *books, funded journal.Amount, all []moved) {
	t.Helper()
	want := map[journal.Handle]journal.Amount{}
	for _, h := range b.customers {
		want[h] = funded
	}
	confirmed := 0
	for _, m := range all {
		switch m.status {
		case journal.Confirmed:
			confirmed++
			want[m.from] -= m.amount
			want[m.to] += m.amount
		case journal.InsufficientFunds:
		default:
			t.Errorf("a transfer was answered %v", m.status)
		}
		if got := in.key(m.id); got != m.status {
			t.Errorf("a client was told %v, the log says %v", m.status, got)
		}
	}
	for h, w := range want {
		if got := in.account(h); got.Available != w || got.Reserved != 0 {
			t.Errorf("account %x has %d and %d reserved, its transfers say %d", h, got.Available, got.Reserved, w)
		}
	}
	t.Logf("%d transfers, %d confirmed, %d events, %d stale records", len(all), confirmed, in.events, in.stale)
	if confirmed == 0 {
		t.Error("nothing was confirmed: the test shows nothing")
	}
}

// TestWallet: transfers within and across partitions and shards; reservations with every end they can have.
func TestWallet(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 8})
	c.keepAll()
	b := c.bank(2, 1000)
	var wg sync.WaitGroup
	var captured, back atomic.Int64
	for w := range 4 {
		wg.Go(func() {
			a := c.asker()
			rng := rand.New(rand.NewPCG(uint64(w), 5))
			for i := range 25 {
				from, to := b.issuers[rng.IntN(8)], b.issuers[rng.IntN(8)]
				if from == to {
					continue
				}
				payer := c.account(from.Partition(8), fmt.Sprint("holder", w, i))
				a.open(payer, 0)
				a.move(from, payer, fmt.Sprint("h", w, i), 100, a.sure)
				id := journal.IDOf(payer, "r")
				o := a.sure(payer.Partition(8), journal.Row{Op: journal.OpReserve, ID: id, Account: payer, Amount: 60, ExpiresInS: 3600})
				if o.Status != journal.Tried {
					t.Errorf("reserve: %v", o.Status)
				}
				switch i % 3 {
				case 0: // in two parts, the second takes what remains
					if s := a.capture(id, to, "c1", 25, false); s != journal.Tried {
						t.Errorf("first capture: %v", s)
					}
					if s := a.capture(id, to, "c2", 0, true); s != journal.Confirmed {
						t.Errorf("second capture: %v", s)
					}
					captured.Add(60)
				case 1: // a part, the rest goes back
					if s := a.capture(id, to, "c1", 10, true); s != journal.Confirmed {
						t.Errorf("capture: %v", s)
					}
					captured.Add(10)
				case 2:
					if o := a.sure(id.Partition(8), journal.Row{Op: journal.OpCancel, ID: id}); o.Status != journal.Cancelled && o.Status != journal.OK {
						t.Errorf("cancel: %v", o.Status)
					}
					back.Add(60)
				}
			}
		})
	}
	all := b.run(8, wg.Wait)
	in := c.rest()
	b.check(t, in, 1000, all)
	legs := 0
	for _, l := range in.legs {
		legs += len(l)
	}
	if legs == 0 || captured.Load() == 0 || back.Load() == 0 {
		t.Errorf("%d legs, %d captured, %d back: the test shows less than it should", legs, captured.Load(), back.Load())
	}
	for name, k := range c.keepers {
		if s := k.Stats(); s.Reservations != 0 || len(s.Channels) != 0 || s.Counts.Rewinds != 0 || s.Reigns != 1 {
			t.Errorf("keeper %s: %+v", name, s)
		}
	}
}

// TestNothingIsAnsweredWithoutAKeeper: rows run, nobody makes them durable, nobody is answered.
func TestNothingIsAnsweredWithoutAKeeper(t *testing.T) {
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
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2, redisArgs: []string{"--maxmemory-policy", "allkeys-lru"}})
	k := c.keep(0, "k")
	c.eventually("it says why it waits", func() bool { return k.Stats().State == Waiting })
	c.redisCLI(0, "config", "set", "maxmemory-policy", "noeviction")
	c.eventually("it serves", func() bool { return k.Stats().State == Serving })
}

// TestShardWithAnotherHistoryIsRebuilt: what a keeper finds in a shard is believed only when it continues the log.
func TestShardWithAnotherHistoryIsRebuilt(t *testing.T) {
	for _, tc := range []struct {
		what    string
		spoil   func(c *cluster, s *luascripts.Shard)
		adopted uint64
	}{
		{"as it was", func(*cluster, *luascripts.Shard) {}, 1},
		{"empty", func(c *cluster, s *luascripts.Shard) { c.must(s.Wipe(c.Context())) }, 0},
		{"behind", func(c *cluster, s *luascripts.Shard) {
			c.must(s.Wipe(c.Context()))
			c.must(s.Load(c.Context(), c.older(0), c.older(1)))
		}, 0},
		{"ahead without an outbox", func(c *cluster, s *luascripts.Shard) {
			b := c.fold()
			b.book[0].Seq += 5
			c.must(s.Wipe(c.Context()))
			c.must(s.Load(c.Context(), b.book[0], b.book[1]))
		}, 0},
		{"of an epoch that never started", func(c *cluster, s *luascripts.Shard) {
			b := c.fold()
			for _, book := range b.book {
				book.Epoch = 1000
			}
			c.must(s.Wipe(c.Context()))
			c.must(s.Load(c.Context(), b.book...))
		}, 0},
		{"other events in the outbox", func(c *cluster, s *luascripts.Shard) {
			// The same state, and then other events than the log's last.
			older := []*journal.Book{c.older(0), c.older(1)}
			for _, book := range older {
				book.Epoch = c.static.Current().Partitions[0].Epoch
			}
			c.must(s.Wipe(c.Context()))
			c.must(s.Load(c.Context(), older...))
			var t luascripts.Train
			for p, book := range older {
				t.Section(p, book.Epoch)
				t.Add((&journal.Row{Op: journal.OpOpen, Account: c.account(p, "stranger"), Text: []byte(`{}`)}).Append(nil))
			}
			_, err := s.Run(c.Context(), &t)
			c.must(err)
		}, 0},
		{"a partition gone", func(c *cluster, s *luascripts.Shard) {
			b := c.fold()
			c.must(s.Wipe(c.Context()))
			c.must(s.Load(c.Context(), b.book[1]))
		}, 0},
	} {
		t.Run(tc.what, func(t *testing.T) {
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

// TestShardAheadIsAdopted: events that no keeper had journaled are, by the next one, in the epoch in which they ran.
func TestShardAheadIsAdopted(t *testing.T) {
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

// quiet hears outcomes and keeps nothing.
type quiet struct{ answered atomic.Int64 }

func (q *quiet) Settle(outs []rows.Outcome) { q.answered.Add(int64(len(outs))) }

// TestLostRepliesInTheWallet: replies are lost between lanes and shards while money moves across them.
func TestLostRepliesInTheWallet(t *testing.T) {
	var proxies []*faultproxy.Proxy
	direct := map[string]string{}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 4, via: func(addr string) string {
		p := faultproxy.ForTest(t, addr)
		proxies = append(proxies, p)
		direct[p.Addr()] = addr
		return p.Addr()
	}, config: func(k *Config) {
		k.Open = func(addr string) (*luascripts.Shard, error) {
			return luascripts.Open(luascripts.Config{Addr: direct[addr]})
		}
	}})
	c.keepAll()
	b := c.bank(2, 500)
	all := b.run(6, func() {
		for i := range 30 {
			gone := proxies[i%2].DropNextReply(isTrain)
			select {
			case <-gone:
			case <-time.After(patience):
				t.Error("no train came by")
			}
		}
	})
	b.check(t, c.rest(), 500, all)
	if n := proxies[0].Counts().DroppedReplies + proxies[1].Counts().DroppedReplies; n != 30 {
		t.Errorf("%d replies were lost", n)
	}
}

func isTrain(request []byte) bool {
	head := string(request[:min(len(request), 64)])
	for i := 0; i+7 <= len(head); i++ {
		if head[i:i+7] == "evalsha" {
			return true
		}
	}
	return false
}

// TestExpiry: an open reservation ends by itself when its time is over; one that ended before is let alone.
func TestExpiry(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2})
	c.keepAll()
	b := c.bank(1, 100)
	a := c.asker()
	payer, payee := b.customers[0], b.customers[1]
	reserve := func(key string, seconds uint32) journal.ID {
		id := journal.IDOf(payer, key)
		if o := a.sure(0, journal.Row{Op: journal.OpReserve, ID: id, Account: payer, Amount: 10, ExpiresInS: seconds}); o.Status != journal.Tried {
			t.Fatal(o.Status)
		}
		return id
	}
	short, captured, cancelled, long := reserve("short", 1), reserve("captured", 1), reserve("cancelled", 1), reserve("long", 3600)
	if s := a.capture(captured, payee, "c", 0, true); s != journal.Confirmed {
		t.Fatal(s)
	}
	a.sure(0, journal.Row{Op: journal.OpCancel, ID: cancelled})
	if n := c.keepers["k-s1"].Stats().Reservations; n != 2 {
		t.Errorf("%d are open", n)
	}
	c.stopKeepers() // what is open is known to the next keeper, too
	k := c.keep(0, "next")
	c.eventually("it has expired", func() bool { return k.Stats().Expired == 1 })
	in := c.rest()
	for id, want := range map[journal.ID]journal.Status{short: journal.Expired, captured: journal.Confirmed, cancelled: journal.Cancelled, long: journal.Tried} {
		if r, _ := in.book[0].State.Reservation(id); r.Status != want {
			t.Errorf("a reservation is %v, want %v", r.Status, want)
		}
	}
	if acc := in.account(payer); acc.Available != 100-10-10 || acc.Reserved != 10 {
		t.Errorf("the payer has %d, %d reserved", acc.Available, acc.Reserved)
	}
	if n := k.Stats().Reservations; n != 1 {
		t.Errorf("%d are open", n)
	}
}

// TestEmptyDeliveries: a destination that gets no legs is told now and then how far its source is.
func TestEmptyDeliveries(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2})
	c.keepAll()
	b := c.bank(1, 100)
	late := &quiet{}
	const n = emptyAfter + 500
	stage := rows.NewStage(2)
	for i := range n {
		stage.Add(0, &journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(b.issuers[0], fmt.Sprint(i)), Account: b.issuers[0], To: b.customers[0], Amount: 1}, late, 0)
	}
	c.lanes.Submit(stage)
	c.eventually("all are answered", func() bool { return late.answered.Load() == n })
	c.eventually("the other partition was told", func() bool { return c.fold().book[1].State.Delivered(0) >= emptyAfter })
	if in := c.rest(); len(in.legs) != 0 {
		t.Errorf("there were legs: %v", in.legs)
	}
}

// TestLostLeadershipEndsTheReign, and another one begins, in a later epoch.
func TestLostLeadershipEndsTheReign(t *testing.T) {
	e := &elections{}
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2, config: func(k *Config) { e.Election, k.Election = k.Election, e }})
	c.keepAll()
	k := c.keepers["k-s1"]
	first := k.Stats().Epoch
	e.end()
	c.eventually("it reigns again", func() bool { s := k.Stats(); return s.State == Serving && s.Epoch > first })
	c.bank(1, 100)
	c.rest()
}

// elections remembers the leadership that it gave.
type elections struct {
	shardrouter.Election
	mu   sync.Mutex
	last *shardrouter.Leadership
}

func (e *elections) Elect(ctx context.Context, shard, me string) (*shardrouter.Leadership, error) {
	l, err := e.Election.Elect(ctx, shard, me)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = l
	return l, err
}

func (e *elections) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last.Resign()
}

// TestDamagedJournalIsNotServed: nothing is rebuilt from a log that is not what keepers wrote.
func TestDamagedJournalIsNotServed(t *testing.T) {
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
