package lane

import (
	"context"
	"fmt"
	"time"

	"walletd/luascripts"
)

// conn is a lane's client: of one address in one epoch.
type conn struct {
	target target
	shard  Shard
	stop   context.CancelFunc
	done   chan struct{} // nobody listens any more
}

// dial answers the client for the shard as the map has it now. It does not connect: a train does.
func (ln *lane) dial(ctx context.Context) (*conn, error) {
	ln.mu.Lock()
	t := ln.target
	ln.mu.Unlock()
	if ln.conn != nil && ln.conn.target == t {
		return ln.conn, nil
	}
	ln.hangUp()
	if t.addr == "" {
		return nil, errNoShard
	}
	shard, err := ln.l.cfg.Open(t.addr, t.epoch)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", luascripts.ErrNotSent, err)
	}
	inner, stop := context.WithCancel(ctx)
	c := &conn{target: t, shard: shard, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		ln.listen(inner, shard)
	}()
	ln.conn, ln.trouble = c, time.Time{}
	return c, nil
}

// listenAgain is the pause before marks are listened to again after a fault.
const listenAgain = 100 * time.Millisecond

// listen takes the shard's marks until ctx ends.
func (ln *lane) listen(ctx context.Context, shard Shard) {
	for {
		err := shard.SubscribeMarks(ctx, ln.l.Mark)
		if ctx.Err() != nil {
			return
		}
		ln.l.cfg.Log.Warn("marks not heard", "shard", ln.shard, "error", err)
		t := time.NewTimer(listenAgain)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// hangUp drops the client.
func (ln *lane) hangUp() {
	if ln.conn == nil {
		return
	}
	ln.conn.stop()
	if err := ln.conn.shard.Close(); err != nil {
		ln.l.cfg.Log.Debug("shard not closed", "shard", ln.shard, "error", err)
	}
	<-ln.conn.done
	ln.conn = nil
}
