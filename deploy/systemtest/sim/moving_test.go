package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"walletd/journal"
	"walletd/luascripts"
	"walletd/shardrouter"
	"walletd/shardrouter/keeper"
)

// Partitions that come and go: a shard's part in it, each method as the script of the same name (luascripts, move.go), and the
// intentions, which ZooKeeper keeps.

var _ keeper.Mover = (*shardClient)(nil)

// obey is a script that a shard refuses to a keeper that was overtaken, and a replica to everybody.
func (s *shardClient) obey(ctx context.Context, label string, keeper uint32, do func() error) error {
	return tell(ctx, s.request(label), func() error {
		switch {
		case s.of != "":
			return errReplica
		case s.keeper > keeper:
			return luascripts.ErrOvertaken
		}
		return do()
	})
}

func (s *shardClient) Freeze(ctx context.Context, keeper uint32, p int, epoch uint32) (at luascripts.Part, err error) {
	err = s.obey(ctx, fmt.Sprintf("freeze %d", p), keeper, func() error {
		of := s.parts[p]
		if of == nil || (!of.serves && of.aside != frozen) || of.book.Epoch != epoch {
			return luascripts.ErrOvertaken
		}
		if of.serves {
			of.freezes++
		}
		of.serves, of.aside = false, frozen
		at = luascripts.Part{Partition: p, Epoch: epoch, Seq: of.book.Seq, TimeMS: of.book.TimeMS, EvictedMS: of.book.EvictedMS}
		return nil
	})
	return at, err
}

func (s *shardClient) thaw(p int, epoch uint32, same bool) error {
	of := s.parts[p]
	switch {
	case of == nil:
		return luascripts.ErrOvertaken
	case of.serves && of.book.Epoch == epoch:
		return nil
	case of.serves, of.aside != frozen, of.book.Epoch > epoch, of.book.Epoch == epoch && !same:
		return luascripts.ErrOvertaken
	}
	of.serves, of.aside, of.book.Epoch = true, "", epoch
	return nil
}

func (s *shardClient) Thaw(ctx context.Context, keeper uint32, p int, epoch uint32) error {
	return s.beginsHere(ctx, fmt.Sprintf("thaw %d", p), keeper, epoch, func() error { return s.thaw(p, epoch, false) })
}

func (s *shardClient) Unfreeze(ctx context.Context, keeper uint32, a luascripts.Aside) error {
	return s.obey(ctx, fmt.Sprintf("unfreeze %d", a.Partition), keeper, func() error {
		if of := s.parts[a.Partition]; of != nil && of.aside == frozen && of.seen() != a.Seen {
			return luascripts.ErrOvertaken
		}
		return s.thaw(a.Partition, a.Epoch, true)
	})
}

// beginsHere notes that an epoch begins in this life of the Redis, which is the one in which the keeper admitted trains.
func (s *shardClient) beginsHere(ctx context.Context, label string, keeper, epoch uint32, do func() error) error {
	var life int
	err := tell(ctx, s.request(label+" mark"), func() error {
		if !s.begun[keeper] {
			return luascripts.ErrNotReady
		}
		s.begun[epoch], life = true, s.life
		return nil
	})
	if err != nil {
		return err
	}
	return s.obey(ctx, label, keeper, func() error {
		if s.life != life {
			return errShardUnknown // the connection went with it
		}
		return do()
	})
}

func (s *shardClient) Asides(ctx context.Context) (map[int]luascripts.Aside, error) {
	return ask(ctx, s.request("asides"), func() (map[int]luascripts.Aside, error) {
		asides := map[int]luascripts.Aside{}
		for p, of := range s.parts {
			if of.aside == "" {
				continue
			}
			a := luascripts.Aside{Part: luascripts.Part{Partition: p}, Frozen: of.aside == frozen, Seen: of.aside}
			if b := of.book; a.Frozen {
				a.Epoch, a.Seq, a.TimeMS, a.EvictedMS = b.Epoch, b.Seq, b.TimeMS, b.EvictedMS
				a.Seen = of.seen()
			}
			asides[p] = a
		}
		return asides, nil
	})
}

func (s *shardClient) DumpPart(ctx context.Context, p, _ int, _ bool) (*journal.Book, error) {
	return ask(ctx, s.request(fmt.Sprintf("dump %d", p)), func() (*journal.Book, error) {
		if of := s.parts[p]; of == nil || (!of.serves && of.aside != frozen) {
			return nil, luascripts.ErrOvertaken
		}
		b := s.dump(p)
		b.State = copyOf(b.State.(*journal.Memory))
		return b, nil
	})
}

func (s *shardClient) Remove(ctx context.Context, a luascripts.Aside, _ int) error {
	for _, step := range []string{"", " end"} {
		err := tell(ctx, s.request(fmt.Sprintf("remove %d%s", a.Partition, step)), func() error {
			of := s.parts[a.Partition]
			if of == nil {
				return luascripts.ErrOvertaken
			}
			is := of.aside
			if is == frozen {
				is = of.seen()
			}
			switch {
			case s.of != "":
				return errReplica
			case is != a.Seen:
				return luascripts.ErrOvertaken
			case step == "":
				stands := *of.book
				s.erase(a.Partition)
				of.stand(&stands)
			default:
				delete(s.parts, a.Partition)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// joining is the loading of one partition beside those that serve.
type joining struct {
	loading
	p      int
	keeper uint32
}

func (s *shardClient) Join(ctx context.Context, keeper uint32, p, _ int) (luascripts.Loading, error) {
	j := &joining{p: p, keeper: keeper, loading: loading{shardClient: s, token: fmt.Sprint("L", s.from.name, s.from.life, s.from.loads.Add(1))}}
	before := false
	err := s.obey(ctx, fmt.Sprintf("join %d", p), keeper, func() error {
		of := s.parts[p]
		if s.keeper != keeper || of != nil && of.serves {
			return luascripts.ErrOvertaken
		}
		before = of != nil && of.aside != ""
		s.part(p).aside = j.token
		s.window.begin(s.world.sliceMS, s.clock())
		return nil
	})
	if err == nil && before {
		err = j.still(ctx, "erase", func() { s.erase(p) })
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

// still does something as long as nobody else loads the partition.
func (j *joining) still(ctx context.Context, label string, do func()) error {
	return tell(ctx, j.request(fmt.Sprintf("join %d %s", j.p, label)), func() error {
		if j.of != "" {
			return errReplica
		}
		if of := j.parts[j.p]; of == nil || of.aside != j.token {
			return luascripts.ErrOvertaken
		}
		do()
		return nil
	})
}

// Write implements luascripts.Loading, as Serve does.
func (j *joining) Write(ctx context.Context, b *journal.Book, _ bool) error {
	mine := *b
	mine.State = copyOf(b.State.(*journal.Memory))
	return j.still(ctx, "write", func() { j.write(&mine) })
}

func (j *joining) Serve(ctx context.Context, b *journal.Book) error {
	mine := *b
	return j.beginsHere(ctx, fmt.Sprintf("serve %d", j.p), j.keeper, b.Epoch, func() error {
		of := j.parts[j.p]
		switch {
		case j.shardClient.keeper != j.keeper:
			return luascripts.ErrOvertaken
		case of != nil && of.serves && of.aside == "" && of.book.Epoch == mine.Epoch:
			return nil
		case of == nil || of.serves || of.aside != j.token:
			return luascripts.ErrOvertaken
		}
		of.stand(&mine)
		of.serves, of.aside = true, ""
		j.list()
		return nil
	})
}

// Moves implements shardrouter.Moves, as the methods below do.
func (z *coordination) Moves(ctx context.Context) (map[int]shardrouter.Move, error) {
	return ask(ctx, z.request("moves"), func() (map[int]shardrouter.Move, error) { return z.static.Moves(context.Background()) })
}

func (z *coordination) WatchMoves(ctx context.Context, fn func(map[int]shardrouter.Move)) {
	var seen map[int]shardrouter.Move
	for ctx.Err() == nil {
		r := z.request("watch moves")
		r.timeout, r.held = 0, func() bool { return seen != nil && maps.Equal(z.moves(), seen) }
		all, err := ask(ctx, r, func() (map[int]shardrouter.Move, error) { return z.moves(), nil })
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		seen = all
		fn(maps.Clone(all))
	}
}

// moves are those that are kept now.
func (z *zookeeper) moves() map[int]shardrouter.Move {
	all, err := z.static.Moves(context.Background())
	if err != nil {
		panic(err)
	}
	return all
}

// moveAt is what a change is made of: the map, and the move if there is one.
type moveAt struct {
	m       *shardrouter.Map
	move    *shardrouter.Move
	version int // of the move's node, which begins again with each node
}

func (z *zookeeper) moveAt(p int) moveAt {
	at := moveAt{m: z.static.Current()}
	if m, there := z.moves()[p]; there {
		at.move, at.version = &m, z.versions[p]
	}
	return at
}

// is reports whether nothing has changed since.
func (a moveAt) is(now moveAt) bool {
	return a.m.Version == now.m.Version && (a.move == nil) == (now.move == nil) && a.version == now.version
}

// ChangeMove reads, has the process decide, and writes if nothing has changed meanwhile, as EndMove does.
func (z *coordination) ChangeMove(ctx context.Context, p int, change func(*shardrouter.Map, *shardrouter.Move) (*shardrouter.Move, error)) error {
	for {
		at, err := ask(ctx, z.request(fmt.Sprintf("read move %d", p)), func() (moveAt, error) { return z.moveAt(p), nil })
		if err != nil {
			return err
		}
		var given *shardrouter.Move
		if at.move != nil {
			given = new(*at.move)
		}
		next, err := change(at.m, given)
		if err != nil || next == nil && at.move == nil || next != nil && at.move != nil && *next == *at.move {
			return err
		}
		err = tell(ctx, z.request(fmt.Sprintf("change move %d", p)), func() error {
			return z.noted(p, func() error {
				if !at.is(z.moveAt(p)) {
					return shardrouter.ErrVersion
				}
				return z.static.ChangeMove(context.Background(), p, func(*shardrouter.Map, *shardrouter.Move) (*shardrouter.Move, error) { return next, nil })
			})
		})
		if !errors.Is(err, shardrouter.ErrVersion) {
			return err
		}
	}
}

func (z *coordination) EndMove(ctx context.Context, as shardrouter.Move, change func(*shardrouter.Map) (*shardrouter.Map, error)) error {
	for {
		at, err := ask(ctx, z.request(fmt.Sprintf("read move %d", as.Partition)), func() (moveAt, error) { return z.moveAt(as.Partition), nil })
		if err != nil {
			return err
		}
		next, why := change(at.m)
		m, err := ask(ctx, z.request(fmt.Sprintf("end move %d", as.Partition)), func() (*shardrouter.Map, error) {
			err := z.noted(as.Partition, func() error {
				if !at.is(z.moveAt(as.Partition)) {
					return shardrouter.ErrVersion
				}
				return z.static.EndMove(context.Background(), as, func(*shardrouter.Map) (*shardrouter.Map, error) { return next, why })
			})
			return z.static.Current(), err
		})
		if err == nil {
			z.see(m)
		}
		if !errors.Is(err, shardrouter.ErrVersion) {
			return err
		}
	}
}

// noted writes into the trace what becomes of a move, and counts.
func (z *zookeeper) noted(p int, do func() error) error {
	before, was := z.moves()[p]
	owner := z.static.Current().Partitions[p].Shard
	err := do()
	after, is := z.moves()[p]
	now := z.static.Current().Partitions[p].Shard
	if before != after || was != is || owner != now {
		if z.versions[p]++; !was {
			z.versions[p] = 0
		}
		z.world.note("  move of %d: %s %s → %s %s, it is %s's", p, before.State, before.To, after.State, after.Reason, now)
	}
	if after.State == shardrouter.MoveFailed && before.State != after.State {
		z.world.failed++
	}
	if owner != now {
		z.world.moved++
	}
	return err
}

// direct lets an operator ask for a move, or take one back.
func (w *world) direct() {
	p := w.rng.IntN(partitions)
	ctx := context.Background()
	if m, there := w.zoo.moves()[p]; there && m.State != shardrouter.MoveFailed {
		if w.rng.IntN(4) == 0 {
			_ = w.zoo.noted(p, func() error { return shardrouter.AbortMove(ctx, w.zoo.static, p) })
		}
		return
	}
	to := pick(w.rng, w.shards...).shard
	_ = w.zoo.noted(p, func() error { return shardrouter.RequestMove(ctx, w.zoo.static, p, to) }) // it may be there already
}

// astray says what is not at rest about moves, "" when all is.
func (w *world) astray() string {
	for p, m := range w.zoo.moves() {
		if m.State != shardrouter.MoveFailed {
			return fmt.Sprintf("partition %d is on its way from %s to %s: %s", p, m.From, m.To, m.State)
		}
	}
	m := w.zoo.static.Current()
	for p, of := range w.audit.of {
		if at := m.Partitions[p]; at.Epoch != of.cursor.Epoch {
			return fmt.Sprintf("the map has partition %d in epoch %d, its log in %d", p, at.Epoch, of.cursor.Epoch)
		}
		for _, s := range m.Shards {
			at := w.shardAt(s.Primary).parts[p]
			if at != nil && at.serves && (s.ID != m.Partitions[p].Shard || at.book.Epoch != of.cursor.Epoch) {
				return fmt.Sprintf("partition %d is served by %s in epoch %d", p, s.ID, at.book.Epoch)
			}
		}
	}
	return ""
}
