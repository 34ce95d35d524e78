package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// One broker goes through everything: paused, stopped while its disk is spoiled. (Killed: the quorum's, and the relay's.)
func TestOnABrokerThatGoesWrong(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := t.TempDir()
	broker, err := local.StartKafka(t.Context(), local.KafkaConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Kill)
	t.Run("paused", func(t *testing.T) { paused(t, broker) })
	t.Run("spoiled", func(t *testing.T) { spoiled(t, broker, dir) })
}

// A paused broker leaves the outcome unknown, and what was sent may land when it goes on: then it lies where it was not
// expected.
func paused(t *testing.T, broker *local.Server) {
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
	// It was in the broker's socket: it lands now.
	if err := l.Wait(t.Context(), 0, 1); err != nil {
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
	if offsets[0] < 2 {
		t.Errorf("offset %d", offsets[0])
	}
}

// What a disk did to a record is found by whoever reads it.
func spoiled(t *testing.T, broker *local.Server, dir string) {
	cfg := config(t, broker.Addr, 2)
	l := open(t, cfg)
	for i := range 3 {
		if _, err := l.Append(t.Context(), []journal.Record{{Partition: 1, Bytes: bytes.Repeat([]byte{byte('a' + i)}, 100)}}); err != nil {
			t.Fatal(err)
		}
	}
	broker.Stop() // cleanly: the broker believes what it finds
	var spoiled int
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.Contains(path, cfg.Topic+"-1/") || filepath.Ext(path) != ".log" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := bytes.Index(b, []byte("bbbb"))
		if at < 0 {
			return nil
		}
		spoiled++
		b[at] ^= 1
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil || spoiled != 1 {
		t.Fatalf("%d segments spoiled, %v", spoiled, err)
	}
	if err := broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	next, err := l.Read(t.Context(), 1, 0, func(int64, []byte) error { return nil })
	if next != 1 || !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "partition 1 offset 1: the batch's CRC") {
		t.Errorf("a spoiled record: read to %d, %v", next, err)
	}

	// Somebody has read more than there is.
	one := open(t, config(t, broker.Addr, 1))
	for range 5 {
		if _, err := one.Append(t.Context(), []journal.Record{{Bytes: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.Read(t.Context(), 0, 6, func(int64, []byte) error { return nil }); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "from 0 to before 5") {
		t.Errorf("behind the end: %v", err)
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
		for _, size := range []int{1 << 10, 16 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%dKB×%d", size>>10, partitions), func(b *testing.B) {
				cfg := Config{Brokers: []string{local.SharedKafka(b).Addr}, Topic: fmt.Sprintf("b-%x", time.Now().UnixNano()), Partitions: partitions, Replicas: 1, Dev: true}
				if err := CreateTopic(b.Context(), cfg); err != nil {
					b.Fatal(err)
				}
				l, err := Open(b.Context(), cfg)
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				frame := make([]byte, size)
				records := make([]journal.Record, partitions)
				for p := range records {
					records[p] = journal.Record{Partition: p, Bytes: frame}
				}
				b.SetBytes(int64(partitions * len(frame)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := l.Append(b.Context(), records); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRead(b *testing.B) {
	cfg := Config{Brokers: []string{local.SharedKafka(b).Addr}, Topic: fmt.Sprintf("b-%x", time.Now().UnixNano()), Partitions: 1, Replicas: 1, Dev: true}
	if err := CreateTopic(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	l, err := Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	const frames, size = 500, 64 << 10
	for range frames {
		if _, err := l.Append(b.Context(), []journal.Record{{Bytes: make([]byte, size)}}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(frames * size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Read(b.Context(), 0, 0, func(int64, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
