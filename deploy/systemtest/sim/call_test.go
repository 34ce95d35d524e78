package sim

import (
	"context"
	"errors"
	"time"
)

// call is one request of the production code on its way through the simulated network, or an event of the world's own.
type call struct {
	label string
	from  *process // nil: the world's own
	end   *redis   // at the other end, if it is a shard
	zoo   bool     // at the other end is ZooKeeper

	do   func()      // what it does at the other end
	held func() bool // while it holds, the other end has nothing to answer yet; nil: it always has
	till time.Time   // it answers then at the latest

	due      time.Time // not earlier
	deadline time.Time // then the caller gives up; zero: never
	faults   *faults   // what may befall it; nil: nothing
	lost     error     // how the caller learns that nobody knows
	refused  error     // how it learns that it provably was not done; nil: it is never refused like that

	done   chan struct{} // closed when the caller hears
	failed error         // what the caller hears instead of the answer; set before done is closed

	ran    bool // done at the other end; the answer is on its way
	orphan bool // nobody waits for the answer any more
}

// request says what a call is to the network.
type request struct {
	from    *process
	end     *redis
	zoo     bool // at the other end is ZooKeeper
	label   string
	faults  *faults
	timeout time.Duration // 0: it waits as long as its context
	held    func() bool
	till    time.Time
	lost    error
	refused error
}

// errGone is what calls of a crashed process answer: nobody hears it.
var errGone = errors.New("the process has crashed")

// ask parks a request until the scheduler has decided what becomes of it.
func ask[T any](ctx context.Context, r request, do func() (T, error)) (T, error) {
	var none T
	if r.from.dead.Load() {
		return none, errors.Join(r.lost, errGone)
	}
	if err := ctx.Err(); err != nil {
		return none, errors.Join(r.unsent(), err)
	}
	type answer struct {
		value T
		err   error
	}
	var got answer
	c := &call{label: r.label, from: r.from, end: r.end, zoo: r.zoo, held: r.held, till: r.till, faults: r.faults, lost: r.lost, refused: r.refused, done: make(chan struct{})}
	c.do = func() { got.value, got.err = do() }
	w := r.from.world
	if r.timeout > 0 {
		c.deadline = time.Now().Add(r.timeout)
	}
	w.park(c)
	select {
	case <-c.done:
	case <-ctx.Done():
		w.abandon(c)
		return none, errors.Join(r.lost, ctx.Err())
	case <-r.from.over:
		w.abandon(c)
		return none, errors.Join(r.lost, errGone)
	}
	if c.failed != nil {
		return none, c.failed
	}
	return got.value, got.err
}

func (r *request) unsent() error {
	if r.refused != nil {
		return r.refused
	}
	return r.lost
}

// none is the answer of a call that has none.
type none = struct{}

// tell is ask without an answer.
func tell(ctx context.Context, r request, do func() error) error {
	_, err := ask(ctx, r, func() (none, error) { return none{}, do() })
	return err
}
