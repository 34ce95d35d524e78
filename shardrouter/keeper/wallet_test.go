package keeper

import (
	"bytes"
	"context"
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
		k.Open = func(addr string) (Shard, error) {
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
	return bytes.Contains(request[:min(len(request), 64)], []byte("fcall"))
}

// TestExpiry: an open reservation ends by itself when its time is over; one that ended before is let alone.
func TestExpiry(t *testing.T) {
	t.Parallel() // it mostly waits
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
	t.Parallel() // it mostly waits
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
