// Package kafkatopic is the topic of public events on Kafka (design section 9): partition n has the events of the wallet's partition n.
//
// It appends in one request a partition, with acks of all in-sync replicas, and reads for those who look (`walletd events tail`). Unlike the
// journal's topic nothing depends on what is in it, so its settings are the owner's: with a short retention it is only shorter.
package kafkatopic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go"

	"walletd/projector/events"
)

// Config names the topic. Zero values get the defaults named here.
type Config struct {
	Brokers    []string // host:port, some of the cluster
	Name       string
	Partitions int // of the wallet, and of the topic
	Replicas   int // Create: replication factor
}

const (
	dialTimeout    = 3 * time.Second
	requestTimeout = 10 * time.Second
	metadataTTL    = time.Second // how long a moved leader goes unnoticed; the library's 6 s stall for seconds
	createWait     = 100 * time.Millisecond
	fetchBytes     = 1 << 20
	clientID       = "walletd-events" // in the brokers' logs
)

// Topic is a topic of events. Its methods may be called from several goroutines.
type Topic struct {
	config    Config
	transport *kafka.Transport
	client    *kafka.Client
}

var _ events.Topic = (*Topic)(nil)

// Open makes the client; no request is made.
func Open(c Config) *Topic {
	t := &kafka.Transport{
		Dial:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		DialTimeout:    dialTimeout,
		IdleTimeout:    time.Minute,
		MetadataTTL:    metadataTTL,
		MetadataTopics: []string{c.Name},
		ClientID:       clientID,
	}
	return &Topic{config: c, transport: t, client: &kafka.Client{Addr: kafka.TCP(c.Brokers...), Timeout: requestTimeout, Transport: t}}
}

// Close gives up the connections.
func (t *Topic) Close() { t.transport.CloseIdleConnections() }

// Create makes the topic, or finds it there with the right number of partitions, and waits until all of them answer.
func (t *Topic) Create(ctx context.Context) error {
	r, err := t.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: t.config.Name, NumPartitions: t.config.Partitions, ReplicationFactor: t.config.Replicas,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "cleanup.policy", ConfigValue: "delete"}, {ConfigName: "retention.ms", ConfigValue: "-1"}},
	}}})
	if err == nil {
		if err = r.Errors[t.config.Name]; errors.Is(err, kafka.TopicAlreadyExists) {
			err = nil
		}
	}
	if err != nil {
		return t.wrap("create", err)
	}
	for {
		err := t.complete(ctx)
		if err == nil || errors.Is(err, errPartitions) {
			return t.wrap("create", err)
		}
		select {
		case <-ctx.Done():
			return t.wrap("create", errors.Join(ctx.Err(), err))
		case <-time.After(createWait):
		}
	}
}

var errPartitions = errors.New("events need as many partitions as the wallet has")

// complete reports whether all partitions are there and answer.
func (t *Topic) complete(ctx context.Context) error {
	m, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t.config.Name}})
	if err != nil {
		return err
	}
	for _, topic := range m.Topics {
		if topic.Error != nil {
			return topic.Error
		}
		if n := len(topic.Partitions); n != 0 && n != t.config.Partitions {
			return fmt.Errorf("%w: it has %d, the wallet %d; delete it, it is written anew, or name another in events.topic", errPartitions, n, t.config.Partitions)
		}
	}
	for p := range t.config.Partitions {
		if _, _, err := t.Ends(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// Partitions is the number that the topic has.
func (t *Topic) Partitions(ctx context.Context) (int, error) {
	m, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t.config.Name}})
	if err == nil && len(m.Topics) == 1 {
		if err = m.Topics[0].Error; err == nil {
			return len(m.Topics[0].Partitions), nil
		}
	}
	return 0, t.wrap("look at", err)
}

// Ends answers the offsets of the partition's first record and behind its last one.
func (t *Topic) Ends(ctx context.Context, partition int) (first, end int64, err error) {
	r, err := t.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		t.config.Name: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)},
	}})
	if err != nil {
		return 0, 0, t.wrap("ends of", err)
	}
	for _, p := range r.Topics[t.config.Name] {
		if p.Partition == partition {
			return p.FirstOffset, p.LastOffset, t.wrap("ends of", p.Error)
		}
	}
	return 0, 0, t.wrap("ends of", kafka.UnknownTopicOrPartition)
}

// ErrPlaceLost says that a partition once had records and has none now, so that nobody knows how far it had come.
var ErrPlaceLost = errors.New("all records are gone (retention?), and with them the place where to go on")

// Last implements events.Topic.
func (t *Topic) Last(ctx context.Context, partition int) (id string, end int64, err error) {
	first, end, err := t.Ends(ctx, partition)
	if err != nil || end == 0 {
		return "", end, err
	}
	if first == end {
		return "", end, t.wrap(fmt.Sprintf("partition %d of", partition),
			fmt.Errorf("%w: write it on from a position with `walletd events rebuild --partition %d --from-position %d.0.SEQ`", ErrPlaceLost, partition, partition))
	}
	id, err = t.At(ctx, partition, end-1)
	return id, end, err
}

var errEnough = errors.New("enough")

// At implements events.Topic.
func (t *Topic) At(ctx context.Context, partition int, offset int64) (id string, err error) {
	_, err = t.Read(ctx, partition, offset, func(at int64, r *events.Record) error {
		if at == offset {
			id = r.Header(events.HeaderID)
		}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && id == "" {
		err = t.wrap("look at", fmt.Errorf("partition %d offset %d is no event: somebody else writes this topic; name another in events.topic", partition, offset))
	}
	return id, err
}

// Append implements events.Topic.
func (t *Topic) Append(ctx context.Context, partition int, records []events.Record) (int64, error) {
	batch := make([]kafka.Record, len(records))
	for i, r := range records {
		batch[i] = kafka.Record{Key: kafka.NewBytes(r.Key), Value: kafka.NewBytes(r.Value)}
		for _, h := range r.Headers {
			batch[i].Headers = append(batch[i].Headers, kafka.Header{Key: h.Name, Value: []byte(h.Value)})
		}
	}
	r, err := t.client.Produce(ctx, &kafka.ProduceRequest{Topic: t.config.Name, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...)})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return 0, t.wrap("append to", err)
	}
	return r.BaseOffset, nil
}

// Read calls fn for some records of the partition from an offset on, and answers the offset behind them: the same one where there is nothing
// for a second. The record belongs to fn.
func (t *Topic) Read(ctx context.Context, partition int, from int64, fn func(offset int64, r *events.Record) error) (next int64, err error) {
	r, err := t.client.Fetch(ctx, &kafka.FetchRequest{Topic: t.config.Name, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: time.Second})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return from, t.wrap("read", err)
	}
	for {
		k, err := r.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return from, nil
		}
		if err != nil {
			return from, t.wrap("read", err)
		}
		one, err := record(k)
		if err != nil {
			return from, t.wrap("read", err)
		}
		if k.Offset < from { // a batch may begin before
			continue
		}
		if err := fn(k.Offset, one); err != nil {
			return from, err
		}
		from = k.Offset + 1
	}
}

func record(k *kafka.Record) (*events.Record, error) {
	key, err1 := kafka.ReadAll(k.Key)
	value, err2 := kafka.ReadAll(k.Value)
	r := &events.Record{Key: key, Value: value}
	for _, h := range k.Headers {
		r.Headers = append(r.Headers, events.Header{Name: h.Key, Value: string(h.Value)})
	}
	return r, errors.Join(err1, err2)
}

func (t *Topic) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s topic %s: %w", what, t.config.Name, err)
}
