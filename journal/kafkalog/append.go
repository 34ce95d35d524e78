package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"walletd/journal"
)

const acksAll = -1

// Append implements journal.Log: one produce request for every leader.
func (l *Log) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	offsets := make([]int64, len(records))
	for i := range offsets {
		offsets[i] = -1
	}
	for i := range records {
		if err := l.usable(records[i].Partition); err != nil {
			return offsets, fmt.Errorf("append: %w: %w", journal.ErrNotAppended, err)
		}
		if len(records[i].Bytes) > journal.FrameBytesMax {
			return offsets, fmt.Errorf("append to partition %d: %w: a frame of %d bytes", records[i].Partition, journal.ErrNotAppended, len(records[i].Bytes))
		}
	}
	groups := l.byLeader(records)
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	for g := 1; g < len(groups); g++ {
		wg.Go(func() { errs[g] = l.produce(ctx, records, groups[g], offsets) })
	}
	if len(groups) > 0 {
		errs[0] = l.produce(ctx, records, groups[0], offsets)
	}
	wg.Wait()
	return offsets, joined(errs)
}

// joined is unknown as soon as one part is: then the whole must not say ErrNotAppended.
func joined(errs []error) error {
	var unknown, all error
	for _, err := range errs {
		all = errors.Join(all, err)
		if err != nil && !errors.Is(err, journal.ErrNotAppended) {
			unknown = errors.Join(unknown, err)
		}
	}
	if unknown != nil {
		return unknown
	}
	return all
}

// byLeader groups the indices of records by the leader of their partition, as far as it is known.
func (l *Log) byLeader(records []journal.Record) (groups [][]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := map[int]int{}
	for i := range records {
		leader := l.leaders[records[i].Partition]
		g, ok := of[leader]
		if !ok || leader < 0 {
			g = len(groups)
			of[leader] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

// produce sends the records with these indices in one request, and fills in their offsets.
func (l *Log) produce(ctx context.Context, records []journal.Record, group []int, offsets []int64) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ProduceTimeout)
	defer cancel()
	topic := produce.RequestTopic{Topic: l.cfg.Topic}
	at := make(map[int32]int, len(group))
	for _, i := range group {
		p := int32(records[i].Partition)
		at[p] = i
		topic.Partitions = append(topic.Partitions, produce.RequestPartition{
			Partition: p,
			RecordSet: protocol.RecordSet{Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(records[i].Bytes)})},
		})
	}
	answer, err := l.transport.RoundTrip(ctx, l.client.Addr, &produce.Request{Acks: acksAll, Timeout: int32(l.cfg.ProduceTimeout.Milliseconds()), Topics: []produce.RequestTopic{topic}})
	if err != nil {
		l.refresh(ctx)
		var unsent *produce.Error
		if errors.As(err, &unsent) { // no leader, or not the one that we thought of: it has not left this process
			return fmt.Errorf("produce: %w: %w", journal.ErrNotAppended, err)
		}
		return fmt.Errorf("produce: unknown whether it happened: %w", err)
	}
	var errs []error
	for _, t := range answer.(*produce.Response).Topics {
		for _, p := range t.Partitions {
			i, ok := at[p.Partition]
			if !ok || t.Topic != l.cfg.Topic {
				continue
			}
			if p.ErrorCode != 0 {
				errs = append(errs, refusal(int(p.Partition), kafka.Error(p.ErrorCode), p.ErrorMessage))
				continue
			}
			offsets[i] = p.BaseOffset
		}
	}
	if len(errs) > 0 {
		l.refresh(ctx)
	}
	for _, i := range group {
		if offsets[i] < 0 && len(errs) == 0 {
			errs = append(errs, fmt.Errorf("produce: the answer does not mention partition %d", records[i].Partition))
		}
	}
	return joined(errs)
}

// refresh looks for moved leaders; if that fails, the next append's failure looks again.
func (l *Log) refresh(ctx context.Context) {
	_, _ = l.topic(ctx)
}

// refusal tells codes that a broker gives before it appends from those that leave it open.
func refusal(partition int, code kafka.Error, text string) error {
	switch code {
	case kafka.UnknownTopicOrPartition, kafka.LeaderNotAvailable, kafka.NotLeaderForPartition, kafka.NotEnoughReplicas, kafka.MessageSizeTooLarge,
		kafka.RecordListTooLarge, kafka.InvalidTopic, kafka.InvalidRequiredAcks, kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed,
		kafka.UnsupportedForMessageFormat, kafka.InvalidMessage, kafka.InvalidRecord, kafka.BrokerNotAvailable:
		return fmt.Errorf("produce to partition %d: %w: %w %s", partition, journal.ErrNotAppended, code, text)
	}
	return fmt.Errorf("produce to partition %d: unknown whether it happened: %w %s", partition, code, text)
}
