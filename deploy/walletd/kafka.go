package walletd

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/kafkalog"
)

// devKafka is a broker of this data directory's own, with the journal's topic.
func (a *app) devKafka(ctx context.Context, dir *dataDir) (journal.Log, func() error, error) {
	broker, err := startKafka(ctx, filepath.Join(dir.path, "kafka"))
	if err != nil {
		return nil, nil, exit(exitFailed, "%w", err)
	}
	log, err := openKafka(ctx, Config{Kafka: []string{broker.Addr}, Topic: "wallet.journal", Partitions: dir.Partitions, Replicas: 1, Dev: true}, true)
	if err != nil {
		broker.Stop()
		return nil, nil, err
	}
	a.broker = broker
	return a.delayed(log), func() error {
		err := log.Close()
		broker.Stop()
		return err
	}, nil
}

// startKafka starts a broker that keeps its ports over restarts, so it waits a little for one that is not free yet: that
// of a wallet that was killed a moment ago.
func startKafka(ctx context.Context, dir string) (*local.Server, error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		broker, err := local.StartKafka(ctx, local.KafkaConfig{Dir: dir})
		var inUse local.ErrPortInUse
		if !errors.As(err, &inUse) || time.Now().After(deadline) {
			return broker, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
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
