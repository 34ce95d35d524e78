package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"walletd/journal"
	"walletd/journal/planted"
)

// Relay moves one shard's outbox into the log.
type Relay struct {
	cfg   Config
	lanes []*lane
	of    map[int]*lane // by partition
	ran   atomic.Bool

	kick     chan struct{} // something was collected
	room     chan struct{} // something collected was sent
	requests chan []*lane
	landed   chan sent
	repaired chan *lane // whose frame was found, or has landed
	faults   chan error
	asked    chan func()   // for the loop to do (Join, Leave)
	ended    chan struct{} // closed when Run has ended

	mu     sync.Mutex // guards the lanes' collecting side and
	place  uint64     // of the last entry collected
	queue  []*ticket  // batches that are not trimmed, in order
	offers uint64     // looked at
	broken bool       // one of them has ended Run
	stats  Stats

	trims   chan uint64   // up to where the outbox is to be trimmed
	trimmed chan struct{} // done

	// owned by the loop
	begin     func(func(context.Context) error) // starts a goroutine that ends with Run, and its error with it
	flying    bool                              // a request is under way
	waiting   bool                              // for fuller frames
	pace      pace
	wait      *time.Timer
	look      *time.Ticker // at the journal
	trimming  bool         // a trim is under way
	trimTo    uint64
	trimAsked uint64
	repairing int
	troubled  bool // the journal did not take a frame
	cause     error
	told      []told
	marks     []Mark
	leaving   []*leaving
}

// sent is a request that came back.
type sent struct {
	lanes   []*lane
	offsets []int64
	err     error
}

// told is a durable frame that is to be reported.
type told struct {
	lane   *lane
	offset int64
	frame  journal.Frame
}

// New makes a relay. Errors: what is wrong with the configuration, all of it.
func New(cfg Config) (*Relay, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	n := cfg.Log.Partitions() // as many as may ever join
	r := &Relay{
		cfg: cfg, of: make(map[int]*lane, len(cfg.Cursors)), asked: make(chan func()), ended: make(chan struct{}),
		kick: make(chan struct{}, 1), room: make(chan struct{}, 1),
		requests: make(chan []*lane, 1), landed: make(chan sent, 1),
		trims: make(chan uint64, 1), trimmed: make(chan struct{}, 1),
		repaired: make(chan *lane, n), faults: make(chan error, n+4),
		pace: pace{max: cfg.WaitMax, target: cfg.FrameBytes},
	}
	for _, c := range cfg.Cursors {
		l := newLane(c)
		r.lanes, r.of[c.Partition] = append(r.lanes, l), l
	}
	return r, nil
}

// errRan guards a partition against two histories in one epoch.
var errRan = errors.New("relay: it has run already; claim the partitions again")

// Run relays until ctx ends, and answers its error. It gives up by itself with ErrDeposed, ErrOutbox, a
// journal.ErrDamaged, or an error of the outbox or a callback. It runs once.
func (r *Relay) Run(ctx context.Context) error {
	if !r.ran.CompareAndSwap(false, true) {
		return errRan
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer close(r.ended)
	defer wg.Wait()
	defer cancel()
	r.begin = func(work func(context.Context) error) {
		wg.Go(func() {
			if err := work(ctx); err != nil && ctx.Err() == nil {
				r.faults <- err
			}
		})
	}
	r.begin(r.intake)
	r.begin(r.send)
	r.begin(r.trim)
	if err := r.loop(ctx); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// Stats answers the relay's figures.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// loop is Run's own goroutine: it sends, hears what came of it, and tells.
func (r *Relay) loop(ctx context.Context) error {
	r.wait = stoppedTimer()
	r.look = time.NewTicker(min(lookEvery, r.cfg.RefusedFor, r.cfg.UnsureFor))
	defer r.wait.Stop()
	defer r.look.Stop()
	for {
		some, err := r.hasCome()
		if !some {
			err = r.comes(ctx)
		}
		if failed := r.tell(ctx); err == nil { // what counts is told, whatever befell the others
			err = failed
		}
		if err != nil {
			return err
		}
		r.letGo()
	}
}

// hasCome takes what came while the loop was busy, in an order of its own: what a run does is not to depend on which of several
// channels Go draws.
func (r *Relay) hasCome() (some bool, err error) {
	select {
	case s := <-r.landed:
		return true, r.cameBack(s)
	default:
	}
	select {
	case l := <-r.repaired:
		r.comesBack(l)
		return true, nil
	default:
	}
	select {
	case err := <-r.faults:
		return true, err
	default:
	}
	select {
	case <-r.kick:
		r.collectedMore()
		return true, nil
	default:
	}
	return false, nil
}

// comes waits for the next thing, and does what it asks for.
func (r *Relay) comes(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.faults:
		return err
	case <-r.kick:
		r.collectedMore()
	case s := <-r.landed:
		return r.cameBack(s)
	case l := <-r.repaired:
		r.comesBack(l)
	case now := <-r.wait.C:
		r.looksAgain(now)
	case <-r.trimmed:
		r.trimming = false
	case do := <-r.asked:
		do()
	case now := <-r.look.C:
		r.lookAtJournal(now)
	}
	return nil
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// collectedMore sends, unless a request is under way or fuller frames are waited for.
func (r *Relay) collectedMore() {
	if r.flying {
		return
	}
	if r.waiting && !r.pace.full(r.ready()) {
		return
	}
	r.launch()
}

func (r *Relay) looksAgain(now time.Time) {
	if !r.waiting || r.flying {
		return
	}
	if d := r.pace.look(now, r.ready()); d > 0 {
		r.wait.Reset(d)
		return
	}
	r.launch()
}

// ready is what could be sent now.
func (r *Relay) ready() (c collected) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lanes {
		if l.flight.busy || len(l.chunks) == 0 {
			continue
		}
		c.lanes++
		c.events += l.chunks[0].count
		c.bytes += len(l.chunks[0].payload)
	}
	return c
}

// launch sends the next frame of every lane that has one and none under way.
func (r *Relay) launch() {
	r.waiting = false
	r.wait.Stop()
	r.mu.Lock()
	var lanes []*lane
	now := time.Now()
	for _, l := range r.lanes {
		if !l.flight.busy && len(l.chunks) > 0 {
			r.stats.Pending -= l.launch()
			l.since, l.refused = now, false
			lanes = append(lanes, l)
		}
	}
	r.mu.Unlock()
	if len(lanes) == 0 {
		return
	}
	poke(r.room)
	r.flying = true
	r.requests <- lanes
}

// cameBack sorts a request's frames into those that count and those to repair, and sends what was collected meanwhile.
func (r *Relay) cameBack(s sent) error {
	r.flying = false
	notAppended := errors.Is(s.err, journal.ErrNotAppended)
	var fault error
	for i, l := range s.lanes {
		if planted.Is(planted.SeqAfterFailure) && s.offsets[i] < 0 {
			r.reframe(l)
			continue
		}
		ok, err := l.counts(s.offsets[i], notAppended)
		fault = errors.Join(fault, err)
		if ok {
			r.free(l)
			continue
		}
		l.refused = notAppended
		r.repairing++
		r.begin(func(ctx context.Context) error { return r.repair(ctx, l) })
	}
	if s.err != nil {
		r.cause = s.err
		if !r.troubled {
			r.troubled = true
			r.cfg.Logger.Warn("journal does not take frames", "error", s.err)
		}
	}
	if r.short() != nil {
		r.lookAtJournal(time.Now())
	}
	r.count()
	if fault != nil {
		return fault
	}
	c := r.ready()
	r.pace.landed(c)
	if d := r.pace.begin(time.Now(), c); d > 0 && c.lanes > 0 {
		r.waiting = true
		r.wait.Reset(d)
		return nil
	}
	r.launch()
	return nil
}

// comesBack takes a repaired lane back: its frame counts.
func (r *Relay) comesBack(l *lane) {
	r.repairing--
	r.count()
	r.free(l)
	if r.repairing == 0 && r.troubled {
		r.troubled = false
		r.cfg.Logger.Info("journal takes frames again")
	}
	r.lookAtJournal(time.Now())
	r.collectedMore()
}

func (r *Relay) count() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Repairing = r.repairing
}

// free ends a lane's flight, whose frame counts and is to be told.
func (r *Relay) free(l *lane) {
	r.told = append(r.told, told{l, l.flight.at, l.flight.frame})
	if l.flight.unknown {
		l.records = [2][]byte{} // a request that was given up may still be reading them
	}
	l.flight.busy = false
}
