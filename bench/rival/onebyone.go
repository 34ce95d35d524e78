package rival

import (
	"context"
	"sync"

	"walletd/journal"
	"walletd/journal/rows"
)

// Caller does one act at a time, as a call that waits. Each worker has one of its own.
type Caller interface {
	// Call gives the outcome its status; it is Malformed until then.
	Call(ctx context.Context, r *journal.Row, out *rows.Outcome)
	Close()
}

// waitingMax bounds the acts that wait for a worker; more are refused as overloaded.
const waitingMax = 1 << 14

// OneByOne is a rows.Shards that makes a call of every act: as many at a time as it has workers, in no order between them.
type OneByOne struct {
	callers []Caller
	waiting chan single

	mu     sync.RWMutex // guards closed
	closed bool
}

type single struct {
	row []byte
	out rows.Outcome
	to  rows.Sink
}

// NewOneByOne is in front of so many callers. Run must run.
func NewOneByOne(callers []Caller) *OneByOne {
	return &OneByOne{callers: callers, waiting: make(chan single, waitingMax)}
}

// Submit implements rows.Shards.
func (o *OneByOne) Submit(st *rows.Stage) {
	var batch Batch
	st.Each(batch.add)
	st.Reset()
	batch.begin(journal.Malformed)
	from := uint32(0)
	for i := range batch.metas {
		s := single{batch.rows[from:batch.metas[i].End], batch.outs[i], batch.metas[i].Sink}
		from = batch.metas[i].End
		if why := o.enqueue(s); why != journal.None {
			s.out.Status = why
			s.to.Settle([]rows.Outcome{s.out})
		}
	}
}

func (o *OneByOne) enqueue(s single) journal.Status {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		return journal.Draining
	}
	select {
	case o.waiting <- s:
		return journal.None
	default:
		return journal.Overloaded
	}
}

// Run works until ctx ends; then it answers what waits.
func (o *OneByOne) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for _, c := range o.callers {
		workers.Go(func() {
			defer c.Close()
			for s := range o.waiting {
				o.call(ctx, c, &s)
			}
		})
	}
	<-ctx.Done()
	o.mu.Lock()
	o.closed = true
	close(o.waiting)
	o.mu.Unlock()
	workers.Wait()
	return context.Cause(ctx)
}

func (o *OneByOne) call(ctx context.Context, c Caller, s *single) {
	var r journal.Row
	switch _, err := r.Parse(s.row); {
	case ctx.Err() != nil:
		s.out.Status = journal.Draining
	case err == nil:
		c.Call(ctx, &r, &s.out)
	}
	s.to.Settle([]rows.Outcome{s.out})
}
