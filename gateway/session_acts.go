package gateway

import (
	"context"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// handle takes one message. It answers false when the session is over.
func (ss *session) handle(line []byte, authorized bool) bool {
	m := ss.msg
	if f := wire.ParseMessage(line, m); f != nil {
		ss.fail(m.ID, faulty(f))
		return true
	}
	if !ss.connected {
		return ss.connect(m, authorized)
	}
	if ss.s.draining.Load() && (m.Command >= wire.CommandTransfer && m.Command <= wire.CommandCancel || m.Command == wire.CommandSubscribe) {
		ss.fail(m.ID, &wire.Problem{Code: "draining"})
		return true
	}
	switch m.Command {
	case wire.CommandTransfer:
		ss.transfer(m.ID, &m.Transfer)
	case wire.CommandBatch:
		ss.startBatch(m.ID, &m.Batch)
	case wire.CommandBalance:
		h := journal.HandleOf(m.Balance.Account)
		if tag, ok := ss.take(slot{message: m.ID, ask: &ask{account: string(m.Balance.Account)}}); ok {
			ss.s.tcc.Read(ss.stage, h, false, ss, tag)
		}
	case wire.CommandReserve, wire.CommandConfirm, wire.CommandCancel:
		ss.reservation(m)
	case wire.CommandPing:
		if !ss.pongDue() {
			ss.reply(func(dst []byte) []byte { return append(dst, wire.Ping...) })
		}
	case wire.CommandConnect:
		ss.fail(m.ID, &wire.Problem{Code: "malformed", Field: "connect", Detail: "the session is connected already"})
	case wire.CommandRefresh:
		if !ss.s.tokenValid(string(m.Refresh.Token)) {
			ss.end(closeBadToken)
			return false
		}
		ss.reply(func(dst []byte) []byte { return wire.AppendOKEmpty(dst, m.ID) })
	case wire.CommandSubscribe:
		ss.subscribe(m.ID, &m.Subscribe)
	case wire.CommandUnsubscribe:
		ss.unsubscribe(m.ID, &m.Subscribe)
	default:
		ss.fail(m.ID, &wire.Problem{Code: "unknown_command", Detail: m.Command.String() + " is not served"})
	}
	return true
}

// pongDue tells a client's answer to our ping, which wants no answer, from a ping of its own.
func (ss *session) pongDue() bool { return ss.pings.Swap(0) > 0 }

func (ss *session) connect(m *wire.Message, authorized bool) bool {
	if m.Command != wire.CommandConnect {
		ss.fail(m.ID, &wire.Problem{Code: "malformed", Field: "connect", Detail: "the first message must be connect"})
		return true
	}
	if !authorized && !ss.s.tokenValid(string(m.Connect.Token)) {
		ss.fail(m.ID, &wire.Problem{Code: "unauthenticated"})
		ss.end(closeBadToken)
		return false
	}
	ss.connected = true
	_ = ss.ws.SetReadDeadline(noDeadline)
	ss.reply(func(dst []byte) []byte {
		return wire.AppendOKConnect(dst, m.ID, ss.id, ss.s.cfg.MaxInFlight, int(ss.s.cfg.PingEvery.Seconds()))
	})
	return true
}

func (ss *session) fail(message uint64, p *wire.Problem) {
	ss.reply(func(dst []byte) []byte { return wire.AppendErr(dst, message, p) })
}

func (ss *session) transfer(message uint64, t *wire.Transfer) {
	q := try(t)
	if tag, ok := ss.take(slot{message: message, id: q.ID}); ok {
		ss.s.tcc.Transfer(ss.stage, &q, ss, tag)
	}
}

func (ss *session) startBatch(message uint64, b *wire.Batch) {
	if b.Atomic {
		ss.fail(message, &wire.Problem{Code: "malformed", Field: "atomic", Detail: "this version moves a batch's transfers one by one; leave atomic out"})
		return
	}
	bt := &batch{message: message, items: make([]wire.ShortReply, len(b.Items)), left: len(b.Items)}
	for i := range b.Items {
		if f := b.Items[i].Fault; f != nil {
			bt.items[i].Problem = faulty(f)
			bt.left--
		}
	}
	if bt.left == 0 {
		ss.reply(func(dst []byte) []byte { return wire.AppendOKBatch(dst, message, bt.items) })
		return
	}
	if !ss.room(message, bt.left) {
		return
	}
	for i := range b.Items {
		if b.Items[i].Fault != nil {
			continue
		}
		q := try(&b.Items[i].Transfer)
		if tag, ok := ss.take(slot{message: message, id: q.ID, batch: bt, index: i}); ok {
			ss.s.tcc.Transfer(ss.stage, &q, ss, tag)
		}
	}
}

func (ss *session) reservation(m *wire.Message) {
	switch m.Command {
	case wire.CommandReserve:
		t := tryReserve(&m.Reserve)
		ss.s.names.learn(t.From, string(m.Reserve.From))
		if !t.To.IsZero() {
			ss.s.names.learn(t.To, string(m.Reserve.To))
		}
		reply := ss.s.triedReply(&m.Reserve, t.ID, &rows.Outcome{})
		if tag, ok := ss.take(slot{message: m.ID, id: t.ID, ask: &ask{reserve: &reply}}); ok {
			ss.s.tcc.Reserve(ss.stage, &t, ss, tag)
		}
	case wire.CommandConfirm:
		c := confirmOf(&m.Confirm)
		if tag, ok := ss.take(slot{message: m.ID, id: m.Confirm.Reservation, ask: &ask{account: string(m.Confirm.To)}}); ok {
			ss.s.tcc.Confirm(ss.stage, &c, ss, tag)
		}
	case wire.CommandCancel:
		id := m.Cancel.Reservation
		from := journal.HandleOf(m.Cancel.From)
		if m.Cancel.ByKey {
			id = journal.IDOf(from, m.Cancel.Key)
		}
		tag, ok := ss.take(slot{message: m.ID, id: id})
		switch {
		case !ok:
		case m.Cancel.ByKey:
			ss.s.tcc.CancelByKey(ss.stage, from, m.Cancel.Key, ss, tag)
		default:
			ss.s.tcc.Cancel(ss.stage, id, ss, tag)
		}
	}
}

// room answers whether n more acts fit the in-flight window, and refuses the message where they do not.
func (ss *session) room(message uint64, n int) bool {
	ss.mu.Lock()
	fits := ss.used+n <= ss.s.cfg.MaxInFlight
	ss.mu.Unlock()
	if !fits {
		ss.fail(message, &wire.Problem{Code: "rate_limited", Detail: "more acts in flight than max_in_flight allows"})
	}
	return fits
}

// take puts an act into the in-flight window and answers its tag; a full window refuses it.
func (ss *session) take(sl slot) (uint64, bool) {
	ss.mu.Lock()
	if ss.used >= ss.s.cfg.MaxInFlight {
		ss.mu.Unlock()
		return 0, ss.room(sl.message, 1)
	}
	var tag uint32
	if n := len(ss.free); n > 0 {
		tag, ss.free = ss.free[n-1], ss.free[:n-1]
		ss.slots[tag] = sl
	} else {
		tag = uint32(len(ss.slots))
		ss.slots = append(ss.slots, sl)
	}
	ss.used++
	ss.mu.Unlock()
	return uint64(tag), true
}

// Settle implements rows.Sink: one lock and one wake-up for a run of outcomes.
func (ss *session) Settle(outcomes []rows.Outcome) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	settled := 0
	for i := range outcomes {
		o := &outcomes[i]
		if o.Status == journal.KeyOld && ss.s.tcc.Old(o, ss) { // it comes again
			continue
		}
		settled++
		ss.s.cfg.Metrics.settled(o.Status)
		tag, start := uint32(o.Tag), len(ss.out)
		if ask := ss.slots[tag].ask; ask != nil && ask.opens != nil {
			settled--
			ss.opened(ask.opens, o) // which is answered later
			continue
		}
		ss.settle(&ss.slots[tag], o)
		if o.Replayed && len(ss.out) > start && ss.slots[tag].batch == nil {
			ss.out = append(wire.MarkReplayed(ss.out[:len(ss.out)-1]), '\n')
		}
		ss.release(tag)
	}
	ss.settledLocked(settled)
	if !ss.closed {
		ss.wakeLocked()
	}
}

// release gives a slot back. ss.mu is held.
func (ss *session) release(tag uint32) {
	ss.slots[tag] = slot{}
	ss.free = append(ss.free, tag)
	ss.used--
}

// settledLocked counts what is no longer under way, and tells a drain that nothing is. ss.mu is held.
func (ss *session) settledLocked(n int) {
	ss.s.cfg.Metrics.inFlight.Sub(float64(n))
	if ss.used == 0 && ss.idle != nil {
		close(ss.idle)
		ss.idle = nil
	}
}

// settle encodes one act's reply. ss.mu is held.
func (ss *session) settle(sl *slot, o *rows.Outcome) {
	switch {
	case ss.closed:
	case sl.batch != nil:
		ss.settleItem(sl, o)
	case o.Op == journal.OpRead:
		ss.settleBalance(sl, o)
	case o.Op == journal.OpReserve && o.Status == journal.Tried:
		reply := sl.ask.reserve
		reply.Position, reply.CreatedMS = o.Position, o.TimeMS
		reply.ExpiresMS += o.TimeMS // it was made for time 0
		ss.out = append(wire.AppendOKReservation(ss.out, sl.message, reply), '\n')
	case (o.Op == journal.OpConfirm || o.Op == journal.OpCancel) && o.Status.Accepted():
		ss.settleResolved(sl, o)
	case o.Status == journal.Confirmed:
		ss.out = append(wire.AppendOKTransfer(ss.out, sl.message, sl.id, o.Status, o.Position), '\n')
	case o.Op == journal.OpTransfer || o.Op == journal.OpPay:
		ss.out = append(wire.AppendRefusal(ss.out, sl.message, o.Status, o.Detail), '\n')
	default:
		ss.out = append(wire.AppendErr(ss.out, sl.message, problemOf(o.Op, o.Status, o.Detail)), '\n')
	}
}

func (ss *session) settleItem(sl *slot, o *rows.Outcome) {
	item := &sl.batch.items[sl.index]
	if o.Status == journal.Confirmed {
		*item = wire.ShortReply{ID: sl.id, Status: o.Status, Position: o.Position}
	} else {
		item.Problem = problemOf(o.Op, o.Status, o.Detail)
	}
	if sl.batch.left--; sl.batch.left == 0 {
		ss.out = append(wire.AppendOKBatch(ss.out, sl.batch.message, sl.batch.items), '\n')
	}
}

func (ss *session) settleBalance(sl *slot, o *rows.Outcome) {
	a, _, err := o.Account()
	if o.Status != journal.OK || err != nil {
		ss.out = append(wire.AppendErr(ss.out, sl.message, problemOf(o.Op, o.Status, o.Detail)), '\n')
		return
	}
	ss.out = append(wire.AppendOKBalance(ss.out, sl.message, ss.balanceReply(sl.ask.account, &a, o)), '\n')
}

func (ss *session) balanceReply(account string, a *journal.Account, o *rows.Outcome) *wire.BalanceReply {
	return &wire.BalanceReply{Account: account, Asset: ss.s.cfg.Assets.Code(a.Asset), Available: a.Available, Reserved: a.Reserved,
		Version: a.Version, Position: o.Position}
}

// settleResolved answers a confirm or cancel. The names of its accounts are mostly remembered; where they are not, a
// goroutine asks their shards: Settle must not wait.
func (ss *session) settleResolved(sl *slot, o *rows.Outcome) {
	reply := wire.ReservationReply{ID: sl.id, Status: "cancelled", Position: o.Position}
	res, ok := o.Reservation()
	if ok {
		fillReservation(&reply, ss.s.cfg.Assets, &res, o)
		var known, known2 bool
		reply.From, known = ss.s.names.recall(res.Payer)
		reply.To, known2 = ss.s.names.recall(res.To)
		if res.To.IsZero() && sl.ask != nil {
			reply.To = sl.ask.account // the reservation's record names none
		}
		if !known || !known2 {
			ss.s.ended.Add(1)
			go ss.resolveNames(sl.message, reply, res)
			return
		}
	}
	ss.out = append(wire.AppendOKReservation(ss.out, sl.message, &reply), '\n')
}

func (ss *session) resolveNames(message uint64, reply wire.ReservationReply, res journal.Reservation) {
	defer ss.s.ended.Done()
	ctx, cancel := context.WithTimeout(context.Background(), ss.s.cfg.ActTimeout)
	defer cancel()
	// The act has happened: a name that cannot be had now leaves the field out rather than hiding the outcome.
	reply.From, _ = ss.s.names.find(ctx, res.Payer)
	if !res.To.IsZero() {
		reply.To, _ = ss.s.names.find(ctx, res.To)
	}
	ss.reply(func(dst []byte) []byte { return wire.AppendOKReservation(dst, message, &reply) })
}
