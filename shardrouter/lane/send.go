package lane

import (
	"context"
	"errors"
	"time"

	"walletd/journal"
	"walletd/luascripts"
)

// journey is what a train meets until all of its rows are answered, or back in their queues.
type journey struct {
	doubt time.Time // since when some of its rows may have run; zero: none has
	tries int
}

// Between two attempts to reach a shard.
const (
	againMin = 5 * time.Millisecond
	againMax = 100 * time.Millisecond
)

// carry sends the train until every row in it is answered, or is back in its queue.
func (ln *lane) carry(ctx context.Context) {
	var j journey
	for {
		if !ln.prepare() {
			return
		}
		began := time.Now()
		ln.departed = began
		ln.l.table.depart(began, ln.train.hurried)
		reply, err := ln.send(ctx)
		if err == nil {
			ln.reached(began)
			if reply.Entry() > 0 {
				ln.l.cfg.HandOver(ln.shard, ln.conn.target.addr, ln.conn.target.epoch, &ln.train.call)
			}
			ln.answered(&reply)
			return
		}
		ln.counts.faults.Add(1)
		ln.l.cfg.Log.Debug("train not answered", "shard", ln.shard, "acts", ln.train.acts, "error", err)
		if errors.Is(err, luascripts.ErrOutOfMemory) && !ln.train.call.Releases() {
			ln.onlyReleases()
			continue
		}
		if !luascripts.NothingMoved(err) && !errors.Is(err, errNoShard) {
			ln.doubt(&j)
		}
		if !ln.again(ctx, &j) {
			return
		}
	}
}

// prepare packs the train for its shard as the map has it now. Partitions that have moved take their rows along; false
// when nothing is left.
func (ln *lane) prepare() bool {
	t := &ln.train
	ln.onlyJournalless()
	t.call.Reset()
	for i := 0; i < len(t.sections); {
		s := &t.sections[i]
		here, epoch := s.part.home(ln)
		switch {
		case !here:
			s.part.takeBack(&s.batch, time.Time{})
		case epoch == 0: // nobody has owned it yet
			ln.refused(s, journal.Uninitialised)
		default:
			s.epoch, s.known = epoch, s.part.held.durableIn(epoch)
			t.call.Section(s.part.number, epoch)
			staged := s.staged()
			if n := t.call.AddRows(&staged, 0); n < len(s.metas) { // it was filled to the same bounds
				panic("lane: a train does not hold what it was filled with")
			}
			i++
			continue
		}
		t.remove(i)
	}
	t.acts = t.call.Acts()
	return len(t.sections) > 0
}

// home reports whether the partition has this lane, and its epoch.
func (p *part) home(ln *lane) (here bool, epoch uint32) {
	now := p.lock()
	defer now.mu.Unlock()
	return now == ln, p.epoch
}

// takeBack puts rows in front of the partition's queue, wherever that is now. A time keeps them back.
func (p *part) takeBack(b *batch, then time.Time) {
	ln := p.lock()
	defer ln.mu.Unlock()
	acts := p.queue.unshift(b)
	if !then.IsZero() {
		ln.park(p, then)
	}
	ln.queued(p, acts, len(b.rows))
}

// send runs the train on the shard as the map has it now.
func (ln *lane) send(ctx context.Context) (luascripts.Reply, error) {
	c, err := ln.dial(ctx)
	if err != nil {
		return luascripts.Reply{}, err
	}
	return c.shard.Run(ctx, &ln.train.call)
}

// reached counts a train that was answered.
func (ln *lane) reached(began time.Time) {
	took := time.Since(began)
	ln.trouble = time.Time{}
	ln.counts.train(ln.train.acts, took)
	if ln.l.cfg.Trained != nil {
		ln.l.cfg.Trained(Trained{Shard: ln.shard, Acts: ln.train.acts, Rows: ln.train.call.Rows(), Duration: took})
	}
}

// onlyReleases leaves in the train what only frees or delivers money: Redis is full. The rest is refused; nothing moved.
func (ln *lane) onlyReleases() {
	ln.counts.outOfMemory.Add(1)
	ln.train.part(ln.l, journal.Overloaded, func(_ *section, op journal.Op) bool { return op.Releases() })
}

// onlyJournalless leaves in the train, of partitions whose events the journal does not take, what makes none, and what
// keepers send: of that there is no more than was decided before. The rest is refused; nothing moved.
func (ln *lane) onlyJournalless() {
	for i := range ln.train.sections {
		if ln.train.sections[i].part.held.journalAway() {
			ln.train.part(ln.l, journal.JournalUnavailable, func(s *section, op journal.Op) bool {
				return looks(op) || op == journal.OpDeliver || op == journal.OpExpire || !s.part.held.journalAway()
			})
			return
		}
	}
}

// part keeps the rows whose op is one to keep, and answers the others.
func (t *train) part(l *Lanes, status journal.Status, keep func(*section, journal.Op) bool) {
	for i := 0; i < len(t.sections); {
		s := &t.sections[i]
		stay, rest := s.split(func(op journal.Op) bool { return keep(s, op) })
		l.answer(&rest, status)
		if len(rest.metas) > 0 {
			s.batch = stay
		}
		if len(s.metas) == 0 {
			t.remove(i)
			continue
		}
		i++
	}
}

// doubt notes that the train's rows may have run. They are sent again, for acts are idempotent by their keys; an alter is
// not, it would conflict with itself.
func (ln *lane) doubt(j *journey) {
	ln.counts.unknown.Add(1)
	ln.l.cfg.HandOver(ln.shard, ln.conn.target.addr, ln.conn.target.epoch, nil)
	if j.doubt.IsZero() {
		j.doubt = time.Now()
	}
	for i := range ln.train.sections {
		s := &ln.train.sections[i]
		s.unsure = len(s.metas)
	}
	ln.train.part(ln.l, journal.OutcomeUnknown, func(_ *section, op journal.Op) bool { return op != journal.OpAlter })
}

// again waits before the next attempt; false when there is none: the train's rows are answered. A shard that has been out
// of reach for long answers what waits for it, too, and is tried with every train that comes.
func (ln *lane) again(ctx context.Context, j *journey) bool {
	now := time.Now()
	if ln.trouble.IsZero() || ln.elsewhere() { // what was out of reach was another place
		ln.trouble = now
	}
	if ctx.Err() != nil || (!j.doubt.IsZero() && now.Sub(j.doubt) >= ln.l.cfg.UnsureFor) {
		ln.giveUp(func(*section) bool { return true })
	}
	if now.Sub(ln.trouble) >= ln.l.cfg.RetryFor {
		ln.giveUp(func(s *section) bool { return s.unsure == 0 || j.doubt.IsZero() })
		ln.giveUpWaiting()
	}
	if len(ln.train.sections) == 0 {
		if ctx.Err() == nil {
			ln.rest(ctx, againMin)
		}
		return false
	}
	j.tries++
	ln.rest(ctx, min(againMin<<min(j.tries, 10), againMax))
	return true
}

// elsewhere reports whether the shard is at another place, or in another epoch, than where it was tried last.
func (ln *lane) elsewhere() bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.conn != nil && ln.conn.target != ln.target
}

// giveUp answers the sections that are chosen.
func (ln *lane) giveUp(chosen func(*section) bool) {
	t := &ln.train
	for i := 0; i < len(t.sections); {
		if s := &t.sections[i]; chosen(s) {
			ln.l.answer(&s.batch, journal.ShardUnavailable)
			t.remove(i)
			continue
		}
		i++
	}
}

// giveUpWaiting answers everything that waits for the shard.
func (ln *lane) giveUpWaiting() {
	ln.mu.Lock()
	waiting := append(append([]*part(nil), ln.ready...), ln.parked...)
	var flushed []*batch
	for _, p := range waiting {
		flushed = append(flushed, ln.flush(p))
	}
	ln.mu.Unlock()
	for _, b := range flushed {
		ln.l.answer(b, journal.ShardUnavailable)
	}
}

// rest waits, or less when something happens: another map, more rows.
func (ln *lane) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ln.wake:
	case <-ctx.Done():
	}
	select {
	case <-ln.wake: // came at the same time: what it told is looked at now
	default:
	}
}
