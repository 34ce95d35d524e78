package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"walletd/journal"
)

// settings are the topic's, as design section 7 asks for them.
func (c Config) settings() map[string]string {
	insync := max(1, c.Replicas-1)
	return map[string]string{
		"retention.ms": "-1", "retention.bytes": "-1", // for ever
		"cleanup.policy":                 "delete", // no compaction
		"unclean.leader.election.enable": "false",
		"min.insync.replicas":            strconv.Itoa(insync),
		"max.message.bytes":              strconv.Itoa(journal.FrameBytesMax + 64<<10), // a frame and its batch's head
	}
}

// CreateTopic makes the journal's topic, or finds it there as it should be. It returns when every partition has a leader.
func CreateTopic(ctx context.Context, cfg Config) error {
	l, err := dial(cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	var entries []kafka.ConfigEntry
	for name, value := range l.cfg.settings() {
		entries = append(entries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	r, err := l.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: l.cfg.Topic, NumPartitions: l.cfg.Partitions, ReplicationFactor: l.cfg.Replicas, ConfigEntries: entries}}})
	if err == nil {
		err = r.Errors[l.cfg.Topic]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", l.cfg.Topic, err)
	}
	// A new topic answers LeaderNotAvailable for some 100 ms, and its leaders NotLeaderForPartition a little longer.
	for {
		err := l.check(ctx)
		for p := 0; p < l.cfg.Partitions && err == nil; p++ {
			_, err = l.End(ctx, p)
		}
		var weak *SettingsError
		if err == nil || errors.As(err, &weak) {
			return wrap(l.cfg.Topic, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("create topic %s: %w", l.cfg.Topic, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func wrap(topic string, err error) error {
	if err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	return nil
}

// SettingsError says which setting of the topic is not what a journal needs.
type SettingsError struct{ Setting, Has, Wants string }

func (e *SettingsError) Error() string {
	return fmt.Sprintf("%s is %s, a journal needs %s", e.Setting, e.Has, e.Wants)
}

// CheckTopic looks at the topic of an open log again: for health.
func (l *Log) CheckTopic(ctx context.Context) error { return wrap(l.cfg.Topic, l.check(ctx)) }

// check holds partitions, leaders, replicas and settings against design section 7. Weaker replication is accepted in Dev.
func (l *Log) check(ctx context.Context) error {
	t, err := l.topic(ctx)
	if err != nil {
		return err
	}
	if n := len(t.Partitions); n != l.cfg.Partitions {
		return &SettingsError{"the number of partitions", strconv.Itoa(n), strconv.Itoa(l.cfg.Partitions) + ", which is fixed for ever"}
	}
	for _, p := range t.Partitions {
		if p.Error != nil {
			return fmt.Errorf("partition %d: %w", p.ID, p.Error)
		}
		if p.Leader.Host == "" {
			return fmt.Errorf("partition %d: %w", p.ID, kafka.LeaderNotAvailable)
		}
		if len(p.Replicas) < 3 && !l.cfg.Dev {
			return &SettingsError{fmt.Sprintf("the replication factor of partition %d", p.ID), strconv.Itoa(len(p.Replicas)), "3"}
		}
	}
	return l.checkSettings(ctx)
}

func (l *Log) checkSettings(ctx context.Context) error {
	r, err := l.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: l.cfg.Topic}}})
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	has := map[string]string{}
	for _, res := range r.Resources {
		if res.Error != nil {
			return fmt.Errorf("settings: %w", res.Error)
		}
		for _, e := range res.ConfigEntries {
			has[e.ConfigName] = e.ConfigValue
		}
	}
	for name, wants := range l.cfg.settings() {
		value := has[name]
		switch name {
		case "min.insync.replicas", "max.message.bytes": // more is fine
			n, err := strconv.Atoi(value)
			w, _ := strconv.Atoi(wants)
			if name == "min.insync.replicas" {
				w = 2
				if l.cfg.Dev {
					w = 1
				}
			}
			if err != nil || n < w {
				return &SettingsError{name, value, "at least " + strconv.Itoa(w)}
			}
		default:
			if value != wants {
				return &SettingsError{name, value, wants}
			}
		}
	}
	return nil
}
