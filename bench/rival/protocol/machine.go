package protocol

import (
	"context"
	"fmt"
	"sync"
	"time"

	"walletd/journal"
)

// shards is how many there are: every transfer is from one to the other.
const shards = 2

// transfer is one under way.
type transfer struct {
	id     [16]byte
	payer  account // in the shard home
	payee  account // in the other
	home   int
	amount int64
	begun  time.Time

	open    int  // acts under way
	no      bool // one of them was refused
	locks   int  // 2PC: how many of its two accounts its coordinator has
	debited time.Time
	locked  [shards]time.Time // 2PC: since when its account of that shard is
}

type account struct {
	index int // among all accounts
	name  [12]byte
}

// step is a row on its way.
type step struct {
	op     op
	t      *transfer
	group  *group // of a deliver, whose legs follow it; t is nil
	status byte
}

// group is a part of a channel's legs that is delivered together.
type group struct {
	from uint64
	legs []*transfer
}

// coordinator is a protocol: what it begins with, and what follows when an act has been answered, durably where that is waited
// for (settlesEarly). Both are called under machine.mu.
type coordinator interface {
	begin(m *machine, t *transfer)
	next(m *machine, t *transfer, o op, status byte)
}

// settlesEarly reports whether nobody waits until the act is durable: a check is not journaled, and what was decided durably
// before may be done, and its locks given back, as soon as the shard has done it.
func settlesEarly(o op) bool {
	return o == opCheck || o == opCommitPayer || o == opCommitPayee || o == opAbort
}

// machine runs one protocol: a lane for each shard, one log, and the coordinator's state.
type machine struct {
	shards [shards]*shard
	log    journal.Log
	proto  coordinator
	repeat bool // every row goes again and again, as lost answers would make it

	logWake chan struct{} // capacity 1

	mu    sync.Mutex // guards the rest
	lanes [shards]*lane
	load  *load
}

// lane is a shard's: what waits for its script while that is away, and for the log while that is.
type lane struct {
	wake    chan struct{} // capacity 1
	waiting []step
	channel channel // of legs from this shard to the other
	undone  []step  // done by the shard, and not durable
	events  []byte  // of those
}

// channel carries the legs that a shard has decided, in order, one group at a time.
type channel struct {
	legs      []*transfer
	delivered uint64
	away      bool
}

func newMachine(s [shards]*shard, log journal.Log, proto coordinator) *machine {
	m := &machine{shards: s, log: log, proto: proto, logWake: make(chan struct{}, 1)}
	for i := range m.lanes {
		m.lanes[i] = &lane{wake: make(chan struct{}, 1)}
	}
	return m
}

func kick(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// send stages a row for a shard. mu is held, here and below where it says "staged".
func (m *machine) send(shard int, o op, t *transfer) {
	t.open++
	m.stage(shard, step{op: o, t: t})
}

func (m *machine) stage(shard int, s step) {
	l := m.lanes[shard]
	l.waiting = append(l.waiting, s)
	kick(l.wake)
}

// decide stages an event that is the log's alone.
func (m *machine) decide(t *transfer) {
	t.open++
	l := m.lanes[t.home]
	l.undone = append(l.undone, step{op: opDecide, t: t, status: statusOK})
	l.events = append(appendRow(l.events, opDecide, t.id, t.payer.name, t.amount), statusOK)
	m.load.bytes += eventSize
	kick(m.logWake)
}

// carry gives a decided leg to its channel. Staged.
func (m *machine) carry(t *transfer) {
	c := &m.lanes[t.home].channel
	c.legs = append(c.legs, t)
	m.deliver(t.home)
}

// deliver stages the channel's next group, when none is under way.
func (m *machine) deliver(from int) {
	c := &m.lanes[from].channel
	if c.away || len(c.legs) == 0 {
		return
	}
	n := min(len(c.legs), rowsMax/2)
	g := &group{c.delivered, append([]*transfer(nil), c.legs[:n]...)}
	c.legs = append(c.legs[:0], c.legs[n:]...)
	c.away = true
	m.stage(1-from, step{op: opDeliver, group: g})
}

// take is what goes in the next call: whole groups, at most rowsMax rows.
func (m *machine) take(l *lane) []step {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows, n := 0, 0
	for n < len(l.waiting) {
		size := 1
		if g := l.waiting[n].group; g != nil {
			size += len(g.legs)
		}
		if rows+size > rowsMax {
			break
		}
		rows, n = rows+size, n+1
	}
	steps := append([]step(nil), l.waiting[:n]...)
	l.waiting = append(l.waiting[:0], l.waiting[n:]...)
	if len(l.waiting) > 0 {
		kick(l.wake)
	}
	return steps
}

// work runs a shard's lane until ctx ends.
func (m *machine) work(ctx context.Context, shard int) error {
	l := m.lanes[shard]
	var rows, before []byte
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return nil
		}
		steps := m.take(l)
		if len(steps) == 0 {
			continue
		}
		rows = pack(rows[:0], shard, steps)
		answer, err := m.shards[shard].run(ctx, rows)
		if err == nil && m.repeat {
			err = m.again(ctx, shard, rows, answer, before)
			before = append(before[:0], rows...)
		}
		if err == nil {
			err = m.answered(shard, steps, rows, answer)
		}
		if err != nil {
			return ended(ctx, err)
		}
	}
}

// ended drops what fails because it was told to stop.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// again sends the rows a second time, which must answer as before, and those of the call before a third.
func (m *machine) again(ctx context.Context, shard int, rows []byte, answer string, before []byte) error {
	second, err := m.shards[shard].run(ctx, rows)
	if err != nil {
		return err
	}
	for i := range len(second) {
		o, want := op(rows[i*rowSize]), answer[i]
		if o == opDeliver || o == opLeg {
			want = statusGap // it was delivered
		}
		if second[i] != want {
			return fmt.Errorf("act %d answered %d, and %d when it was repeated", o, want, second[i])
		}
	}
	if len(before) > 0 {
		_, err = m.shards[shard].run(ctx, before)
	}
	return err
}

func pack(dst []byte, shard int, steps []step) []byte {
	for _, s := range steps {
		if g := s.group; g != nil {
			id := append([]byte{byte(1 - shard)}, be56(g.from)...)
			id = append(append(id, be56(g.from+uint64(len(g.legs)))...), 0)
			dst = appendRow(dst, opDeliver, [16]byte(id), [12]byte{}, 0)
			for _, t := range g.legs {
				dst = appendRow(dst, opLeg, t.id, t.payee.name, t.amount)
			}
			continue
		}
		of := s.t.payer
		if shard != s.t.home {
			of = s.t.payee
		}
		dst = appendRow(dst, s.op, s.t.id, of.name, s.t.amount)
	}
	return dst
}

// answered tells the time of what has moved, settles what waits for nothing more, and queues all that happened for the log.
func (m *machine) answered(shard int, steps []step, rows []byte, answer string) error {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lanes[shard]
	i := 0
	for _, s := range steps {
		s.status = answer[i]
		if s.status >= statusGap {
			return fmt.Errorf("act %d answered %d, which its protocol excludes", s.op, s.status)
		}
		n := 1
		if s.group != nil {
			n += len(s.group.legs)
		}
		if s.op != opCheck {
			for ; n > 0; n-- {
				l.events = append(append(l.events, rows[i*rowSize:(i+1)*rowSize]...), answer[i])
				m.load.bytes += eventSize
				i++
			}
			l.undone = append(l.undone, s)
		} else {
			i++
		}
		m.load.note(&s, shard, now)
		if settlesEarly(s.op) {
			m.settle(&s)
		}
	}
	kick(m.logWake)
	return nil
}

// settle lets the protocol go on.
func (m *machine) settle(s *step) {
	if s.group != nil {
		c := &m.lanes[s.group.legs[0].home].channel
		c.delivered += uint64(len(s.group.legs))
		c.away = false
		m.deliver(s.group.legs[0].home)
		for _, t := range s.group.legs {
			m.load.finish(m, t)
		}
		return
	}
	s.t.open--
	m.proto.next(m, s.t, s.op, s.status)
}

// write runs the log until ctx ends: everything that waits is one append, and then settled.
func (m *machine) write(ctx context.Context) error {
	for {
		select {
		case <-m.logWake:
		case <-ctx.Done():
			return nil
		}
		var records []journal.Record
		var done []step
		m.mu.Lock()
		for i, l := range m.lanes {
			if len(l.events) > 0 {
				records = append(records, journal.Record{Partition: i, Bytes: l.events})
				l.events = nil
			}
			done = append(done, l.undone...)
			l.undone = nil
		}
		m.mu.Unlock()
		if len(records) > 0 {
			if _, err := m.log.Append(ctx, records); err != nil {
				return ended(ctx, fmt.Errorf("append to the log: %w", err))
			}
		}
		m.mu.Lock()
		for i := range done {
			if !settlesEarly(done[i].op) {
				m.settle(&done[i])
			}
		}
		m.mu.Unlock()
	}
}
