package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"walletd/deploy/local"
	"walletd/journal"
)

// Three brokers with the settings of production: a leader is killed under appends, and nothing acknowledged is lost.
func TestOnAQuorum(t *testing.T) {
	t.Parallel() // it waits more than it works
	brokers, err := local.StartKafkaQuorum(t.Context(), t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range brokers {
		t.Cleanup(b.Kill)
	}
	cfg := Config{Topic: "quorum", Partitions: 3}
	for _, b := range brokers {
		cfg.Brokers = append(cfg.Brokers, b.Addr)
	}
	l := open(t, cfg)
	weakSettingsAreNamed(t, cfg)

	w := &appender{t: t, l: l, acked: make([]map[int64]string, cfg.Partitions)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for p := range w.acked {
		w.acked[p] = map[int64]string{}
		wg.Go(func() { w.run(ctx, p) })
	}
	w.await(20)
	leaders, err := l.leaders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if leaders[0] == leaders[1] && leaders[1] == leaders[2] {
		t.Errorf("one broker leads all: %v", leaders)
	}
	brokers[leaders[0]-1].Kill()
	w.await(w.least() + 20)
	cancel()
	wg.Wait()
	w.check()
}

func weakSettingsAreNamed(t *testing.T, cfg Config) {
	t.Helper()
	cfg.Topic = "weak"
	l, err := dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := l.client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: cfg.Topic, NumPartitions: cfg.Partitions, ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "retention.ms", ConfigValue: "1000"}, {ConfigName: "cleanup.policy", ConfigValue: "compact"},
			{ConfigName: "compression.type", ConfigValue: "gzip"}, {ConfigName: "unclean.leader.election.enable", ConfigValue: "true"},
			{ConfigName: "min.insync.replicas", ConfigValue: "1"},
		},
	}}})
	if err = errors.Join(err, r.Errors[cfg.Topic]); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), cfg)
	for _, want := range []string{"replication factor of partition 2", "retention.ms", "cleanup.policy", "compression.type", "unclean", "min.insync", "max.message.bytes"} {
		if !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant also %q", err, want)
		}
	}
	cfg.Dev, cfg.Replicas = true, 1
	_, err = Open(t.Context(), cfg)
	for _, want := range []string{"compression.type", "max.message.bytes"} {
		if !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "retention") {
			t.Errorf("in dev: %v\nwant %q, and nothing of retention", err, want)
		}
	}
}

// appender appends to each partition, one request at a time, and keeps what was acknowledged.
type appender struct {
	t     *testing.T
	l     *Log
	mu    sync.Mutex
	acked []map[int64]string
}

func (w *appender) run(ctx context.Context, p int) {
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprintf("%d/%d", p, n)
		offsets, err := w.l.Append(ctx, []journal.Record{{Partition: p, Bytes: []byte(value)}})
		if err != nil {
			continue
		}
		w.mu.Lock()
		if _, twice := w.acked[p][offsets[0]]; twice {
			w.t.Errorf("partition %d: offset %d was given twice", p, offsets[0])
		}
		w.acked[p][offsets[0]] = value
		w.mu.Unlock()
	}
}

func (w *appender) least() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.acked[0])
	for _, a := range w.acked {
		n = min(n, len(a))
	}
	return n
}

func (w *appender) await(n int) {
	w.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); w.least() < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%d of %d appends", w.least(), n)
		}
	}
}

// check reads everything and holds it against what was acknowledged.
func (w *appender) check() {
	w.t.Helper()
	for p, acked := range w.acked {
		_, err := w.l.Read(w.t.Context(), p, 0, func(offset int64, b []byte) error {
			if want, ok := acked[offset]; ok && !bytes.Equal(b, []byte(want)) {
				w.t.Errorf("partition %d offset %d holds %q, acknowledged was %q", p, offset, b, want)
			}
			delete(acked, offset)
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(acked) > 0 {
			w.t.Errorf("partition %d: %d acknowledged records are gone", p, len(acked))
		}
	}
}
