package keeper

import (
	"context"
	"fmt"
	"sync"

	"walletd/shardrouter"
)

// office is a keeper's place in the election, for as long as it wants to lead. It says when a reign may begin, and ends none: a
// lost session proves nothing about the log. Whoever leads next starts a later epoch there, and that ends a reign (relay,
// lease). So a keeper whose ZooKeeper is away, or comes back without its session, goes on, and queues up again beside it.
type office struct {
	*Keeper

	mu      sync.Mutex
	held    *shardrouter.Leadership // nil: somebody else may lead
	err     error                   // why there will be no election
	changed chan struct{}           // closed at the next change of the two
}

// stand queues up until ctx ends, again whenever a leadership has ended. It resigns before it returns.
func (o *office) stand(ctx context.Context) {
	for ctx.Err() == nil {
		leadership, err := o.cfg.Election.Elect(ctx, o.cfg.Shard, o.cfg.Name)
		o.set(leadership, err)
		if err != nil {
			pause(ctx, o.cfg.RestMax)
			continue
		}
		select {
		case <-leadership.Lost():
			o.cfg.Log.Warn("the leadership is over; a reign goes on until the log says that another has begun", "reason", leadership.Err())
		case <-ctx.Done():
		}
		o.set(nil, nil)
		leadership.Resign()
	}
}

func (o *office) set(l *shardrouter.Leadership, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held, o.err = l, err
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// await waits for the leadership.
func (o *office) await(ctx context.Context) error {
	for {
		o.mu.Lock()
		held, err := o.held, o.err
		if o.changed == nil {
			o.changed = make(chan struct{})
		}
		changed := o.changed
		o.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("elect: %w", err)
		case held != nil:
			return nil
		}
		o.tell(Progress{State: Electing})
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// leadership is the one of the moment, nil if there is none. Only while it lasts is it certain that nobody else was elected: in
// between two of ours somebody may have been, and may have begun a reign.
func (o *office) leadership() *shardrouter.Leadership {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held
}
