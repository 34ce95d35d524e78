package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"walletd/journal/public"
)

// Topic is where events are published. A partition's records are in order.
type Topic interface {
	// Last answers the id of the partition's last record, "" when there has never been one, and the offset behind it.
	Last(ctx context.Context, partition int) (id string, end int64, err error)
	// At answers the id of the record at an offset.
	At(ctx context.Context, partition int, offset int64) (id string, err error)
	// Append makes the records durable, all or none, and answers the offset of the first. After an error they may be there, or appear later.
	Append(ctx context.Context, partition int, records []Record) (first int64, err error)
}

// PublisherConfig says what is published where.
type PublisherConfig struct {
	Source *Source
	Topic  Topic
	Wallet string       // names the source of the events
	Bounds Bounds       // of one append
	Logger *slog.Logger // nil: slog's default

	// Standby is how long a publisher leaves a partition to another process that it has seen publishing; 0: 2 s.
	Standby time.Duration
}

// Publisher writes the topic. Its methods may be called from several goroutines.
type Publisher struct {
	config PublisherConfig
	parts  []*publishing
}

// NewPublisher makes a publisher; Run starts it.
func NewPublisher(c PublisherConfig) (*Publisher, error) {
	if c.Source == nil || c.Topic == nil || c.Wallet == "" {
		return nil, errors.New("publish events: no source, topic or wallet")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Standby == 0 {
		c.Standby = 2 * time.Second
	}
	p := &Publisher{config: c}
	for n := range c.Source.Partitions() {
		p.parts = append(p.parts, &publishing{Publisher: p, partition: n, current: time.Now()})
	}
	return p, nil
}

// Run publishes until ctx ends. What goes wrong is waited out, and said.
func (p *Publisher) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, pt := range p.parts {
		running.Go(func() { pt.run(ctx) })
	}
	running.Wait()
	return ctx.Err()
}

// publishing is one partition on its way to the topic.
type publishing struct {
	*Publisher
	partition int

	// Owned by run.
	at  Place // published up to here
	end int64 // of the topic's partition

	mu        sync.Mutex // guards what follows: what others see
	shown     Place
	current   time.Time // when it had last published all there was
	published uint64
	trouble   string
}

// Waits between tries.
const (
	retryMin = 50 * time.Millisecond
	retryMax = 5 * time.Second
)

func (pt *publishing) run(ctx context.Context) {
	known, retry := false, retryMin
	for ctx.Err() == nil {
		var err error
		if !known {
			err = pt.find(ctx)
		}
		if known = err == nil; known {
			err = pt.step(ctx)
		}
		switch {
		case err == nil:
			retry = retryMin
			pt.tell("")
			continue
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrNameless):
			sleep(ctx, retryMin) // another partition is a moment behind
			continue
		}
		known = false // where the topic ends is not certain any more
		pt.tell(err.Error())
		pt.config.Logger.Warn("public events are not published; it tries again", "partition", pt.partition, "behind", pt.at.Seq, "err", err, "in", retry)
		sleep(ctx, retry)
		retry = min(2*retry, retryMax)
	}
}

// find takes the place from the topic's end.
func (pt *publishing) find(ctx context.Context) error {
	id, end, err := pt.last(ctx)
	if err != nil {
		return err
	}
	pt.at, pt.end = PlaceOf(id), end
	return nil
}

func (pt *publishing) last(ctx context.Context) (id public.ID, end int64, err error) {
	text, end, err := pt.config.Topic.Last(ctx, pt.partition)
	if err != nil || text == "" {
		return id, end, err
	}
	if id, err = public.ParseID(text); err != nil || id.Partition != pt.partition {
		return id, end, fmt.Errorf("the last record of partition %d has %s %q, which no publisher of this wallet wrote: give events.topic another name", pt.partition, HeaderID, text)
	}
	return id, end, nil
}

// step publishes what there is, or waits for something.
func (pt *publishing) step(ctx context.Context) error {
	items, next, err := pt.config.Source.Read(pt.partition, pt.at, pt.config.Bounds)
	if len(items) == 0 {
		if err != nil {
			return err
		}
		pt.at = next
		pt.show(0)
		err = pt.config.Source.Wait(ctx, pt.partition, next)
		pt.show(0) // up to now it had all
		return err
	}
	records := make([]Record, len(items))
	for i := range items {
		records[i] = items[i].Record(SourceOf(pt.config.Wallet))
	}
	first, e := pt.config.Topic.Append(ctx, pt.partition, records)
	if e != nil {
		return e
	}
	expected := pt.end
	pt.at, pt.end = next, first+int64(len(records))
	pt.show(len(items))
	if first != expected {
		return pt.crossed(ctx, first, first < expected)
	}
	return err
}

// crossed is what happens when somebody else writes the partition, too: a second publisher, or a rebuild; or the topic was made anew. The
// place is then the later of both, and a second publisher gives way for a while.
func (pt *publishing) crossed(ctx context.Context, first int64, anew bool) error {
	if anew {
		pt.config.Logger.Warn("the topic of the public events was made anew; all of them are published again", "partition", pt.partition)
		pt.at = Place{}
		return nil
	}
	text, err := pt.config.Topic.At(ctx, pt.partition, first-1) // the other's: the last record is our own
	if err != nil {
		return err
	}
	if id, err := public.ParseID(text); err == nil && pt.at.before(id) {
		pt.at = PlaceOf(id)
	}
	for {
		sleep(ctx, pt.config.Standby/2+rand.N(pt.config.Standby))
		id, end, err := pt.last(ctx)
		if err != nil {
			return err
		}
		quiet := end == pt.end
		if pt.end = end; pt.at.before(id) {
			pt.at = PlaceOf(id)
		}
		if quiet {
			return nil
		}
	}
}

func (pt *publishing) show(published int) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.shown = pt.at
	pt.published += uint64(published)
	if published == 0 {
		pt.current = time.Now()
	}
}

func (pt *publishing) tell(trouble string) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.trouble = trouble
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
