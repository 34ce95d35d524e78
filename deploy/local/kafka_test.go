package local

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// client talks to one broker and forgets metadata at once.
func client(t *testing.T, addr string) *kafka.Client {
	t.Helper()
	transport := &kafka.Transport{MetadataTTL: 50 * time.Millisecond}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(addr), Timeout: 10 * time.Second, Transport: transport}
}

func createTopic(t *testing.T, c *kafka.Client, topic string, replicas int) {
	t.Helper()
	r, err := c.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topic, NumPartitions: 1, ReplicationFactor: replicas}}})
	if err == nil {
		err = r.Errors[topic]
	}
	if err != nil {
		t.Fatalf("create topic: %v", err)
	}
}

// produce writes one record with acks=all, as soon as a leader takes it, and returns its
// offset.
func produce(t *testing.T, c *kafka.Client, topic, value string) int64 {
	t.Helper()
	var last error
	offset := int64(-1)
	eventually(t, "the broker takes a record", func() bool {
		r, err := c.Produce(t.Context(), &kafka.ProduceRequest{Topic: topic, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))})})
		if err == nil {
			err = r.Error
			offset = r.BaseOffset
		}
		if err != nil && (last == nil || last.Error() != err.Error()) {
			last = err
			t.Logf("produce: %v", err)
		}
		return err == nil
	})
	return offset
}

func TestKafkaKeepsItsDataAndPorts(t *testing.T) {
	dir := t.TempDir()
	first, err := StartKafka(t.Context(), KafkaConfig{Dir: dir, Extra: []string{"message.max.bytes=2097152"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Kill)
	c := client(t, first.Addr)
	createTopic(t, c, "kept", 1)
	if offset := produce(t, c, "kept", "a"); offset != 0 {
		t.Errorf("the first record has offset %d", offset)
	}
	if _, err := c.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{}); err != nil {
		t.Error(err)
	}
	first.Kill()

	second, err := StartKafka(t.Context(), KafkaConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Kill)
	if second.Addr != first.Addr {
		t.Errorf("it listens on %s, before on %s", second.Addr, first.Addr)
	}
	if offset := produce(t, client(t, second.Addr), "kept", "b"); offset != 1 {
		t.Errorf("the second record has offset %d, the first one is lost or there twice", offset)
	}
	began := time.Now()
	second.Stop()
	if took := time.Since(began); took >= second.program.stopLimit {
		t.Errorf("it had to be killed after %v", took)
	}
}

func TestKafkaDoesNotMakeTopicsByItself(t *testing.T) {
	c := client(t, SharedKafka(t).Addr)
	r, err := c.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{"misspelt"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range r.Topics {
		if topic.Error == nil {
			t.Errorf("topic %q is there", topic.Name)
		}
	}
}

func TestKafkaQuorumSurvivesOneBroker(t *testing.T) {
	servers, err := StartKafkaQuorum(t.Context(), t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killAll(servers) })
	c := client(t, servers[0].Addr)
	createTopic(t, c, "replicated", 3)
	produce(t, c, "replicated", "a")

	servers[2].Kill()
	produce(t, c, "replicated", "b")

	if err := servers[2].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the topic has three replicas in sync", func() bool {
		r, err := c.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{"replicated"}})
		return err == nil && len(r.Topics) == 1 && len(r.Topics[0].Partitions) == 1 && len(r.Topics[0].Partitions[0].Isr) == 3
	})
}

func TestAMissingKafkaIsOneLineWithTheFix(t *testing.T) {
	t.Setenv("WALLETD_KAFKA_LIBS", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, err := StartKafka(t.Context(), KafkaConfig{Dir: t.TempDir()})
	if !errors.As(err, new(ErrMissing)) || err.Error() != "kafka 4.3.1 is not installed: run `make deps`" {
		t.Errorf("got %v", err)
	}
}

func TestKafkaThatCannotReadItsSettingsShowsItsLog(t *testing.T) {
	_, err := StartKafka(t.Context(), KafkaConfig{Dir: t.TempDir(), Extra: []string{"node.id=nonsense"}})
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v, want the reason from its log", err)
	}
}

func TestKafkaIDsAreNoOptions(t *testing.T) {
	for range 1000 {
		if id := kafkaID(); len(id) != 22 || id[0] == '-' {
			t.Fatalf("id %q", id)
		}
	}
}

func TestKafkaVersionIsThatOfThePom(t *testing.T) {
	pom, err := os.ReadFile("kafka/pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(pom), "<kafka.version>"+kafkaVersion+"</kafka.version>") {
		t.Errorf("kafka/pom.xml names another version than %s", kafkaVersion)
	}
}
