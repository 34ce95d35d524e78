package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/gateway/wire"
	"walletd/journal/public"
)

// sinceWithin bounds one question to the feed.
const sinceWithin = 3 * time.Second

// Opened goes on with a subscription when its balance is read: durable, at its version. It returns at once; the reply, and what was
// missed, follow, from a worker. tag comes back with Outlet.Answered.
func (s *Subscription) Opened(tag uint64, balance *wire.BalanceReply) {
	b := *balance
	s.hub.jobs.add(func() { s.out.Answered(tag, s.open(&b)) })
}

// Refused says why there is no balance to begin with.
func (s *Subscription) Refused(tag uint64, p *wire.Problem) {
	s.hub.jobs.add(func() {
		s.refuse(p)
		s.out.Answered(tag, false)
	})
}

func (s *Subscription) refuse(p *wire.Problem) {
	s.out.Push(append(wire.AppendErr(nil, s.message, p), '\n'), 0)
	s.Close()
}

// open replies; false when the subscription does not stand.
func (s *Subscription) open(balance *wire.BalanceReply) bool {
	news, recovered, err := s.missed(balance.Version)
	if err != nil {
		s.refuse(&wire.Problem{Code: "projection_behind", Detail: "the events since cannot be told now: " + err.Error()})
		return false
	}
	next, snapshot := s.since+1, (*wire.BalanceReply)(nil)
	if recovered {
		s.hub.resumed.Add(1)
	} else {
		s.hub.fresh.Add(1)
		next, snapshot = balance.Version+1, balance
	}
	text := append(wire.AppendOKSubscribe(nil, s.message, s.channel, snapshot), '\n')
	reply := len(text)
	for i := range news {
		text = s.appendPush(text, &news[i])
	}
	next += uint64(len(news))
	if !s.attach(text, reply, next, len(news)) {
		return false
	}
	if err := s.feed(); err != nil {
		s.hub.cfg.Logger.Warn("the projection does not tell an account's events; its subscribers are asked to come again", "err", err)
		s.cut()
	}
	return true
}

// missed answers the events since, if it is known that they are all of them up to somewhere.
func (s *Subscription) missed(version uint64) (news []public.News, recovered bool, err error) {
	if !s.resumes || s.since > version || version-s.since > uint64(s.hub.cfg.ResumeMax) {
		return nil, false, nil
	}
	news, err = s.ask(s.since)
	if errors.Is(err, ErrTooMany) {
		return nil, false, nil
	}
	return news, err == nil, err
}

// ask asks the feed for every event behind a version, with the names that it needs.
func (s *Subscription) ask(version uint64) ([]public.News, error) {
	ctx, cancel := context.WithTimeout(context.Background(), sinceWithin)
	defer cancel()
	news, err := s.hub.cfg.Feed.Since(ctx, s.account, version, s.hub.cfg.ResumeMax)
	if err != nil {
		return nil, err
	}
	for i := range news {
		n := &news[i]
		if n.Event == nil || n.Version != version+uint64(i)+1 {
			return nil, fmt.Errorf("behind version %d of %s comes version %d", version+uint64(i), s.account, n.Version)
		}
		if n.Counterparty == "" && !n.Event.Counterparty.IsZero() {
			if n.Counterparty, err = s.hub.cfg.Name(ctx, n.Event.Counterparty); err != nil {
				return nil, err
			}
		}
	}
	return news, nil
}

// attach says the reply, which is so long, and lets pushes follow it; false when the subscription has been closed meanwhile: then the reply is all.
func (s *Subscription) attach(text []byte, reply int, next uint64, pushes int) bool {
	p := s.part
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.state == closed {
		s.out.Push(text[:reply], 0)
		return false
	}
	s.out.Push(text, pushes)
	s.hub.pushed.Add(uint64(pushes))
	t := p.topics[s.handle]
	if t == nil {
		t = &topic{}
		p.topics[s.handle] = t
	}
	t.subs = append(t.subs, s)
	if s.next, s.state = next, live; t.last >= next {
		s.fillLocked()
	}
	return true
}
