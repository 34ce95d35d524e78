package gateway

import (
	"fmt"

	"walletd/gateway/push"
	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// A session is where a hub's messages go.
var _ push.Outlet = (*session)(nil)

const (
	pushBufferKept = 16 << 10 // of the buffers of a session that was pushed to, bytes
	unsentShare    = 64 << 10 // what a session may have unsent even when all together have too much, bytes
)

func (ss *session) subscribe(message uint64, q *wire.Subscribe) {
	if ss.s.hub == nil {
		ss.fail(message, &wire.Problem{Code: "unknown_command", Detail: "subscribe is not served"})
		return
	}
	ss.mu.Lock()
	_, twice := ss.subs[string(q.Channel)]
	full := len(ss.subs) >= ss.s.cfg.ChannelsMax
	ss.mu.Unlock()
	switch {
	case twice:
		ss.fail(message, &wire.Problem{Code: "malformed", Field: "channel", Detail: "the session has subscribed to it already; unsubscribe first"})
		return
	case full:
		ss.fail(message, &wire.Problem{Code: "limit_exceeded", Field: "channel", Limit: journal.Amount(ss.s.cfg.ChannelsMax),
			Detail: fmt.Sprintf("a session has at most %d subscriptions: unsubscribe, or use another connection", ss.s.cfg.ChannelsMax)})
		return
	}
	sub, err := ss.s.hub.Subscribe(ss, message, string(q.Account), q.Since, q.HasSince)
	if err != nil {
		ss.fail(message, &wire.Problem{Code: "overloaded", Detail: "the gateway has too many subscriptions; another one may have room"})
		return
	}
	tag, ok := ss.take(slot{message: message, ask: &ask{account: sub.Account(), opens: sub}})
	if !ok {
		sub.Close()
		return
	}
	ss.mu.Lock()
	if ss.subs == nil {
		ss.subs = make(map[string]*push.Subscription, 1)
	}
	ss.subs[sub.Channel()] = sub
	ss.mu.Unlock()
	ss.s.tcc.Read(ss.stage, journal.HandleOf(q.Account), false, ss, tag)
}

// unsubscribe ends a subscription; where there is none, it is ended already. Behind the reply comes no push of it.
func (ss *session) unsubscribe(message uint64, q *wire.Subscribe) {
	ss.mu.Lock()
	sub := ss.subs[string(q.Channel)]
	delete(ss.subs, string(q.Channel))
	ss.mu.Unlock()
	if sub != nil {
		sub.Close()
	}
	ss.reply(func(dst []byte) []byte { return wire.AppendOKEmpty(dst, message) })
}

// opened hands a subscription on, with the balance that it begins with. ss.mu is held: the hub goes on by itself.
func (ss *session) opened(sub *push.Subscription, o *rows.Outcome) {
	a, _, err := o.Account()
	if o.Status != journal.OK || err != nil {
		sub.Refused(o.Tag, problemOf(o.Op, o.Status, o.Detail))
		return
	}
	sub.Opened(o.Tag, ss.balanceReply(sub.Account(), &a, o))
}

// Answered implements push.Outlet.
func (ss *session) Answered(tag uint64, stands bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if sub := ss.slots[tag].ask.opens; !stands && ss.subs[sub.Channel()] == sub {
		delete(ss.subs, sub.Channel())
	}
	ss.release(uint32(tag))
	ss.settledLocked(1)
}

// Push implements push.Outlet.
func (ss *session) Push(messages []byte, pushes int) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return
	}
	if pushes > 0 {
		if behind := ss.pushed; behind > ss.s.cfg.PushesMax || behind > unsentShare && ss.s.unsent.Load() > int64(ss.s.cfg.UnsentMax) {
			ss.cutLocked(closeSlowConsumer)
			return
		}
		ss.pushed += len(messages)
		ss.s.unsent.Add(int64(len(messages)))
	}
	ss.out = append(ss.out, messages...)
	ss.wakeLocked()
}

// Cut implements push.Outlet.
func (ss *session) Cut() { ss.end(closeInterrupted) }

// closeSubscriptions is the end of a session.
func (ss *session) closeSubscriptions() {
	ss.mu.Lock()
	subs := ss.subs
	ss.subs = nil
	ss.s.unsent.Add(-int64(ss.pushed))
	ss.pushed = 0
	ss.mu.Unlock()
	for _, sub := range subs {
		sub.Close()
	}
}
