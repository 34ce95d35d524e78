package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"walletd/journal"
)

// memOutbox is a shard's outbox. Its places are 1, 2, 3, …
type memOutbox struct {
	mu      sync.Mutex
	batches []Batch
	given   int
	trimmed uint64
	more    chan struct{}
}

func newOutbox() *memOutbox { return &memOutbox{more: make(chan struct{}, 1)} }

func (o *memOutbox) add(sections ...Section) {
	o.mu.Lock()
	for i := range sections {
		sections[i].Place = uint64(len(o.batches) + 1)
	}
	o.batches = append(o.batches, Batch{Sections: sections, UpTo: uint64(len(o.batches) + 1)})
	o.mu.Unlock()
	poke(o.more)
}

func (o *memOutbox) Next(ctx context.Context) (Batch, error) {
	for {
		o.mu.Lock()
		if o.given < len(o.batches) {
			b := o.batches[o.given]
			o.given++
			o.mu.Unlock()
			return b, nil
		}
		o.mu.Unlock()
		select {
		case <-o.more:
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		}
	}
}

func (o *memOutbox) Trim(_ context.Context, upTo uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trimmed = upTo
	return nil
}

func (o *memOutbox) trimmedTo() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trimmed
}

// section makes a run of n events whose ids tell who made them and their seq.
func section(p int, epoch uint32, first uint64, n int, who byte) Section {
	s := Section{Partition: p, FirstSeq: first, Block: journal.Block{TimeMS: int64(first), Epoch: epoch, Count: n}}
	for i := range n {
		var id journal.ID
		id[0] = who
		binary.BigEndian.PutUint64(id[8:], first+uint64(i))
		row := journal.Row{Op: journal.OpExpire, ID: id}
		s.Events = append(row.Append(s.Events), byte(journal.Expired))
	}
	return s
}

// history is what a reader accepts of a partition: for every seq who wrote it.
func history(t testing.TB, l journal.Log, p int) (who []byte) {
	t.Helper()
	cur := journal.Cursor{Partition: p}
	_, err := l.Read(t.Context(), p, 0, func(offset int64, rec []byte) error {
		f, v, err := cur.Next(offset, rec)
		if err != nil || v != journal.Accepted {
			return err
		}
		return f.EachEvent(func(e *journal.Event) error {
			r, err := e.Row()
			if got := binary.BigEndian.Uint64(r.ID[8:]); got != e.Seq || e.Seq != uint64(len(who))+1 {
				return fmt.Errorf("seq %d holds event %d, behind %d", e.Seq, got, len(who))
			}
			who = append(who, r.ID[0])
			return err
		})
	})
	if err != nil {
		t.Fatalf("partition %d: %v", p, err)
	}
	return who
}

// keeper is a relay with its claim, and what it has acknowledged.
type keeper struct {
	t      testing.TB
	epoch  uint32
	epochs map[int]uint32 // of partitions that joined later
	who    byte
	outbox *memOutbox
	relay  *Relay
	start  map[int]uint64 // seq at the claim
	next   map[int]uint64 // seq of the next event that its shard makes

	stop func()
	done chan error

	mu      sync.Mutex
	acked   map[int]uint64
	durable map[int]uint64
	changed chan struct{} // closed and renewed with every mark and every change of the journal
	journal []bool        // availability, as it was told
	away    map[int]bool  // as told last, by partition
}

// newKeeper claims every partition of the log in an epoch.
func newKeeper(t testing.TB, l journal.Log, epoch uint32, who byte, change ...func(*Config)) (*keeper, error) {
	t.Helper()
	k := &keeper{
		t: t, epoch: epoch, who: who, outbox: newOutbox(), start: map[int]uint64{}, next: map[int]uint64{},
		acked: map[int]uint64{}, away: map[int]bool{}, durable: map[int]uint64{}, changed: make(chan struct{}),
	}
	cfg := Config{
		Log: l, Outbox: k.outbox, OnDurable: k.onDurable, Watermark: k.onMarks, OnJournal: k.onJournal,
		RetryMin: 100 * time.Microsecond, RetryMax: 5 * time.Millisecond, RefusedFor: 5 * time.Millisecond, UnsureFor: 50 * time.Millisecond, TrimEvery: time.Millisecond,
	}
	for p := range l.Partitions() {
		c, err := Claim(t.Context(), l, journal.Cursor{Partition: p}, epoch, fmt.Sprintf("keeper-%d", epoch), 1, nil)
		if err != nil {
			return nil, err
		}
		cfg.Cursors = append(cfg.Cursors, c)
		k.start[p], k.acked[p], k.durable[p], k.next[p] = c.Seq, c.Seq, c.Seq, c.Seq+1
	}
	for _, do := range change {
		do(&cfg)
	}
	var err error
	k.relay, err = New(cfg)
	return k, err
}

func mustKeeper(t testing.TB, l journal.Log, epoch uint32, who byte, change ...func(*Config)) *keeper {
	t.Helper()
	k, err := newKeeper(t, l, epoch, who, change...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keeper) onDurable(offset int64, f *journal.Frame) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.FirstSeq != k.durable[f.Partition]+1 || f.Epoch != k.epochOf(f.Partition) {
		k.t.Errorf("epoch %d: partition %d: frame %d/%d at offset %d behind seq %d", k.epoch, f.Partition, f.Epoch, f.FirstSeq, offset, k.durable[f.Partition])
	}
	k.durable[f.Partition] = f.LastSeq()
	return nil
}

func (k *keeper) onMarks(_ context.Context, marks []Mark) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range marks {
		if m.Seq <= k.acked[m.Partition] || m.Epoch != k.epochOf(m.Partition) || k.durable[m.Partition] != m.Seq {
			k.t.Errorf("mark %+v behind %d, durable %d", m, k.acked[m.Partition], k.durable[m.Partition])
		}
		k.acked[m.Partition] = m.Seq
	}
	close(k.changed)
	k.changed = make(chan struct{})
	return nil
}

func (k *keeper) onJournal(partition int, available bool, cause error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if available == (cause != nil) {
		k.t.Errorf("journal available: %t, %v", available, cause)
	}
	k.journal = append(k.journal, available)
	k.away[partition] = !available
	close(k.changed)
	k.changed = make(chan struct{})
}

// epochOf is the epoch in which the keeper has a partition.
func (k *keeper) epochOf(p int) uint32 {
	if e := k.epochs[p]; e > 0 {
		return e
	}
	return k.epoch
}

// work makes n more events in a partition, in one section.
func (k *keeper) work(p, n int) {
	k.outbox.add(section(p, k.epochOf(p), k.next[p], n, k.who))
	k.next[p] += uint64(n)
}

// run starts the relay; the test stops it.
func (k *keeper) run() {
	ctx, cancel := context.WithCancel(k.t.Context())
	k.stop, k.done = cancel, make(chan error, 1)
	go func() { k.done <- k.relay.Run(ctx) }()
}

// ended waits for the relay's end and answers its error.
func (k *keeper) ended() error {
	k.t.Helper()
	select {
	case err := <-k.done:
		k.done <- err
		return err
	case <-time.After(30 * time.Second):
		k.t.Fatalf("epoch %d: the relay does not end; stats %+v", k.epoch, k.relay.Stats())
		return nil
	}
}

// end stops the relay and answers its error.
func (k *keeper) end() error {
	k.stop()
	return k.ended()
}

// mustStop stops a relay that had no reason to end by itself.
func (k *keeper) mustStop() {
	k.t.Helper()
	if err := k.end(); !errors.Is(err, context.Canceled) {
		k.t.Fatalf("epoch %d: ended with %v", k.epoch, err)
	}
}

// await waits until the condition holds, which is asked with the lock held.
func (k *keeper) await(what string, ok func() bool) {
	k.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		k.mu.Lock()
		done, changed := ok(), k.changed
		k.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case err := <-k.done:
			k.done <- err
			if k.mu.Lock(); !ok() {
				k.t.Fatalf("epoch %d: %s does not come: the relay ended with %v", k.epoch, what, err)
			}
			k.mu.Unlock()
			return
		case <-deadline:
			k.t.Fatalf("epoch %d: %s does not come; stats %+v", k.epoch, what, k.relay.Stats())
		}
	}
}

func (k *keeper) awaitAcked(p int, seq uint64) {
	k.t.Helper()
	k.await(fmt.Sprintf("partition %d seq %d", p, seq), func() bool { return k.acked[p] >= seq })
}

// awaitAll waits until everything that the shard made is acknowledged.
func (k *keeper) awaitAll() {
	k.t.Helper()
	for p, next := range k.next {
		k.awaitAcked(p, next-1)
	}
}

// checkAcked holds what the keeper acknowledged against the history that readers accept.
func (k *keeper) checkAcked(l journal.Log) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for p := range l.Partitions() {
		who := history(k.t, l, p)
		if k.acked[p] > uint64(len(who)) {
			k.t.Fatalf("epoch %d: partition %d: acknowledged up to %d, the history ends at %d", k.epoch, p, k.acked[p], len(who))
		}
		for seq := k.start[p] + 1; seq <= k.acked[p]; seq++ {
			if who[seq-1] != k.who {
				k.t.Fatalf("epoch %d: partition %d: acknowledged seq %d, which is %q's", k.epoch, p, seq, who[seq-1])
			}
		}
	}
}
