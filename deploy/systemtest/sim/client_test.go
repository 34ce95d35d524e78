package sim

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// client asks for one thing after the other, each until it knows what became of it, at whatever gateway answers.
type client struct {
	world *world
	n     int
	order *order
	tries []*try
	turn  int
	idle  bool

	mu    sync.Mutex
	inbox []letter
}

// try is one time that an order was asked for.
type try struct {
	order    *order
	at       *process
	floor    uint64 // what clients had been told of its home when it was asked
	answered bool
}

type letter struct {
	tag uint64
	out rows.Outcome
}

func (c *client) label() string { return fmt.Sprintf("client %d", c.n) }

// again puts the client on the schedule, instead of what it had there.
func (c *client) again(d time.Duration) {
	c.turn++
	turn := c.turn
	c.world.at(d, c.label(), func() {
		if c.turn == turn {
			c.act()
		}
	})
}

// act asks for the present order, or thinks of the next one.
func (c *client) act() {
	w := c.world
	if c.order == nil {
		if w.healing {
			c.idle = true
			return
		}
		c.order = w.newOrder()
		if old := w.older(); old != nil {
			c.order = old
		}
	}
	var open []*process
	for _, p := range w.processes {
		if p.acts != nil && !p.dead.Load() && w.turn.asks(p) {
			open = append(open, p)
		}
	}
	patience := time.Duration(1+w.rng.IntN(3000)) * time.Millisecond
	c.again(patience)
	if len(open) == 0 {
		return
	}
	p, o := pick(w.rng, open...), c.order
	t := &try{order: o, at: p, floor: w.audit.told[o.home]}
	c.tries = append(c.tries, t)
	o.tries++
	o.open++
	w.note("  %v at %s, try %d", o, p.name, o.tries)
	st := p.acts.Stage()
	o.stage(p.acts, st, c, uint64(len(c.tries)))
	p.acts.Submit(st)
}

// older is now and then an order that was asked for before: of the last ones, or, where keys are forgotten, of all.
func (w *world) older() *order {
	old, often := len(w.orders)-1-w.rng.IntN(20), 6
	if w.turn.window < time.Hour {
		often = 3
		if w.rng.IntN(2) == 0 {
			old = w.rng.IntN(len(w.orders))
		}
	}
	if w.rng.IntN(often) > 0 || old <= 0 {
		return nil
	}
	return w.orders[old-1]
}

// Settle implements rows.Sink. A crashed gateway's outcomes do not get this far (watcher), but for those that its
// coordinator settles by itself.
func (c *client) Settle(outs []rows.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range outs {
		if c.tries[o.Tag-1].at.dead.Load() {
			continue
		}
		if o.Status == journal.KeyOld && c.tries[o.Tag-1].at.acts.Old(&o, c) {
			continue // it comes again
		}
		o.Record = slices.Clone(o.Record)
		c.inbox = append(c.inbox, letter{o.Tag, o})
	}
}

// hear takes what has come.
func (c *client) hear() {
	c.mu.Lock()
	inbox := c.inbox
	c.inbox = nil
	c.mu.Unlock()
	slices.SortStableFunc(inbox, func(a, b letter) int { return int(a.tag) - int(b.tag) }) // two lanes may speak at one instant
	for i := range inbox {
		c.take(c.tries[inbox[i].tag-1], &inbox[i].out)
	}
}

func (c *client) take(t *try, out *rows.Outcome) {
	w, o := c.world, t.order
	if t.answered {
		w.fail("%v: a row is answered twice", o)
	}
	t.answered = true
	o.open--
	w.note("  %s hears of %v: %v %v%s", c.label(), o, out.Status, out.Position, map[bool]string{true: " again"}[out.Replayed])
	if out.Status.Retryable() || out.Status == journal.OutcomeUnknown {
		o.doubt = o.doubt || out.Status == journal.OutcomeUnknown
		if c.order == o {
			c.again(time.Duration(1+w.rng.IntN(100)) * time.Millisecond)
		}
		return
	}
	o.hold(w, t, out)
	if c.order == o {
		c.order = nil
		c.again(time.Duration(1 + w.rng.Int64N(int64(w.weather.thought))))
	}
}
