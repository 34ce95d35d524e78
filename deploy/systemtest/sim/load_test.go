package sim

import (
	"context"
	"fmt"

	"walletd/journal"
	"walletd/luascripts"
)

var errReplica = fmt.Errorf("%w: it is a replica", luascripts.ErrReadOnly)

// loading is one Load or Repair under way. It goes in three steps, as the real ones do, in between which others may do what
// they like.
type loading struct {
	*shardClient
	books []*journal.Book
	epoch uint32
	token string

	used     []int64 // slices that have got records
	filtered bool
}

func (s *shardClient) loading(books []*journal.Book) *loading {
	l := &loading{shardClient: s}
	for _, b := range books {
		l.epoch = max(l.epoch, b.Epoch)
		own := *b
		own.State = copyOf(b.State.(*journal.Memory))
		l.books = append(l.books, &own)
	}
	l.token = fmt.Sprint(l.epoch, s.from.name, s.from.life, s.from.loads.Add(1))
	return l
}

func (s *shardClient) Load(ctx context.Context, books ...*journal.Book) error {
	l := s.loading(books)
	return l.run(ctx, "load", func() error {
		for _, b := range l.books {
			l.write(b)
		}
		return nil
	})
}

// write writes a Book, as it is.
func (l *loading) write(b *journal.Book) {
	l.used = append(l.used, l.data.write(b)...)
	m := b.State.(*journal.Memory)
	l.filtered = l.filtered || len(m.Keys) > 0 || m.Filter.Blocks() > 0
}

func (s *shardClient) Repair(ctx context.Context, patches ...luascripts.Patch) error {
	books := make([]*journal.Book, 0, len(patches))
	for _, p := range patches {
		books = append(books, p.Book)
	}
	l := s.loading(books)
	return l.run(ctx, "repair", func() error {
		for _, of := range s.parts {
			if of.aside != "" {
				return luascripts.ErrNotWhole
			}
		}
		s.outbox, s.last = nil, 0
		for i, p := range patches {
			l.patch(&p, l.books[i].State.(*journal.Memory))
		}
		return l.counted()
	})
}

// patch writes what may differ.
func (l *loading) patch(p *luascripts.Patch, want *journal.Memory) {
	m := l.part(p.Book.Partition).book.State.(*records)
	for _, h := range p.Accounts {
		copyOne(m.Accounts, want.Accounts, h)
		copyOne(m.DetailsOf, want.DetailsOf, h)
	}
	for _, id := range p.IDs {
		l.window.remove(id)
		if k, there := want.Keys[id]; there {
			l.used = append(l.used, l.window.put(id, k))
		}
		l.window.knowID(id)
		l.filtered = true
		copyOne(m.Reservations, want.Reservations, id)
	}
	for _, source := range p.Sources {
		copyOne(m.DeliveredOf, want.DeliveredOf, source)
	}
}

// counted compares the numbers of records, as luascripts' counted does.
func (l *loading) counted() error {
	var has, wants [4]int
	var evictedMS int64
	keys := map[int64]int{}
	for _, of := range l.parts {
		m := of.book.State.(*records)
		has[0], has[1], has[2], has[3] = has[0]+len(m.Accounts), has[1]+len(m.DetailsOf), has[2]+len(m.DeliveredOf), has[3]+len(m.Reservations)
	}
	for _, b := range l.books {
		m := b.State.(*journal.Memory)
		wants[0], wants[1], wants[2], wants[3] = wants[0]+len(m.Accounts), wants[1]+len(m.DetailsOf), wants[2]+len(m.DeliveredOf), wants[3]+len(m.Reservations)
		evictedMS = max(evictedMS, b.EvictedMS)
		for _, k := range m.Keys {
			keys[k.TimeMS/l.window.sliceMS]++
		}
	}
	for n, ids := range l.window.slices {
		if n*l.window.sliceMS >= evictedMS && len(ids) != keys[n] {
			return luascripts.ErrNotWhole
		}
		delete(keys, n)
	}
	for n := range keys {
		if n*l.window.sliceMS >= evictedMS {
			return luascripts.ErrNotWhole
		}
	}
	if evictedMS > 0 {
		has[3] = min(has[3], wants[3]) // some that were evicted may be left
	}
	if has != wants {
		return luascripts.ErrNotWhole
	}
	return nil
}

func copyOne[K comparable, V any](to, from map[K]V, k K) {
	if v, there := from[k]; there {
		to[k] = v
	} else {
		delete(to, k)
	}
}

func (l *loading) run(ctx context.Context, what string, write func() error) error {
	for _, step := range []struct {
		name string
		do   func() error
	}{{" begin", l.begin}, {"", write}, {" end", l.end}} {
		err := tell(ctx, l.request(what+step.name), func() error {
			switch {
			case l.of != "":
				return errReplica
			case step.name != " begin" && l.loader != l.token:
				return luascripts.ErrOvertaken
			}
			return step.do()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *loading) begin() error {
	if l.loader != "" && l.loads > l.epoch {
		return luascripts.ErrOvertaken
	}
	for _, b := range l.books {
		if of := l.parts[b.Partition]; of != nil && of.serves && of.book.Epoch > b.Epoch {
			return luascripts.ErrOvertaken
		}
	}
	for _, b := range l.books {
		if of := l.parts[b.Partition]; of != nil {
			of.serves = false
		}
	}
	l.loader, l.loads = l.token, l.epoch
	l.window.begin(l.world.sliceMS, l.clock())
	return nil
}

func (l *loading) end() error {
	l.loader = ""
	for _, b := range l.books {
		of := l.part(b.Partition)
		of.stand(b)
		of.serves = true
	}
	l.list()
	return nil
}

// list tells trains of what the window has got.
func (l *loading) list() {
	for _, n := range l.used {
		l.window.list(n)
	}
	l.window.filtered = l.window.filtered || l.filtered
}
