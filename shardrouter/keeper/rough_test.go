package keeper

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// rough is a way to the shards on which deliveries are lost, refused, repeated, delayed and overtaken, and their answers
// lost, until it is calm.
type rough struct {
	next rows.Shards
	wg   sync.WaitGroup

	mu   sync.Mutex
	rng  *rand.Rand
	calm bool
	did  [6]int
}

// Submit implements rows.Shards.
func (w *rough) Submit(s *rows.Stage) {
	pass, refuse := rows.NewStage(s.Partitions()), &refusals{}
	s.Each(func(sec *rows.Section) {
		start := uint32(0)
		for _, m := range sec.Metas {
			row := sec.Rows[start:m.End]
			start = m.End
			if m.Op != journal.OpDeliver {
				pass.AddPacked(sec.Partition, row, m.Sink, m.Tag)
				continue
			}
			w.deliver(pass, refuse, sec.Partition, row, m)
		}
	})
	s.Reset()
	w.next.Submit(pass)
	refuse.settle()
}

func (w *rough) deliver(pass *rows.Stage, refuse *refusals, partition int, row []byte, m rows.Meta) {
	w.mu.Lock()
	fate := w.rng.IntN(6)
	if w.calm {
		fate = 5
	}
	w.did[fate]++
	late := time.Duration(w.rng.IntN(40)) * time.Millisecond
	w.mu.Unlock()
	switch fate {
	case 0: // lost
	case 1:
		refuse.add(m)
	case 2: // repeated
		pass.AddPacked(partition, row, m.Sink, m.Tag)
		w.later(late, partition, row, &quiet{}, 0)
	case 3: // delayed
		w.later(late, partition, row, m.Sink, m.Tag)
	case 4: // its answer is lost
		pass.AddPacked(partition, row, &quiet{}, 0)
	case 5:
		pass.AddPacked(partition, row, m.Sink, m.Tag)
	}
}

func (w *rough) later(d time.Duration, partition int, row []byte, sink rows.Sink, tag uint64) {
	row = append([]byte(nil), row...)
	w.wg.Go(func() {
		time.Sleep(d)
		s := rows.NewStage(partition + 1)
		s.AddPacked(partition, row, sink, tag)
		w.next.Submit(s)
	})
}

func (w *rough) becalm() {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.wg.Wait()
}

// refusals answers rows that provably did not run.
type refusals struct{ metas []rows.Meta }

func (r *refusals) add(m rows.Meta) { r.metas = append(r.metas, m) }

func (r *refusals) settle() {
	for _, m := range r.metas {
		m.Sink.Settle([]rows.Outcome{{Tag: m.Tag, Op: m.Op, Status: journal.ShardUnavailable}})
	}
}

// TestEachLegOnce: on rough ways, with keepers that come and go and destinations that die and are rebuilt, each leg is
// credited once, and each channel's two sums are equal.
func TestEachLegOnce(t *testing.T) {
	w := &rough{rng: rand.New(rand.NewPCG(4, 2))}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 8,
		around: func(s rows.Shards) rows.Shards { w.next = s; return w },
		config: func(k *Config) { k.OfferAgain = 150 * time.Millisecond },
	})
	c.keepAll()
	b := c.bank(1, 2000)
	all := b.run(6, func() {
		for i := range 8 {
			time.Sleep(120 * time.Millisecond) // traffic
			shard := i % 2
			switch i % 4 {
			case 0, 1: // a keeper goes and another comes, while trains go on
				name := c.keeperOf(shard)
				if err := c.keepers[name].stop(); err == nil {
					t.Error("a keeper ended by itself")
				}
				delete(c.keepers, name)
				c.keep(shard, fmt.Sprint("k", i))
			default: // a destination dies, comes back empty and is rebuilt
				c.redis[shard].Kill()
				c.must(c.redis[shard].Restart(t.Context()))
			}
		}
		w.becalm()
	})
	b.check(t, c.rest(), 2000, all)
	var adopted, rebuilt uint64
	for _, k := range c.keepers {
		s := k.Stats()
		adopted, rebuilt = adopted+s.Adopted, rebuilt+s.Rebuilt
		if s.Counts.Rewinds > 0 {
			t.Errorf("a destination forgot what it had said was durable: %+v", s.Counts)
		}
	}
	for fate, n := range w.did {
		if n == 0 {
			t.Errorf("fate %d met no delivery", fate)
		}
	}
	if adopted == 0 || rebuilt == 0 {
		t.Errorf("%d adopted, %d rebuilt", adopted, rebuilt)
	}
}

// keeperOf names the keeper of a shard.
func (c *cluster) keeperOf(shard int) string {
	c.Helper()
	for name, k := range c.keepers {
		if k.Stats().Shard == shardName(shard) {
			return name
		}
	}
	c.Fatalf("nobody keeps %s", shardName(shard))
	return ""
}
