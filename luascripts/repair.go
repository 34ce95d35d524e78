package luascripts

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

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
	newest := keysKey(r.slices[len(r.slices)-1])
	set := map[string]map[string][]byte{accountsKey: {}, detailsKey: {}, reservationsKey: {}, deliveredKey: {}, newest: {}}
	put := func(key, field string, value []byte, there bool) {
		if there {
			set[key][field] = value
		} else {
			r.removed[key] = append(r.removed[key], field)
		}
	}
	for _, h := range p.Accounts {
		a, there := m.Accounts[h]
		put(accountsKey, string(h[:]), a.Append(nil), there)
		d, there := m.DetailsOf[h]
		put(detailsKey, string(h[:]), d, there)
	}
	for _, id := range p.IDs {
		k, there := m.Keys[id]
		put(newest, string(id[:]), k.Append(nil), there)
		for _, key := range slices {
			if key != newest {
				r.removed[key] = append(r.removed[key], string(id[:]))
			}
		}
		res, there := m.Reservations[id]
		put(reservationsKey, string(id[:]), res.Append(nil), there)
	}
	for _, source := range p.Sources {
		seq, there := m.DeliveredOf[source]
		put(deliveredKey, string(channelField(p.Book.Partition, source)), appendU56(nil, seq), there)
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
// and its replica with it.
func (s *Shard) counted(ctx context.Context, books []*journal.Book) error {
	slices, err := s.sliceKeys(ctx)
	if err != nil {
		return err
	}
	want, evicted := map[string]int64{}, false
	for _, b := range books {
		evicted = evicted || b.EvictedMS > 0
		m := b.State.(*journal.Memory) // as patch has found
		want[accountsKey] += int64(len(m.Accounts))
		want[detailsKey] += int64(len(m.DetailsOf))
		want[reservationsKey] += int64(len(m.Reservations))
		want[deliveredKey] += int64(len(m.DeliveredOf))
		want[keysPattern] += int64(len(m.Keys))
	}
	got := map[string]int64{}
	for key, under := range withSlices(slices) {
		n, err := s.client.HLen(ctx, key).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		got[under] += n
	}
	for key, n := range want {
		keeps := evicted && (key == keysPattern || key == reservationsKey) // what was evicted may be there until its slice is dropped
		if got[key] < n || (got[key] > n && !keeps) {
			return fmt.Errorf("%w: %d in %s, the log has %d", ErrNotWhole, got[key], key, n)
		}
	}
	return nil
}

// withSlices names every hash of records, and under what it is counted.
func withSlices(slices []string) map[string]string {
	all := map[string]string{accountsKey: accountsKey, detailsKey: detailsKey, reservationsKey: reservationsKey, deliveredKey: deliveredKey}
	for _, key := range slices {
		all[key] = keysPattern
	}
	return all
}
