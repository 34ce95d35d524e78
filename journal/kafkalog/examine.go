package kafkalog

import (
	"context"
	"fmt"
)

// Topic is what the brokers tell of the journal's topic.
type Topic struct {
	Partitions int
	Replicas   int   // of the partition that has the fewest
	Behind     []int // partitions whose copies are not all in sync
	Leaderless []int
}

// Examine looks at the topic without opening it, for operators. The error is what Open would refuse it for, all of it: several
// *SettingsError may be joined. What is known of the topic is answered in any case.
func Examine(ctx context.Context, cfg Config) (t Topic, err error) {
	l, err := dial(cfg)
	if err != nil {
		return t, err
	}
	defer func() { _ = l.Close() }()
	has, err := l.topic(ctx)
	if err != nil {
		return t, fmt.Errorf("kafka journal: topic %s: %w", cfg.Topic, err)
	}
	t.Partitions = len(has.Partitions)
	for i, p := range has.Partitions {
		if i == 0 || len(p.ReplicaNodes) < t.Replicas {
			t.Replicas = len(p.ReplicaNodes)
		}
		if len(p.IsrNodes) < len(p.ReplicaNodes) {
			t.Behind = append(t.Behind, int(p.PartitionIndex))
		}
		if p.LeaderID == noLeader {
			t.Leaderless = append(t.Leaderless, int(p.PartitionIndex))
		}
	}
	return t, l.CheckTopic(ctx)
}
