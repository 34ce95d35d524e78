package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"walletd/journal"
)

const (
	subscriptionsMax = 1000 // of one client; their messages have ids of their own below the table's
	pushesMax        = 1024 // pushes that wait for a subscriber
	firstChannelID   = 2    // 1 is connect's
	accountChannel   = "account:"
)

// ErrSlow ends a subscription whose pushes were not taken in time. Subscribe again with the last version.
var ErrSlow = errors.New("subscriber is too slow")

// Event is what happened to an account.
type Event struct {
	Type         string         `json:"type"` // transfer.sent, transfer.received, reservation.tried, .confirmed, .cancelled, .expired, account.changed
	Account      string         `json:"account"`
	Asset        string         `json:"asset"`
	Transfer     string         `json:"transfer,omitempty"`
	Reservation  string         `json:"reservation,omitempty"`
	Status       string         `json:"status,omitempty"` // of a reservation, or of the account
	Amount       journal.Amount `json:"amount,omitempty"`
	Available    journal.Amount `json:"available"` // behind the event, as Reserved
	Reserved     journal.Amount `json:"reserved"`
	Counterparty string         `json:"counterparty,omitempty"`
	Key          string         `json:"key,omitempty"`       // the payer's events only
	Reference    string         `json:"reference,omitempty"` // the payer's events only
	Position     Position       `json:"position"`
	CreatedAt    time.Time      `json:"created_at"`
}

// Push is one event of a channel, or, where the events since cannot be told one by one, the balance as it is now.
type Push struct {
	Channel  string   `json:"channel"`
	Version  uint64   `json:"version"` // of the account
	Event    *Event   `json:"event,omitempty"`
	Snapshot *Balance `json:"snapshot,omitempty"` // instead of Event
}

// Subscription tells every event of an account once, in order, also across reconnects.
type Subscription struct {
	channel string
	pushes  chan Push
	ready   chan error // the first reply
	client  *Client

	// guarded by client.mu
	id      uint64
	again   time.Time // when it asks again; zero: it has asked, or waits for a connection
	tries   int
	since   bool   // version is known
	version uint64 // the last one told
	ended   bool
	err     error
}

// Subscribe asks for every event of an account after version since; 0: the balance as it is, then every event.
// A client has at most one subscription of an account.
func (c *Client) Subscribe(ctx context.Context, account string, since uint64) (*Subscription, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	s := &Subscription{
		channel: accountChannel + account, client: c, since: since > 0, version: since,
		pushes: make(chan Push, pushesMax), ready: make(chan error, 1),
	}
	if err := c.addChannel(s); err != nil {
		return nil, err
	}
	select {
	case err := <-s.ready:
		if err != nil {
			return nil, err
		}
		return s, nil
	case <-ctx.Done():
		s.Close()
		return nil, fmt.Errorf("subscribe to %s: %w", s.channel, context.Cause(ctx))
	}
}

func (c *Client) addChannel(s *Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.channels[s.channel] != nil:
		return fmt.Errorf("subscribe to %s: subscribed already", s.channel)
	case len(c.channels) >= subscriptionsMax:
		return fmt.Errorf("subscribe to %s: %w", s.channel, ErrBusy)
	}
	c.channels[s.channel] = s
	if c.session != nil {
		c.ask(s)
		c.rouse()
	}
	return nil
}

// ask queues the subscribe command. Under mu.
func (c *Client) ask(s *Subscription) {
	s.again = time.Time{}
	command := appendText([]byte(`"subscribe":{"channel":`), s.channel)
	if s.since {
		command = strconv.AppendUint(append(command, `,"since":{"version":`...), s.version, 10)
		command = append(command, '}')
	}
	s.id = c.queue(append(command, '}'))
}

// queue queues a command of a channel, and answers its id. Under mu.
func (c *Client) queue(command []byte) uint64 {
	c.lastChannel++
	id := firstChannelID + c.lastChannel%(inFlightMax-firstChannelID)
	if len(c.extra) > 0 {
		c.extra = append(c.extra, '\n')
	}
	c.extra = appendMessage(c.extra, id, command)
	return id
}

// resubscribe asks for everything since the last version told, on a new connection. Under mu.
func (c *Client) resubscribe() {
	c.extra = nil
	for _, s := range c.channels {
		c.ask(s)
	}
}

// askAgain asks for what was refused for a while. Under mu.
func (c *Client) askAgain(now time.Time) {
	if c.session == nil {
		return
	}
	for _, s := range c.channels {
		if !s.again.IsZero() && !s.again.After(now) {
			c.ask(s)
		}
	}
}

// subscribed hears the reply to a subscribe. Under mu.
func (c *Client) subscribed(r *reply) {
	s := c.channelOf(r.id)
	switch {
	case s == nil:
		return
	case r.kind == replyRefused && r.refusal.Retryable:
		s.again = c.now.Add(max(c.backoff(s.tries), r.refusal.RetryAfter))
		s.tries++
		return
	case r.kind == replyRefused:
		c.endChannel(s, r.refusal)
		return
	}
	var ok struct {
		Recovered bool     `json:"recovered"`
		Snapshot  *Balance `json:"snapshot"`
	}
	if err := json.Unmarshal(r.raw, &ok); err != nil {
		c.endChannel(s, fmt.Errorf("read the reply to subscribe: %w", err))
		return
	}
	if ok.Snapshot != nil {
		s.since, s.version = true, ok.Snapshot.Version
		c.deliver(s, Push{Channel: s.channel, Version: ok.Snapshot.Version, Snapshot: ok.Snapshot})
	}
	s.tries = 0
	select {
	case s.ready <- nil:
	default: // a resubscription
	}
}

func (c *Client) channelOf(id uint64) *Subscription {
	for _, s := range c.channels {
		if s.id == id {
			return s
		}
	}
	return nil
}

// push hands an event to its subscription. Under mu.
func (c *Client) push(p *Push) {
	s := c.channels[p.Channel]
	if s == nil || (s.since && p.Version <= s.version) { // told already
		return
	}
	s.since, s.version = true, p.Version
	c.deliver(s, *p)
}

func (c *Client) deliver(s *Subscription, p Push) {
	if s.ended {
		return
	}
	select {
	case s.pushes <- p:
	default:
		c.endChannel(s, ErrSlow)
	}
}

// endChannel ends a subscription. Under mu.
func (c *Client) endChannel(s *Subscription, err error) {
	if s.ended {
		return
	}
	s.ended, s.err = true, err
	delete(c.channels, s.channel)
	if c.session != nil && c.err == nil {
		c.queue(append(appendText([]byte(`"unsubscribe":{"channel":`), s.channel), '}'))
		c.rouse()
	}
	close(s.pushes)
	if err == nil {
		err = ErrClosed
	}
	select {
	case s.ready <- err:
	default:
	}
}

func (c *Client) endChannels(err error) {
	for _, s := range c.channels {
		c.endChannel(s, err)
	}
}

// Pushes is where the events come; closed when the subscription has ended, and Err says why. A subscriber that lets
// 1,024 of them wait is cut off with ErrSlow.
func (s *Subscription) Pushes() <-chan Push { return s.pushes }

// Err is why the subscription has ended; nil while it has not, and after Close.
func (s *Subscription) Err() error {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.err
}

// Close ends the subscription. What is pushed until the gateway knows is dropped.
func (s *Subscription) Close() {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endChannel(s, nil)
}
