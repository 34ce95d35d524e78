package lane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// Lanes carry rows to all shards of the map. Their methods may be called from any goroutine.
type Lanes struct {
	// immutable
	cfg   Config
	parts []*part // by partition
	open  *open
	limbo *lane // of partitions that the map gives to nobody yet
	table timetable

	draining atomic.Bool
	ended    atomic.Bool

	// owned by the goroutine that follows the map
	lanes map[string]*lane
	group sync.WaitGroup

	mu  sync.Mutex // guards all
	all []*lane    // for Stats
}

// part is one partition: what waits for it, and what is held.
type part struct {
	number int
	lane   atomic.Pointer[lane] // whose mu guards the fields below
	held   held

	queue   queue
	epoch   uint32       // that the map shows; 0: nobody has owned it yet
	ready   bool         // it is in its lane's list of partitions whose rows may leave
	retryAt time.Time    // parked: not before
	heard   atomic.Bool  // a mark of it has come: somebody serves it, or did since we began. Guarded by nothing
	refused atomic.Int64 // since when the shard refuses it, ns since 1970; 0: it serves. Guarded by nothing
}

var _ rows.Shards = (*Lanes)(nil)

// New makes lanes. They take rows at once and carry them while Run runs.
func New(c Config) (*Lanes, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("lanes: %w", err)
	}
	l := &Lanes{cfg: c, open: &open{none: make(chan struct{}, 1)}, lanes: map[string]*lane{}}
	l.limbo = l.newLane("")
	for p := range c.Partitions {
		part := &part{number: p, held: held{grace: lastMarks}}
		part.lane.Store(l.limbo)
		l.parts = append(l.parts, part)
	}
	return l, nil
}

// Run carries rows until ctx ends. Then every row that has been taken is answered, and rows that still come are refused
// with Draining. Whoever wants no row to end as OutcomeUnknown calls Drain first. It runs once; its error is ctx's.
func (l *Lanes) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	l.group.Go(func() { l.limbo.run(inner) })
	l.group.Go(func() { l.lookAfterHeld(inner) })
	l.cfg.Map.Watch(inner, func(m *shardrouter.Map) { l.follow(inner, m) })
	cancel() // Watch returns when ctx has ended
	l.group.Wait()
	l.end()
	return ctx.Err()
}

// Drain refuses new rows with Draining, and returns when every row that was taken before has been answered, or with
// ctx's error.
func (l *Lanes) Drain(ctx context.Context) error {
	l.draining.Store(true)
	for l.open.rows.Load() > 0 {
		select {
		case <-l.open.none:
		case <-ctx.Done():
			return fmt.Errorf("drain: %d rows are not answered: %w", l.open.rows.Load(), ctx.Err())
		}
	}
	return nil
}

// Submit implements rows.Shards.
func (l *Lanes) Submit(s *rows.Stage) {
	var refused *bulk
	s.Each(func(sec *rows.Section) {
		if status := l.take(sec); status != journal.None {
			if refused == nil {
				refused = newBulk(0, time.Time{}, nil)
			}
			refused.refuse(sec, status)
		}
	})
	s.Reset()
	if refused != nil { // only now: a sink may use the stage again
		settle(refused.outs, refused.waits)
		refused.recycle()
	}
}

// take gives a section to its lane, or answers why not.
func (l *Lanes) take(sec *rows.Section) journal.Status {
	acts := weigh(sec)
	p := l.parts[sec.Partition]
	ln := p.lock()
	defer ln.mu.Unlock()
	switch {
	case l.draining.Load() || l.ended.Load():
		return journal.Draining
	case ln.acts+acts > l.cfg.QueueActs || ln.bytes+len(sec.Rows) > l.cfg.QueueBytes:
		return journal.Overloaded
	case p.refused.Load() != 0 && (p.queue.acts+acts > l.cfg.QueueActs/2 || p.queue.bytes()+len(sec.Rows) > l.cfg.QueueBytes/2):
		return journal.Overloaded // it moves, or nobody serves it yet: the rest is for the others of its shard
	}
	l.open.rows.Add(int64(len(sec.Metas)))
	p.queue.push(sec, acts)
	ln.queued(p, acts, len(sec.Rows))
	return journal.None
}

// weigh is what a section counts in a train.
func weigh(sec *rows.Section) (acts int) {
	from := uint32(0)
	for i := range sec.Metas {
		m := &sec.Metas[i]
		if m.Op == journal.OpDeliver {
			acts += actsOf(sec.Rows[from:])
		} else {
			acts++
		}
		from = m.End
	}
	return acts
}

// refuse answers a stage's section.
func (b *bulk) refuse(sec *rows.Section, status journal.Status) {
	o := batch{rows: sec.Rows, metas: sec.Metas, carry: sec.Carry}
	for i := range o.metas {
		m := &o.metas[i]
		b.add(&rows.Outcome{Owner: m.Owner, Tag: m.Tag, Op: m.Op, Status: status, Carry: o.carryOf(i)}, wait{sink: m.Sink})
	}
}

// lock locks the lane that has the partition.
func (p *part) lock() *lane {
	for {
		ln := p.lane.Load()
		ln.mu.Lock()
		if p.lane.Load() == ln {
			return ln
		}
		ln.mu.Unlock()
	}
}

// Mark says that the journal is durable up to seq, in that epoch of the partition: the way of a keeper in this process.
// Marks that are published at the shards come by themselves.
func (l *Lanes) Mark(marks []luascripts.Mark) {
	for _, m := range marks {
		if m.Partition < len(l.parts) {
			l.parts[m.Partition].heard.Store(true)
			l.parts[m.Partition].held.mark(m.Epoch, m.Seq, m.Away)
		}
	}
}

// Heard reports whether a mark of the partition has come since Run began. A keeper that serves publishes all of them every so
// often; a map that says serving may be older than everybody's death.
func (l *Lanes) Heard(partition int) bool {
	return partition < len(l.parts) && l.parts[partition].heard.Load()
}

// lastMarks is how long outcomes of an epoch that is over wait for its last marks: longer than a keeper's repetition of them.
const lastMarks = 300 * time.Millisecond

// heldLook is how often held outcomes are looked at for their age.
const heldLook = 100 * time.Millisecond

func (l *Lanes) lookAfterHeld(ctx context.Context) {
	tick := time.NewTicker(heldLook)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			for _, p := range l.parts {
				p.held.giveUp(now.Add(-l.cfg.HeldFor))
			}
		case <-ctx.Done():
			return
		}
	}
}

// end answers everything that is left, when no lane runs any more.
func (l *Lanes) end() {
	l.ended.Store(true)
	for _, p := range l.parts {
		ln := p.lock()
		rest := ln.flush(p)
		ln.mu.Unlock()
		l.answer(rest, journal.Draining)
		p.held.giveUp(time.Now().Add(time.Hour))
	}
}

// answer refuses rows that wait no longer. Rows that may have run are answered with OutcomeUnknown instead.
func (l *Lanes) answer(b *batch, status journal.Status) {
	if len(b.metas) == 0 {
		return
	}
	out := newBulk(0, time.Time{}, nil)
	for i := range b.metas {
		m := &b.metas[i]
		o := rows.Outcome{Owner: m.Owner, Tag: m.Tag, Op: m.Op, Status: status, Carry: b.carryOf(i)}
		if i < b.unsure {
			lose(&o, journal.ShardUnavailable)
		}
		out.add(&o, wait{sink: m.Sink})
	}
	settle(out.outs, out.waits)
	l.open.done(len(out.outs))
	out.recycle()
}

// errNoShard says that the map names no address.
var errNoShard = errors.New("the map names no primary")
