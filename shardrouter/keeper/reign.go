package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
	"walletd/journal/relay"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// reign is the ownership of the shard in one epoch.
type reign struct {
	*Keeper
	epoch      uint32
	addr       string // of the shard
	shown      string // as the map shows it, which is another place until a failover is published
	shownEpoch uint32 // in which it was served there
	partitions []int  // at its beginning
	held       *holdings
	began      time.Time

	shard    Shard
	promoted bool            // it was a replica, and its data may be worth repairing
	harmless time.Time       // when the old primary is
	evicted  uint64          // keys that it had dropped before it served
	own      map[int]*folded // until it serves
	ends     map[int]journal.Cursor
	ahead    map[int][]span // what the shard had beyond them when it was adopted
	courier  *courier
	marks    *marks
	relayer  *relay.Relay
	outbox   *outboxOf
	handed   handing
	fail     context.CancelCauseFunc // ends the reign
	elected  *shardrouter.Leadership // in which it began; nil: none
	serving  atomic.Bool
	moves    *intentions        // nil: partitions do not move
	later    func(func() error) // while it serves: what is left to do about a partition that has left
	loads    chan struct{}      // has room for one: who folds and loads a partition that arrives
}

// rule reigns once, from the new epoch to whatever ends it.
func (k *Keeper) rule(ctx context.Context, o *office) (err error) {
	home, partitions, err := k.home(ctx)
	if err != nil {
		return err
	}
	r := &reign{Keeper: k, elected: o.leadership(), addr: home.Primary, shown: home.Primary, shownEpoch: home.Epoch, partitions: partitions, began: time.Now(), own: map[int]*folded{}, ends: map[int]journal.Cursor{}, held: newHoldings(0, partitions), loads: make(chan struct{}, 1)}
	if r.shard, err = k.cfg.Open(r.addr); err != nil {
		return fmt.Errorf("open shard %s at %s: %w", k.cfg.Shard, r.addr, err)
	}
	defer func() {
		if errors.Is(err, journal.ErrDamaged) {
			r.takeDown(ctx)
		}
		_ = r.shard.Close()
	}()
	if err := r.takeMovesBack(ctx); err != nil {
		return err
	}
	if err := r.claim(ctx); err != nil {
		return err
	}
	if err := r.settleShard(ctx); err != nil {
		return err
	}
	if err := r.takeOver(); err != nil {
		return err
	}
	if err := r.publish(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	k.reign = r
	k.stats.Takeover = time.Since(r.began)
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.reign = nil
		k.mu.Unlock()
	}()
	k.cfg.Log.Info("serving", "epoch", r.epoch, "partitions", r.partitions, "takeover", k.stats.Takeover)
	r.tell(Progress{State: Serving, Epoch: r.epoch})
	r.serving.Store(true)
	return r.serve(ctx)
}

// settleShard makes the shard equal to the log, or finds it so, in our epoch. It waits for a shard that is away; when that takes
// too long, a candidate takes its place.
func (r *reign) settleShard(ctx context.Context) error {
	rest, since := r.cfg.RestMin, time.Now()
	if r.away == r.addr { // it was waited for already
		since = since.Add(-r.cfg.Unreachable)
	}
	for {
		err := r.trySettle(ctx)
		if over(ctx, err) {
			return err
		}
		if moved := r.movedAway(r.cfg.Map.Current()); moved != nil {
			return moved
		}
		if wrong := r.wrong(ctx, err); wrong != nil && time.Since(since) >= r.cfg.Unreachable && r.hasCandidates() {
			if err = r.failOver(ctx, wrong); over(ctx, err) || errors.Is(err, errOtherMap) {
				return err
			}
		}
		r.cfg.Log.Warn("shard not ready, tried again", "error", err, "in", rest)
		r.tell(Progress{State: Waiting, Epoch: r.epoch, Reason: err.Error()})
		pause(ctx, rest)
		rest = min(2*rest, r.cfg.RestMax)
	}
}

// over reports whether a shard is settled, or never will be in this reign.
func over(ctx context.Context, err error) bool {
	return err == nil || ctx.Err() != nil || errors.Is(err, errDeposed) || errors.Is(err, errUnelected) || errors.Is(err, journal.ErrDamaged)
}

// trySettle: nothing runs in the shard from the comparison on, until it is as the log says and trains are admitted in our
// epoch; the map shows that epoch afterwards.
func (r *reign) trySettle(ctx context.Context) error {
	if err := r.fit(ctx); err != nil {
		return err
	}
	r.tell(Progress{State: Comparing, Epoch: r.epoch})
	if err := r.unfreeze(ctx); err != nil {
		return err
	}
	v, err := compare(ctx, r.shard, r.cfg.Journal, r.epoch, r.own)
	if err != nil {
		return err
	}
	if v.adopt && r.distrusted() {
		v = rebuild("it was unfit, or not what it was when it was served last")
	}
	repaired := false
	switch {
	case v.adopt:
		err = r.fence(ctx, v.parts)
	case r.promoted && v.never == 0 && !r.distrusted():
		r.promoted = false // once
		repaired, err = r.repair(ctx)
	}
	if err == nil && !v.adopt && !repaired {
		err = r.rebuild(ctx, v.why, max(r.epoch, v.never))
	}
	if err != nil {
		return err
	}
	if r.evicted, err = r.shard.Evicted(ctx); err != nil {
		return err
	}
	if err := r.admit(ctx); err != nil {
		return err
	}
	r.distrusts(false)
	r.ahead = v.ahead
	r.count(func(s *Stats) {
		switch {
		case v.adopt:
			s.Adopted++
		case repaired:
			s.Repaired++
		default:
			s.Rebuilt++
		}
	})
	return nil
}

// fit looks whether the shard answers, is set up as it must be, and is a primary. One that somebody made a replica is made a
// primary again: the map says that it is one.
func (r *reign) fit(ctx context.Context) error {
	quick, cancel := context.WithTimeout(ctx, candidateWithin)
	defer cancel()
	if err := r.shard.Ping(quick); err != nil {
		return err
	}
	if err := r.shard.CheckSettings(ctx); err != nil {
		return err
	}
	role, err := r.shard.Role(ctx)
	if err != nil || role.Primary {
		return err
	}
	r.cfg.Log.Warn("the shard's primary is a replica; it is made a primary again", "addr", r.addr, "of", role.Of)
	return r.shard.Follow(ctx, "")
}

// admit lets trains run in our epoch, for the first lease, when no other Redis runs any.
func (r *reign) admit(ctx context.Context) error {
	pause(ctx, time.Until(r.harmless))
	for p, f := range r.own {
		r.held.add(p, r.epoch, f.end.Offset, settled)
	}
	until, err := r.provenUntil(ctx)
	if err != nil {
		return err
	}
	err = r.shard.Admit(ctx, r.epoch, until)
	if errors.Is(err, luascripts.ErrOvertaken) {
		return fmt.Errorf("%w: %w", errDeposed, err)
	}
	return err
}

// rebuild empties the shard, unless it is in a higher epoch than upTo, and loads what the log says.
func (r *reign) rebuild(ctx context.Context, why string, upTo uint32) error {
	r.cfg.Log.Info("shard is rebuilt", "epoch", r.epoch, "reason", why) // every restart of a shard without persistence
	r.tell(Progress{State: Rebuilding, Epoch: r.epoch, Reason: why})
	err := r.shard.Wipe(ctx, upTo)
	if errors.Is(err, luascripts.ErrOvertaken) {
		return fmt.Errorf("%w: %w", errDeposed, err)
	}
	if err != nil {
		return err
	}
	books := make([]*journal.Book, 0, len(r.own))
	for _, p := range ordered(r.own) {
		b := *r.own[p].book
		b.Epoch = r.epoch
		books = append(books, &b)
	}
	err = r.shard.Load(ctx, books...)
	if errors.Is(err, luascripts.ErrOvertaken) {
		return fmt.Errorf("%w: %w", errDeposed, err)
	}
	return err
}

// distrusts remembers whether the shard may be adopted; distrusted tells.
func (k *Keeper) distrusts(is bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.distrust = is
}

func (k *Keeper) distrusted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.distrust
}

// fence lets the shard go on in our epoch, where it was when its trains were stopped.
func (r *reign) fence(ctx context.Context, seen map[int]luascripts.Part) error {
	r.tell(Progress{State: Fencing, Epoch: r.epoch})
	claims := make([]luascripts.Claim, 0, len(r.own))
	for _, p := range ordered(r.own) {
		claims = append(claims, luascripts.Claim{Seen: seen[p], Epoch: r.epoch})
	}
	fenced, err := r.shard.Fence(ctx, claims...)
	if err != nil {
		return err
	}
	for i, f := range fenced {
		switch {
		case f.Done:
		case !f.Found:
			return fmt.Errorf("%w: partition %d has gone", errShardLost, claims[i].Seen.Partition)
		case f.Part.Epoch > r.epoch:
			return fmt.Errorf("%w: the shard serves partition %d in epoch %d", errDeposed, f.Part.Partition, f.Part.Epoch)
		default:
			return fmt.Errorf("%w: partition %d is in epoch %d at %d", errShardLost, f.Part.Partition, f.Part.Epoch, f.Part.Seq)
		}
	}
	return nil
}

// takeOver begins the channels and expiries where the log ends, and drops the Books.
func (r *reign) takeOver() (err error) {
	r.courier = newCourier(&r.cfg)
	r.marks = newMarks()
	for _, p := range ordered(r.own) {
		f := r.own[p]
		r.courier.begin(f.book, &f.recent, f.points)
		r.ends[p] = f.end
		r.held.add(p, r.epoch, f.end.Offset, settled)
		r.marks.begin(p, r.epoch, f.book.Seq)
	}
	r.own = nil
	r.outbox = newOutbox(r)
	r.relayer, err = r.relayOf()
	return err
}

// publish shows the epoch in the map.
func (r *reign) publish(ctx context.Context) error {
	err := r.cfg.Store.Publish(ctx, func(m *shardrouter.Map) (*shardrouter.Map, error) {
		if err := r.movedAway(m); err != nil {
			return nil, err
		}
		s := m.Shards[r.cfg.Shard]
		if r.addr != r.shown && s.Epoch != r.shownEpoch { // its lease is not the one that was waited out
			return nil, fmt.Errorf("%w: shard %s was served at %s in epoch %d meanwhile", errOtherMap, r.cfg.Shard, s.Primary, s.Epoch)
		}
		if s.Primary != r.addr { // the old one is a candidate from now on
			s.Replicas = slices.DeleteFunc(slices.Clone(s.Replicas), func(a string) bool { return a == r.addr })
			s.Replicas, s.Primary = append(s.Replicas, s.Primary), r.addr
		}
		s.Epoch, s.State = r.epoch, shardrouter.StateServing
		m, s = r.offered(m.WithShard(s), s)
		return m.WithPartitions(s.ID, r.epoch, r.partitions...), nil
	})
	if err == nil {
		r.shown, r.shownEpoch = r.addr, r.epoch
		r.isAway("")
	}
	return r.published(err)
}

// takeDown leaves a shard whose journal is damaged so that nothing runs in it, which nobody could journal, and the map says so.
func (r *reign) takeDown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lostTimeout)
	defer cancel()
	r.condemn(ctx)
	err := r.cfg.Store.Publish(ctx, func(m *shardrouter.Map) (*shardrouter.Map, error) {
		s, known := m.Shards[r.cfg.Shard]
		if !known || (r.epoch > 0 && s.Epoch > r.epoch) {
			return nil, nil // it is another's
		}
		s.State = shardrouter.StateDown
		return m.WithShard(s), nil
	})
	if err != nil {
		r.cfg.Log.Warn("the map does not show that the shard is down", "error", err)
	}
}

// movedAway answers why a map ends the reign, nil when it does not.
func (r *reign) movedAway(m *shardrouter.Map) error {
	if m == nil {
		return nil
	}
	s, known := m.Shards[r.cfg.Shard]
	switch {
	case !known:
		return fmt.Errorf("%w: it has no shard %s", errOtherMap, r.cfg.Shard)
	case s.Epoch > r.epoch:
		return fmt.Errorf("%w: the map shows shard %s in epoch %d, ours is %d", errDeposed, r.cfg.Shard, s.Epoch, r.epoch)
	case s.Primary != r.shown:
		return fmt.Errorf("%w: shard %s is at %s, not %s", errOtherMap, r.cfg.Shard, s.Primary, r.shown)
	}
	if own := m.PartitionsOf(r.cfg.Shard); !r.held.agree(own) {
		return fmt.Errorf("%w: shard %s has partitions %v, not %v", errOtherMap, r.cfg.Shard, own, r.held.partitions())
	}
	return nil
}

func (r *reign) count(change func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}

// serve does what an owner does, until something ends it, and answers that.
func (r *reign) serve(ctx context.Context) error {
	ctx, r.fail = context.WithCancelCause(ctx)
	defer r.fail(nil)
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error { return r.relay(inner) })
	g.Go(func() error { return r.courier.run(inner, r.cfg.Journal) })
	g.Go(func() error {
		r.marks.tell(inner, r.marks.local, 0, func(m []luascripts.Mark) bool { r.cfg.Marks(m); return true })
		return nil
	})
	g.Go(func() error {
		r.marks.tell(inner, r.marks.remote, r.cfg.MarksEvery, func(m []luascripts.Mark) bool { return r.publishMarks(inner, m) })
		return nil
	})
	g.Go(func() error { return r.watchShard(inner) })
	g.Go(func() error { return r.keepLease(inner) })
	g.Go(func() error { return r.keepReplicas(inner) })
	g.Go(func() error { return r.keepWindow(inner) })
	g.Go(func() error { return r.followMap(inner) })
	if r.moves != nil {
		g.Go(func() error { return r.followMoves(inner) })
	}
	err := g.Wait()
	if cause := context.Cause(ctx); cause != nil { // what the others ended with is its echo
		return cause
	}
	return err
}
