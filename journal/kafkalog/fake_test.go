package kafkalog

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// fakeBroker answers what a test tells it to: faults that a real broker does not give on demand. It takes requests apart
// with kafka-go's own decoder, which so checks how we pack them.
type fakeBroker struct {
	t        *testing.T
	listener net.Listener

	mu       sync.Mutex
	leaders  map[int32]*fakeBroker // of the partitions; this one's metadata names them
	produced map[int32][][]byte    // records by partition, in the order in which they came
	answer   func(partition int32) (code int16, offset int64)
	silent   bool   // nothing is answered but metadata and versions
	mute     bool   // not even versions, on new connections
	hangUp   bool   // the connection ends instead of an answer to a produce
	before   func() // called when a produce is about to be read
}

const fakeTopic = "t"

// newFake is a broker that leads the partitions; others may be given later.
func newFake(t *testing.T, partitions int) *fakeBroker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeBroker{t: t, listener: l, leaders: map[int32]*fakeBroker{}, produced: map[int32][][]byte{}}
	f.answer = func(p int32) (int16, int64) { return 0, int64(len(f.produced[p]) - 1) }
	for p := range int32(partitions) {
		f.leaders[p] = f
	}
	t.Cleanup(func() { _ = l.Close() })
	go f.serve()
	return f
}

func (f *fakeBroker) set(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fakeBroker) serve() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			f.connection(c)
		}()
	}
}

func (f *fakeBroker) connection(c net.Conn) {
	for {
		// Only the size is read before the test is told: the rest still lies with the sender.
		size := make([]byte, 8)
		if _, err := io.ReadFull(c, size); err != nil {
			return
		}
		if protocol.ApiKey(size[5]) == protocol.Produce {
			f.mu.Lock()
			before := f.before
			f.mu.Unlock()
			if before != nil {
				before()
			}
		}
		version, id, _, message, err := protocol.ReadRequest(io.MultiReader(bytes.NewReader(size), c))
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
				f.t.Logf("fake broker: %v", err)
			}
			return
		}
		answer := f.handle(message)
		if answer == nil {
			return
		}
		if protocol.WriteResponse(c, version, id, answer) != nil {
			return
		}
	}
}

func (f *fakeBroker) handle(message protocol.Message) protocol.Message {
	switch m := message.(type) {
	case *apiversions.Request:
		f.mu.Lock()
		mute := f.mute
		f.mu.Unlock()
		if mute {
			select {} // until the test process ends: the connection never gets ready
		}
		keys := []apiversions.ApiKeyResponse{}
		for _, k := range []struct {
			key protocol.ApiKey
			max int16
		}{{protocol.Produce, 8}, {protocol.Fetch, 11}, {protocol.ListOffsets, 5}, {protocol.Metadata, 8}, {protocol.ApiVersions, 2}} {
			keys = append(keys, apiversions.ApiKeyResponse{ApiKey: int16(k.key), MaxVersion: k.max})
		}
		return &apiversions.Response{ApiKeys: keys}
	case *metadata.Request:
		return f.metadata()
	case *produce.Request:
		return f.produce(m)
	}
	f.t.Errorf("fake broker: a %T", message)
	return nil
}

func (f *fakeBroker) metadata() protocol.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := &metadata.Response{Topics: []metadata.ResponseTopic{{Name: fakeTopic}}}
	id := map[*fakeBroker]int32{}
	for p := range int32(len(f.leaders)) {
		leader := f.leaders[p]
		part := metadata.ResponsePartition{PartitionIndex: p, LeaderID: noLeader}
		if leader != nil {
			if _, known := id[leader]; !known {
				id[leader] = int32(len(id) + 1)
				host, port, _ := net.SplitHostPort(leader.listener.Addr().String())
				n, _ := strconv.Atoi(port)
				answer.Brokers = append(answer.Brokers, metadata.ResponseBroker{NodeID: id[leader], Host: host, Port: int32(n)})
			}
			part.LeaderID = id[leader]
		}
		answer.Topics[0].Partitions = append(answer.Topics[0].Partitions, part)
	}
	return answer
}

func (f *fakeBroker) produce(m *produce.Request) protocol.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.Acks != -1 || m.TransactionalID != "" || m.Timeout <= 0 || len(m.Topics) != 1 || m.Topics[0].Topic != fakeTopic {
		f.t.Errorf("produce request %+v", m)
	}
	answer := &produce.Response{Topics: []produce.ResponseTopic{{Topic: fakeTopic}}}
	for _, p := range m.Topics[0].Partitions {
		for {
			rec, err := p.RecordSet.Records.ReadRecord()
			if err != nil {
				break
			}
			value, err := protocol.ReadAll(rec.Value)
			if err != nil || rec.Key != nil || len(rec.Headers) > 0 || rec.Time.Year() < 2000 {
				f.t.Errorf("record %+v: %v", rec, err)
			}
			f.produced[p.Partition] = append(f.produced[p.Partition], value)
		}
		code, offset := f.answer(p.Partition)
		if offset == -2 {
			continue // left out of the answer
		}
		answer.Topics[0].Partitions = append(answer.Topics[0].Partitions, produce.ResponsePartition{Partition: p.Partition, ErrorCode: code, BaseOffset: offset, ErrorMessage: "as told"})
	}
	if f.silent {
		f.mu.Unlock()
		defer f.mu.Lock()
		select {} // until the test process ends
	}
	if f.hangUp {
		return nil
	}
	return answer
}

// log opens the fake's topic without a look at its settings.
func (f *fakeBroker) log(change ...func(*Config)) *Log {
	f.t.Helper()
	cfg := Config{Brokers: []string{f.listener.Addr().String()}, Topic: fakeTopic, Partitions: len(f.leaders), Replicas: 1, Dev: true}
	for _, do := range change {
		do(&cfg)
	}
	l, err := dial(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = l.Close() })
	return l
}
