package kafkalog

import (
	"errors"
	"fmt"
	"time"
)

// Config says where the topic is. Zero durations take the defaults named here.
type Config struct {
	Brokers    []string // host:port, to begin with
	Topic      string   // wallet.journal
	Partitions int      // of the wallet, fixed for ever
	Replicas   int      // CreateTopic: replication factor; 0 = 3
	Dev        bool     // accept a replication factor below 3 and min.insync.replicas below 2

	DialTimeout    time.Duration // 3 s
	ProduceTimeout time.Duration // 5 s: after that an append is unknown
	FetchTimeout   time.Duration // 10 s
	MetadataTTL    time.Duration // 250 ms: how long a moved leader goes unnoticed (the library's 6 s stall 3.4 s)
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.DialTimeout, 3*time.Second)
	set(&c.ProduceTimeout, 5*time.Second)
	set(&c.FetchTimeout, 10*time.Second)
	set(&c.MetadataTTL, 250*time.Millisecond)
	if c.Replicas == 0 {
		c.Replicas = 3
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("no brokers"))
	}
	if c.Topic == "" {
		errs = append(errs, errors.New("no topic"))
	}
	if c.Partitions < 1 || c.Partitions > 1024 {
		errs = append(errs, fmt.Errorf("%d partitions, 1 to 1024 are possible", c.Partitions))
	}
	if c.Replicas < 3 && !c.Dev {
		errs = append(errs, fmt.Errorf("replication factor %d: a journal needs 3 (only dev may do with less)", c.Replicas))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("kafka journal: %w", err)
	}
	return nil
}
