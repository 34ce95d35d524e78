package walletd

import (
	"context"
	"errors"
	"net/http"
	"time"

	"walletd/projector/events"
	"walletd/projector/events/kafkatopic"
)

// EventsConfig says whether and where public events are published.
type EventsConfig struct {
	Publish bool   `koanf:"publish"`
	Topic   string `koanf:"topic"`
}

// eventsTopicName is the topic of the public events (surface, "Kafka").
const eventsTopicName = "wallet.events"

// eventsTopic is the topic of a wallet's events; nil brokers: they are not published.
type eventsTopic struct {
	brokers  []string
	name     string
	replicas int
}

func (c *Config) eventsTopic() eventsTopic {
	t := eventsTopic{name: c.Events.Topic, replicas: c.Replicas}
	if c.Events.Publish {
		t.brokers = c.Kafka
	}
	return t
}

func (t eventsTopic) open(partitions int) *kafkatopic.Topic {
	return kafkatopic.Open(kafkatopic.Config{Brokers: t.brokers, Name: t.name, Partitions: partitions, Replicas: t.replicas})
}

// createEvents makes the source of public events, and what publishes them where that is asked for.
func (n *node) createEvents() (err error) {
	n.happened = events.NewSource(n.view, n.cfg.assets)
	if len(n.cfg.events.brokers) == 0 {
		return nil
	}
	n.eventsTopic = n.cfg.events.open(n.cfg.partitions)
	n.publisher, err = events.NewPublisher(events.PublisherConfig{Source: n.happened, Topic: n.eventsTopic, Wallet: n.cfg.wallet, Logger: n.logger})
	if err == nil {
		n.registry.MustRegister(n.publisher)
	}
	return err
}

// createTopicEvery is the time between two tries to make the topic.
const createTopicEvery = 5 * time.Second

// publish publishes events until ctx ends. Nothing else of the process waits for it, or ends with it.
func (n *node) publish(ctx context.Context) error {
	defer n.eventsTopic.Close()
	for {
		within, cancel := context.WithTimeout(ctx, time.Minute)
		err := n.eventsTopic.Create(within)
		cancel()
		if err == nil {
			return quiet(ctx, n.publisher.Run(ctx))
		}
		if ctx.Err() != nil {
			return nil
		}
		n.logger.Error("public events are not published; it tries again", "topic", n.cfg.events.name, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(createTopicEvery):
		}
	}
}

// eventsProblems are what is wrong with the configuration of events.
func (c *Config) eventsProblems() error {
	if c.Events.Publish && (c.Events.Topic == "" || c.Events.Topic == c.Topic) {
		return errors.New("config: events.topic must be a topic of its own (events: {publish: true, topic: wallet.events})")
	}
	return nil
}

func (n *node) adminEvents(w http.ResponseWriter, _ *http.Request) {
	if n.publisher == nil {
		problem(w, "not_found", "this process publishes no events; set events: {publish: true} for one with the projector role")
		return
	}
	answer(w, http.StatusOK, map[string]any{"object": "list", "topic": n.cfg.events.name, "data": n.publisher.Lag()})
}
