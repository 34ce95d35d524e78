package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"walletd/journal"
)

// Log is the topic. Its methods may be called from several goroutines.
type Log struct {
	cfg       Config
	transport *kafka.Transport
	client    *kafka.Client
	closed    context.Context // ends with Close
	close     context.CancelFunc
}

var _ journal.Log = (*Log)(nil)

// Open opens the topic, which must be there with the settings of design section 7 (CreateTopic makes it). It waits for
// brokers that are away until ctx ends. Errors: *SettingsError, ErrNoTopic, what is wrong with the configuration.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l, err := dial(cfg)
	if err != nil {
		return nil, err
	}
	unknown := time.Now().Add(newTopic)
	err = l.again(ctx, ctx.Done(), func(ctx context.Context) error {
		err := l.check(ctx)
		if errors.Is(err, ErrNoTopic) && time.Now().After(unknown) {
			err = fmt.Errorf("%w, %w", err, errNoTopicFor)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kafka journal: open topic %s: %w", cfg.Topic, err), l.Close())
	}
	return l, nil
}

// dial makes the client of a configuration, without a look at the topic.
func dial(cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("kafka journal: %w", err)
	}
	l := &Log{cfg: cfg, transport: cfg.transport()}
	l.closed, l.close = context.WithCancel(context.Background())
	// Timeout bounds the requests that the client makes; what we send ourselves has a deadline of its own.
	l.client = &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: cfg.FetchTimeout, Transport: l.transport}
	return l, nil
}

// Close gives up the connections. What is under way ends with an error, an append with an unknown outcome. Closing twice
// is fine.
func (l *Log) Close() error {
	l.close()
	l.transport.CloseIdleConnections()
	return nil
}

// Partitions is the number of partitions, fixed for ever.
func (l *Log) Partitions() int { return l.cfg.Partitions }

// usable refuses what cannot be asked.
func (l *Log) usable(partition int) error {
	if l.closed.Err() != nil {
		return ErrClosed
	}
	if partition < 0 || partition >= l.cfg.Partitions {
		return fmt.Errorf("no partition %d, there are %d", partition, l.cfg.Partitions)
	}
	return nil
}

// while derives a context that also ends with the log.
func (l *Log) while(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(l.closed, cancel)
	return ctx, func() { stop(); cancel() }
}

// again does something that reads until it succeeds, fails in a way that does not pass, or enough is closed.
func (l *Log) again(ctx context.Context, enough <-chan struct{}, do func(ctx context.Context) error) error {
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := do(ctx)
		if err == nil || !passes(err) {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
			continue
		case <-enough:
		case <-ctx.Done():
		case <-l.closed.Done():
			err = ErrClosed
		}
		t.Stop()
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return err
	}
}

// topic answers what the transport last heard of the topic: no request is made.
func (l *Log) topic(ctx context.Context) (*metadata.ResponseTopic, error) {
	m, err := l.transport.RoundTrip(ctx, l.client.Addr, &metadata.Request{TopicNames: []string{l.cfg.Topic}})
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	topics := m.(*metadata.Response).Topics
	if len(topics) != 1 {
		return nil, fmt.Errorf("metadata: %d topics", len(topics))
	}
	t := &topics[0]
	if kafka.Error(t.ErrorCode) == kafka.UnknownTopicOrPartition {
		return nil, fmt.Errorf("%w: %s", ErrNoTopic, l.cfg.Topic)
	}
	if t.ErrorCode != 0 {
		return nil, fmt.Errorf("metadata: %w", kafka.Error(t.ErrorCode))
	}
	return t, nil
}

const noLeader int32 = -1

// leaders answers the leader of each partition, as far as the transport knows.
func (l *Log) leaders(ctx context.Context) ([]int32, error) {
	t, err := l.topic(ctx)
	if err != nil {
		return nil, err
	}
	of := make([]int32, l.cfg.Partitions)
	for p := range of {
		of[p] = noLeader
	}
	for i := range t.Partitions {
		if p := &t.Partitions[i]; p.PartitionIndex >= 0 && int(p.PartitionIndex) < len(of) {
			of[p.PartitionIndex] = p.LeaderID
		}
	}
	return of, nil
}

// toLeader is a request of ours that goes to one broker over kafka-go's connections.
type toLeader struct {
	key     protocol.ApiKey
	version int16
	leader  int32
	spoken  int16 // the version that connection and we have in common
}

// correlation is any number: a connection has one request at a time.
func (t *toLeader) correlation() int32 { return int32(t.key) + 1 }

// Required implements protocol.RawExchanger: the request is always written by ourselves. versions are the highest that
// the broker and kafka-go have in common; kafka-go's are ours.
func (t *toLeader) Required(versions map[protocol.ApiKey]int16) bool {
	t.spoken = versions[t.key]
	return true
}

// understood answers errTooOld when the broker does not speak our version.
func (t *toLeader) understood() error {
	if t.spoken < t.version {
		return fmt.Errorf("%w (%v version %d)", errTooOld, t.key, t.spoken)
	}
	return nil
}

// ApiKey implements protocol.Message.
func (t *toLeader) ApiKey() protocol.ApiKey { return t.key }

// Broker implements protocol.BrokerMessage.
func (t *toLeader) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	b, ok := cluster.Brokers[t.leader]
	if !ok {
		return b, fmt.Errorf("broker %d: %w", t.leader, kafka.LeaderNotAvailable)
	}
	return b, nil
}
