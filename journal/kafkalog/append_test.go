package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"walletd/journal"
)

func record(p int, size int) journal.Record {
	return journal.Record{Partition: p, Bytes: bytes.Repeat([]byte{byte('a' + p)}, size)}
}

// What an error code says of the record: certainly not there, or nobody knows.
func TestWhatABrokersAnswerSays(t *testing.T) {
	f := newFake(t, 1)
	l := f.log()
	for code, not := range map[kafka.Error]bool{
		kafka.NotEnoughReplicas:          true,
		kafka.MessageSizeTooLarge:        true,
		kafka.RecordListTooLarge:         true,
		kafka.InvalidMessage:             true,
		kafka.InvalidTimestamp:           true,
		kafka.TopicAuthorizationFailed:   true,
		kafka.ClusterAuthorizationFailed: true,

		kafka.RequestTimedOut:              false,
		kafka.NotEnoughReplicasAfterAppend: false,
		kafka.NotLeaderForPartition:        false, // also said after an append, when the leadership moves
		kafka.UnknownTopicOrPartition:      false, // so is this
		kafka.LeaderNotAvailable:           false,
		kafka.KafkaStorageError:            false,
		kafka.NetworkException:             false,
		kafka.Unknown:                      false,
		kafka.Error(4711):                  false, // from a later Kafka
	} {
		f.set(func() { f.answer = func(int32) (int16, int64) { return int16(code), -1 } })
		offsets, err := l.Append(t.Context(), []journal.Record{record(0, 10)})
		if offsets[0] != -1 || err == nil || errors.Is(err, journal.ErrNotAppended) != not || !errors.Is(err, code) {
			t.Errorf("%v: offset %d, %v; not appended: want %t", code.Title(), offsets[0], err, not)
		}
	}
}

func TestAppendToSeveralPartitions(t *testing.T) {
	const (
		fine = iota
		rejected
		unsure
		leftOut
	)
	f := newFake(t, 4)
	l := f.log()
	f.set(func() {
		f.answer = func(p int32) (int16, int64) {
			switch p {
			case rejected:
				return int16(kafka.NotEnoughReplicas), -1
			case unsure:
				return int16(kafka.RequestTimedOut), -1
			case leftOut:
				return 0, -2
			}
			return 0, 42
		}
	})
	for _, c := range []struct {
		partitions []int
		offsets    []int64
		not        bool
	}{
		{[]int{rejected}, []int64{-1}, true},
		{[]int{rejected, fine}, []int64{-1, 42}, true},
		{[]int{fine, rejected, unsure}, []int64{42, -1, -1}, false},
		{[]int{leftOut, rejected}, []int64{-1, -1}, false},
	} {
		var records []journal.Record
		for _, p := range c.partitions {
			records = append(records, record(p, 10))
		}
		offsets, err := l.Append(t.Context(), records)
		if fmt.Sprint(offsets) != fmt.Sprint(c.offsets) || err == nil || errors.Is(err, journal.ErrNotAppended) != c.not {
			t.Errorf("%v: %v, %v; want %v, not appended: %t", c.partitions, offsets, err, c.offsets, c.not)
		}
	}
}

func TestAppendRefusesWhatCanNeverBeAppended(t *testing.T) {
	l := newFake(t, 2).log()
	for name, records := range map[string][]journal.Record{
		"unknown partition": {record(0, 1), {Partition: 2, Bytes: []byte("x")}},
		"partition twice":   {record(1, 1), record(1, 1)},
		"too large":         {record(0, journal.FrameBytesMax+1)},
		"empty":             {record(0, 0)},
	} {
		if offsets, err := l.Append(t.Context(), records); !errors.Is(err, journal.ErrNotAppended) || offsets[0] != -1 {
			t.Errorf("%s: %v, %v", name, offsets, err)
		}
	}
	_ = l.Close()
	if _, err := l.Append(t.Context(), []journal.Record{record(0, 1)}); !errors.Is(err, journal.ErrNotAppended) || !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// Whether a request left is known for certain.
func TestWhetherARequestLeft(t *testing.T) {
	short := func(c *Config) { c.ProduceTimeout, c.DialTimeout = 300*time.Millisecond, 10*time.Second }
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, f *fakeBroker)
		not   bool
	}{
		{"no leader", func(_ *testing.T, f *fakeBroker) { f.set(func() { f.leaders[0] = nil }) }, true},
		{"nobody listens at the leader's", func(t *testing.T, f *fakeBroker) {
			gone := newFake(t, 1)
			_ = gone.listener.Close()
			f.set(func() { f.leaders[0] = gone })
		}, true},
		{"the connection never gets ready", func(t *testing.T, f *fakeBroker) {
			mute := newFake(t, 1)
			mute.mute = true
			f.set(func() { f.leaders[0] = mute })
		}, true},
		{"no answer", func(_ *testing.T, f *fakeBroker) { f.set(func() { f.silent = true }) }, false},
		{"the connection ends instead of an answer", func(_ *testing.T, f *fakeBroker) { f.set(func() { f.hangUp = true }) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, 1)
			c.spoil(t, f)
			l := f.log(short)
			offsets, err := l.Append(t.Context(), []journal.Record{record(0, 10)})
			if offsets[0] != -1 || err == nil || errors.Is(err, journal.ErrNotAppended) != c.not {
				t.Errorf("%v, %v; not appended: want %t", offsets, err, c.not)
			}
		})
	}
	if _, err := newFake(t, 1).log().Append(func() context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return ctx
	}(), []journal.Record{record(0, 1)}); !errors.Is(err, journal.ErrNotAppended) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// One leader that is gone does not take the others' offsets away.
func TestTwoLeaders(t *testing.T) {
	f, other := newFake(t, 4), newFake(t, 4)
	f.set(func() { f.leaders[1], f.leaders[3] = other, other })
	l := f.log(func(c *Config) { c.ProduceTimeout = 500 * time.Millisecond })
	records := []journal.Record{record(0, 10), record(1, 10), record(2, 10), record(3, 10)}
	if offsets, err := l.Append(t.Context(), records); err != nil || fmt.Sprint(offsets) != "[0 0 0 0]" {
		t.Fatalf("%v, %v", offsets, err)
	}
	for p := range int32(4) {
		if here, there := len(f.produced[p]), len(other.produced[p]); here+there != 1 || (there == 1) != (p%2 == 1) {
			t.Errorf("partition %d went to the wrong broker", p)
		}
	}
	other.set(func() { other.silent = true })
	offsets, err := l.Append(t.Context(), records)
	if err == nil || errors.Is(err, journal.ErrNotAppended) || fmt.Sprint(offsets) != "[1 -1 1 -1]" {
		t.Errorf("one leader is silent: %v, %v", offsets, err)
	}
}

// A request that was given up while it lay with the connection still carries the bytes that it was given.
func TestTheCallersBytesAreTheCallersAgain(t *testing.T) {
	f := newFake(t, 1)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	f.set(func() { f.before = func() { close(arrived); <-goOn } })
	l := f.log()
	ctx, cancel := context.WithCancel(t.Context())
	rec := record(0, journal.FrameBytesMax) // more than the sockets hold
	done := make(chan error)
	go func() {
		_, err := l.Append(ctx, []journal.Record{rec})
		done <- err
	}()
	<-arrived
	cancel()
	if err := <-done; err == nil || errors.Is(err, journal.ErrNotAppended) {
		t.Fatalf("called off: %v, want unknown", err)
	}
	clear(rec.Bytes)
	f.set(func() { f.before = nil })
	close(goOn)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		got := f.produced[0]
		f.mu.Unlock()
		if len(got) == 1 {
			if !bytes.Equal(got[0], record(0, journal.FrameBytesMax).Bytes) {
				t.Error("the broker got what was written over it")
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the request never arrived")
		}
	}
}

// More than a broker takes in one request goes in several.
func TestLargeAppendsAreSplit(t *testing.T) {
	const n = requestBytes/journal.FrameBytesMax + 3
	f := newFake(t, n)
	var requests int
	f.set(func() { f.before = func() { f.set(func() { requests++ }) } })
	l := f.log()
	var records []journal.Record
	for p := range n {
		records = append(records, record(p, journal.FrameBytesMax))
	}
	if offsets, err := l.Append(t.Context(), records); err != nil {
		t.Fatalf("%v, %v", offsets, err)
	}
	if requests != 2 {
		t.Errorf("%d requests, want 2", requests)
	}
}
