package projector

import (
	"context"
	"errors"
	"sync"
)

// errEnded says that nobody folds a partition any more.
var errEnded = errors.New("the projector has ended")

// hurry is how readers shorten a wait, and how they learn that what was in the log when they came is folded. All that wait are
// served by one look: the first that begins after they came.
type hurry struct {
	mu      sync.Mutex
	want    bool
	cancel  context.CancelFunc // of the wait that is under way; nil: none is
	begun   uint64             // looks
	ended   uint64             // the last look that has ended
	trouble error              // of that one: who comes meanwhile does not wait for the next
	changed chan struct{}      // closed when a look ends; nil: nobody waits
}

// up is called by readers.
func (h *hurry) up() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.raise()
}

// raise is up, for who has mu.
func (h *hurry) raise() {
	h.want = true
	if h.cancel != nil {
		h.cancel()
	}
}

// begin says that a look begins: who begins to wait from now on may want what comes next.
func (h *hurry) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.want = false
	h.begun++
}

// end says that the look, or with an error the looking, has ended.
func (h *hurry) end(trouble error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended, h.trouble = h.begun, trouble
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// waiting says that a wait begins, which cancel ends: at once, when somebody wants that. What it answers is called behind it.
func (h *hurry) waiting(cancel context.CancelFunc) (ended func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cancel = cancel; h.want && cancel != nil {
		cancel()
	}
	return func() { h.waiting(nil) }
}

// ask hastens, and answers the look that will have folded what is in the log now: the first that begins after this.
func (h *hurry) ask() (look uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.raise()
	return h.begun + 1
}

// await blocks until that look has ended. It fails when ctx ends, and at once while looks fail.
func (h *hurry) await(ctx context.Context, look uint64) error {
	for {
		changed, err := h.reached(look)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reached answers nil when the look has ended or there is none, else what is closed with the next one's end.
func (h *hurry) reached(look uint64) (changed <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.trouble != nil || h.ended >= look {
		return nil, h.trouble
	}
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return h.changed, nil
}
