package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"walletd/journal"
	"walletd/shardrouter"
)

// Keeper keeps one shard: it runs one reign after another.
type Keeper struct {
	cfg Config

	mu       sync.Mutex
	stats    Stats
	reign    *reign // the present one, nil between two
	tenancy  tenancy
	away     string // the address at which the shard was waited for in vain; owned by Run
	distrust bool   // the shard was unfit, or its outbox did not continue the log: it is not adopted again
}

// New makes a keeper. Errors: what is wrong with the configuration, all of it.
func New(c Config) (*Keeper, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("keeper of shard %q: %w", c.Shard, err)
	}
	return &Keeper{cfg: c, stats: Stats{Shard: c.Shard}}, nil
}

// Why a reign ends. Everything but a damaged journal is begun again with another epoch.
var (
	errDeposed     = errors.New("deposed")             // a later epoch has started
	errShardLost   = errors.New("the shard lost us")   // it came back empty, or in another epoch: we go on, in a new one
	errUnreachable = errors.New("the shard is away")   // others may reach it: the leadership goes, too, unless there are candidates
	errUnelected   = errors.New("no longer elected")   // a later epoch is another's to start
	errOtherMap    = errors.New("the map has changed") // other partitions, or another primary
)

// Run keeps the shard until ctx ends, and answers ctx's error. It gives up by itself only when the journal is damaged
// (journal.ErrDamaged): then people must look, no train runs in the shard, and the map shows it down. It runs once at a time.
func (k *Keeper) Run(ctx context.Context) (err error) {
	defer func() {
		if errors.Is(err, journal.ErrDamaged) {
			k.tell(Progress{State: Damaged, Reason: err.Error()})
			return
		}
		k.tell(Progress{State: Ended})
	}()
	rest := k.cfg.RestMin
	for {
		k.tell(Progress{State: Electing})
		began := time.Now()
		err := k.lead(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, journal.ErrDamaged):
			k.cfg.Log.Error("the journal is damaged; the shard is not served until it is restored and its keeper is started again", "error", err)
			return fmt.Errorf("keeper of shard %s: %w", k.cfg.Shard, err)
		case time.Since(began) > 10*k.cfg.RestMax: // it went well for a while
			rest = k.cfg.RestMin
		}
		k.cfg.Log.Warn("reign ended", "reason", err, "again_in", rest)
		k.tell(Progress{State: Resting, Reason: err.Error()})
		pause(ctx, rest)
		rest = min(2*rest, k.cfg.RestMax)
	}
}

// lead waits for the leadership and reigns. A shard that lost what it had does not end it, nor does a ZooKeeper that is away.
func (k *Keeper) lead(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	o := &office{Keeper: k}
	var standing sync.WaitGroup
	standing.Go(func() { o.stand(inner) })
	defer func() { cancel(); standing.Wait() }()
	rest := k.cfg.RestMin
	for {
		if err := o.await(inner); err != nil {
			return err
		}
		began := time.Now()
		err := k.rule(inner, o)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		stays := errors.Is(err, errShardLost) || errors.Is(err, errOtherMap) || (errors.Is(err, errUnreachable) && k.hasCandidates())
		if !stays {
			return err
		}
		if time.Since(began) > 10*k.cfg.RestMax {
			rest = k.cfg.RestMin
		}
		k.cfg.Log.Warn("reign ended, the leadership stays", "reason", err, "again_in", rest)
		k.tell(Progress{State: Resting, Reason: err.Error()})
		pause(inner, rest)
		rest = min(2*rest, k.cfg.RestMax)
	}
}

// isAway remembers the address at which the shard was waited for in vain; "" when it was found.
func (k *Keeper) isAway(addr string) { k.away = addr }

// tell passes a progress on; what a partition that is about to come says of its fold is no state of a keeper that serves.
func (r *reign) tell(p Progress) {
	if p.State == Claiming && r.serving.Load() {
		return
	}
	r.Keeper.tell(p)
}

// tell keeps the state for Stats and passes the progress on.
func (k *Keeper) tell(p Progress) {
	k.mu.Lock()
	k.stats.State, k.stats.Epoch = p.State, p.Epoch
	k.mu.Unlock()
	k.cfg.Progress(p)
}

// Stats are the keeper's figures.
func (k *Keeper) Stats() Stats {
	k.mu.Lock()
	s, r := k.stats, k.reign
	k.mu.Unlock()
	if r == nil {
		return s
	}
	s.Marks, s.Relay = r.marks.all(), r.relayer.Stats()
	s.Counts, s.Channels = r.courier.channels.stats()
	s.Reservations, s.Expired = r.courier.expiry.stats()
	return s
}

// home waits until the map gives the shard an address and partitions.
func (k *Keeper) home(ctx context.Context) (shard shardrouter.Shard, partitions []int, err error) {
	inner, found := context.WithCancel(ctx)
	defer found()
	k.cfg.Map.Watch(inner, func(m *shardrouter.Map) {
		s, known := m.Shards[k.cfg.Shard]
		own := m.PartitionsOf(k.cfg.Shard)
		if known && s.Primary != "" && (len(own) > 0 || k.cfg.Moves != nil) { // a shard without partitions may get some
			shard, partitions = s, own
			found()
		}
	})
	return shard, partitions, ctx.Err()
}
