package kafkalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// End asks the partition's leader for the offset behind the last record that all in-sync replicas have. A new leader that
// does not know it yet is asked again.
func (l *Log) End(ctx context.Context, partition int) (int64, error) {
	if err := l.usable(partition); err != nil {
		return 0, fmt.Errorf("kafka journal: end: %w", err)
	}
	var end int64
	err := l.patiently(ctx, func(ctx context.Context) (err error) {
		end, err = l.offset(ctx, partition, kafka.LastOffset)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("kafka journal: end of partition %d: %w", partition, err)
	}
	return end, nil
}

// patiently tries again for as long as a read is worth it.
func (l *Log) patiently(ctx context.Context, do func(context.Context) error) error {
	stop := make(chan struct{})
	timer := time.AfterFunc(l.cfg.FetchTimeout, func() { close(stop) })
	defer timer.Stop()
	return l.again(ctx, stop, do)
}

// offset asks for the first or the last offset.
func (l *Log) offset(ctx context.Context, partition int, which int64) (int64, error) {
	ctx, cancel := l.while(ctx, l.cfg.requestTimeout())
	defer cancel()
	m, err := l.transport.RoundTrip(ctx, l.client.Addr, &listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{{
		Topic:      l.cfg.Topic,
		Partitions: []listoffsets.RequestPartition{{Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: which}},
	}}})
	if err != nil {
		return 0, err
	}
	for _, t := range m.(*listoffsets.Response).Topics {
		for _, p := range t.Partitions {
			if int(p.Partition) != partition {
				continue
			}
			if p.ErrorCode != 0 {
				return 0, kafka.Error(p.ErrorCode)
			}
			return p.Offset, nil
		}
	}
	return 0, fmt.Errorf("%w: it does not name partition %d", errBadResponse, partition)
}

// Read calls fn for every record of the partition from offset from on, up to the end at the time of the call, and
// answers the offset behind the last one read. While leaders move it tries again. Errors: fn's own, as it is; a
// journal.ErrDamaged, also when from lies outside the log; the network's.
func (l *Log) Read(ctx context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	if err := l.usable(partition); err != nil {
		return from, fmt.Errorf("kafka journal: read: %w", err)
	}
	next, end := from, int64(-1)
	for end < 0 || next < end {
		var f *fetched
		err := l.patiently(ctx, func(ctx context.Context) (err error) {
			f, err = l.fetch(ctx, partition, next, 0, fetchBytes)
			if err == nil && len(f.batches) == 0 && (next < end || next < f.high) {
				// A new leader that does not know yet how far it is, or a broker that throttles us.
				err = fmt.Errorf("nothing at offset %d, the end is %d: %w", next, max(end, f.high), kafka.OffsetNotAvailable)
				f.release()
			}
			return err
		})
		if err != nil {
			return next, l.readError(ctx, partition, next, err)
		}
		if end < 0 {
			end = f.high
		}
		before := next
		next, err = eachRecord(f.batches, partition, next, end, fn)
		f.release()
		if err != nil {
			return next, err
		}
		if next == before && next < end {
			return next, fmt.Errorf("%w: partition %d: it has no record from offset %d on, the end is %d", errBadResponse, partition, next, end)
		}
	}
	return next, nil
}

// readError says what an offset out of range is; the rest passes.
func (l *Log) readError(ctx context.Context, partition int, next int64, err error) error {
	if !errors.Is(err, kafka.OffsetOutOfRange) {
		return fmt.Errorf("kafka journal: read partition %d from offset %d: %w", partition, next, err)
	}
	first, err1 := l.offset(ctx, partition, kafka.FirstOffset)
	end, err2 := l.offset(ctx, partition, kafka.LastOffset)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("kafka journal: read partition %d from offset %d: %w", partition, next, err)
	}
	return damaged(partition, next, "the topic has the offsets from %d to before %d: retention must be unlimited, and nothing cut off", first, end)
}

// Wait blocks until End(partition) > offset, or ctx ends, or the log is closed: the broker holds a fetch back until
// there is something.
func (l *Log) Wait(ctx context.Context, partition int, offset int64) error {
	if err := l.usable(partition); err != nil {
		return fmt.Errorf("kafka journal: wait: %w", err)
	}
	for {
		high := int64(-1)
		err := l.patiently(ctx, func(ctx context.Context) error {
			f, err := l.fetch(ctx, partition, offset, waitPoll, 1)
			if err != nil {
				return err
			}
			high = f.high
			f.release()
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, kafka.OffsetOutOfRange): // behind the end: it may still come
			if _, err := l.End(ctx, partition); err != nil {
				return err
			}
			if err := l.rest(ctx); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("kafka journal: wait for partition %d: %w", partition, err)
		case high > offset:
			return nil
		}
	}
}

func (l *Log) rest(ctx context.Context) error {
	t := time.NewTimer(retryMost)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closed.Done():
		return ErrClosed
	}
}

// fetch asks the leader for what it has from an offset on; with wait, it holds back until there is something.
func (l *Log) fetch(ctx context.Context, partition int, from int64, wait time.Duration, bytes int32) (*fetched, error) {
	ctx, cancel := l.while(ctx, l.cfg.requestTimeout()+wait)
	defer cancel()
	leaders, err := l.leaders(ctx)
	if err != nil {
		return nil, err
	}
	q := &fetchRequest{
		toLeader: toLeader{key: protocol.Fetch, version: fetchVersion, leader: leaders[partition]}, topic: l.cfg.Topic,
		partition: int32(partition), from: from, wait: wait, bytes: bytes,
	}
	m, err := l.transport.RoundTrip(ctx, l.client.Addr, q)
	if err != nil {
		if l.closed.Err() != nil {
			return nil, ErrClosed
		}
		return nil, err
	}
	f := m.(*fetched)
	if f.code != 0 {
		f.release()
		return nil, kafka.Error(f.code)
	}
	return f, nil
}

// fetchRequest asks for one partition.
type fetchRequest struct {
	toLeader
	topic     string
	partition int32
	from      int64
	wait      time.Duration
	bytes     int32
}

func (q *fetchRequest) pack() []byte {
	least := uint32(0)
	if q.wait > 0 {
		least = 1
	}
	b := appendRequestHead(nil, q.key, q.version, q.correlation())
	b = binary.BigEndian.AppendUint32(b, 1<<32-1) // replica: none, a client
	b = binary.BigEndian.AppendUint32(b, uint32(q.wait.Milliseconds()))
	b = binary.BigEndian.AppendUint32(b, least)
	b = binary.BigEndian.AppendUint32(b, uint32(q.bytes))
	b = append(b, 0)                              // isolation: all that is committed to the replicas
	b = binary.BigEndian.AppendUint32(b, 0)       // session: none
	b = binary.BigEndian.AppendUint32(b, 1<<32-1) // session epoch
	b = binary.BigEndian.AppendUint32(b, 1)       // topics
	b = appendString(b, q.topic)
	b = binary.BigEndian.AppendUint32(b, 1) // partitions
	b = binary.BigEndian.AppendUint32(b, uint32(q.partition))
	b = binary.BigEndian.AppendUint32(b, 1<<32-1) // leader epoch: whichever
	b = binary.BigEndian.AppendUint64(b, uint64(q.from))
	b = binary.BigEndian.AppendUint64(b, 1<<64-1) // log start offset: a follower's
	b = binary.BigEndian.AppendUint32(b, uint32(q.bytes))
	b = binary.BigEndian.AppendUint32(b, 0) // forgotten topics
	return endRequest(appendString(b, ""))  // rack: read from the leader
}

var responses = sync.Pool{New: func() any { return new([]byte) }}

// RawExchange implements protocol.RawExchanger.
func (q *fetchRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if err := q.understood(); err != nil {
		return nil, err
	}
	buf := responses.Get().(*[]byte)
	b, err := exchange(rw, q.pack(), q.correlation(), (*buf)[:0])
	if err != nil {
		return nil, err
	}
	f, err := parseFetchResponse(b)
	if err != nil {
		return nil, err
	}
	*buf = b
	f.buf = buf
	return f, nil
}

// fetched is what a broker answered for the partition. batches share memory with a pooled buffer until release.
type fetched struct {
	code    int16
	high    int64 // offset behind the last record that all in-sync replicas have
	batches []byte
	buf     *[]byte
}

// ApiKey implements protocol.Message.
func (*fetched) ApiKey() protocol.ApiKey { return protocol.Fetch }

func (f *fetched) release() {
	if f.buf != nil {
		responses.Put(f.buf)
		f.buf, f.batches = nil, nil
	}
}

func parseFetchResponse(b []byte) (*fetched, error) {
	r := reader{b: b}
	r.i32() // throttled
	f := &fetched{code: r.i16()}
	r.i32()                // session
	for range r.count(6) { // topics: there is one
		r.text()
		for range r.count(42) { // partitions: there is one
			r.i32()
			if code := r.i16(); code != 0 {
				f.code = code
			}
			f.high = r.i64()
			r.i64() // last stable offset
			r.i64() // log start offset
			for range r.count(16) {
				r.i64()
				r.i64()
			}
			r.i32() // preferred replica
			f.batches = r.bytes()
		}
	}
	return f, r.err()
}
