package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"walletd/journal"
)

// Log is the topic. Its methods may be called from several goroutines.
type Log struct {
	cfg       Config
	transport *kafka.Transport
	client    *kafka.Client

	mu      sync.Mutex // guards the rest
	leaders []int      // broker id by partition; -1: unknown
	closed  bool
}

var _ journal.Log = (*Log)(nil)

// ErrClosed says that Close was called.
var ErrClosed = errors.New("kafka journal is closed")

// dial makes the client of a configuration, without a look at the topic.
func dial(cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	transport := &kafka.Transport{
		ClientID:    "walletd",
		Dial:        (&net.Dialer{Timeout: cfg.DialTimeout}).DialContext,
		DialTimeout: cfg.DialTimeout,
		IdleTimeout: 30 * time.Second,
		MetadataTTL: cfg.MetadataTTL,
	}
	l := &Log{cfg: cfg, transport: transport, leaders: make([]int, cfg.Partitions)}
	l.client = &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: transport, Timeout: cfg.FetchTimeout}
	for p := range l.leaders {
		l.leaders[p] = -1
	}
	return l, nil
}

// Open opens the topic, which must be there with the settings of design section 7 (CreateTopic makes it).
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l, err := dial(cfg)
	if err != nil {
		return nil, err
	}
	if err := l.check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open topic %s: %w", cfg.Topic, err), l.Close())
	}
	return l, nil
}

// Close gives up the connections. What is under way ends with an error.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.transport.CloseIdleConnections()
	return nil
}

// Partitions implements journal.Log.
func (l *Log) Partitions() int { return l.cfg.Partitions }

// topic reads the topic's metadata and remembers the leaders.
func (l *Log) topic(ctx context.Context) (kafka.Topic, error) {
	m, err := l.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{l.cfg.Topic}})
	if err != nil {
		return kafka.Topic{}, fmt.Errorf("metadata: %w", err)
	}
	if len(m.Topics) != 1 {
		return kafka.Topic{}, fmt.Errorf("metadata: %d topics", len(m.Topics))
	}
	t := m.Topics[0]
	if t.Error != nil {
		return t, fmt.Errorf("metadata: %w", t.Error)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range t.Partitions {
		if p.ID < 0 || p.ID >= len(l.leaders) {
			continue
		}
		l.leaders[p.ID] = -1
		if p.Error == nil && p.Leader.Host != "" {
			l.leaders[p.ID] = p.Leader.ID
		}
	}
	return t, nil
}

func (l *Log) usable(partition int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case partition < 0 || partition >= l.cfg.Partitions:
		return fmt.Errorf("kafka journal: there is no partition %d of %d", partition, l.cfg.Partitions)
	}
	return nil
}
