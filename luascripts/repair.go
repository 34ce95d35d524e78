package luascripts

import (
	"context"
	"errors"
	"fmt"

	"walletd/journal"
)

// ErrNotWhole says that a shard that was repaired does not have as many records as it should.
var ErrNotWhole = errors.New("records are missing, or there are too many")

// Patch is a partition as it shall be, and all records in which its shard may differ: fields of a Book in memory.
type Patch struct {
	Book     *journal.Book
	Accounts []journal.Handle // with their details
	IDs      []journal.ID     // key records and reservations
	Sources  []int            // delivered
}

// Repair brings a shard to its Books by writing what may differ: the Book's value, or nothing where the Book has none. The
// outbox and its counter are dropped. The patches must be of all partitions that the shard has. Like Load it stops the
// partitions first, and they serve in their Books' epochs when all is there; after an error they do not serve, and Load may
// follow a Wipe. Errors: ErrOvertaken; ErrNotWhole, when the shard differed in more than the patches name.
func (s *Shard) Repair(ctx context.Context, patches ...Patch) error {
	books := make([]*journal.Book, 0, len(patches))
	for _, p := range patches {
		books = append(books, p.Book)
	}
	asides, err := s.Asides(ctx)
	if err == nil && len(asides) > 0 {
		err = fmt.Errorf("%w: partitions that do not serve have records there", ErrNotWhole)
	}
	if err != nil {
		return s.fault("repair", err)
	}
	return s.fault("repair", s.load(ctx, books, func(l *loader) error {
		r := repairer{loader: l, removed: map[string][]string{}}
		slices, err := s.sliceKeys(ctx)
		if err != nil {
			return err
		}
		for _, p := range patches {
			if err := r.patch(ctx, p, slices); err != nil {
				return fmt.Errorf("partition %d: %w", p.Book.Partition, err)
			}
		}
		if err := r.remove(ctx); err != nil {
			return err
		}
		return s.counted(ctx, books)
	}))
}

// repairer writes what is there and collects what is to be removed, by key.
type repairer struct {
	*loader
	removed map[string][]string
}

// patch writes one partition's records.
func (r *repairer) patch(ctx context.Context, p Patch, slices []string) error {
	m, ok := p.Book.State.(*journal.Memory)
	if !ok {
		return fmt.Errorf("state of type %T", p.Book.State)
	}
	set := map[string]map[string][]byte{}
	put := func(key, field string, value []byte, there bool) {
		if there {
			if set[key] == nil {
				set[key] = map[string][]byte{}
			}
			set[key][field] = value
		} else {
			r.removed[key] = append(r.removed[key], field)
		}
	}
	var known journal.Filter // evicted since the primary last told the replica, some of them
	for _, h := range p.Accounts {
		a, there := m.Accounts[h]
		put(accountsKey, string(h[:]), AppendAccount(nil, a), there)
		d, there := m.DetailsOf[h]
		put(detailsKey, string(h[:]), d, there)
	}
	for _, id := range p.IDs {
		k, there := m.Keys[id]
		own := ""
		if there {
			own = keysKey(r.slice(&k))
			put(own, string(id[:]), AppendKey(nil, k), true)
		}
		for _, key := range slices {
			if key != own {
				put(key, string(id[:]), nil, false)
			}
		}
		known.Add(id)
		res, there := m.Reservations[id]
		put(reservationsKey, string(id[:]), res.Append(nil), there)
	}
	for _, source := range p.Sources {
		seq, there := m.DeliveredOf[source]
		put(deliveredKey, string(channelField(p.Book.Partition, source)), appendU56(nil, seq), there)
	}
	if err := r.fields(ctx, filterKey, r.filter(p.Book.Partition, &known)); err != nil {
		return err
	}
	for key, fields := range set {
		err := r.fields(ctx, key, func(yield func(f, v []byte) bool) {
			for f, v := range fields {
				if !yield([]byte(f), v) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes what was collected, and the outbox.
func (r *repairer) remove(ctx context.Context) error {
	if err := r.flush(ctx); err != nil {
		return err
	}
	r.removed[partsKey] = append(r.removed[partsKey], counterField)
	for key, fields := range r.removed {
		for len(fields) > 0 {
			n := min(len(fields), loadPairs)
			args := []any{r.token}
			for _, f := range fields[:n] {
				args = append(args, f)
			}
			fields = fields[n:]
			if err := r.check(r.client.Eval(ctx, unloadScript.text, []string{partsKey, key}, args...).Int()); err != nil {
				return err
			}
		}
	}
	return r.check(r.client.Eval(ctx, unloadScript.text, []string{partsKey, outboxKey}, r.token).Int())
}

// counted compares how many records there are with how many the Books have: whole hashes are what a Redis loses by eviction,
// and its replica with it. Of what partitions have evicted there may be some left, so behind an eviction there may be more
// resolved reservations, and slices that are older than a cut-off are not counted: nobody looks for what is in them.
func (s *Shard) counted(ctx context.Context, books []*journal.Book) error {
	w, err := s.Window(ctx)
	if err != nil {
		return err
	}
	want, evictedMS := map[string]int64{}, int64(0)
	slices, err := s.sliceKeys(ctx)
	if err != nil {
		return err
	}
	for _, key := range slices {
		want[key] = 0
	}
	for _, b := range books {
		evictedMS = max(evictedMS, b.EvictedMS)
		m := b.State.(*journal.Memory) // as patch has found
		want[accountsKey] += int64(len(m.Accounts))
		want[detailsKey] += int64(len(m.DetailsOf))
		want[reservationsKey] += int64(len(m.Reservations))
		want[deliveredKey] += int64(len(m.DeliveredOf))
		for _, k := range m.Keys {
			want[keysKey(k.TimeMS/w.SliceMS)]++
		}
		want[filterKey] += int64(m.Filter.Blocks())
	}
	for key := range want {
		if slice, ok := sliceOf(key); ok && slice*w.SliceMS < evictedMS {
			delete(want, key)
		}
	}
	for key, n := range want {
		got, err := s.client.HLen(ctx, key).Result()
		if err != nil {
			return err
		}
		more := key == filterKey || key == reservationsKey && evictedMS > 0
		if got < n || got > n && !more {
			return fmt.Errorf("%w: %d in %s, the log has %d", ErrNotWhole, got, key, n)
		}
	}
	return nil
}
