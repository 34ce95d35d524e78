package view

import (
	"context"
	"fmt"
	"sync"

	"walletd/journal"
)

// wait lets readers wait for a partition to come as far as they need.
type wait struct {
	mu      sync.Mutex
	seq     uint64
	why     error         // the partition is folded no further
	hasten  func()        // tells who folds that somebody waits; nil: nobody folds
	changed chan struct{} // nil: nobody waits
}

func (w *wait) wake() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

func (w *wait) advance(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq = seq
	w.wake()
}

func (w *wait) stop(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.why = why
	w.wake()
}

func (w *wait) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.why = nil
}

func (w *wait) tell(hasten func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hasten = hasten
}

// reached answers whether the seq is folded, else a channel that closes when something has changed; who waits for that hastens it.
func (w *wait) reached(seq uint64, waits bool) (bool, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seq >= seq || w.why != nil {
		if w.seq >= seq {
			return true, nil, nil
		}
		return false, nil, w.why
	}
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	if w.hasten != nil && waits {
		w.hasten()
	}
	return false, w.changed, nil
}

// WaitFor blocks until the projection reflects the position (`min_position`), or ctx ends. It fails at once when the
// partition is folded no further. Seqs have no gaps over epochs, so the seq alone decides.
func (v *View) WaitFor(ctx context.Context, at journal.Position) error {
	return v.waitFor(ctx, at, true)
}

// Follow is WaitFor for who has time: nothing is folded sooner on its behalf.
func (v *View) Follow(ctx context.Context, at journal.Position) error {
	return v.waitFor(ctx, at, false)
}

func (v *View) waitFor(ctx context.Context, at journal.Position, hasten bool) error {
	if at.Partition < 0 || at.Partition >= len(v.waits) {
		return fmt.Errorf("wait for %v: there are %d partitions", at, len(v.waits))
	}
	for {
		ok, changed, err := v.waits[at.Partition].reached(at.Seq, hasten && ctx.Err() == nil)
		if err != nil {
			return fmt.Errorf("wait for %v: %w", at, err)
		}
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %v: %w", at, ctx.Err())
		}
	}
}
