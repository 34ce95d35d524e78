package kafkalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"walletd/journal"
)

// batchAt is a batch of one frame as a broker gives it out.
func batchAt(base int64, frame string) []byte {
	b := appendBatch(nil, 1_700_000_000_000, []byte(frame))
	binary.BigEndian.PutUint64(b, uint64(base)) // not covered by the CRC
	return b
}

func resum(b []byte) []byte {
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttrAt:], castagnoli))
	return b
}

type got struct {
	offset int64
	value  string
}

func readBatches(b []byte, from, limit int64) (records []got, next int64, err error) {
	next, err = eachRecord(b, 3, from, limit, func(o int64, v []byte) error {
		records = append(records, got{o, string(v)})
		return nil
	})
	return records, next, err
}

// kafkaGoBatch is a batch of several records as other clients write them, packed by kafka-go.
func kafkaGoBatch(t *testing.T, base int64, attributes protocol.Attributes, values ...string) []byte {
	t.Helper()
	var records []kafka.Record
	for _, v := range values {
		records = append(records, kafka.Record{Key: kafka.NewBytes([]byte("key")), Value: kafka.NewBytes([]byte(v)), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}})
	}
	var buf bytes.Buffer
	set := protocol.RecordSet{Version: 2, Attributes: attributes, Records: kafka.NewRecordReader(records...)}
	if _, err := set.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()[4:]
	binary.BigEndian.PutUint64(b, uint64(base))
	return b
}

func TestBatchesAsBrokersGiveThem(t *testing.T) {
	two := append(batchAt(7, "seven"), batchAt(8, "eight")...)
	flipped := bytes.Clone(two)
	flipped[len(flipped)-3] ^= 1
	head := bytes.Clone(two)
	head[batchAttrAt+6] ^= 1
	for _, c := range []struct {
		name        string
		b           []byte
		from, limit int64
		want        string
		next        int64
		damage      string
	}{
		{"nothing", nil, 7, 9, "", 7, ""},
		{"two", two, 7, 9, "seven eight", 9, ""},
		{"up to the limit", two, 7, 8, "seven", 8, ""},
		{"the first lies before", two, 8, 9, "eight", 9, ""},
		{"cut short", two[:len(two)-1], 7, 9, "seven", 8, ""},
		{"cut short in the head", two[:len(two)/2+20], 7, 9, "seven", 8, ""},
		{"a gap at the beginning", two, 5, 9, "", 5, "offset 5: the record is missing; offset 7 follows"},
		{"a gap in between", append(batchAt(7, "seven"), batchAt(9, "nine")...), 7, 10, "seven", 8, "offset 8: the record is missing"},
		{"a bit flipped", flipped, 7, 9, "seven", 8, "offset 8: the batch's CRC"},
		{"a bit flipped in a head", head, 7, 9, "", 7, "offset 7: the batch's CRC"},
		{"an old format", append(batchAt(7, "seven")[:16:16], append([]byte{1}, batchAt(7, "seven")[17:]...)...), 7, 9, "", 7, "message format 1"},
		{"several records", kafkaGoBatch(t, 4, 0, "four", "five", "six"), 5, 7, "five six", 7, ""},
		{"compressed", kafkaGoBatch(t, 4, protocol.Gzip, "four"), 4, 5, "", 4, "attributes 0x1"},
		{"transactional", resum(append(batchAt(7, "x")[:batchAttrAt+1:batchAttrAt+1], append([]byte{attrTransactional}, batchAt(7, "x")[batchAttrAt+2:]...)...)), 7, 8, "", 7, "attributes 0x10"},
		{"a record removed by compaction", resum(setCount(kafkaGoBatch(t, 4, 0, "four", "five"), 3)), 4, 7, "four five", 6, "cannot be read"},
	} {
		records, next, err := readBatches(c.b, c.from, c.limit)
		var values []string
		for i, r := range records {
			values = append(values, r.value)
			if r.offset != c.from+int64(i) {
				t.Errorf("%s: record %d has offset %d", c.name, i, r.offset)
			}
		}
		if strings.Join(values, " ") != c.want || next != c.next {
			t.Errorf("%s: %v, next %d; want %q, %d", c.name, values, next, c.want, c.next)
		}
		if c.damage == "" != (err == nil) || (err != nil && (!errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), c.damage) || !strings.Contains(err.Error(), "partition 3"))) {
			t.Errorf("%s: %v, want %q", c.name, err, c.damage)
		}
	}
}

func setCount(b []byte, n uint32) []byte {
	binary.BigEndian.PutUint32(b[batchCountAt:], n)
	return b
}

func TestFetchResponseAsKafkaGoPacksIt(t *testing.T) {
	response := &fetch.Response{Topics: []fetch.ResponseTopic{{Topic: "t", Partitions: []fetch.ResponsePartition{{
		Partition: 3, HighWatermark: 99, LastStableOffset: 98, AbortedTransactions: []fetch.ResponseTransaction{{ProducerID: 1, FirstOffset: 2}},
		RecordSet: protocol.RecordSet{Version: 2, Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("value"))})},
	}}}}}
	var buf bytes.Buffer
	if err := protocol.WriteResponse(&buf, fetchVersion, 1, response); err != nil {
		t.Fatal(err)
	}
	f, err := parseFetchResponse(buf.Bytes()[8:])
	if err != nil || f.high != 99 || f.code != 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	if records, _, err := readBatches(f.batches, 0, 99); err != nil || len(records) != 1 || records[0].value != "value" {
		t.Errorf("%v, %v", records, err)
	}
	for code, at := range map[int16]*int16{7: &response.ErrorCode, 8: &response.Topics[0].Partitions[0].ErrorCode} {
		*at = code
		buf.Reset()
		response.Topics[0].Partitions[0].RecordSet.Records = kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("value"))})
		if err := protocol.WriteResponse(&buf, fetchVersion, 1, response); err != nil {
			t.Fatal(err)
		}
		if f, err := parseFetchResponse(buf.Bytes()[8:]); err != nil || f.code != code {
			t.Errorf("code %d: %+v, %v", code, f, err)
		}
		*at = 0
	}
	for n := range buf.Len() - 8 {
		if f, err := parseFetchResponse(buf.Bytes()[8:][:n]); err == nil {
			t.Fatalf("%d bytes of it: %+v", n, f)
		}
	}
}

func TestFetchRequestAsKafkaGoReadsIt(t *testing.T) {
	q := &fetchRequest{toLeader: toLeader{key: protocol.Fetch, version: fetchVersion}, topic: "t", partition: 3, from: 42, wait: waitPoll, bytes: 7}
	version, id, client, m, err := protocol.ReadRequest(bytes.NewReader(q.pack()))
	if err != nil || version != fetchVersion || id != q.correlation() || client != clientID {
		t.Fatalf("version %d, id %d, client %q, %v", version, id, client, err)
	}
	r := m.(*fetch.Request)
	p := r.Topics[0].Partitions[0]
	if r.ReplicaID != -1 || r.MaxWaitTime != 1000 || r.MinBytes != 1 || r.MaxBytes != 7 || r.SessionID != 0 || r.SessionEpoch != -1 ||
		r.Topics[0].Topic != "t" || p.Partition != 3 || p.FetchOffset != 42 || p.CurrentLeaderEpoch != -1 || p.LogStartOffset != -1 || p.PartitionMaxBytes != 7 {
		t.Errorf("%+v", r)
	}
}

func FuzzEachRecord(f *testing.F) {
	f.Add(append(batchAt(7, "seven"), batchAt(8, "eight")...), int64(7), int64(9))
	f.Add([]byte{}, int64(0), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, from, limit int64) {
		if from < 0 || limit < from {
			return
		}
		want := from
		next, err := eachRecord(b, 3, from, limit, func(o int64, v []byte) error {
			if o != want || o >= limit || len(v) > len(b) {
				t.Fatalf("offset %d after %d, limit %d", o, want-1, limit)
			}
			want++
			return nil
		})
		if next != want || (err != nil && !errors.Is(err, journal.ErrDamaged)) {
			t.Fatalf("next %d, read up to %d, %v", next, want, err)
		}
	})
}

func FuzzResponses(f *testing.F) {
	var buf bytes.Buffer
	_ = protocol.WriteResponse(&buf, fetchVersion, 1, &fetch.Response{Topics: []fetch.ResponseTopic{{Topic: "t", Partitions: []fetch.ResponsePartition{{
		Partition: 1, RecordSet: protocol.RecordSet{Version: 2, Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("value"))})},
	}}}}})
	f.Add(buf.Bytes()[8:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseFetchResponse(b); err == nil && len(r.batches) > len(b) {
			t.Fatal("batches out of nowhere")
		}
		if r, err := parseProduceResponse(b); err == nil && len(r.of) > len(b) {
			t.Fatal("partitions out of nowhere")
		}
	})
}
