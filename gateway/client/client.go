package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"walletd/journal"
)

// Result is the outcome of a transfer that was accepted. The payee's credit may still be on its way (phase tried).
type Result struct {
	ID       journal.ID       // Text(journal.TransferPrefix) is what it looks like
	Status   string           // confirmed
	Position journal.Position // of the payer's decision
	Key      string           // the key, also when the client made it; empty in a Completion
	Replayed bool             // the first outcome of this key, again: nothing new has moved
}

// Completion is the end of a command that Post sent. It and Reply are valid during the call only.
type Completion struct {
	Tag    uint64
	Result Result    // of a transfer
	Reply  []byte    // of another command: the JSON value of ok
	Err    error     // *RefusedError, *UnknownError, or why it was never sent
	At     time.Time // when the reply's frame had been read

	maybe bool // an earlier attempt may have happened: its reply was lost
}

// Done hears of an end. It runs on the client's own goroutines, and the calls of one client never overlap: it must not
// block, and must not call Close or a method that waits.
type Done func(*Completion)

// Client is one session with a wallet. It is safe for concurrent use.
type Client struct {
	// immutable
	cfg     Config
	address string
	ctx     context.Context // ends with Close or with a terminal close code
	cancel  context.CancelFunc
	wake    chan struct{} // the writer has something to send
	wg      sync.WaitGroup
	waits   sync.Pool // *wait

	telling sync.Mutex // held while callers are told, so that Done calls never overlap

	mu          sync.Mutex
	table       *table
	waiters     []*waiter // callers that wait for a slot, oldest first
	session     *session  // nil while there is no connection
	idle        bool      // the writer sleeps until woken
	pingDue     int       // {} to be sent
	asked       bool      // a {} of ours has not been answered
	heard       time.Time // when the gateway was last heard, or had nothing to answer
	now         time.Time // coarse: of the last tick or frame
	answers     bool      // the present connection has answered a command
	token       string
	err         error // why there will never be a connection again
	channels    map[string]*Subscription
	extra       []byte // subscribe commands to be sent, a line each
	lastChannel uint64
}

// Dial connects to a wallet. It tries once; a connection that is lost later is made again by itself.
// ctx bounds the dialling only. The errors are *RefusedError (a bad token), *EndedError, or of the network.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	address, err := addressOf(cfg.URL, "ws", socketPath)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, address: address, token: cfg.Token,
		wake: make(chan struct{}, 1), table: newTable(cfg.InFlight), now: time.Now(),
		channels: map[string]*Subscription{},
	}
	c.waits.New = func() any { return newWait() }
	s, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.wg.Add(2)
	go func() { defer c.wg.Done(); c.run(s) }()
	go func() { defer c.wg.Done(); c.keepTime() }()
	return c, nil
}

// Close ends the session. What waits ends at once, with *UnknownError where it may have happened, otherwise with
// ErrClosed. When Close returns, no goroutine of the client is left.
func (c *Client) Close() error {
	c.fail(ErrClosed)
	c.wg.Wait()
	return nil
}

// Post sends a command, the text between the braces of a message without its id: `"transfer":{…}` (AppendTransfer).
// done is told how it ends, within Config.Timeout. Nothing is sent before Flush, so that many commands share a frame;
// the client flushes by itself after every round of Done calls, so a Done may post and leave it at that.
//
// Post never waits: when Config.InFlight commands are under way it answers ErrBusy. It keeps no reference to command.
func (c *Client) Post(command []byte, tag uint64, done Done) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	s := c.table.take()
	if s == nil {
		return ErrBusy
	}
	return c.fill(s, command, 1, tag, done, c.now.Add(c.cfg.Timeout))
}

// fill puts a command into a slot that was taken for it. Under mu.
func (c *Client) fill(s *slot, command []byte, weight int, tag uint64, done Done, deadline time.Time) error {
	if len(command) > frameMax-32 {
		c.giveBack(s)
		return &RefusedError{Code: "payload_too_large", Detail: "a message has at most 1 MiB"}
	}
	s.text = appendMessage(s.text[:0], s.id, command)
	s.weight, s.tag, s.done, s.deadline = weight, tag, done, deadline
	c.table.enqueue(s)
	return nil
}

// Flush sends what was posted.
func (c *Client) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rouse()
}

// rouse wakes the writer when it sleeps and there is something to send. Under mu.
func (c *Client) rouse() {
	if !c.idle || c.session == nil || (c.pingDue == 0 && len(c.extra) == 0 && c.table.next() == nil) {
		return
	}
	c.idle = false
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Go sends a transfer and returns; done is told how it ends, and is bound as a Done is. It answers ErrBusy instead of waiting.
func (c *Client) Go(t Transfer, done func(Result, error)) error {
	if err := t.prepare(); err != nil {
		return err
	}
	err := c.Post(AppendTransfer(nil, &t), 0, func(end *Completion) {
		done(transferEnd(end.Result, t.Key, end.Err))
	})
	if err == nil {
		c.Flush()
	}
	return err
}

// settle matches the replies of one frame with their commands and tells how these have ended.
func (c *Client) settle(replies []reply, ends []ending, at time.Time) []ending {
	ends = ends[:0]
	c.mu.Lock()
	c.heard, c.now = at, at
	for i := range replies {
		ends = c.match(&replies[i], ends, at)
	}
	c.mu.Unlock()
	c.tell(ends)
	return ends
}

// ending is a completion and who wants to hear of it.
type ending struct {
	done Done
	Completion
}

// tell calls back, then sends what the callbacks have posted.
func (c *Client) tell(ends []ending) {
	c.telling.Lock()
	for i := range ends {
		ends[i].done(&ends[i].Completion)
		ends[i] = ending{}
	}
	c.telling.Unlock()
	c.Flush()
}

// match finds the command of a reply. Under mu.
func (c *Client) match(r *reply, ends []ending, at time.Time) []ending {
	switch r.kind {
	case replyPing:
		if c.asked { // the answer to ours, which is not answered again
			c.asked = false
		} else if c.pingDue < 2 {
			c.pingDue++
		}
		return ends
	case replyPush:
		c.push(r.push)
		return ends
	case replyStrange:
		c.cfg.Logger.Warn("message not understood")
		return ends
	case replyOK, replyTransfer, replyRefused:
	}
	if r.id > 0 && r.id < inFlightMax { // not of the table's
		c.subscribed(r)
		return ends
	}
	s := c.table.find(r.id)
	if s == nil || (s.state != slotSent && s.state != slotDropped) {
		if r.kind == replyRefused {
			c.cfg.Logger.Warn("refusal of no command", "code", r.refusal.Code, "detail", r.refusal.Detail)
		}
		return ends
	}
	c.answers = true
	c.table.answered(s)
	if s.state == slotDropped {
		c.giveBack(s)
		return ends
	}
	if r.kind == replyRefused && c.again(s, r.refusal, at) {
		return ends
	}
	end := Completion{Tag: s.tag, Result: r.result, At: at, maybe: s.maybe}
	switch {
	case r.kind == replyOK:
		end.Reply = r.raw
	case r.kind == replyRefused && (r.refusal.asksAgain() || s.maybe && !r.refusal.settles()):
		end.Err = &UnknownError{Err: r.refusal}
	case r.kind == replyRefused:
		end.Err = r.refusal
	}
	ends = append(ends, ending{s.done, end})
	c.giveBack(s)
	return ends
}

// again decides whether a refused command is asked again later, with the same key. Under mu.
func (c *Client) again(s *slot, e *RefusedError, at time.Time) bool {
	switch {
	case e.asksAgain():
		s.maybe = true
	case !e.Retryable || c.cfg.Retries < 0 || c.cfg.Retries > 0 && s.attempts >= c.cfg.Retries:
		return false
	}
	notBefore := at.Add(max(c.backoff(s.attempts), e.RetryAfter))
	if notBefore.After(s.deadline) {
		return false
	}
	s.attempts++
	s.state, s.notBefore = slotWaiting, notBefore
	if !e.asksAgain() {
		s.refusal = e
	}
	return true
}

func (c *Client) backoff(n int) time.Duration { return backoff(c.cfg, n) }

// backoff is the jittered wait before attempt n+1: between half and all of BackoffMin·2^n, at most BackoffMax.
func backoff(cfg Config, n int) time.Duration {
	d := cfg.BackoffMax
	if n < 20 {
		d = min(d, cfg.BackoffMin<<n)
	}
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d/2+1)
}

// giveBack frees a slot, or hands it to whom has waited longest. Under mu.
func (c *Client) giveBack(s *slot) {
	c.table.release(s)
	if len(c.waiters) > 0 {
		w := c.waiters[0]
		c.waiters[0] = nil
		c.waiters = c.waiters[1:]
		w.given <- c.table.take()
	}
}

// fail ends everything that waits, for good. The first reason stands.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	for _, w := range c.waiters {
		close(w.given)
	}
	c.waiters = nil
	ends := c.endAll(err, func(*slot) bool { return true })
	c.endChannels(err)
	s := c.session
	c.mu.Unlock()
	c.cancel()
	if s != nil {
		s.leave()
	}
	c.tell(ends)
}

// endAll ends the commands that want says, without an answer. Under mu.
func (c *Client) endAll(cause error, want func(*slot) bool) (ends []ending) {
	for i := range c.table.slots {
		s := &c.table.slots[i]
		if s.done == nil || s.state == slotDropped || !want(s) {
			continue
		}
		end := ending{s.done, Completion{Tag: s.tag, Err: s.verdict(cause), At: c.now}}
		c.abandon(s)
		ends = append(ends, end)
	}
	return ends
}

// abandon takes the caller off a command. What was sent keeps its place in the gateway's window until its reply. Under mu.
func (c *Client) abandon(s *slot) {
	if s.state == slotSent {
		s.state, s.done = slotDropped, nil
		return
	}
	c.giveBack(s)
}
