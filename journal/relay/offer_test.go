package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"walletd/journal"
)

// shut is an outbox that is not read before it is opened.
type shut struct {
	*memOutbox
	open chan struct{}
}

func (s shut) Next(ctx context.Context) (Batch, error) {
	select {
	case <-s.open:
		return s.memOutbox.Next(ctx)
	case <-ctx.Done():
		return Batch{}, ctx.Err()
	}
}

// shutKeeper is a keeper whose outbox is shut.
func shutKeeper(t testing.TB, l journal.Log, epoch uint32, change ...func(*Config)) (k *keeper, open func()) {
	t.Helper()
	gate := make(chan struct{})
	k = mustKeeper(t, l, epoch, 'a', append(change, func(c *Config) { c.Outbox = shut{c.Outbox.(*memOutbox), gate} })...)
	return k, func() { close(gate) }
}

// entry makes n more events in each partition named, as one entry of the outbox.
func (k *keeper) entry(n int, partitions ...int) *Batch {
	var sections []Section
	for _, p := range partitions {
		sections = append(sections, section(p, k.epochOf(p), k.next[p], n, k.who))
		k.next[p] += uint64(n)
	}
	k.outbox.add(sections...)
	return k.outbox.entry(0)
}

// entry is a copy of the entry at a place; 0 is the last.
func (o *memOutbox) entry(place int) *Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if place == 0 {
		place = len(o.batches)
	}
	b := o.batches[place-1]
	b.Sections = append([]Section(nil), b.Sections...)
	return &b
}

func (k *keeper) awaitTrimmed(upTo uint64) {
	k.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); k.outbox.trimmedTo() != upTo; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Fatalf("trimmed up to %d, want %d", k.outbox.trimmedTo(), upTo)
		}
	}
}

// What is handed over needs no outbox: it is durable, told and trimmed.
func TestOfferedEntriesAreNotRead(t *testing.T) {
	l := newMemLog(3)
	k, _ := shutKeeper(t, l, 1)
	k.run()
	for i := range 100 {
		if b := k.entry(1+i%3, i%3, (i+1)%3); !k.relay.Offer(b) {
			t.Fatalf("entry %d is not taken", b.UpTo)
		}
	}
	k.awaitAll()
	k.awaitTrimmed(100)
	k.mustStop()
	k.checkAcked(l)
	if s := k.relay.Stats(); s.Offered != 100 || s.Refused != 0 || k.relay.Place() != 100 {
		t.Errorf("stats %+v at place %d", s, k.relay.Place())
	}
}

// What is not the next entry, or does not go on, changes nothing, and is read.
func TestOffersThatAreRefused(t *testing.T) {
	foreign := errors.New("foreign")
	for _, c := range []struct {
		name   string
		change func(k *keeper, b *Batch) // of the entry that is next, of partitions 0 and 1
		config func(*Config)
	}{
		{"one is missing before it", func(k *keeper, b *Batch) { *b = *k.entry(1, 0) }, nil},
		{"of the epoch before", func(_ *keeper, b *Batch) { b.Sections[1].Epoch = 1 }, nil},
		{"of a later epoch", func(_ *keeper, b *Batch) { b.Sections[1].Epoch = 3 }, nil},
		{"a seq is missing before it", func(_ *keeper, b *Batch) { b.Sections[1].FirstSeq++ }, nil},
		{"it begins within what is known", func(_ *keeper, b *Batch) { b.Sections[1].FirstSeq-- }, nil},
		{"another's partition", func(_ *keeper, b *Batch) { b.Sections[1].Partition = 2 }, nil},
		{"no events", func(_ *keeper, b *Batch) { b.Sections[1].Count = 0 }, nil},
		{"twice the same partition", func(_ *keeper, b *Batch) { b.Sections[1] = b.Sections[0] }, nil},
		{"it does not continue, says the keeper", func(*keeper, *Batch) {}, func(c *Config) {
			asked := 0
			c.Continues = func(s *Section) error {
				if asked++; asked == 4 { // the first entry has two sections
					return foreign
				}
				return nil
			}
		}},
		{"there is no room", func(*keeper, *Batch) {}, func(c *Config) { c.PendingBytesMax = 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newMemLog(3)
			change := []func(*Config){func(cfg *Config) { cfg.Cursors = cfg.Cursors[:2] }}
			if c.config != nil {
				change = append(change, c.config)
			}
			k, open := shutKeeper(t, l, 2, change...) // it does not run yet, so there it stays
			k.next = map[int]uint64{0: 1, 1: 1}
			if !k.relay.Offer(k.entry(2, 0, 1)) {
				t.Fatal("the first entry is not taken")
			}
			b := k.entry(1, 0, 1)
			c.change(k, b)
			if k.relay.Offer(b) {
				t.Error("it is taken")
			}
			if got := k.relay.Place(); got != 1 {
				t.Errorf("place %d, want 1", got)
			}
			k.run()
			open()
			k.awaitAll()
			k.mustStop()
			k.checkAcked(l)
		})
	}
}

// An entry that was collected and comes again is compared.
func TestOffersThatComeAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Batch)
		want   error
	}{
		"the same":                 {func(*Batch) {}, nil},
		"another outcome":          {func(b *Batch) { s := &b.Sections[0]; s.Events[len(s.Events)-1] = byte(journal.Cancelled) }, ErrOutbox},
		"other seqs":               {func(b *Batch) { b.Sections[0].FirstSeq++ }, ErrOutbox},
		"of an epoch that is over": {func(b *Batch) { b.Sections[0].Epoch--; b.Sections[0].TimeMS++ }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newMemLog(1)
			k, _ := shutKeeper(t, l, 2)
			k.run()
			for range 3 {
				k.relay.Offer(k.entry(2, 0))
			}
			b := k.outbox.entry(2)
			b.Sections[0].Events = append([]byte(nil), b.Sections[0].Events...)
			c.change(b)
			if !k.relay.Offer(b) {
				t.Error("an entry that was collected is said to be missing")
			}
			if c.want != nil {
				if err := k.ended(); !errors.Is(err, c.want) {
					t.Errorf("ended with %v, want %v", err, c.want)
				}
				if k.relay.Offer(k.entry(1, 0)) {
					t.Error("a relay that is about to end takes more")
				}
				return
			}
			if !k.relay.Offer(k.entry(1, 0)) {
				t.Error("the next is not taken")
			}
			k.awaitAll()
			k.mustStop()
			k.checkAcked(l)
		})
	}
}

// A partition may leave while an entry with its last events, which was handed over, is still being read.
func TestAnEntryIsReadWhenItsPartitionHasLeft(t *testing.T) {
	l := newMemLog(2)
	k, open := shutKeeper(t, l, 1)
	k.run()
	first := k.entry(2, 0, 1)
	k.relay.Offer(first)
	if _, err := k.relay.Leave(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	k.relay.Offer(first)
	k.relay.Offer(k.entry(1, 0))
	open()
	for deadline := time.Now().Add(30 * time.Second); k.relay.Stats().Repeats < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) || len(k.done) > 0 {
			t.Fatalf("the entries are not read again: %+v", k.relay.Stats())
		}
	}
	k.relay.Offer(k.entry(1, 0))
	k.awaitAcked(0, 4)
	k.mustStop()
	k.checkAcked(l)
}

// Entries are offered in order and out of it, late, twice or never, by several at once, while the outbox is read and the log loses
// replies: every event is in the journal, once and in order.
func TestOffersOfAllKinds(t *testing.T) {
	var sum Stats
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		l := newMemLog(4)
		k, open := shutKeeper(t, newFaultLog(l, seed, 0), 1)
		k.relay.cfg.Log.(*faultLog).faults = 0.1
		k.run()
		const entries = 200
		opened := rng.IntN(entries)
		done := make(chan struct{})
		late := make(chan *Batch, entries)
		go func() {
			defer close(done)
			for b := range late {
				k.relay.Offer(b)
			}
		}()
		for i := range entries {
			if i == opened {
				open()
			}
			b := k.entry(1+rng.IntN(3), rng.IntN(2), 2+rng.IntN(2))
			switch rng.IntN(12) {
			case 0: // never
			case 1:
				late <- b
			case 2:
				k.relay.Offer(k.outbox.entry(1 + rng.IntN(i+1)))
				fallthrough
			default:
				k.relay.Offer(b)
			}
		}
		close(late)
		<-done
		k.awaitAll()
		k.awaitTrimmed(entries)
		k.mustStop()
		k.checkAcked(l)
		s := k.relay.Stats()
		sum.Offered, sum.Refused, sum.Repeats = sum.Offered+s.Offered, sum.Refused+s.Refused, sum.Repeats+s.Repeats
	}
	if sum.Offered == 0 || sum.Refused == 0 || sum.Repeats == 0 {
		t.Errorf("too tame: %s", fmt.Sprintf("%+v", sum))
	}
}
