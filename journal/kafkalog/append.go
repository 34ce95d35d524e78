package kafkalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"walletd/journal"
)

// Append sends the records in one produce request for every leader, and answers their offsets when all in-sync replicas
// have them. A record's bytes are the caller's again when it returns, whatever it answers. Errors: a
// journal.ErrNotAppended; any other is unknown.
func (l *Log) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	offsets := make([]int64, len(records))
	for i := range offsets {
		offsets[i] = -1
	}
	if err := l.appendable(records); err != nil {
		return offsets, fmt.Errorf("kafka journal: append: %w", notAppended(err))
	}
	ctx, cancel := l.while(ctx, l.cfg.ProduceTimeout)
	defer cancel()
	leaders, err := l.leaders(ctx)
	if err != nil {
		return offsets, fmt.Errorf("kafka journal: append: %w", notAppended(err))
	}
	requests, errs := l.requests(records, leaders)
	var wg sync.WaitGroup
	for i := 1; i < len(requests); i++ {
		wg.Go(func() { requests[i].send(ctx, l, offsets) })
	}
	if len(requests) > 0 {
		requests[0].send(ctx, l, offsets)
	}
	wg.Wait()
	for _, r := range requests {
		errs = append(errs, r.err)
	}
	if err := joined(errs); err != nil {
		return offsets, fmt.Errorf("kafka journal: append: %w", err)
	}
	return offsets, nil
}

// appendable refuses what can never be appended.
func (l *Log) appendable(records []journal.Record) error {
	seen := make(map[int]bool, len(records))
	for _, r := range records {
		if err := l.usable(r.Partition); err != nil {
			return err
		}
		if len(r.Bytes) == 0 || len(r.Bytes) > journal.FrameBytesMax {
			return fmt.Errorf("partition %d: a record of %d bytes, want 1 to %d", r.Partition, len(r.Bytes), journal.FrameBytesMax)
		}
		if seen[r.Partition] {
			return fmt.Errorf("partition %d: two records in one append", r.Partition)
		}
		seen[r.Partition] = true
	}
	return nil
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
		return fmt.Errorf("unknown whether it happened: %w", unknown)
	}
	return all
}

// requests packs the records into one request a leader, or more where they would be too large. A record whose partition
// has no leader is not sent.
func (l *Log) requests(records []journal.Record, leaders []int32) (requests []*produceRequest, errs []error) {
	now := time.Now().UnixMilli()
	of := map[int32]*produceRequest{}
	for i, r := range records {
		leader := leaders[r.Partition]
		if leader == noLeader {
			errs = append(errs, notAppended(fmt.Errorf("partition %d: %w", r.Partition, kafka.LeaderNotAvailable)))
			continue
		}
		q := of[leader]
		if q == nil || len(q.packed)+len(r.Bytes) > requestBytes {
			q = l.newProduce(leader)
			of[leader] = q
			requests = append(requests, q)
		}
		q.add(i, r, now)
	}
	for _, q := range requests {
		q.end()
	}
	return requests, errs
}

// brokerTimeout is how long a broker waits for its replicas: a little less than we wait for its answer.
func (l *Log) brokerTimeout() time.Duration { return l.cfg.ProduceTimeout * 9 / 10 }

// produceRequest is one produce request: all of it is packed before it is handed to a connection.
type produceRequest struct {
	toLeader
	records []int   // indices of what it carries
	numbers []int32 // and their partitions
	packed  []byte
	countAt int // of the number of partitions in packed
	sent    atomic.Int32

	err error
}

// The life of a request, for the one question: did it leave?
const (
	waiting int32 = iota
	leaving       // a connection has it
	calledOff
)

var requestBuffers = sync.Pool{New: func() any { return new([]byte) }}

// newProduce begins a request.
func (l *Log) newProduce(leader int32) *produceRequest {
	q := &produceRequest{toLeader: toLeader{key: protocol.Produce, version: produceVersion, leader: leader}}
	b := appendRequestHead((*requestBuffers.Get().(*[]byte))[:0], q.key, q.version, q.correlation())
	b = binary.BigEndian.AppendUint16(b, 1<<16-1) // transaction: none
	b = binary.BigEndian.AppendUint16(b, 1<<16-1) // acks: of all in-sync replicas
	b = binary.BigEndian.AppendUint32(b, uint32(l.brokerTimeout().Milliseconds()))
	b = binary.BigEndian.AppendUint32(b, 1) // topics
	b = appendString(b, l.cfg.Topic)
	q.countAt = len(b)
	q.packed = append(b, 0, 0, 0, 0)
	return q
}

func (q *produceRequest) add(i int, r journal.Record, nowMS int64) {
	q.records = append(q.records, i)
	q.numbers = append(q.numbers, int32(r.Partition))
	q.packed = binary.BigEndian.AppendUint32(q.packed, uint32(r.Partition))
	at := len(q.packed)
	q.packed = slices.Grow(q.packed, 4+batchOverhead+len(r.Bytes))
	q.packed = appendBatch(append(q.packed, 0, 0, 0, 0), nowMS, r.Bytes)
	binary.BigEndian.PutUint32(q.packed[at:], uint32(len(q.packed)-at-4))
}

func (q *produceRequest) end() {
	binary.BigEndian.PutUint32(q.packed[q.countAt:], uint32(len(q.records)))
	endRequest(q.packed)
}

// send makes the request, fills in the offsets of what it carries, and notes what went wrong.
func (q *produceRequest) send(ctx context.Context, l *Log, offsets []int64) {
	m, err := l.transport.RoundTrip(ctx, l.client.Addr, q)
	if err != nil {
		if q.sent.CompareAndSwap(waiting, calledOff) {
			err = notAppended(err)
		}
		q.err = fmt.Errorf("produce to broker %d: %w", q.leader, err)
		return
	}
	requestBuffers.Put(&q.packed) // answered: no connection reads it any more
	answers := m.(*produceResponse).of
	var errs []error
	for i, p := range q.numbers {
		a, ok := answers[p]
		switch {
		case !ok || a.code == 0 && a.offset < 0:
			errs = append(errs, fmt.Errorf("%w: partition %d: no offset", errBadResponse, p))
		case a.code != 0:
			errs = append(errs, produceError(p, a.code, a.message))
		default:
			offsets[q.records[i]] = a.offset
		}
	}
	q.err = joined(errs)
}

var errCalledOff = errors.New("called off before it was sent")

// RawExchange implements protocol.RawExchanger. It runs on the connection's goroutine, perhaps after send has given up.
func (q *produceRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if err := q.understood(); err != nil {
		return nil, err
	}
	if !q.sent.CompareAndSwap(waiting, leaving) {
		return nil, errCalledOff
	}
	b, err := exchange(rw, q.packed, q.correlation(), nil)
	if err != nil {
		return nil, err
	}
	return parseProduceResponse(b)
}

// produceResponse is the broker's answer, by partition.
type produceResponse struct{ of map[int32]produced }

type produced struct {
	code    int16
	offset  int64
	message string
}

// ApiKey implements protocol.Message.
func (*produceResponse) ApiKey() protocol.ApiKey { return protocol.Produce }

func parseProduceResponse(b []byte) (*produceResponse, error) {
	r := reader{b: b}
	answer := &produceResponse{of: map[int32]produced{}}
	for range r.count(6) { // topics: there is one
		r.text()
		for range r.count(30) {
			p := r.i32()
			a := produced{code: r.i16(), offset: r.i64()}
			r.i64() // append time
			r.i64() // log start offset
			for range r.count(6) {
				r.i32()
				a.message = r.text()
			}
			if text := r.text(); text != "" {
				a.message = text
			}
			answer.of[p] = a
		}
	}
	return answer, r.err()
}
