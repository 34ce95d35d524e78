package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/kafkalog"
)

// kafkaLog is a new topic on the broker.
func kafkaLog(t testing.TB, broker *local.Server, partitions int) *kafkalog.Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := kafkalog.Config{
		Brokers: []string{broker.Addr}, Topic: fmt.Sprintf("relay-%x", time.Now().UnixNano()),
		Partitions: partitions, Replicas: 1, Dev: true, ProduceTimeout: 400 * time.Millisecond,
	}
	if err := kafkalog.CreateTopic(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	l, err := kafkalog.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// One broker goes through everything that a relay must survive.
func TestOnKafka(t *testing.T) {
	broker := local.Kafka(t)
	t.Run("everything arrives", func(t *testing.T) {
		for seed := range uint64(2) {
			everythingArrives(t, newFaultLog(kafkaLog(t, broker, 3), seed, 0.3), rand.New(rand.NewPCG(seed, 2)), 60)
		}
	})
	t.Run("deposed keepers acknowledge nothing", func(t *testing.T) {
		for seed := range uint64(3) {
			succession(t, newFaultLog(kafkaLog(t, broker, 2), seed, 0.2), rand.New(rand.NewPCG(seed, 3)), 3)
		}
	})
	t.Run("paused under load", func(t *testing.T) { pausedUnderLoad(t, broker) })
	t.Run("zombie behind a pause", func(t *testing.T) { zombieBehindAPause(t, broker) })
	t.Run("killed under load", func(t *testing.T) { killedUnderLoad(t, broker) })
}

// flow makes events in all partitions until it is stopped.
func flow(k *keeper, partitions int) (stop func()) {
	ctx, cancel := context.WithCancel(k.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				k.work(n%partitions, 1+n%3)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// pausedUnderLoad freezes the broker for longer than a request is waited for: what was sent lands when it goes on.
func pausedUnderLoad(t *testing.T, broker *local.Server) {
	l := kafkaLog(t, broker, 3)
	k := mustKeeper(t, l, 1, 'a')
	k.run()
	stop := flow(k, 3)
	for range 2 {
		k.awaitMore(20)
		if err := broker.Pause(); err != nil {
			t.Fatal(err)
		}
		k.awaitJournal(false)
		if err := broker.Resume(); err != nil {
			t.Fatal(err)
		}
		k.awaitJournal(true)
	}
	stop()
	k.awaitAll()
	k.mustStop()
	k.checkAcked(l)
}

// zombieBehindAPause has a keeper's frames under way in a frozen broker while its successor claims the partitions: they
// land before its EpochStarted or behind it, and only in the first case they count.
func zombieBehindAPause(t *testing.T, broker *local.Server) {
	for range 3 {
		l := kafkaLog(t, broker, 2)
		old := mustKeeper(t, l, 1, 'o')
		old.run()
		stopOld := flow(old, 2)
		old.awaitMore(10)
		if err := broker.Pause(); err != nil {
			t.Fatal(err)
		}
		old.awaitJournal(false)
		claimed := make(chan *keeper)
		go func() {
			young, err := newKeeper(t, l, 2, 'y')
			if err != nil {
				t.Error(err)
			}
			claimed <- young
		}()
		if err := broker.Resume(); err != nil {
			t.Fatal(err)
		}
		young := <-claimed
		if young == nil {
			return
		}
		young.run()
		stopYoung := flow(young, 2)
		err := old.ended()
		stopOld()
		if !errors.Is(err, ErrDeposed) {
			t.Fatalf("the old keeper ended with %v", err)
		}
		young.awaitMore(10)
		stopYoung()
		young.awaitAll()
		young.mustStop()
		old.checkAcked(l)
		young.checkAcked(l)
		for p := range 2 { // what the old one acknowledged lies before the successor's start
			if old.acked[p] > young.start[p] {
				t.Errorf("partition %d: acknowledged %d, the successor began at %d", p, old.acked[p], young.start[p])
			}
		}
	}
}

// killedUnderLoad kills the broker and starts it again.
func killedUnderLoad(t *testing.T, broker *local.Server) {
	l := kafkaLog(t, broker, 3)
	k := mustKeeper(t, l, 1, 'a')
	k.run()
	stop := flow(k, 3)
	k.awaitMore(20)
	broker.Kill()
	if err := broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.awaitMore(20)
	stop()
	k.awaitAll()
	k.mustStop()
	k.checkAcked(l)
	for p, next := range k.next {
		if got := len(history(t, l, p)); uint64(got) != next-1 {
			t.Errorf("partition %d has %d events, want %d", p, got, next-1)
		}
	}
	if cause := k.journalStates(); len(cause) == 0 || cause[0] {
		t.Errorf("availability told: %v", cause)
	}
}

// awaitMore waits until each partition has so many more events acknowledged.
func (k *keeper) awaitMore(n uint64) {
	k.t.Helper()
	k.mu.Lock()
	from := map[int]uint64{}
	for p, seq := range k.acked {
		from[p] = seq
	}
	k.mu.Unlock()
	k.await(fmt.Sprintf("%d more events", n), func() bool {
		for p, seq := range from {
			if k.acked[p] < seq+n {
				return false
			}
		}
		return true
	})
}

// awaitJournal waits until the relay says that the journal is there, or is not.
func (k *keeper) awaitJournal(available bool) {
	k.t.Helper()
	k.await(fmt.Sprintf("journal available: %t", available), func() bool {
		n := len(k.journal)
		return n > 0 && k.journal[n-1] == available
	})
}

func (k *keeper) journalStates() []bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]bool(nil), k.journal...)
}

func BenchmarkRelay(b *testing.B) {
	for name, open := range map[string]func() journal.Log{
		"mem":  func() journal.Log { return newMemLog(8) },
		"file": func() journal.Log { return fileLog(b, 8) },
	} {
		b.Run(name, func(b *testing.B) {
			const events = 64
			k := mustKeeper(b, open(), 1, 'a', func(c *Config) { c.OnDurable = nil; c.TrimEvery = 50 * time.Millisecond })
			k.durable = nil
			marks := make(chan uint64, 1<<16)
			k.relay.cfg.Watermark = func(_ context.Context, m []Mark) error {
				for _, mark := range m {
					marks <- uint64(mark.Partition)<<48 | mark.Seq
				}
				return nil
			}
			k.run()
			b.ReportAllocs()
			made := uint64(0)
			for b.Loop() { // each round: a section for one of 8 partitions
				k.work(int(made%8), events)
				made++
			}
			for p := range 8 {
				for want := k.next[p] - 1; want > 0; {
					m := <-marks
					k.acked[int(m>>48)] = m & (1<<48 - 1)
					if k.acked[p] >= want {
						break
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(made*events), "ns/event")
			k.mustStop()
		})
	}
}
