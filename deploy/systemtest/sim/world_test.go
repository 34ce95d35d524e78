package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
)

const (
	partitions  = 4
	healWithin  = 150 * time.Second // of false time: from the last fault until all is at rest
	stepsMax    = 200_000
	traceTail   = 60
	asset       = journal.Asset(1)
	sessionLife = 4 * time.Second
)

// world is one run: everything that the production code can reach, and the scheduler.
type world struct {
	seed    uint64
	rng     *rand.Rand
	weather *weather // as it is now
	storm   weather  // as it is when it is rough
	calm    bool     // for a while
	healing bool
	rough   int   // steps in it
	sliceMS int64 // of keys in the shards
	turn    turn
	began   time.Time

	log       *ledger
	zoo       *zookeeper
	shards    []*redis   // the primaries of the beginning
	redises   []*redis   // those, their replicas, and the spares
	processes []*process // the living ones and, in their places, those that wait to be started
	clients   []*client
	orders    []*order
	reserved  []*order // those that reserve
	audit     *audit

	steps     int
	sum       uint64 // of the trace
	tail      []string
	all       bool // keep the whole trace
	failure   error
	failed    int  // moves that came to nothing
	restarted bool // a Redis came back with older data
	moved     int  // partitions that another shard has got
	dropped   int  // slices of keys
	begun     int  // folds that began at a snapshot
	shelf     *shelf
	asked     int        // questions that the projector has answered
	disk      *vfs.MemFS // the projector's
	looked    int64      // the true time of the last step
	disturbed int        // steps for which the machine had no time

	calls []*call // parked, by label

	mu      sync.Mutex
	arrived []*call
	left    []*call // whose callers have gone
	wake    chan struct{}
}

// park takes a call; abandon notes that its caller waits no longer.
func (w *world) park(c *call) {
	w.mu.Lock()
	w.arrived = append(w.arrived, c)
	w.mu.Unlock()
	poke(w.wake)
}

func (w *world) abandon(c *call) {
	w.mu.Lock()
	w.left = append(w.left, c)
	w.mu.Unlock()
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// at puts an event of the world's own on the schedule.
func (w *world) at(d time.Duration, label string, do func()) {
	w.enter(&call{label: label, do: do, due: time.Now().Add(d), done: make(chan struct{}), orphan: true})
}

func (w *world) enter(c *call) {
	i, _ := slices.BinarySearchFunc(w.calls, c, func(a, b *call) int {
		if n := strings.Compare(a.label, b.label); n != 0 {
			return n
		}
		return -1 // behind its equals
	})
	w.calls = slices.Insert(w.calls, i, c)
}

// note writes the trace.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%d %s ", w.steps, time.Since(w.began)) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	_, _ = h.Write([]byte(line))
	w.sum = w.sum*1_099_511_628_211 ^ h.Sum64()
	if !w.all && len(w.tail) >= 2*traceTail {
		w.tail = append(w.tail[:0], w.tail[len(w.tail)-traceTail:]...)
	}
	w.tail = append(w.tail, line)
}

// fail keeps the first thing that must not be.
func (w *world) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf(format, args...)
		w.note("FAILED: %v", w.failure)
	}
}

// settle waits until nobody can do anything, and takes in what was parked meanwhile.
func (w *world) settle() {
	synctest.Wait()
	at := wall()
	if at-w.looked > quiet {
		w.disturbed++
	}
	w.looked = at
	w.mu.Lock()
	if w.all {
		w.list("parks", w.arrived)
		w.list("leaves", w.left)
	}
	for _, c := range w.arrived {
		w.enter(c)
	}
	for _, c := range w.left {
		c.orphan = true
	}
	w.arrived, w.left = w.arrived[:0], w.left[:0]
	w.mu.Unlock()
	for _, c := range w.clients {
		c.hear()
	}
}

// list writes into the trace what was parked, or given up by its caller.
func (w *world) list(what string, calls []*call) {
	labels := make([]string, 0, len(calls))
	for _, c := range calls {
		labels = append(labels, c.label)
	}
	slices.Sort(labels) // Go may run its goroutines in any order
	for _, l := range labels {
		w.note("      %s %s", what, l)
	}
}

// step does one thing.
func (w *world) step() {
	w.steps++
	w.settle()
	w.sweep()
	if !w.healing && w.trouble() {
		return
	}
	now := time.Now()
	ready, next := w.ready(now)
	switch {
	case len(ready) == 0:
		w.sleep(next, now)
	case w.rng.IntN(8) == 0:
		w.sleep(now.Add(time.Duration(1+w.rng.IntN(2_000_000))), now)
	default:
		w.let(ready[w.rng.IntN(len(ready))], now)
	}
}

// sleep lets time go on until then, or until somebody wants something.
func (w *world) sleep(then, now time.Time) {
	select {
	case <-w.wake:
	default:
	}
	t := time.NewTimer(then.Sub(now))
	defer t.Stop()
	select {
	case <-w.wake:
	case <-t.C:
	}
}

const idle = 500 * time.Millisecond // how far time goes when nothing is on the schedule

// ready are the calls that can go on now, and when to look again at the latest.
func (w *world) ready(now time.Time) (ready []*call, next time.Time) {
	next = now.Add(idle)
	for _, c := range w.calls {
		if !c.orphan && !c.deadline.IsZero() && c.deadline.Before(next) {
			next = c.deadline
		}
		at := c.due
		if c.from != nil && c.from.frozen.After(at) {
			at = c.from.frozen
		}
		if c.from != nil && c.from.cut.After(at) && (c.zoo && c.from.apart == nil || c.end != nil && c.end == c.from.apart && !c.ran) {
			at = c.from.cut
		}
		if !c.ran && c.end != nil && c.end.hangs.After(at) {
			at = c.end.hangs
		}
		if !c.ran && c.held != nil && c.held() && c.till.After(at) {
			at = c.till
		} else if !c.ran && c.held != nil && c.held() && c.till.IsZero() {
			continue
		}
		switch {
		case !at.After(now):
			ready = append(ready, c)
		case at.Before(next):
			next = at
		}
	}
	return ready, next
}

// sweep ends the waiting of callers whose time is over. What they asked for may still be done.
func (w *world) sweep() {
	now := time.Now()
	for _, c := range w.calls {
		if !c.orphan && !c.deadline.IsZero() && !now.Before(c.deadline) {
			w.note("%s times out", c.label)
			w.answer(c, c.lost)
			c.orphan, c.deadline = true, time.Time{}
			if w.healing || w.rng.IntN(2) == 0 {
				c.due = now
			}
		}
	}
	w.calls = slices.DeleteFunc(w.calls, func(c *call) bool {
		return c.orphan && (c.ran || c.held != nil || (c.from != nil && w.healing && c.from.dead.Load()))
	})
}

// let lets one call go on.
func (w *world) let(c *call, now time.Time) {
	w.calls = slices.DeleteFunc(w.calls, func(o *call) bool { return o == c })
	if c.ran {
		w.note("%s hears", c.label)
		w.answer(c, nil)
		return
	}
	f := answered
	if !w.healing && !c.orphan && c.due.IsZero() {
		f = c.faults.fateOf(w.rng, c.refused != nil)
	}
	switch f {
	case answered:
		w.run(c)
		w.answer(c, nil)
	case lost:
		w.answer(c, c.lost)
	case refused:
		w.answer(c, c.refused)
	case deaf:
		w.run(c)
		w.answer(c, c.lost)
	case late:
		w.answer(c, c.lost)
		c.orphan, c.due = true, now.Add(w.pause())
		w.enter(c)
	case slow:
		c.due = now.Add(w.pause())
		w.enter(c)
	case lazy:
		w.run(c)
		c.ran, c.due = true, now.Add(w.pause())
		w.enter(c)
	}
	if f != answered {
		w.note("%s is %s", c.label, f)
	}
}

// pause is how long what is late takes: mostly little, now and then very long.
func (w *world) pause() time.Duration {
	d := time.Duration(1 + w.rng.IntN(int(20*time.Millisecond)))
	if w.rng.IntN(4) == 0 {
		d = time.Duration(1 + w.rng.Int64N(int64(w.weather.slowest)))
	}
	return d
}

// run does what a call wants at the other end.
func (w *world) run(c *call) {
	w.note("%s%s", c.label, map[bool]string{true: " (late)"}[c.orphan && c.from != nil])
	c.do()
}

// answer lets the caller hear, unless he has gone.
func (w *world) answer(c *call, err error) {
	if !c.orphan {
		c.failed = err
		close(c.done)
	}
}

// quiet is how long a step may take before the machine is said to have disturbed it, ns: Go gives the processor to another
// goroutine after 10 ms.
const quiet = 5_000_000

// wall is the true time, ns.
func wall() int64 {
	var tv syscall.Timeval
	_ = syscall.Gettimeofday(&tv)
	return tv.Nano()
}
