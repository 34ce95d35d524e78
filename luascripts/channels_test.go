package luascripts

import (
	"fmt"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
)

// Money over channels, end to end in one shard: random pays and captures across four partitions, delivered from the
// outbox as a keeper would, late, repeated and with gaps. When the channels have drained, every account's balance and
// reservation sum up to 0, and each partition has delivered all that the others decided (promises P1 and P9).
func TestMoneyOverChannels(t *testing.T) {
	c := newCarrier(t, 7)
	for range 150 {
		c.work()
		c.relay()
		c.deliver(c.IntN(3) == 0)
	}
	for len(c.waiting()) > 0 {
		c.deliver(false)
		c.relay()
	}
	sums := map[journal.Asset]int64{}
	shard, err := c.s.Dump(t.Context(), c.partitions)
	must(t, err)
	for p, b := range shard {
		b.State.(*journal.Memory).Sums(sums)
		if got, want := dumpText(t, b), dumpText(t, c.books[p]); got != want {
			t.Errorf("partition %d: the shard has\n%s\nthe fold of the outbox\n%s", p, got, want)
		}
	}
	if c.legs < 100 || c.refused == 0 {
		t.Errorf("only %d legs, %d deliveries refused: the test is too tame", c.legs, c.refused)
	}
	for asset, sum := range sums {
		if sum != 0 {
			t.Errorf("asset %d: the accounts sum up to %d", asset, sum)
		}
	}
}

// carrier is a keeper in small: it folds the outbox and delivers what it decides.
type carrier struct {
	*world
	t       *testing.T
	s       *Shard
	tr      Train
	last    uint64
	legs    int
	refused int
	open    map[[2]int][]decided // by source and destination, in order
}

type decided struct {
	seq uint64
	leg journal.Leg
}

func newCarrier(t *testing.T, seed uint64) *carrier {
	c := &carrier{world: newWorld(seed, 4), t: t, s: openShard(t, local.Redis(t).Addr), open: map[[2]int][]decided{}}
	for p, b := range c.books {
		must(t, c.s.Load(t.Context(), b))
		var all []journal.Row
		for i, h := range c.accounts[p] {
			r := journal.Row{Op: journal.OpOpen, Account: h, Text: []byte("{}")}
			if i == 0 {
				r.Flags = journal.Issuance
			}
			all = append(all, r)
		}
		c.run(p, all...)
	}
	return c
}

func (c *carrier) run(p int, all ...journal.Row) []journal.Status {
	c.t.Helper()
	c.tr.Reset()
	c.tr.Section(p, c.books[p].Epoch)
	for i := range all {
		c.tr.Add(all[i].Append(nil))
	}
	outcomes, err := runTrain(c.t, c.s, &c.tr)
	must(c.t, err)
	var statuses []journal.Status
	for _, o := range outcomes {
		statuses = append(statuses, o.Status)
	}
	return statuses
}

// work sends a train of random pays, transfers, reservations and captures, each checked at its payee as the gateway does.
func (c *carrier) work() {
	p := c.IntN(c.partitions)
	var all []journal.Row
	for range 12 {
		r := journal.Row{Account: c.local(p), Amount: journal.Amount(1 + c.IntN(50)), Key: c.key()}
		r.ID = journal.IDOf(r.Account, string(r.Key))
		switch c.IntN(4) {
		case 0:
			r.Op, r.To, r.Verdict = journal.OpTransfer, c.local(p), journal.VerdictLocal
		case 1:
			r.Op, r.To = journal.OpPay, c.foreign(p)
		case 2:
			r.Op, r.To, r.ExpiresInS = journal.OpReserve, c.foreign(p), 60
			c.reserved[p] = append(c.reserved[p], r.ID)
		case 3:
			r = journal.Row{Op: journal.OpConfirm, Reservation: c.reservation(p), To: c.foreign(p), Amount: journal.Amount(c.IntN(20)), Key: r.Key, Final: c.one(0.3)}
			r.ID = journal.ConfirmIDOf(r.Reservation, string(r.Key))
		}
		all = append(all, r)
	}
	c.run(p, all...)
}

// relay reads the outbox and folds it: the legs are the Book's.
func (c *carrier) relay() {
	c.t.Helper()
	entries, err := c.s.ReadOutbox(c.t.Context(), c.last, 100, 0)
	must(c.t, err)
	for _, e := range entries {
		c.last = e.ID
		must(c.t, e.Each(func(h Happened) error {
			f := journal.Frame{Kind: journal.FrameEvents, Partition: h.Partition, Epoch: h.Epoch, FirstSeq: h.FirstSeq, Count: h.Count, Payload: h.Append(nil)}
			return f.EachEvent(func(e *journal.Event) error { return c.books[h.Partition].Apply(e, c) })
		}))
		must(c.t, c.s.Trim(c.t.Context(), 1<<32-1, e.ID))
	}
}

func (c *carrier) Changed(*journal.Event, journal.Change) {}

func (c *carrier) Leg(e *journal.Event, l journal.Leg) {
	c.legs++
	to := [2]int{e.Partition, l.Payee.Partition(c.partitions)}
	c.open[to] = append(c.open[to], decided{e.Seq, l})
}

// waiting names the channels that have something to deliver.
func (c *carrier) waiting() (all [][2]int) {
	for from := range c.partitions {
		for to := range c.partitions {
			if len(c.open[[2]int{from, to}]) > 0 {
				all = append(all, [2]int{from, to})
			}
		}
	}
	return all
}

// deliver offers every waiting channel some of its legs; carelessly: twice, or from a seq that is too far on.
func (c *carrier) deliver(careless bool) {
	c.t.Helper()
	for _, ch := range c.waiting() {
		legs := c.open[ch]
		n := 1 + c.IntN(len(legs))
		r := journal.Row{Op: journal.OpDeliver, Source: ch[0], From: c.books[ch[1]].State.Delivered(ch[0]), UpTo: legs[n-1].seq}
		for _, d := range legs[:n] {
			r.AddLeg(d.leg)
		}
		all := []journal.Row{r}
		if careless {
			ahead := r
			ahead.From, ahead.UpTo = r.UpTo+1, r.UpTo+2
			all = []journal.Row{ahead, r, r}
		}
		delivered := 0
		for _, s := range c.run(ch[1], all...) {
			switch s {
			case journal.Delivered:
				delivered++
			case journal.DeliveryGap:
				c.refused++
			default:
				c.t.Fatal(fmt.Sprint("a delivery answers ", s))
			}
		}
		if delivered != 1 {
			c.t.Fatalf("delivered %d times", delivered)
		}
		c.open[ch] = legs[n:]
		c.relay()
	}
}
