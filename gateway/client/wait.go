package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// answer is how a command ended, for a caller that waits.
type answer struct {
	result Result
	reply  []byte
	err    error
	maybe  bool // an earlier attempt may have happened
}

// wait lets one caller wait for one command at a time.
type wait struct {
	ch   chan answer
	done Done // sends to ch
}

func newWait() *wait {
	w := &wait{ch: make(chan answer, 1)}
	w.done = func(end *Completion) { w.ch <- answer{end.Result, bytes.Clone(end.Reply), end.Err, end.maybe} }
	return w
}

// waiter is a caller that waits for a slot.
type waiter struct {
	given chan *slot // one slot, or closed: the client has ended
}

// call sends a command and waits for its end. Every error names what is known of the outcome.
func (c *Client) call(ctx context.Context, command []byte, weight int) (answer, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	w := c.waits.Get().(*wait)
	defer c.waits.Put(w)
	id, err := c.send(ctx, command, weight, w.done)
	if err != nil {
		return answer{}, err
	}
	select {
	case a := <-w.ch:
		return a, a.err
	case <-ctx.Done():
		if err := c.giveUp(id, context.Cause(ctx)); err != nil {
			return answer{}, err
		}
		a := <-w.ch // its end is being told
		return a, a.err
	}
}

// bounded gives a context without a deadline the configured one.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.cfg.Timeout)
}

// send queues a command and returns its id; it waits for a slot as long as ctx allows.
func (c *Client) send(ctx context.Context, command []byte, weight int, done Done) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("not sent, nothing moved: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	s := c.table.take()
	if s == nil {
		var err error
		if s, err = c.waitForSlot(ctx); err != nil {
			return 0, err
		}
	}
	deadline, _ := ctx.Deadline()
	id := s.id
	if err := c.fill(s, command, weight, 0, done, deadline); err != nil {
		return 0, err
	}
	c.rouse()
	return id, nil
}

// waitForSlot waits for a slot. Under mu, which it lets go of meanwhile.
func (c *Client) waitForSlot(ctx context.Context) (*slot, error) {
	w := &waiter{given: make(chan *slot, 1)}
	c.waiters = append(c.waiters, w)
	c.mu.Unlock()
	var s *slot
	var err error
	select {
	case s = <-w.given:
	case <-ctx.Done():
		err = fmt.Errorf("not sent, nothing moved: %w: %w", ErrBusy, context.Cause(ctx))
	}
	c.mu.Lock()
	if c.err != nil {
		return nil, c.err
	}
	if err == nil {
		return s, nil
	}
	if i := slices.Index(c.waiters, w); i >= 0 {
		c.waiters = slices.Delete(c.waiters, i, i+1)
	} else if s = <-w.given; s != nil { // it came at the same moment
		c.giveBack(s)
	}
	return nil, err
}

// giveUp takes the caller off a command and returns what is known of it; nil when its end is already being told.
func (c *Client) giveUp(id uint64, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.table.find(id)
	if s == nil || s.done == nil {
		return nil
	}
	err := s.verdict(cause)
	c.abandon(s)
	return err
}

// appendMessage makes a command a message.
func appendMessage(dst []byte, id uint64, command []byte) []byte {
	dst = strconv.AppendUint(append(dst, `{"id":`...), id, 10)
	dst = append(append(dst, ','), command...)
	return append(dst, '}')
}

// withKey names the key in an error of unknown outcome.
func withKey(err error, key string) error {
	if unknown, ok := errors.AsType[*UnknownError](err); ok && unknown.Key == "" {
		unknown.Key = key
	}
	return err
}
