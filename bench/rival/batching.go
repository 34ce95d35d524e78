package rival

import (
	"context"
	"sync"

	"walletd/journal"
	"walletd/journal/rows"
)

// rowsMax bounds a batch, rows; what comes while it is full is refused as overloaded.
const rowsMax = 1 << 14

// Batch is the rows that go to a store together, in the order in which they came, and their outcomes.
type Batch struct {
	rows  []byte
	carry []byte
	metas []rows.Meta // End and Carry count within the batch
	outs  []rows.Outcome
}

func (b *Batch) reset() {
	clear(b.metas)
	clear(b.outs)
	b.rows, b.carry, b.metas, b.outs = b.rows[:0], b.carry[:0], b.metas[:0], b.outs[:0]
}

func (b *Batch) add(s *rows.Section) {
	row, carry := uint32(len(b.rows)), uint32(len(b.carry))
	b.rows = append(b.rows, s.Rows...)
	b.carry = append(b.carry, s.Carry...)
	for _, m := range s.Metas {
		m.End += row
		m.Carry += carry
		b.metas = append(b.metas, m)
	}
}

// begin makes an outcome of the status for every row.
func (b *Batch) begin(s journal.Status) {
	from := uint32(0)
	for i := range b.metas {
		m := &b.metas[i]
		b.outs = append(b.outs, rows.Outcome{Owner: m.Owner, Tag: m.Tag, Op: m.Op, Status: s, Carry: b.carry[from:m.Carry]})
		from = m.Carry
	}
}

// each parses every row. It shares memory with the batch.
func (b *Batch) each(fn func(i int, r *journal.Row, out *rows.Outcome)) {
	var r journal.Row
	from := uint32(0)
	for i := range b.metas {
		// Rows come packed from the gateway's own stage.
		if _, err := r.Parse(b.rows[from:b.metas[i].End]); err == nil {
			fn(i, &r, &b.outs[i])
		}
		from = b.metas[i].End
	}
}

// settle answers everybody: one call for a run of rows of the same sink.
func (b *Batch) settle() {
	for i := 0; i < len(b.metas); {
		n := i + 1
		for n < len(b.metas) && b.metas[n].Sink == b.metas[i].Sink {
			n++
		}
		b.metas[i].Sink.Settle(b.outs[i:n])
		i = n
	}
}

// Store runs a batch: it gives every outcome its status, which is Malformed until then. What it has not got to when it
// fails keeps OutcomeUnknown or a refusal of class retryable.
type Store interface {
	Run(ctx context.Context, b *Batch)
}

// Batching is a rows.Shards that gathers whatever waits into one batch, while the one before is away: natural batching, as
// in the wallet's trains.
type Batching struct {
	store Store
	wake  chan struct{} // capacity 1
	free  chan *Batch

	mu     sync.Mutex // guards the rest
	open   *Batch
	closed bool
}

// NewBatching is in front of a store. Run must run.
func NewBatching(store Store) *Batching {
	b := &Batching{store: store, wake: make(chan struct{}, 1), free: make(chan *Batch, 3), open: &Batch{}}
	for range cap(b.free) {
		b.free <- &Batch{}
	}
	return b
}

// Submit implements rows.Shards.
func (b *Batching) Submit(st *rows.Stage) {
	if st.Rows() == 0 {
		return
	}
	b.mu.Lock()
	why := journal.None
	switch {
	case b.closed:
		why = journal.Draining
	case len(b.open.metas)+st.Rows() > rowsMax:
		why = journal.Overloaded
	default:
		st.Each(b.open.add)
	}
	b.mu.Unlock()
	if why != journal.None {
		refused := &Batch{}
		st.Each(refused.add)
		refused.begin(why)
		refused.settle()
	}
	st.Reset()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run runs batches, one at a time, until ctx ends; then it answers what waits and whatever comes later.
func (b *Batching) Run(ctx context.Context) error {
	done := make(chan *Batch, 1)
	settled := make(chan struct{})
	go func() { // beside the next batch
		defer close(settled)
		for batch := range done {
			batch.settle()
			batch.reset()
			b.free <- batch
		}
	}()
	defer func() { close(done); <-settled }()
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			b.mu.Lock()
			b.closed = true
			last := b.open
			b.open = &Batch{}
			b.mu.Unlock()
			last.begin(journal.Draining)
			last.settle()
			return context.Cause(ctx)
		}
		batch := b.take()
		if len(batch.metas) > 0 {
			batch.begin(journal.Malformed)
			b.store.Run(ctx, batch)
		}
		done <- batch
	}
}

func (b *Batching) take() *Batch {
	next := <-b.free
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.open
	b.open = next
	return batch
}
