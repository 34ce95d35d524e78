package view

import (
	"fmt"
	"log/slog"
	"sync"
)

// dead is the end of a store on which Pebble has given up. Pebble's Fatalf must not return, and is called from any
// goroutine, under any lock. The process has more important things to do than to end for a read model, so the goroutine that
// met the end stays there for ever, and everybody else is told.
type dead struct {
	mu      sync.Mutex
	opening bool // Open is under way, on a goroutine that can be unwound
	err     error
	told    chan struct{} // closed when it is over
}

func newDead() *dead { return &dead{opening: true, told: make(chan struct{})} }

// fatal is what Open is unwound with.
type fatal struct{ error }

func (d *dead) end(message string) {
	d.mu.Lock()
	err := fmt.Errorf("%w: %s", ErrStore, message)
	opening := d.opening
	if d.err == nil {
		d.err = err
		close(d.told)
	}
	d.mu.Unlock()
	if opening {
		panic(fatal{err})
	}
	slog.Error("the projection's store has failed and is not used any more", "err", err)
	select {}
}

// isOpen tells whether the store has been opened.
func (d *dead) isOpen() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.opening
}

func (d *dead) opened() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opening = false
}

// why is nil while the store lives.
func (d *dead) why() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Dead is closed when the store has failed for good: Trouble says why. Whoever was writing then never returns.
func (v *View) Dead() <-chan struct{} { return v.dead.told }

// Trouble is why nothing is written at present, nil when all is well: the store is dead, or waits for room on its disk.
func (v *View) Trouble() error {
	if err := v.dead.why(); err != nil {
		return err
	}
	if _, cause := v.room.trouble(); cause != nil {
		return fmt.Errorf("no room on its disk: %w", cause)
	}
	return nil
}
