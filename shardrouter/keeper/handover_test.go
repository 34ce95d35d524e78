package keeper

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter/lane"
)

// present is the keeper's reign.
func (k *Keeper) present() *reign {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reign
}

// alone reports whether all keepers know that nobody else asks their shards.
func (c *cluster) alone() bool {
	for _, k := range c.keepers {
		if r := k.present(); r == nil || !r.outbox.alone.Load() {
			return false
		}
	}
	return true
}

// Trains of lanes in the keepers' process are journaled without the outbox being read, and without marks being published.
func TestTrainsAreHandedOver(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 4})
	c.keepAll()
	b := c.bank(2, 500)
	c.eventually("they are alone", c.alone)
	entries, reads, published := c.calls("xadd"), c.calls("xread"), c.calls("publish")
	all := b.run(8, func() { c.eventually("some trains", func() bool { return c.calls("xadd") > entries+500 }) })
	entries, reads, published = c.calls("xadd")-entries, c.calls("xread")-reads, c.calls("publish")-published
	if reads > entries/3 || published > entries/3 {
		t.Errorf("%d reads of the outbox and %d publications for %d entries", reads, published, entries)
	}
	b.check(t, c.rest(), 500, all)
	for name, k := range c.keepers {
		if s := k.Stats(); s.Reigns != 1 || s.Relay.Offered == 0 {
			t.Errorf("keeper %s: %+v", name, s)
		}
	}
}

// calls is how often all servers have run a command.
func (c *cluster) calls(command string) (calls int) {
	c.Helper()
	for i := range c.redis {
		for line := range bytes.Lines(c.redisSays(i, "info", "commandstats")) {
			n := 0
			if _, err := fmt.Sscanf(string(line), "cmdstat_"+command+":calls=%d", &n); err == nil {
				calls += n
			}
		}
	}
	return calls
}

// Two gateways alternate, one of them in the keepers' process: whatever was not handed over is read, and everybody is answered.
func TestAnotherGatewaysTrains(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2})
	c.keepAll()
	b := c.bank(2, 500)
	c.eventually("it is alone", c.alone)
	elsewhere, err := lane.New(lane.Config{Partitions: c.partitions, Map: c.static})
	c.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = elsewhere.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	here, there := c.asker(), c.asker()
	there.through = elsewhere
	k := c.keepers["k-s1"]
	var all []moved
	for i := 0; i < 60 || (k.Stats().Relay.Refused == 0 && i < 10_000); i++ {
		a := here
		if i%2 == 0 {
			a = there
		}
		m := moved{id: journal.IDOf(b.customers[0], fmt.Sprint(i)), from: b.customers[0], to: b.customers[1+i%3], amount: 1}
		m.status = a.move(m.from, m.to, fmt.Sprint(i), 1, a.sure)
		all = append(all, m)
	}
	if c.eventually("the other is noticed", func() bool { return !c.alone() }); k.Stats().Relay.Refused == 0 {
		t.Error("no train was handed over behind one that was not: the test shows nothing")
	}
	b.check(t, c.rest(), 500, all)
	if s := k.Stats(); s.Reigns != 1 {
		t.Errorf("%+v", s)
	}
}

// A reply is lost: the shard has done what nobody is told, and what it has done becomes durable without another train.
func TestALostReplyIsReadFromTheOutbox(t *testing.T) {
	var way *faultproxy.Proxy
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1, via: func(addr string) string {
		way = faultproxy.ForTest(t, addr)
		return way.Addr()
	}})
	c.keepAll()
	b := c.bank(2, 100)
	c.eventually("it is alone", c.alone)
	a := c.asker()
	var told []string
	for i := range 5 {
		dropped := way.DropNextReply(func(request []byte) bool { return bytes.Contains(request, []byte("fcall")) })
		key := fmt.Sprint("lost", i)
		if s := a.move(b.customers[0], b.customers[1], key, 1, a.ask); s != journal.Confirmed {
			t.Errorf("%s: %v", key, s)
		}
		<-dropped
		told = append(told, key)
	}
	c.rest()
	c.told(b, told)
}

// ran is a train that has run in a shard and was not handed over: one transfer in partition 0, or the forgery of one.
func (c *cluster) ran(b *bank, key string) *luascripts.Train {
	c.Helper()
	tr := &luascripts.Train{}
	tr.Section(0, c.static.Current().Partitions[0].Epoch)
	tr.Add(transfer(b, key).Append(nil))
	reply, err := c.shard(0).Run(c.Context(), tr)
	c.must(err)
	var o rows.Outcome
	if !reply.NextSection() || !reply.NextRow(&o) || o.Status != journal.Confirmed || reply.Entry() == 0 {
		c.Fatalf("%+v, %v", o, reply.Err())
	}
	return tr
}

func transfer(b *bank, key string) *journal.Row {
	return &journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(b.customers[0], key), Account: b.customers[0], To: b.customers[1], Amount: 1, Key: []byte(key)}
}

// A reply that comes when its reign is over is of no use to the next, be its events adopted or gone.
func TestLateReplies(t *testing.T) {
	for _, rebuilt := range []bool{false, true} {
		t.Run(fmt.Sprintf("rebuilt %t", rebuilt), func(t *testing.T) {
			c := newCluster(t, clusterOptions{servers: 1, partitions: 1})
			c.keepAll()
			b := c.bank(2, 100)
			c.rest()
			addr, old := c.redis[0].Addr, c.keepers["k-s1"].Stats().Epoch
			c.stopKeepers()
			late := c.ran(b, "late")
			if rebuilt {
				c.redis[0].Kill()
				c.must(c.redis[0].Restart(t.Context()))
			}
			k := c.keep(0, "next")
			c.eventually("it serves", func() bool { return k.Stats().State == Serving })
			for id := uint64(1); id < 30; id++ { // wherever the outbox is
				k.HandOver(addr, old, forged(t, b, id, old, id))
			}
			k.HandOver(addr, old, late)
			k.HandOver("127.0.0.1:1", k.Stats().Epoch, late)
			if s := k.Stats(); s.Relay.Offered+s.Relay.Refused+s.Relay.Repeats != 0 {
				t.Errorf("an old reign's train was offered: %+v", s.Relay)
			}
			k.HandOver(addr, k.Stats().Epoch, late) // nobody does that
			a := c.asker()
			if s := a.move(b.customers[0], b.customers[1], "next", 1, a.sure); s != journal.Confirmed {
				t.Error(s)
			}
			told := []string{"next"}
			if !rebuilt {
				told = append(told, "late") // it was adopted
			}
			c.rest()
			c.told(b, told)
			if s := k.Stats(); s.Reigns != 1 || s.Adopted == 1 == rebuilt {
				t.Errorf("%+v", s)
			}
		})
	}
}

// forged is an answered train with one transfer as the shard's event seq, left as that outbox entry.
func forged(t *testing.T, b *bank, id uint64, epoch uint32, seq uint64) *luascripts.Train {
	t.Helper()
	tr := &luascripts.Train{}
	tr.Section(0, epoch)
	tr.Add(transfer(b, fmt.Sprint("forged", id)).Append(nil))
	u56 := func(dst []byte, v uint64) []byte { return append(dst, binary.BigEndian.AppendUint64(nil, v)[1:]...) }
	reply := binary.BigEndian.AppendUint32(append(u56(nil, id), byte(journal.OK)), epoch)
	reply = append(u56(u56(reply, seq-1), uint64(time.Now().UnixMilli())), byte(journal.Confirmed))
	tr.Answer(reply)
	return tr
}

// Two events of one seq in one epoch are two histories: the shard's data was replaced, while its scripts stayed. Nobody can tell
// which one is right but the journal: the shard is rebuilt.
func TestAnotherHistoryIsHandedOver(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1})
	c.keepAll()
	b := c.bank(2, 100)
	c.rest()
	k := c.keepers["k-s1"]
	first, place := k.Stats().Epoch, k.present().relayer.Place()
	c.ran(b, "one")
	c.eventually("its entry is read", func() bool { return k.present().relayer.Place() > place })
	seq := k.present().relayer.Stats()
	k.HandOver(c.redis[0].Addr, first, forged(t, b, place+1, first, c.seq()))
	c.eventually("another reign", func() bool { s := k.Stats(); return s.State == Serving && s.Epoch > first })
	a := c.asker()
	if s := a.move(b.customers[0], b.customers[1], "two", 1, a.sure); s != journal.Confirmed {
		t.Error(s)
	}
	c.rest()
	c.told(b, []string{"one", "two"})
	if s := k.Stats(); s.Rebuilt != 2 || s.Adopted != 0 {
		t.Errorf("%+v behind %+v", s, seq)
	}
}

// seq is partition 0's.
func (c *cluster) seq() uint64 {
	c.Helper()
	parts, err := c.shard(0).Parts(c.Context())
	c.must(err)
	return parts[0].Seq
}
