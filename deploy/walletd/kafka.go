package walletd

import (
	"context"
	"path/filepath"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/kafkalog"
)

// devKafka is a broker of this data directory's own, with the journal's topic.
func devKafka(ctx context.Context, dir *dataDir) (journal.Log, func() error, error) {
	broker, err := local.StartKafka(ctx, local.KafkaConfig{Dir: filepath.Join(dir.path, "kafka")})
	if err != nil {
		return nil, nil, exit(exitFailed, "%w", err)
	}
	log, err := openKafka(ctx, Config{Kafka: []string{broker.Addr}, Topic: "wallet.journal", Partitions: dir.Partitions, Replicas: 1, Dev: true}, true)
	if err != nil {
		broker.Stop()
		return nil, nil, err
	}
	return log, func() error {
		err := log.Close()
		broker.Stop()
		return err
	}, nil
}

// openKafka opens the journal's topic; create makes it first.
func openKafka(ctx context.Context, c Config, create bool) (*kafkalog.Log, error) {
	cfg := kafkalog.Config{Brokers: c.Kafka, Topic: c.Topic, Partitions: c.Partitions, Replicas: c.Replicas, Dev: c.Dev}
	if create {
		if err := kafkalog.CreateTopic(ctx, cfg); err != nil {
			return nil, exit(exitFailed, "%w", err)
		}
	}
	log, err := kafkalog.Open(ctx, cfg)
	if err != nil {
		return nil, exit(exitFailed, "%w", err)
	}
	return log, nil
}
