package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"walletd/journal"
)

const (
	fetchBytes = 8 << 20
	waitPoll   = 500 * time.Millisecond // how long a broker holds a fetch back that has nothing
)

// End implements journal.Log: the high watermark.
func (l *Log) End(ctx context.Context, partition int) (int64, error) {
	if err := l.usable(partition); err != nil {
		return 0, err
	}
	r, err := l.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{l.cfg.Topic: {kafka.LastOffsetOf(partition)}}})
	if err != nil {
		return 0, fmt.Errorf("end of partition %d: %w", partition, err)
	}
	for _, p := range r.Topics[l.cfg.Topic] {
		if p.Partition == partition {
			if p.Error != nil {
				return 0, fmt.Errorf("end of partition %d: %w", partition, p.Error)
			}
			return p.LastOffset, nil
		}
	}
	return 0, fmt.Errorf("end of partition %d: the answer does not mention it", partition)
}

// Read implements journal.Log.
func (l *Log) Read(ctx context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	end, err := l.End(ctx, partition)
	if err != nil {
		return from, err
	}
	var buf []byte
	for from < end {
		var next int64
		if next, buf, err = l.fetch(ctx, partition, from, end, buf, fn); err != nil {
			return next, err
		}
		if next == from && ctx.Err() != nil {
			return from, ctx.Err()
		}
		from = next
	}
	return from, nil
}

// fetch reads one answer's worth.
func (l *Log) fetch(ctx context.Context, partition int, from, end int64, buf []byte, fn func(int64, []byte) error) (int64, []byte, error) {
	r, err := l.request(ctx, partition, from)
	if err != nil {
		return from, buf, err
	}
	for from < end {
		rec, err := r.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return from, buf, fmt.Errorf("read partition %d offset %d: %w", partition, from, err)
		}
		if rec.Offset < from { // a batch may begin before the offset that was asked for
			continue
		}
		if rec.Offset > from {
			return from, buf, fmt.Errorf("%w: partition %d: offset %d follows %d: records are missing", journal.ErrDamaged, partition, rec.Offset, from-1)
		}
		if buf, err = readValue(buf[:0], rec.Value); err != nil {
			return from, buf, fmt.Errorf("read partition %d offset %d: %w", partition, from, err)
		}
		if err := fn(from, buf); err != nil {
			return from, buf, err
		}
		from++
	}
	return from, buf, nil
}

// request fetches from an offset on, and tells what is gone from what is not there yet.
func (l *Log) request(ctx context.Context, partition int, from int64) (*kafka.FetchResponse, error) {
	if err := l.usable(partition); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.FetchTimeout)
	defer cancel()
	r, err := l.client.Fetch(ctx, &kafka.FetchRequest{Topic: l.cfg.Topic, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: waitPoll})
	if err != nil {
		return nil, fmt.Errorf("fetch partition %d offset %d: %w", partition, from, err)
	}
	switch {
	case errors.Is(r.Error, kafka.OffsetOutOfRange):
		return nil, fmt.Errorf("%w: partition %d: offset %d is not in the topic, which begins at %d: retention must be unlimited", journal.ErrDamaged, partition, from, r.LogStartOffset)
	case r.Error != nil:
		return nil, fmt.Errorf("fetch partition %d offset %d: %w", partition, from, r.Error)
	}
	return r, nil
}

func readValue(dst []byte, value kafka.Bytes) ([]byte, error) {
	if value == nil {
		return dst, errors.New("a record without a value")
	}
	defer value.Close()
	n := value.Len()
	if cap(dst) < n {
		dst = make([]byte, 0, max(n, 64<<10))
	}
	dst = dst[:n]
	_, err := io.ReadFull(value, dst)
	return dst, err
}

// Wait implements journal.Log: the broker holds the fetch back until there is something.
func (l *Log) Wait(ctx context.Context, partition int, offset int64) error {
	for {
		r, err := l.request(ctx, partition, offset)
		if err != nil {
			return err
		}
		if r.HighWatermark > offset {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
