package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/segmentio/kafka-go"
)

// setting is one of the topic, as design section 7 asks for it.
type setting struct {
	name   string
	create string              // what CreateTopic gives it
	enough func(v string) bool // what is accepted
	wants  string              // in words
	always bool                // even in Dev: without it nothing works
}

func exactly(v string) func(string) bool { return func(s string) bool { return s == v } }

func atLeast(n int) func(string) bool {
	return func(s string) bool {
		v, err := strconv.Atoi(s)
		return err == nil && v >= n
	}
}

func (c Config) settings() []setting {
	insync := max(1, c.Replicas-1)
	return []setting{
		{name: "retention.ms", create: "-1", enough: exactly("-1"), wants: "-1: for ever"},
		{name: "retention.bytes", create: "-1", enough: exactly("-1"), wants: "-1: all of it"},
		{name: "cleanup.policy", create: "delete", enough: exactly("delete"), wants: "delete: no compaction"},
		{name: "unclean.leader.election.enable", create: "false", enough: exactly("false"), wants: "false"},
		{name: "min.insync.replicas", create: strconv.Itoa(insync), enough: atLeast(2), wants: "at least 2"},
		{name: "max.message.bytes", create: strconv.Itoa(messageBytesMin + 64<<10), enough: atLeast(messageBytesMin),
			wants: fmt.Sprintf("at least %d: a frame", messageBytesMin), always: true},
		{name: "compression.type", create: "producer", enough: func(s string) bool { return s == "producer" || s == "uncompressed" },
			wants: "producer: frames lie as they were sent", always: true},
	}
}

// SettingsError says which setting of the topic is not what a journal needs. It is an ErrSettings.
type SettingsError struct{ Setting, Has, Wants string }

func (e *SettingsError) Error() string {
	return fmt.Sprintf("%v: %s is %s, a journal needs %s", ErrSettings, e.Setting, e.Has, e.Wants)
}

// Unwrap makes errors.Is(err, ErrSettings) true.
func (e *SettingsError) Unwrap() error { return ErrSettings }

// CreateTopic makes the journal's topic, or finds it there as it should be. It returns when every partition has a leader
// that answers; ctx bounds the waiting. Errors: *SettingsError for a topic that is there and is another, also in Dev when
// the number of partitions differs.
func CreateTopic(ctx context.Context, cfg Config) error {
	l, err := dial(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	err = l.again(ctx, ctx.Done(), l.create)
	if err == nil {
		// A new topic answers LeaderNotAvailable for some 100 ms, and its leaders NotLeaderForPartition a little longer.
		err = l.again(ctx, ctx.Done(), l.complete)
	}
	if err != nil {
		return fmt.Errorf("kafka journal: create topic %s: %w", cfg.Topic, err)
	}
	return nil
}

func (l *Log) create(ctx context.Context) error {
	ctx, cancel := l.while(ctx, l.cfg.FetchTimeout)
	defer cancel()
	var entries []kafka.ConfigEntry
	for _, s := range l.cfg.settings() {
		entries = append(entries, kafka.ConfigEntry{ConfigName: s.name, ConfigValue: s.create})
	}
	r, err := l.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: l.cfg.Topic, NumPartitions: l.cfg.Partitions, ReplicationFactor: l.cfg.Replicas, ConfigEntries: entries,
	}}})
	if err != nil {
		return err
	}
	if err := r.Errors[l.cfg.Topic]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return err
	}
	return nil
}

// complete reports whether the topic is there, as it should be, and answers.
func (l *Log) complete(ctx context.Context) error {
	if err := l.check(ctx); err != nil && !errors.Is(err, ErrNoTopic) {
		return err
	} else if err != nil {
		return kafka.LeaderNotAvailable // it has just been made
	}
	for p := range l.cfg.Partitions {
		if _, err := l.offset(ctx, p, kafka.LastOffset); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

// CheckTopic looks at the topic of an open log again: for health.
func (l *Log) CheckTopic(ctx context.Context) error {
	if err := l.check(ctx); err != nil {
		return fmt.Errorf("kafka journal: topic %s: %w", l.cfg.Topic, err)
	}
	return nil
}

// check holds partitions, leaders, replicas and settings against design section 7.
func (l *Log) check(ctx context.Context) error {
	ctx, cancel := l.while(ctx, l.cfg.FetchTimeout)
	defer cancel()
	t, err := l.topic(ctx)
	if err != nil {
		return err
	}
	if n := len(t.Partitions); n != l.cfg.Partitions {
		return &SettingsError{"the number of partitions", strconv.Itoa(n), strconv.Itoa(l.cfg.Partitions) + ", which is fixed for ever"}
	}
	var weak []error
	for _, p := range t.Partitions {
		if p.LeaderID == noLeader {
			return fmt.Errorf("partition %d: %w", p.PartitionIndex, kafka.LeaderNotAvailable)
		}
		if len(p.ReplicaNodes) < 3 && !l.cfg.Dev {
			weak = append(weak, &SettingsError{fmt.Sprintf("the replication factor of partition %d", p.PartitionIndex), strconv.Itoa(len(p.ReplicaNodes)), "3"})
		}
	}
	has, err := l.describe(ctx, kafka.ResourceTypeTopic, l.cfg.Topic)
	if err != nil {
		return err
	}
	for _, s := range l.cfg.settings() {
		if !s.enough(has[s.name]) && (s.always || !l.cfg.Dev) {
			weak = append(weak, &SettingsError{s.name, strconv.Quote(has[s.name]), s.wants})
		}
	}
	if !l.cfg.Dev {
		err = l.checkBroker(ctx, t.Partitions[0].LeaderID)
	}
	return errors.Join(append(weak, err)...)
}

// checkBroker asks one broker, for all, whether it makes topics unasked: one that is made so when the journal's is lost
// would look like an empty journal. Who is not allowed to ask is believed to have seen to it.
func (l *Log) checkBroker(ctx context.Context, id int32) error {
	const name = "auto.create.topics.enable"
	has, err := l.describe(ctx, kafka.ResourceTypeBroker, strconv.Itoa(int(id)))
	switch {
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		return nil
	case err != nil:
		return err
	case has[name] != "false":
		return &SettingsError{"the brokers' " + name, strconv.Quote(has[name]), "false"}
	}
	return nil
}

// describe answers the settings of a topic or a broker.
func (l *Log) describe(ctx context.Context, kind kafka.ResourceType, name string) (map[string]string, error) {
	r, err := l.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kind, ResourceName: name,
	}}})
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", name, err)
	}
	has := map[string]string{}
	for _, res := range r.Resources {
		if res.Error != nil {
			return nil, fmt.Errorf("settings of %s: %w", name, res.Error)
		}
		for _, e := range res.ConfigEntries {
			has[e.ConfigName] = e.ConfigValue
		}
	}
	return has, nil
}
