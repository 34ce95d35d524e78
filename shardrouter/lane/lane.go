package lane

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"walletd/journal"
	"walletd/luascripts"
)

// lane carries rows to one shard: a queue per partition, and one train on its way. One goroutine runs it.
type lane struct {
	// immutable
	l     *Lanes
	shard string // id; "" for partitions that nobody has
	wake  chan struct{}
	ledger
	counts counts

	mu      sync.Mutex // guards the fields below, and those of the parts that have this lane
	target  target
	retired bool    // the map does not have the shard any more
	ready   []*part // have rows that may leave, in the order of their turns
	parked  []*part // have rows that may not leave yet
	acts    int     // of all that waits
	bytes   int
	wakeAt  int // acts at which the goroutine wants to be woken

	// owned by the goroutine
	departed time.Time // the last train
	train    train
	conn     *conn
	trouble  time.Time // since when the shard does not answer; zero: it does
	now      prompt
}

// never is a wakeAt that is not reached.
const never = math.MaxInt

func (l *Lanes) newLane(shard string) *lane {
	wake := make(chan struct{}, 1)
	ln := &lane{l: l, shard: shard, wake: wake, ledger: ledger{open: l.open, max: int64(l.cfg.HeldRows), wake: wake}, wakeAt: never}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, ln)
	return ln
}

// queued notes that a partition got rows. Guarded by mu, as the methods below.
func (ln *lane) queued(p *part, acts, bytes int) {
	ln.acts, ln.bytes = ln.acts+acts, ln.bytes+bytes
	ln.line(p)
	if ln.acts >= ln.wakeAt {
		ln.wakeAt = never
		signal(ln.wake)
	}
}

// line puts a partition with rows where it belongs: into the line of those that may leave, or aside.
func (ln *lane) line(p *part) {
	switch {
	case p.ready || p.queue.empty():
	case p.retryAt.IsZero():
		p.ready = true
		ln.ready = append(ln.ready, p)
	case !slices.Contains(ln.parked, p):
		ln.parked = append(ln.parked, p)
	}
}

// park keeps a partition's rows back until then, or until the map shows another epoch.
func (ln *lane) park(p *part, then time.Time) {
	p.retryAt = then
	if p.ready {
		p.ready = false
		ln.ready = slices.DeleteFunc(ln.ready, func(o *part) bool { return o == p })
	}
	ln.line(p)
}

// unpark gives a partition a new chance: its epoch has changed.
func (ln *lane) unpark(p *part) {
	p.retryAt = time.Time{}
	p.refused.Store(0)
	ln.parked = slices.DeleteFunc(ln.parked, func(o *part) bool { return o == p })
	ln.line(p)
	signal(ln.wake)
}

// drop takes a partition out of the lane, with what waits for it.
func (ln *lane) drop(p *part) {
	ln.acts, ln.bytes = ln.acts-p.queue.acts, ln.bytes-p.queue.bytes()
	p.ready = false
	same := func(o *part) bool { return o == p }
	ln.ready, ln.parked = slices.DeleteFunc(ln.ready, same), slices.DeleteFunc(ln.parked, same)
}

// flush takes everything that waits for a partition.
func (ln *lane) flush(p *part) *batch {
	ln.drop(p)
	rest := &batch{}
	if waiting := p.queue.waiting(); waiting > 0 {
		rest.add(&p.queue.batch, p.queue.next, len(p.queue.metas))
		rest.unsure = max(0, p.queue.unsure-p.queue.next)
	}
	p.queue = queue{}
	return rest
}

// aim names where the shard is.
func (ln *lane) aim(t target) {
	ln.mu.Lock()
	changed := ln.target != t
	ln.target = t
	ln.mu.Unlock()
	if changed {
		signal(ln.wake)
	}
}

func (ln *lane) retire() {
	ln.mu.Lock()
	ln.retired = true
	ln.mu.Unlock()
	signal(ln.wake)
}

// run carries trains until ctx ends, or the lane is retired and has brought back what it had.
func (ln *lane) run(ctx context.Context) {
	defer ln.hangUp()
	for ln.collect(ctx) {
		ln.carry(ctx)
	}
}

// collect waits until a train may leave and fills it; false when none will any more.
func (ln *lane) collect(ctx context.Context) bool {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ln.wake: // what it told is looked at now
		default:
		}
		_, _ = ln.dial(ctx) // before there is anything to send: its marks are listened to
		now := time.Now()
		ln.mu.Lock()
		ln.backInLine(now)
		at, some := ln.departure(now)
		switch {
		case some && !at.After(now):
			ln.fill()
			ln.wakeAt = never
			ln.mu.Unlock()
			return true
		case ln.retired:
			ln.mu.Unlock()
			return false
		}
		ln.mu.Unlock()
		timer.Reset(time.Until(at))
		select {
		case <-ln.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return false
}

// idleLook is how often an idle lane looks up; it need not, everything wakes it.
const idleLook = time.Minute

// departure says when to look again, and whether there will be something to carry; it sets wakeAt to match.
func (ln *lane) departure(now time.Time) (at time.Time, some bool) {
	switch {
	case ln.full(): // whoever answers what is held wakes the lane
		ln.wakeAt, at = never, now.Add(idleLook)
	case len(ln.ready) == 0:
		ln.wakeAt, at = 1, now.Add(idleLook)
		for _, p := range ln.parked {
			if p.retryAt.Before(at) {
				at = p.retryAt
			}
		}
	case ln.acts >= luascripts.ActsMax:
		return now, true
	default:
		ln.wakeAt = luascripts.ActsMax
		return ln.l.table.next(ln.departed), true
	}
	return at, false
}

// backInLine ends the parking of partitions whose time has come.
func (ln *lane) backInLine(now time.Time) {
	for i := 0; i < len(ln.parked); {
		p := ln.parked[i]
		if now.Before(p.retryAt) {
			i++
			continue
		}
		ln.parked = slices.Delete(ln.parked, i, i+1)
		p.retryAt = time.Time{}
		ln.line(p)
	}
}

// fill loads the train, each partition in its turn. One whose rows did not all fit is the first of the next train when
// it got nothing, else the last in line. Of one that was refused a single row goes ahead: a train full of them would come back,
// and what came meanwhile would have to wait in the others' room.
func (ln *lane) fill() {
	t := &ln.train
	t.reset()
	room := room{luascripts.ActsMax, trainBytesMax}
	var ahead []*part
	for len(ln.ready) > 0 && room.acts > 0 && room.bytes > 0 {
		p := ln.ready[0]
		s := t.section(p)
		share, probe := room, p.refused.Load() != 0
		if probe {
			share.acts = min(room.acts, actsOf(p.queue.row(p.queue.next)))
		}
		used := p.queue.take(&s.batch, share)
		if used.acts == 0 {
			t.sections = t.sections[:len(t.sections)-1]
			break
		}
		for i := range s.metas {
			if s.metas[i].Op != journal.OpDeliver {
				t.hurried++
			}
		}
		room.acts, room.bytes = room.acts-used.acts, room.bytes-used.bytes-sectionSize
		ln.acts, ln.bytes = ln.acts-used.acts, ln.bytes-used.bytes
		ln.ready = append(ln.ready[:0], ln.ready[1:]...)
		p.ready = false
		if probe {
			ahead = append(ahead, p)
		} else {
			ln.line(p)
		}
	}
	for _, p := range ahead {
		ln.line(p)
	}
	t.acts = luascripts.ActsMax - room.acts
}

// What the train itself takes of luascripts.TrainBytesMax.
const (
	sectionSize   = 16
	trainBytesMax = luascripts.TrainBytesMax - 2*sectionSize
)

// train is what is on its way: per partition the rows, which stay here until they are answered.
type train struct {
	sections []section
	acts     int
	hurried  int // acts that somebody waits for
	call     luascripts.Train
}

type section struct {
	part  *part
	epoch uint32 // in which it was sent last
	known uint64 // seq that was known to be durable in that epoch, when it was sent
	batch
}

// section begins the rows of a partition, with the buffers of an earlier train.
func (t *train) section(p *part) *section {
	if len(t.sections) < cap(t.sections) {
		t.sections = t.sections[:len(t.sections)+1]
	} else {
		t.sections = append(t.sections, section{})
	}
	s := &t.sections[len(t.sections)-1]
	s.part, s.epoch, s.known = p, 0, 0
	s.reset()
	return s
}

func (t *train) reset() {
	for i := range t.sections {
		t.sections[i].reset()
	}
	t.sections, t.acts, t.hurried = t.sections[:0], 0, 0
}

// remove takes the i-th section out; its buffers stay for later.
func (t *train) remove(i int) {
	last := len(t.sections) - 1
	t.sections[i], t.sections[last] = t.sections[last], t.sections[i]
	t.sections[last].reset()
	t.sections = t.sections[:last]
}
