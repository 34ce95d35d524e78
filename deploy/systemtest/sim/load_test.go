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
}

func (s *shardClient) loading(books []*journal.Book) *loading {
	l := &loading{shardClient: s}
	for _, b := range books {
		l.epoch = max(l.epoch, b.Epoch)
		l.books = append(l.books, copyOf(b))
	}
	l.token = fmt.Sprint(l.epoch, s.from.name, s.from.life, s.from.loads.Add(1))
	return l
}

func (s *shardClient) Load(ctx context.Context, books ...*journal.Book) error {
	l := s.loading(books)
	return l.run(ctx, "load", func() error {
		for _, b := range l.books {
			s.parts[b.Partition] = &part{book: copyOf(b)}
		}
		return nil
	})
}

func (s *shardClient) Repair(ctx context.Context, patches ...luascripts.Patch) error {
	books := make([]*journal.Book, 0, len(patches))
	for _, p := range patches {
		books = append(books, p.Book)
	}
	l := s.loading(books)
	return l.run(ctx, "repair", func() error {
		s.outbox, s.last = nil, 0
		for i, p := range patches {
			if err := l.patch(&p, l.books[i].State.(*journal.Memory)); err != nil {
				return err
			}
		}
		return nil
	})
}

// patch writes what may differ, and counts.
func (l *loading) patch(p *luascripts.Patch, want *journal.Memory) error {
	of := l.parts[p.Book.Partition]
	if of == nil {
		return luascripts.ErrNotWhole
	}
	m := of.book.State.(*journal.Memory)
	for _, h := range p.Accounts {
		copyOne(m.Accounts, want.Accounts, h)
		copyOne(m.DetailsOf, want.DetailsOf, h)
	}
	for _, id := range p.IDs {
		copyOne(m.Keys, want.Keys, id)
		copyOne(m.Reservations, want.Reservations, id)
	}
	for _, source := range p.Sources {
		copyOne(m.DeliveredOf, want.DeliveredOf, source)
	}
	if len(m.Accounts) != len(want.Accounts) || len(m.DetailsOf) != len(want.DetailsOf) || len(m.Keys) != len(want.Keys) ||
		len(m.Reservations) != len(want.Reservations) || len(m.DeliveredOf) != len(want.DeliveredOf) {
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
	return nil
}

func (l *loading) end() error {
	l.loader = ""
	for _, b := range l.books {
		of := l.parts[b.Partition]
		if of == nil {
			of = &part{book: journal.NewBook(b.Partition, partitions)}
			l.parts[b.Partition] = of
		}
		of.serves = true
		of.book.Epoch, of.book.Seq, of.book.TimeMS, of.book.EvictedMS = b.Epoch, b.Seq, b.TimeMS, b.EvictedMS
	}
	return nil
}
