package keeper

import (
	"bytes"
	"strings"

	"walletd/journal"
	"walletd/luascripts"
)

// books folds the log, and audits it: chains unbroken, every event valid, money conserved, and every credit that a
// partition got over a channel is one that its source decided, once, in order. complete: and none is missing.
type books struct {
	book    []*journal.Book
	legs    map[[2]int][]journal.Leg // decided, by source and destination
	credits map[[2]int][]journal.Leg // delivered
	events  int
	stale   int // records that do not count
}

func (c *cluster) fold() *books {
	c.Helper()
	b := &books{legs: map[[2]int][]journal.Leg{}, credits: map[[2]int][]journal.Leg{}}
	for p := range c.partitions {
		book := journal.NewBook(p, c.partitions)
		b.book = append(b.book, book)
		cursor := journal.Cursor{Partition: p}
		_, err := c.log.Read(c.Context(), p, 0, func(offset int64, record []byte) error {
			f, v, err := cursor.Next(offset, record)
			if err != nil {
				return err
			}
			if v != journal.Accepted {
				b.stale++
				return nil
			}
			return f.EachEvent(func(e *journal.Event) error {
				b.events++
				b.delivered(c, p, e)
				return book.Apply(e, effects{b, p, c.partitions})
			})
		})
		if err != nil {
			c.Fatalf("partition %d: %v", p, err)
		}
	}
	return b
}

type effects struct {
	b          *books
	source     int
	partitions int
}

func (effects) Changed(*journal.Event, journal.Change) {}
func (x effects) Leg(_ *journal.Event, l journal.Leg) {
	k := [2]int{x.source, l.Payee.Partition(x.partitions)}
	x.b.legs[k] = append(x.b.legs[k], l)
}

func (b *books) delivered(c *cluster, q int, e *journal.Event) {
	r, err := e.Row()
	if err != nil {
		c.Fatal(err)
	}
	if r.Op == journal.OpDeliver {
		for i := range r.LegCount {
			b.credits[[2]int{r.Source, q}] = append(b.credits[[2]int{r.Source, q}], r.Leg(i))
		}
	}
}

// pairs holds credits against decisions; missing tells how many legs are under way.
func (b *books) pairs(c *cluster) (missing int) {
	c.Helper()
	for k, credits := range b.credits {
		legs := b.legs[k]
		if len(credits) > len(legs) {
			c.Fatalf("channel %v: %d credits, %d decided", k, len(credits), len(legs))
		}
		for i := range credits {
			if credits[i] != legs[i] {
				c.Fatalf("channel %v, leg %d: credited %+v, decided %+v", k, i, credits[i], legs[i])
			}
		}
	}
	for k, legs := range b.legs {
		missing += len(legs) - len(b.credits[k])
	}
	return missing
}

// rest waits until every channel has drained and the log has what the shards have, and audits all of it.
func (c *cluster) rest() *books {
	c.Helper()
	var b *books
	shards := make([]*luascripts.Shard, len(c.redis))
	for i := range shards {
		shards[i] = c.shard(i)
	}
	dumps := make([]map[int]*journal.Book, len(shards))
	c.eventually("everything comes to rest", func() bool {
		b = c.fold()
		if b.pairs(c) != 0 || !c.equalSeqs(shards, b) {
			return false
		}
		for i, s := range shards {
			var err error
			dumps[i], err = s.Dump(c.Context(), c.partitions)
			c.must(err)
		}
		return c.equalSeqs(shards, b) // a dump takes a while, in which something may expire
	})
	for i, dump := range dumps {
		for _, p := range c.static.Current().PartitionsOf(shardName(i)) {
			if dump[p] == nil || dump[p].Digest() != b.book[p].Digest() {
				c.differ(b.book[p], dump[p])
			}
		}
	}
	sums := map[journal.Asset]int64{}
	for _, book := range b.book {
		book.State.(*journal.Memory).Sums(sums)
	}
	for asset, total := range sums {
		if total != 0 {
			c.Errorf("asset %d: all accounts together have %d", asset, total)
		}
	}
	return b
}

// equalSeqs reports whether all partitions are as far in their shards as in the log.
func (c *cluster) equalSeqs(shards []*luascripts.Shard, b *books) bool {
	served := 0
	for _, s := range shards {
		parts, err := s.Parts(c.Context())
		if err != nil {
			return false
		}
		for p, part := range parts {
			if served++; b.book[p].Seq != part.Seq {
				return false
			}
		}
	}
	return served == c.partitions
}

// differ shows the first lines in which a shard differs from the log.
func (c *cluster) differ(log, shard *journal.Book) {
	c.Helper()
	c.Errorf("partition %d: the shard differs from the log", log.Partition)
	if shard == nil {
		return
	}
	var texts [2]bytes.Buffer
	_, _ = log.Dump(&texts[0]), shard.Dump(&texts[1])
	has := map[string]bool{}
	for line := range strings.Lines(texts[1].String()) {
		has[line] = true
	}
	for line := range strings.Lines(texts[0].String()) {
		if !has[line] {
			c.Log("only in the log: ", line)
			return
		}
	}
	c.Log("the shard has more than the log")
}

// account is what the log says of an account.
func (b *books) account(h journal.Handle) journal.Account {
	a, _ := b.book[h.Partition(len(b.book))].State.Account(h)
	return a
}

// key is what the log says of an id.
func (b *books) key(id journal.ID) journal.Status {
	k, _ := b.book[id.Partition(len(b.book))].State.Key(id)
	return k.Status
}
