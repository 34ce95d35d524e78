package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/filelog"
)

func fileLog(t testing.TB, partitions int) *filelog.Log {
	t.Helper()
	l, err := filelog.Open(filelog.Config{Dir: t.TempDir(), Partitions: partitions, SegmentBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// everythingArrives is the life of one keeper over a log that goes wrong.
func everythingArrives(t *testing.T, l *faultLog, rnd *rand.Rand, rounds int) {
	t.Helper()
	k := mustKeeper(t, l, 1, 'a')
	k.run()
	for range rounds {
		k.work(rnd.IntN(l.Partitions()), 1+rnd.IntN(4))
		if rnd.IntN(4) == 0 { // let it come to rest now and then: batches of all sizes
			k.awaitAll()
		}
	}
	k.awaitAll()
	k.mustStop()
	if err := l.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.checkAcked(l)
	for p, next := range k.next {
		if got := len(history(t, l, p)); uint64(got) != next-1 {
			t.Errorf("partition %d has %d events, want %d", p, got, next-1)
		}
	}
}

func TestEverythingArrivesOnceAndInOrder(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(100) {
		l := newFaultLog(newMemLog(3), seed, 0.4)
		everythingArrives(t, l, rand.New(rand.NewPCG(seed, 2)), 60)
		for fault, n := range l.seen {
			seen[fault] += n
		}
	}
	for _, fault := range faultNames {
		if seen[fault] < 50 {
			t.Errorf("%s: only %d times", fault, seen[fault])
		}
	}
}

func TestEverythingArrivesInTheFileLog(t *testing.T) {
	for seed := range uint64(4) {
		everythingArrives(t, newFaultLog(fileLog(t, 3), seed, 0.3), rand.New(rand.NewPCG(seed, 2)), 100)
	}
}

// succession is a row of keepers, each taking over while its predecessors go on as if nothing had happened (frozen for a
// while, partitioned, slow). Nobody acknowledges what another's history has at that place.
func succession(t *testing.T, l *faultLog, rnd *rand.Rand, keepers int) {
	t.Helper()
	var all []*keeper
	for i := range keepers {
		k := mustKeeper(t, l, uint32(i+1), byte('a'+i))
		k.run()
		all = append(all, k)
		for range 30 {
			all[rnd.IntN(len(all))].work(rnd.IntN(l.Partitions()), 1+rnd.IntN(3))
		}
		if rnd.IntN(2) == 0 {
			k.awaitAll()
		}
	}
	last := all[len(all)-1]
	for _, k := range all { // now each has something that it cannot place
		for p := range l.Partitions() {
			k.work(p, 1)
		}
	}
	last.awaitAll()
	for _, k := range all[:len(all)-1] {
		err := k.ended()
		if !errors.Is(err, ErrDeposed) {
			t.Fatalf("epoch %d: the deposed keeper ended with %v", k.epoch, err)
		}
	}
	last.mustStop()
	if err := l.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		k.checkAcked(l)
	}
}

func TestDeposedKeepersAcknowledgeNothing(t *testing.T) {
	for seed := range uint64(150) {
		succession(t, newFaultLog(newMemLog(2), seed, 0.3), rand.New(rand.NewPCG(seed, 3)), 3)
	}
}

func TestDeposedKeepersAcknowledgeNothingInTheFileLog(t *testing.T) {
	for seed := range uint64(4) {
		succession(t, newFaultLog(fileLog(t, 2), seed, 0.2), rand.New(rand.NewPCG(seed, 3)), 3)
	}
}

// A frame lands behind the EpochStarted of a successor and the reply says so by its offset: it is not acknowledged.
func TestAnOffsetThatIsNotTheExpectedOneIsNoAcknowledgement(t *testing.T) {
	l := newMemLog(1)
	old := mustKeeper(t, l, 1, 'o')
	mustKeeper(t, l, 2, 'y')
	old.work(0, 1)
	old.run()
	err := old.ended()
	var deposed *DeposedError
	if !errors.As(err, &deposed) || *deposed != (DeposedError{Partition: 0, Epoch: 1, By: 2}) {
		t.Errorf("ended with %v", err)
	}
	if old.acked[0] != 0 || old.durable[0] != 0 {
		t.Errorf("acknowledged up to %d", old.acked[0])
	}
	if len(l.records[0]) != 3 {
		t.Errorf("%d records: the frame never reached the log", len(l.records[0]))
	}
}

// Records of deposed keepers between ours are read over, and ours counts where it lies.
func TestStaleRecordsBetweenOurs(t *testing.T) {
	l := newMemLog(1)
	zombie := mustKeeper(t, l, 1, 'z')
	k := mustKeeper(t, l, 2, 'a')
	k.run()
	k.work(0, 2)
	k.awaitAll()
	zombie.work(0, 1)
	zombie.run()
	if err := zombie.ended(); !errors.Is(err, ErrDeposed) {
		t.Fatalf("the zombie ended with %v", err)
	}
	k.work(0, 3)
	k.awaitAll()
	k.mustStop()
	k.checkAcked(l)
	if s := k.relay.Stats(); s.Stale != 1 || s.Frames < 2 || s.Events != 5 {
		t.Errorf("stats %+v", s)
	}
}

// One partition whose broker is gone does not hold up the others.
func TestOthersGoOnWhileOnePartitionIsAway(t *testing.T) {
	l := newFaultLog(newMemLog(3), 1, 0)
	k := mustKeeper(t, l, 1, 'a')
	k.run()
	l.lose(1)
	for range 5 {
		for p := range 3 {
			k.work(p, 1)
		}
		k.awaitAcked(0, k.next[0]-1)
		k.awaitAcked(2, k.next[2]-1)
	}
	k.await("that it is away is told, of it alone", func() bool { return k.away[1] && !k.away[0] && !k.away[2] })
	k.mu.Lock()
	if k.acked[1] != 0 {
		t.Errorf("acknowledged %d of the partition that is away", k.acked[1])
	}
	k.mu.Unlock()
	if got := k.outbox.trimmedTo(); got >= 2 { // place 2 is the first of the partition that is away
		t.Errorf("trimmed up to %d, though place 2 is not durable", got)
	}
	if err := l.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.awaitAll()
	k.await("the journal's return", func() bool { return !k.away[1] })
	k.mustStop()
	k.checkAcked(l)
}

func TestARelayRunsOnce(t *testing.T) {
	k := mustKeeper(t, newMemLog(1), 1, 'a')
	k.run()
	k.mustStop()
	if err := k.relay.Run(t.Context()); !errors.Is(err, errRan) {
		t.Errorf("second run: %v", err)
	}
}

func TestErrorsOfTheOutboxAndCallbacksEndRun(t *testing.T) {
	fault := errors.New("fault")
	for name, change := range map[string]func(*Config){
		"next":      func(c *Config) { c.Outbox = badOutbox{c.Outbox, fault, nil} },
		"trim":      func(c *Config) { c.Outbox = badOutbox{c.Outbox, nil, fault} },
		"durable":   func(c *Config) { c.OnDurable = func(int64, *journal.Frame) error { return fault } },
		"watermark": func(c *Config) { c.Watermark = func(context.Context, []Mark) error { return fault } },
	} {
		k := mustKeeper(t, newMemLog(1), 1, 'a', change)
		k.work(0, 1)
		k.run()
		if err := k.ended(); !errors.Is(err, fault) {
			t.Errorf("%s: ended with %v", name, err)
		}
	}
}

type badOutbox struct {
	Outbox
	next, trim error
}

func (b badOutbox) Next(ctx context.Context) (Batch, error) {
	if b.next != nil {
		return Batch{}, b.next
	}
	return b.Outbox.Next(ctx)
}

func (b badOutbox) Trim(ctx context.Context, upTo uint64) error {
	if b.trim != nil {
		return b.trim
	}
	return b.Outbox.Trim(ctx, upTo)
}

// An outbox that is faster than the log is not read beyond the bound.
func TestPendingIsBounded(t *testing.T) {
	l := newFaultLog(newMemLog(1), 1, 0)
	const bound = 2000
	k := mustKeeper(t, l, 1, 'a', func(c *Config) { c.PendingBytesMax = bound })
	l.lose(0)
	for range 200 {
		k.work(0, 1)
	}
	k.run()
	k.await("the journal's absence", func() bool { return len(k.journal) == 1 })
	deadline := time.Now().Add(10 * time.Second)
	for k.relay.Stats().Pending < bound && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if got := k.relay.Stats().Pending; got < bound || got > bound+100 {
		t.Errorf("%d bytes pending, the bound is %d", got, bound)
	}
	if err := l.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.awaitAll()
	k.mustStop()
}

func TestConfigReportsEveryProblem(t *testing.T) {
	_, err := New(Config{FrameBytes: -1})
	for _, want := range []string{"no log", "no outbox", "below zero"} {
		if err == nil || !contains(err, want) {
			t.Errorf("%v, want also %q", err, want)
		}
	}
	l := newMemLog(1)
	_, err = New(Config{Log: l, Outbox: newOutbox(), Cursors: []journal.Cursor{{Partition: 0, Epoch: 1}, {Partition: 0, Epoch: 1}, {Partition: 3, Epoch: 1}, {Partition: 0}}})
	for _, want := range []string{"partition 0 twice", "no partition 3"} {
		if err == nil || !contains(err, want) {
			t.Errorf("%v, want also %q", err, want)
		}
	}
	if _, err := New(Config{Log: l, Outbox: newOutbox(), Cursors: []journal.Cursor{{Partition: 0}}}); err == nil || !contains(err, "no epoch") {
		t.Errorf("unclaimed: %v", err)
	}
}
