package client

import (
	"context"
	"errors"
	"time"
)

// run keeps the client connected, beginning with s, until it is closed or the gateway ends it for good.
func (c *Client) run(s *session) {
	for s != nil {
		err := c.serve(s)
		if terminal(err) {
			c.fail(err)
			return
		}
		if c.ctx.Err() == nil {
			c.cfg.Logger.Info("connection lost", "reason", err)
		}
		s = c.reconnect()
	}
}

// serve works on one connection until it is gone, and says why.
func (c *Client) serve(s *session) error {
	if !c.online(s) {
		s.leave()
		return ErrClosed
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write(s)
	}()
	err := c.read(s)
	c.offline()
	close(s.ended)
	drop(s.conn)
	<-written
	return err
}

// online lets commands leave by s; false when the client has ended meanwhile.
func (c *Client) online(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.session = s
	c.table.window = s.window
	c.idle, c.asked, c.pingDue = false, false, 0
	if s.pinged {
		c.pingDue = 1
	}
	c.now = time.Now()
	c.heard = c.now
	c.resubscribe()
	return true
}

// offline takes the connection away. What was sent on it is sent again on the next, with the same key.
func (c *Client) offline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.idle = nil, false
	c.table.lost()
}

// reconnect tries until there is a connection; nil when the client has ended.
func (c *Client) reconnect() *session {
	c.mu.Lock()
	attempt := 0
	if !c.answers { // the last connection was of no use: do not hurry
		attempt = 3
	}
	c.answers = false
	c.mu.Unlock()
	for ; ; attempt++ {
		if !c.pause(c.backoff(attempt)) {
			return nil
		}
		s, err := c.connect(c.ctx)
		if err == nil {
			return s
		}
		if c.ctx.Err() != nil {
			return nil
		}
		if terminal(err) {
			c.fail(err)
			return nil
		}
		c.cfg.Logger.Info("reconnect failed", "attempt", attempt, "reason", err)
		if e, ok := errors.AsType[*RefusedError](err); ok && !c.pause(e.RetryAfter) {
			return nil
		}
	}
}

// pause waits; false when the client has ended.
func (c *Client) pause(d time.Duration) bool { return pause(c.ctx, d) == nil }

// pause waits as long as ctx allows.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// keepTime looks at the clock for everybody: retries that are due, calls whose time is over, a gateway that is silent.
func (c *Client) keepTime() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			c.at(now)
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *Client) at(now time.Time) {
	c.mu.Lock()
	c.now = now
	var ends []ending
	if c.table.busy() > 0 {
		for i := range c.table.slots {
			if s := &c.table.slots[i]; s.state == slotWaiting && !s.notBefore.After(now) {
				c.table.enqueue(s)
			}
		}
		ends = c.endAll(context.DeadlineExceeded, func(s *slot) bool { return s.deadline.Before(now) })
	}
	c.askAgain(now)
	cut := c.listen(now)
	c.rouse()
	c.mu.Unlock()
	if cut != nil {
		c.cfg.Logger.Info("gateway is silent", "for", now.Sub(c.heardAt()))
		drop(cut.conn) // the reader notices
	}
	if len(ends) > 0 {
		c.tell(ends)
	}
}

func (c *Client) heardAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// listen returns the session if the gateway has been silent for too long, and asks with a ping half-way. Under mu.
func (c *Client) listen(now time.Time) *session {
	if c.session == nil {
		return nil
	}
	silence, limit := now.Sub(c.heard), c.cfg.Silence
	switch {
	case c.table.inFlight == 0 && c.session.ping == 0:
		return nil
	case c.table.inFlight == 0:
		limit += 2 * c.session.ping // its own pings are due
	case silence > limit/2 && !c.asked:
		c.asked = true
		c.pingDue++
	}
	if silence > limit {
		return c.session
	}
	return nil
}
