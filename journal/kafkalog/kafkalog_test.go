package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
)

var topics sync.Map // number of topics made, by test

func config(t *testing.T, addr string, partitions int) Config {
	t.Helper()
	n, _ := topics.LoadOrStore(t.Name(), new(int))
	*n.(*int)++
	return Config{Brokers: []string{addr}, Topic: fmt.Sprintf("j-%x-%d", time.Now().UnixNano(), *n.(*int)), Partitions: partitions, Replicas: 1, Dev: true}
}

func open(t *testing.T, cfg Config) *Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := CreateTopic(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	l, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestAppendAndRead(t *testing.T) {
	l := open(t, config(t, local.SharedKafka(t).Addr, 4))
	want := map[int][][]byte{}
	for i := range 50 {
		var records []journal.Record
		for p := range 4 {
			if (i+p)%3 == 0 {
				continue
			}
			b := bytes.Repeat([]byte{byte(i), byte(p)}, 100*(i+1))
			records = append(records, journal.Record{Partition: p, Bytes: b})
			want[p] = append(want[p], b)
		}
		offsets, err := l.Append(t.Context(), records)
		if err != nil {
			t.Fatal(err)
		}
		for j, r := range records {
			if offsets[j] != int64(len(want[r.Partition])-1) {
				t.Fatalf("partition %d: offset %d, want %d", r.Partition, offsets[j], len(want[r.Partition])-1)
			}
		}
	}
	for p, records := range want {
		end, err := l.End(t.Context(), p)
		if err != nil || end != int64(len(records)) {
			t.Fatalf("partition %d ends at %d, %v", p, end, err)
		}
		for _, from := range []int64{0, 1, end / 2, end - 1, end} {
			at := from
			next, err := l.Read(t.Context(), p, from, func(offset int64, b []byte) error {
				if offset != at || !bytes.Equal(b, records[offset]) {
					t.Errorf("partition %d offset %d (expected %d): other bytes", p, offset, at)
				}
				at++
				return nil
			})
			if err != nil || next != end || at != end {
				t.Errorf("partition %d from %d: read up to %d of %d, %v", p, from, next, end, err)
			}
		}
	}
}

func TestLargeFramesOverManyFetches(t *testing.T) {
	l := open(t, config(t, local.SharedKafka(t).Addr, 1))
	const n = 24
	for i := range n {
		if _, err := l.Append(t.Context(), []journal.Record{{Bytes: bytes.Repeat([]byte{byte(i)}, journal.FrameBytesMax)}}); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	if _, err := l.Read(t.Context(), 0, 0, func(offset int64, b []byte) error {
		if len(b) != journal.FrameBytesMax || b[0] != byte(offset) || b[len(b)-1] != byte(offset) {
			t.Errorf("offset %d: %d bytes", offset, len(b))
		}
		seen++
		return nil
	}); err != nil || seen != n {
		t.Errorf("%d of %d frames, %v", seen, n, err)
	}
	offsets, err := l.Append(t.Context(), []journal.Record{{Bytes: make([]byte, journal.FrameBytesMax+1)}})
	if !errors.Is(err, journal.ErrNotAppended) || offsets[0] >= 0 {
		t.Errorf("a frame too large: %v, %v", offsets, err)
	}
}

func TestWaitReturnsWhenThereIsMore(t *testing.T) {
	l := open(t, config(t, local.SharedKafka(t).Addr, 2))
	done := make(chan error, 1)
	go func() { done <- l.Wait(t.Context(), 1, 0) }()
	select {
	case err := <-done:
		t.Fatalf("an empty partition was worth waking up for: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if _, err := l.Append(t.Context(), []journal.Record{{Partition: 1, Bytes: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody woke up")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that is called off answers %v", err)
	}
}

func TestTopicIsMadeOnceAndCheckedAlways(t *testing.T) {
	cfg := config(t, local.SharedKafka(t).Addr, 3)
	open(t, cfg)
	if err := CreateTopic(t.Context(), cfg); err != nil {
		t.Errorf("again: %v", err)
	}
	var weak *SettingsError
	other := cfg
	other.Partitions = 4
	if err := CreateTopic(t.Context(), other); !errors.As(err, &weak) {
		t.Errorf("another number of partitions: %v", err)
	}
	if _, err := Open(t.Context(), other); !errors.As(err, &weak) {
		t.Errorf("open with another number of partitions: %v", err)
	}
	strict := cfg
	strict.Dev, strict.Replicas = false, 3
	if _, err := Open(t.Context(), strict); !errors.As(err, &weak) || weak.Wants != "3" {
		t.Errorf("one replica outside dev: %v", err)
	}
	missing := cfg
	missing.Topic += "-missing"
	if _, err := Open(t.Context(), missing); err == nil {
		t.Error("a topic that is not there was opened")
	}
}

// A broker that is killed under appends leaves every acknowledged record at its offset, and unknown ones there or not.
func TestBrokerKilledUnderAppends(t *testing.T) {
	broker := local.Kafka(t)
	l := open(t, config(t, broker.Addr, 2))
	acked := map[int64]byte{}
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			offsets, err := l.Append(ctx, []journal.Record{{Partition: 1, Bytes: []byte{byte(i)}}})
			if err == nil {
				mu.Lock()
				if _, twice := acked[offsets[0]]; twice {
					t.Errorf("offset %d was given twice", offsets[0])
				}
				acked[offsets[0]] = byte(i)
				mu.Unlock()
			}
		}
	}()
	until := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			mu.Lock()
			have := len(acked)
			mu.Unlock()
			if have >= n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d appends", have, n)
			}
		}
	}
	until(50)
	broker.Kill()
	if err := broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	before := len(acked)
	mu.Unlock()
	until(before + 50)
	cancel()
	<-done
	if _, err := l.Read(t.Context(), 1, 0, func(offset int64, b []byte) error {
		if want, ok := acked[offset]; ok && want != b[0] {
			t.Errorf("offset %d holds %d, acknowledged was %d", offset, b[0], want)
		}
		delete(acked, offset)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(acked) > 0 {
		t.Errorf("%d acknowledged records are gone", len(acked))
	}
}

func TestBrokerPausedIsUnknownThenGoesOn(t *testing.T) {
	broker := local.Kafka(t)
	cfg := config(t, broker.Addr, 1)
	cfg.ProduceTimeout = 500 * time.Millisecond
	l := open(t, cfg)
	if _, err := l.Append(t.Context(), []journal.Record{{Bytes: []byte("a")}}); err != nil {
		t.Fatal(err)
	}
	if err := broker.Pause(); err != nil {
		t.Fatal(err)
	}
	offsets, err := l.Append(t.Context(), []journal.Record{{Bytes: []byte("b")}})
	if err == nil || errors.Is(err, journal.ErrNotAppended) || offsets[0] >= 0 {
		t.Errorf("a paused broker: %v, %v; want unknown", offsets, err)
	}
	if err := broker.Resume(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		offsets, err = l.Append(t.Context(), []journal.Record{{Bytes: []byte("c")}})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if offsets[0] < 1 {
		t.Errorf("offset %d", offsets[0])
	}
}

func TestConfigTellsEveryProblem(t *testing.T) {
	_, err := Open(t.Context(), Config{Replicas: 1})
	for _, want := range []string{"no brokers", "no topic", "0 partitions", "replication factor"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, partitions := range []int{1, 8} {
		b.Run(fmt.Sprintf("16KB×%d", partitions), func(b *testing.B) {
			cfg := Config{Brokers: []string{local.SharedKafka(b).Addr}, Topic: fmt.Sprintf("b-%x", time.Now().UnixNano()), Partitions: partitions, Replicas: 1, Dev: true}
			if err := CreateTopic(b.Context(), cfg); err != nil {
				b.Fatal(err)
			}
			l, err := Open(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			frame := make([]byte, 16<<10)
			records := make([]journal.Record, partitions)
			for p := range records {
				records[p] = journal.Record{Partition: p, Bytes: frame}
			}
			b.SetBytes(int64(partitions * len(frame)))
			for b.Loop() {
				if _, err := l.Append(b.Context(), records); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
