package systemtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/kafkalog"
)

// labBroker is a Kafka broker that its clients reach through a proxy: it names the proxy to them.
type labBroker struct {
	serverFaults
	wire *faultproxy.Proxy
}

func newLabBroker(t testing.TB) *labBroker {
	t.Helper()
	port, err := local.FreePort()
	mustDo(t, "port", err)
	b := &labBroker{wire: faultproxy.ForTest(t, fmt.Sprintf("127.0.0.1:%d", port))}
	b.server, err = local.StartKafka(t.Context(), local.KafkaConfig{Dir: t.TempDir(), Port: port, Known: b.wire.Addr()})
	mustDo(t, "broker", err)
	t.Cleanup(b.server.Kill)
	return b
}

// open makes a topic and opens it, with short times.
func (b *labBroker) open(t testing.TB, topic string) journal.Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), upLimit)
	defer cancel()
	b.t = t
	b.whole()
	b.wire.Heal()
	c := kafkalog.Config{Brokers: []string{b.wire.Addr()}, Topic: topic, Partitions: labPartitions, Replicas: 1, Dev: true, ProduceTimeout: 2 * time.Second}
	mustDo(t, "topic", kafkalog.CreateTopic(ctx, c))
	log, err := kafkalog.Open(ctx, c)
	mustDo(t, "journal", err)
	t.Cleanup(func() { _ = log.Close() })
	return log
}
