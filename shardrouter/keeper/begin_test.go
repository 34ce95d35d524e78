package keeper

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/relay"
	"walletd/shardrouter"
)

// cuts makes the snapshot that a projector would have taken at an offset of the log.
type cuts struct {
	c  *cluster
	at func(partition int, end int64) int64
	// known says how much of the legs a projector remembers: it may have been started a moment ago.
	known func(seq uint64) (behind uint64)

	mu sync.Mutex
}

var errCut = errors.New("cut")

func (s *cuts) Newest(ctx context.Context, p int) (*Beginning, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, err := s.c.log.End(ctx, p)
	if err != nil {
		return nil, err
	}
	f, to, b := newFolded(p, s.c.partitions), s.at(p, end), &Beginning{Name: fmt.Sprintf("cut of partition %d", p)}
	if to == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	_, err = s.c.log.Read(ctx, p, 0, func(offset int64, record []byte) error {
		if offset == to {
			return errCut
		}
		b.Last = sha256.Sum256(record)
		frame, verdict, err := f.end.Next(offset, record)
		if err != nil || verdict != journal.Accepted {
			return err
		}
		return f.visit(&frame, f.end)
	})
	if err != nil && !errors.Is(err, errCut) {
		return nil, err
	}
	behind := s.known(f.book.Seq)
	b.Book, b.Cursor, b.Behind = f.book, f.end, make([]uint64, s.c.partitions)
	for q := range b.Behind {
		if q != p {
			b.Behind[q] = behind
		}
	}
	f.recent.each(func(_ int, l leg) {
		if l.seq > behind {
			var r journal.Row
			r.SetLegs(l.packed[:])
			b.Legs = append(b.Legs, Sent{l.seq, r.Leg(0)})
		}
	})
	return b, nil
}

// TestClaimsBeginAtSnapshots: keepers restart again and again while money moves, both sides of every channel from cuts of
// their own, with all, some or none of the legs known; shards are lost, too. Every leg is credited once.
func TestClaimsBeginAtSnapshots(t *testing.T) {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(11, 12))
	number := func(n uint64) uint64 { mu.Lock(); defer mu.Unlock(); return rng.Uint64N(n) }
	s := &cuts{
		at: func(_ int, end int64) int64 { return int64(number(uint64(end) + 1)) },
		known: func(seq uint64) uint64 {
			switch number(3) {
			case 0:
				return 0
			case 1:
				return seq
			}
			return number(seq + 1)
		}}
	from := map[string]bool{}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 4, config: func(k *Config) {
		k.Snapshots = s
		k.Progress = func(p Progress) {
			if p.From != "" {
				mu.Lock()
				from[p.From] = true
				mu.Unlock()
			}
		}
	}})
	s.c = c
	c.keepAll()
	b := c.bank(2, 500)
	all := b.run(6, func() {
		for i := range 6 {
			if i%2 == 1 {
				c.redisCLI(i/2%2, "flushall")
			}
			c.stopKeepers()
			c.keepAll()
			time.Sleep(50 * time.Millisecond) // traffic
		}
	})
	b.check(t, c.rest(), 500, all)
	if len(from) != 4 {
		t.Errorf("only %v were begun at: the test shows less than it should", from)
	}
}

// TestASnapshotOfAnotherLogIsDamage: what a snapshot has seen and the log does not hold was lost; nobody goes on over that.
func TestASnapshotOfAnotherLogIsDamage(t *testing.T) {
	for what, spoil := range map[string]func(*Beginning){
		"beyond the end":  func(b *Beginning) { b.Cursor.Offset += 1000 },
		"another record":  func(b *Beginning) { b.Last[3] ^= 1 },
		"another history": func(b *Beginning) { b.Cursor.Chain[3] ^= 1 },
	} {
		t.Run(what, func(t *testing.T) {
			c := newCluster(t, clusterOptions{servers: 1, partitions: 1})
			c.keepAll()
			c.bank(1, 100)
			c.stopKeepers()
			s := &cuts{c: c, at: func(_ int, end int64) int64 { return end - 1 }, known: func(uint64) uint64 { return 0 }}
			c.config = func(k *Config) { k.Snapshots = spoilt{s, spoil} }
			k := c.keep(0, "next")
			defer delete(c.keepers, "next")
			if err := k.stopped(); !errors.Is(err, journal.ErrDamaged) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestALogThatIsEmptyHasLostWhatASnapshotHolds: a journal that was lost as a whole is no new wallet.
func TestALogThatIsEmptyHasLostWhatASnapshotHolds(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1, config: func(k *Config) { k.Snapshots = all{} }})
	k := c.keep(0, "next")
	defer delete(c.keepers, "next")
	ended := make(chan error, 1)
	go func() { ended <- k.stopped() }()
	select {
	case err := <-ended:
		if !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("%v", err)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("it is %v: an empty wallet is served where there was one", k.Stats().State)
		_ = k.stop()
	}
}

// all is a snapshot that nothing is left of.
type all struct{}

func (all) Newest(_ context.Context, p int) (*Beginning, error) {
	b := journal.NewBook(p, 1)
	b.Epoch, b.Seq = 1, 5
	return &Beginning{Name: "all", Cursor: journal.Cursor{Partition: p, Offset: 7, Epoch: 1, Seq: 5}, Book: b}, nil
}

// TestASnapshotIsTakenMeanwhile: the log goes on while a claim reads it, and so do snapshots.
func TestASnapshotIsTakenMeanwhile(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1})
	c.keepAll()
	c.bank(1, 100)
	c.stopKeepers()
	c.config = func(k *Config) {
		k.Snapshots = meanwhile{&cuts{c: c, at: func(_ int, end int64) int64 { return end }, known: func(uint64) uint64 { return 0 }}}
	}
	c.keepAll()
}

// meanwhile lets a predecessor write before it answers.
type meanwhile struct{ *cuts }

func (s meanwhile) Newest(ctx context.Context, p int) (*Beginning, error) {
	b, err := s.cuts.Newest(ctx, p)
	if err != nil {
		return nil, err
	}
	if _, err := relay.Claim(ctx, s.c.log, b.Cursor, b.Cursor.Epoch+1, "predecessor", 1, func(*journal.Frame, journal.Cursor) error { return nil }); err != nil {
		return nil, err
	}
	return s.cuts.Newest(ctx, p)
}

// TestAStoreThatFailsIsNotAskedAgain: what does not answer costs a claim its time once, not for every partition.
func TestAStoreThatFailsIsNotAskedAgain(t *testing.T) {
	var asked atomic.Int64
	c := newCluster(t, clusterOptions{servers: 1, partitions: 16, config: func(k *Config) { k.Snapshots = counted{&asked} }})
	c.keepAll()
	if n := asked.Load(); n == 0 || n > int64(max(2, runtime.GOMAXPROCS(0))) {
		t.Errorf("asked %d times", n)
	}
}

type counted struct{ asked *atomic.Int64 }

func (s counted) Newest(context.Context, int) (*Beginning, error) {
	s.asked.Add(1)
	return nil, errors.New("the store does not answer")
}

type spoilt struct {
	*cuts
	spoil func(*Beginning)
}

func (s spoilt) Newest(ctx context.Context, p int) (*Beginning, error) {
	b, err := s.cuts.Newest(ctx, p)
	if b != nil {
		s.spoil(b)
	}
	return b, err
}

// TestWithoutASnapshot: a store that does not answer costs time, not service.
func TestWithoutASnapshot(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 1, config: func(k *Config) { k.Snapshots = unreadable{} }})
	c.keepAll()
	b := c.bank(2, 100)
	all := b.run(2, func() {
		time.Sleep(20 * time.Millisecond) // traffic
		c.stopKeepers()
		c.keepAll()
	})
	b.check(t, c.rest(), 100, all)
}

type unreadable struct{}

func (unreadable) Newest(context.Context, int) (*Beginning, error) {
	return nil, errors.New("the store does not answer")
}

// TestAMoveOfADamagedLogIsGivenUp: a partition that cannot be read stays where it is; the shard that it was to go to serves on.
func TestAMoveOfADamagedLogIsGivenUp(t *testing.T) {
	var beyond atomic.Bool
	c := newCluster(t, clusterOptions{servers: 2, partitions: 4, config: func(k *Config) { k.Snapshots = lately{&beyond} }})
	c.keepAll()
	b := c.bank(2, 100)
	beyond.Store(true)
	reigns := c.keepers["k-s2"].Stats().Reigns
	moves := b.run(2, func() {
		c.must(shardrouter.RequestMove(t.Context(), c.static, 0, shardName(1)))
		c.eventually("the move is given up", func() bool {
			moves, err := c.static.Moves(t.Context())
			c.must(err)
			return moves[0].State == shardrouter.MoveFailed && strings.Contains(moves[0].Reason, "records have been lost")
		})
	})
	if s := c.keepers["k-s2"].Stats(); s.Reigns != reigns || s.State != Serving {
		t.Errorf("the destination is %v in its reign %d, it was in %d", s.State, s.Reigns, reigns)
	}
	b.check(t, c.rest(), 100, moves)
}

// lately is a snapshot from beyond the log's end, when it is told to.
type lately struct{ beyond *atomic.Bool }

func (l lately) Newest(ctx context.Context, p int) (*Beginning, error) {
	if !l.beyond.Load() {
		return nil, nil //nolint:nilnil // there is none
	}
	b, err := all{}.Newest(ctx, p)
	b.Cursor.Offset = 1 << 40
	return b, err
}
