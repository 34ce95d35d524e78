package sim

import (
	"context"
	"slices"
	"time"

	"walletd/journal/planted"
	"walletd/luascripts"
	"walletd/shardrouter/keeper"
)

var _ keeper.Shard = (*shardClient)(nil)

// What follows implements keeper.Shard, each method as the script or the commands of the same name in luascripts.

func (s *shardClient) CheckSettings(ctx context.Context) error {
	return tell(ctx, s.request("settings"), func() error { return nil })
}

func (s *shardClient) Evicted(ctx context.Context) (uint64, error) {
	return ask(ctx, s.request("evicted"), func() (uint64, error) { return 0, nil })
}

func (r *redis) served() map[int]luascripts.Part {
	parts := map[int]luascripts.Part{}
	for p, of := range r.parts {
		if of.serves {
			parts[p] = luascripts.Part{Partition: p, Epoch: of.book.Epoch, Seq: of.book.Seq, TimeMS: of.book.TimeMS}
		}
	}
	return parts
}

func (s *shardClient) Look(ctx context.Context, epoch uint32) (luascripts.Look, error) {
	return ask(ctx, s.request("look"), func() (luascripts.Look, error) {
		return luascripts.Look{Parts: s.served(), Keeper: s.keeper, Admitted: s.admits[epoch] && s.begun[epoch], Primary: s.of == ""}, nil
	})
}

func (s *shardClient) Parts(ctx context.Context) (map[int]luascripts.Part, error) {
	return ask(ctx, s.request("parts"), func() (map[int]luascripts.Part, error) { return s.served(), nil })
}

func (s *shardClient) Stop(ctx context.Context, epochs ...uint32) (bool, error) {
	return ask(ctx, s.request("stop"), func() (bool, error) {
		all := len(epochs) > 0
		for _, e := range epochs {
			all = all && s.begun[e]
		}
		s.forget()
		return all, nil
	})
}

func (s *shardClient) Admit(ctx context.Context, epoch uint32, untilMS int64) error {
	return tell(ctx, s.request("admit"), func() error {
		s.admits[epoch], s.begun[epoch] = true, true // the scripts are there, whatever the last of them answers
		if s.of != "" {
			return errReplica
		}
		if s.keeper > epoch {
			return luascripts.ErrOvertaken
		}
		s.keeper, s.lease = epoch, untilMS
		return nil
	})
}

func (s *shardClient) Time(ctx context.Context) (time.Time, error) {
	return ask(ctx, s.request("time"), func() (time.Time, error) { return time.UnixMilli(s.clock()), nil })
}

func (s *shardClient) Lease(ctx context.Context, untilMS int64, owned ...luascripts.Owned) (bool, error) {
	return ask(ctx, s.request("lease"), func() (bool, error) {
		if s.of != "" {
			return false, errReplica
		}
		for _, o := range owned {
			if of := s.parts[o.Partition]; of == nil || !of.serves || of.book.Epoch != o.Epoch {
				return false, nil
			}
		}
		s.lease = max(s.lease, untilMS)
		return true, nil
	})
}

func (s *shardClient) Ping(ctx context.Context) error {
	return tell(ctx, s.request("ping"), func() error { return nil })
}

func (s *shardClient) Role(ctx context.Context) (luascripts.Role, error) {
	return ask(ctx, s.request("role"), func() (luascripts.Role, error) {
		return luascripts.Role{Primary: s.of == "", Of: s.of, Linked: s.linked}, nil
	})
}

func (s *shardClient) Follow(ctx context.Context, primary string) error {
	return tell(ctx, s.request("follow"), func() error {
		if s.of != primary {
			s.of, s.linked = primary, false
		}
		return nil
	})
}

func (s *shardClient) Fence(ctx context.Context, claims ...luascripts.Claim) ([]luascripts.Fenced, error) {
	return ask(ctx, s.request("fence"), func() (fenced []luascripts.Fenced, err error) {
		if s.of != "" {
			return nil, errReplica
		}
		for _, c := range claims {
			f := luascripts.Fenced{Part: luascripts.Part{Partition: c.Seen.Partition}}
			if of := s.parts[c.Seen.Partition]; of != nil && of.serves {
				b := of.book
				f.Found = true
				f.Done = b.Seq == c.Seen.Seq && (b.Epoch == c.Seen.Epoch || b.Epoch == c.Epoch) && c.Epoch >= b.Epoch
				if f.Done {
					b.Epoch = c.Epoch
				}
				f.Part.Epoch, f.Part.Seq, f.Part.TimeMS = b.Epoch, b.Seq, b.TimeMS
			}
			fenced = append(fenced, f)
		}
		return fenced, nil
	})
}

// overtakes reports whether a partition is in, or the shard is being loaded in, a higher epoch.
func (r *redis) overtakes(epoch uint32) bool {
	if r.loader != "" && r.loads > epoch {
		return true
	}
	for _, of := range r.parts {
		if of.serves && of.book.Epoch > epoch {
			return true
		}
	}
	return false
}

func (s *shardClient) Wipe(ctx context.Context, epoch uint32) error {
	return tell(ctx, s.request("wipe"), func() error {
		if s.of != "" {
			return errReplica
		}
		if s.overtakes(epoch) {
			return luascripts.ErrOvertaken
		}
		s.data = nothing()
		return nil
	})
}

func (s *shardClient) ReadOutbox(ctx context.Context, after uint64, limit int, wait time.Duration) ([]luascripts.OutboxEntry, error) {
	r := s.request("outbox")
	if wait >= time.Millisecond {
		r.till = time.Now().Add(wait)
		r.held = func() bool { return s.last <= after || len(s.outbox) == 0 }
	}
	return ask(ctx, r, func() (found []luascripts.OutboxEntry, err error) {
		i, _ := slices.BinarySearchFunc(s.outbox, after+1, func(e luascripts.OutboxEntry, id uint64) int { return int(e.ID) - int(id) })
		return slices.Clone(s.outbox[i:min(len(s.outbox), i+limit)]), nil
	})
}

func (s *shardClient) Trim(ctx context.Context, epoch uint32, upTo uint64) error {
	return tell(ctx, s.request("trim"), func() error {
		if s.of != "" {
			return errReplica
		}
		if s.keeper > epoch {
			return luascripts.ErrOvertaken
		}
		s.outbox = slices.DeleteFunc(s.outbox, func(e luascripts.OutboxEntry) bool { return e.ID <= upTo })
		return nil
	})
}

func (s *shardClient) PublishMarks(ctx context.Context, marks []luascripts.Mark) (heard int64, err error) {
	mine := slices.Clone(marks)
	r := s.request("marks")
	r.faults = &s.world.weather.marks
	return ask(ctx, r, func() (int64, error) {
		s.world.audit.marks(s.from, mine)
		s.heard = slices.DeleteFunc(s.heard, func(sub *subscription) bool { return sub.broken.Load() })
		for _, sub := range s.heard {
			sub.queue = append(sub.queue, mine)
		}
		if s.world.turn.mistaken {
			return 0, nil
		}
		return int64(len(s.heard)), nil
	})
}

// plantedEpoch tells whether trains of any epoch run.
func plantedEpoch() bool { return planted.Is(planted.EpochUnchecked) }
