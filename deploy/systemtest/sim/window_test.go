package sim

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"walletd/journal"
	"walletd/journal/planted"
	"walletd/luascripts"
)

// The key window in a shard, each method as the script of the same name.

var errNoWindow = errors.New("the shard has no window")

func (s *shardClient) Window(ctx context.Context) (luascripts.Window, error) {
	return ask(ctx, s.request("window"), func() (luascripts.Window, error) {
		w := s.window
		if w.sliceMS == 0 {
			return luascripts.Window{}, errNoWindow
		}
		return luascripts.Window{SliceMS: w.sliceMS, Floor: w.floor, Sealed: w.sealed, Filtered: w.filtered, Slices: slices.Clone(w.listed)}, nil
	})
}

// tend is a script that only the keeper who admitted trains last may run.
func tend[T any](ctx context.Context, s *shardClient, label string, keeper uint32, do func(*window) (T, error)) (T, error) {
	return ask(ctx, s.request(label), func() (t T, err error) {
		switch {
		case s.of != "":
			return t, errReplica
		case s.keeper != keeper:
			return t, luascripts.ErrOvertaken
		}
		return do(s.window)
	})
}

func (s *shardClient) CloseSlices(ctx context.Context, keeper uint32) error {
	_, err := tend(ctx, s, "close", keeper, func(w *window) (none, error) {
		if w.sliceMS == 0 {
			return none{}, luascripts.ErrOvertaken
		}
		w.floor = max(w.floor, s.clock()/w.sliceMS)
		return none{}, nil
	})
	return err
}

func (s *shardClient) ReadSlice(ctx context.Context, slice int64, _ uint64) (ids []journal.ID, next uint64, err error) {
	ids, err = ask(ctx, s.request("read slice"), func() ([]journal.ID, error) {
		return slices.SortedFunc(maps.Keys(s.window.slices[slice]), func(a, b journal.ID) int { return bytes.Compare(a[:], b[:]) }), nil
	})
	return ids, 0, err
}

func (s *shardClient) AddToFilter(ctx context.Context, keeper uint32, blocks map[luascripts.FilterPlace]*journal.FilterBlock) error {
	if len(blocks) == 0 || planted.Is(planted.EvictUnfiltered) {
		return nil
	}
	mine := maps.Clone(blocks)
	_, err := tend(ctx, s, "filter", keeper, func(w *window) (none, error) {
		for at, b := range mine {
			w.know(at, b)
		}
		return none{}, nil
	})
	return err
}

func (s *shardClient) Seal(ctx context.Context, keeper uint32, below int64) error {
	_, err := tend(ctx, s, "seal", keeper, func(w *window) (none, error) {
		if w.sliceMS == 0 || below > w.floor {
			return none{}, luascripts.ErrOvertaken
		}
		if below > w.sealed {
			w.sealed, w.filtered = below, true
		}
		return none{}, nil
	})
	return err
}

func (s *shardClient) DropSlice(ctx context.Context, keeper uint32, slice int64) (int64, error) {
	return tend(ctx, s, "drop", keeper, func(w *window) (int64, error) {
		if s.loader != "" || slice >= w.sealed {
			return 0, luascripts.ErrOvertaken
		}
		for _, of := range s.parts {
			if (of.aside != "" && of.aside != frozen) || ((of.serves || of.aside == frozen) && of.book.EvictedMS < (slice+1)*w.sliceMS) {
				return 0, luascripts.ErrOvertaken
			}
		}
		n := len(w.slices[slice])
		delete(w.slices, slice)
		w.listed = slices.DeleteFunc(w.listed, func(l int64) bool { return l == slice })
		s.world.dropped++
		return int64(n), nil
	})
}

func (s *shardClient) Sweep(ctx context.Context, keeper uint32, _ int, _ uint64, evictedMS func(int) int64) (int, uint64, error) {
	cutoffs := map[int]int64{}
	for p := range partitions {
		cutoffs[p] = evictedMS(p)
	}
	n, err := tend(ctx, s, "sweep", keeper, func(*window) (n int, err error) {
		for p, of := range s.parts {
			if !of.serves {
				continue
			}
			maps.DeleteFunc(of.book.State.(*records).Reservations, func(_ journal.ID, r journal.Reservation) bool {
				old := r.Status != journal.Tried && r.ResolvedMS < min(cutoffs[p], of.book.EvictedMS)
				if old {
					n++
				}
				return old
			})
		}
		return n, nil
	})
	return n, 0, err
}

func (s *shardClient) Held(ctx context.Context, _ int) (luascripts.Held, error) {
	return ask(ctx, s.request("held"), func() (luascripts.Held, error) { return luascripts.Held{Slices: len(s.window.listed)}, nil })
}
