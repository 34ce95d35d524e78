package relay

import (
	"context"
	"errors"
	"fmt"

	"walletd/journal"
)

// ErrEnded says that the relay does not run any more: what was under way may still land.
var ErrEnded = errors.New("the relay has ended")

// Join takes a partition into a running relay, with the cursor that Claim answered: of an epoch of its own, which may differ
// from those of the others. The outbox must have no section of it before Join returns. Errors: a cursor that the relay could
// not have begun with; ErrEnded; ctx's.
func (r *Relay) Join(ctx context.Context, c journal.Cursor) error {
	err := r.ask(ctx, func(answer chan<- error) { answer <- r.join(c) })
	if err != nil {
		return fmt.Errorf("relay: join partition %d in epoch %d: %w", c.Partition, c.Epoch, err)
	}
	return nil
}

func (r *Relay) join(c journal.Cursor) error {
	switch {
	case c.Partition < 0 || c.Partition >= r.cfg.Log.Partitions():
		return fmt.Errorf("there are %d partitions", r.cfg.Log.Partitions())
	case c.Epoch == 0:
		return errors.New("it has no epoch: claim it")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of[c.Partition] != nil {
		return errors.New("it is relayed already")
	}
	l := newLane(c)
	r.lanes, r.of[c.Partition] = append(r.lanes, l), l
	return nil
}

// Leave waits until everything of a partition up to seq is durable and told (OnDurable, Watermark), takes it out of the
// relay, and answers the cursor behind it. The shard must run no act of it any more that would have a later seq: a section of
// it that came from the outbox now would end Run. The partition may Join again in a later epoch. Errors: a partition that is
// not relayed, or is at a later seq; ErrEnded; ctx's: then it is relayed as before.
func (r *Relay) Leave(ctx context.Context, partition int, seq uint64) (journal.Cursor, error) {
	w := &leaving{ctx: ctx, partition: partition, seq: seq}
	err := r.ask(ctx, func(answer chan<- error) {
		w.answer = answer
		r.leaving = append(r.leaving, w)
	})
	if err != nil {
		return journal.Cursor{}, fmt.Errorf("relay: leave partition %d at seq %d: %w", partition, seq, err)
	}
	return w.end, nil
}

// leaving is a partition that goes when it is durable up to seq.
type leaving struct {
	ctx       context.Context //nolint:containedctx // of a call that waits: one that has given up is not served any more
	partition int
	seq       uint64
	answer    chan<- error
	end       journal.Cursor // written before the answer
}

// ask has the loop do something, and waits for the answer.
func (r *Relay) ask(ctx context.Context, do func(answer chan<- error)) error {
	answer := make(chan error, 1)
	select {
	case r.asked <- func() { do(answer) }:
	case <-r.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-r.ended:
		return ErrEnded
	case <-ctx.Done():
	}
	// The loop looks at ctx before it lets anything go; what it has decided by now counts.
	poke(r.kick)
	select {
	case err := <-answer:
		return err
	case <-r.ended:
		return ErrEnded
	}
}

// letGo takes out the partitions that are durable as far as their leavers want.
func (r *Relay) letGo() {
	stay := r.leaving[:0]
	for _, w := range r.leaving {
		done, err := r.goes(w)
		if !done {
			stay = append(stay, w)
			continue
		}
		w.answer <- err
	}
	clear(r.leaving[len(stay):])
	r.leaving = stay
}

func (r *Relay) goes(w *leaving) (done bool, err error) {
	if err := w.ctx.Err(); err != nil {
		return true, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.of[w.partition]
	switch {
	case l == nil:
		return true, errors.New("it is not relayed")
	case l.tail > w.seq:
		return true, fmt.Errorf("it is at seq %d", l.tail)
	case l.durable < w.seq:
		return false, nil
	}
	// Everything collected is durable: nothing is under way, and no batch waits for it.
	w.end = l.cursor
	delete(r.of, w.partition)
	for i := range r.lanes {
		if r.lanes[i] == l {
			r.lanes = append(r.lanes[:i], r.lanes[i+1:]...)
			break
		}
	}
	return true, nil
}
