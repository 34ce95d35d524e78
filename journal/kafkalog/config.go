package kafkalog

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
)

// Config says which topic holds the journal. Zero values get the defaults named here.
type Config struct {
	Brokers    []string // host:port, some of the cluster
	Topic      string   // wallet.journal
	Partitions int      // of the wallet, and of the topic: fixed for ever
	Replicas   int      // CreateTopic: replication factor; 0 = 3
	Dev        bool     // accept settings that can lose the journal

	DialTimeout    time.Duration // connect, TLS and version exchange; 0 = 3 s
	ProduceTimeout time.Duration // after that an append is unknown; 0 = 5 s
	FetchTimeout   time.Duration // how long a read is tried; one request of it, a third of that; 0 = 10 s
	MetadataTTL    time.Duration // how long a moved leader goes unnoticed; 0 = 250 ms (the library's 6 s stall for seconds)
	TLS            *tls.Config   // nil = plaintext
}

// Bounds.
const (
	partitionsMax = 1024        // design section 11
	requestBytes  = 16 << 20    // of frames in one produce request; more go in several. Brokers refuse 100 MiB
	fetchBytes    = 2 << 20     // asked for in one fetch
	responseMax   = 64 << 20    // read of one response
	waitPoll      = time.Second // how long a broker holds a fetch back that has nothing
	newTopic      = time.Second // in which all brokers have heard of a new topic
	idleTimeout   = time.Minute
	retryFirst    = 5 * time.Millisecond // between two tries to read, doubling
	retryMost     = 200 * time.Millisecond
)

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.DialTimeout, 3 * time.Second}, {&c.ProduceTimeout, 5 * time.Second},
		{&c.FetchTimeout, 10 * time.Second}, {&c.MetadataTTL, 250 * time.Millisecond},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if c.Replicas == 0 {
		c.Replicas = 3
	}
	return c
}

// requestTimeout bounds a request that reads: a leader that is gone is noticed before the read gives up.
func (c Config) requestTimeout() time.Duration { return c.FetchTimeout / 3 }

// validate reports every problem at once.
func (c Config) validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("no brokers"))
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			errs = append(errs, fmt.Errorf("broker %q: want host:port", b))
		}
	}
	if c.Topic == "" {
		errs = append(errs, errors.New("no topic"))
	}
	if c.Partitions < 1 || c.Partitions > partitionsMax {
		errs = append(errs, fmt.Errorf("%d partitions, 1 to %d are possible", c.Partitions, partitionsMax))
	}
	if c.Replicas < 1 || c.Replicas < 3 && !c.Dev {
		errs = append(errs, fmt.Errorf("replication factor %d: a journal needs 3 (only dev may do with less)", c.Replicas))
	}
	for _, d := range []time.Duration{c.DialTimeout, c.ProduceTimeout, c.FetchTimeout, c.MetadataTTL} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("a timeout of %v", d))
		}
	}
	return errors.Join(errs...)
}

// transport is the pool of connections to the cluster.
func (c Config) transport() *kafka.Transport {
	return &kafka.Transport{
		Dial:           (&net.Dialer{Timeout: c.DialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		DialTimeout:    c.DialTimeout, // the whole of a connection's beginning
		IdleTimeout:    idleTimeout,
		MetadataTTL:    c.MetadataTTL,
		MetadataTopics: []string{c.Topic}, // nobody else's topics in every refresh
		ClientID:       clientID,
		TLS:            c.TLS,
	}
}

const clientID = "walletd" // in the brokers' logs
