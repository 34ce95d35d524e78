package view

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// The whole book at a cut: of each partition the events up to one seq. Every account as it was there, and what the channels carried.

// EachBalance calls fn for every account of the partition that existed behind the event with this seq, in the order of handles, with
// its balance there; Position is the cut. The balance is reused. Two seeks an account, however long its statement.
func (r *Reading) EachBalance(ctx context.Context, partition int, seq uint64, fn func(*Balance) error) (err error) {
	if seq == 0 {
		return nil
	}
	e, err := r.event(partition, seq)
	if err != nil {
		return err
	}
	groups, err := r.snap.NewIter(within(prefix(nil, keyGroup, partition)))
	if err != nil {
		return fmt.Errorf("%w: read accounts: %w", ErrStore, err)
	}
	details, err := r.snap.NewIter(within(prefix(nil, keyDetails, partition)))
	if err != nil {
		return fmt.Errorf("%w: read accounts: %w", ErrStore, errors.Join(err, groups.Close()))
	}
	defer func() {
		if e := errors.Join(groups.Close(), details.Close()); e != nil {
			err = errors.Join(err, fmt.Errorf("%w: read accounts: %w", ErrStore, e))
		}
	}()
	s := standing{groups: groups, details: details, partition: partition, at: moment{e.TimeMS, seq}}
	s.now.Position = e.Position
	for ok := groups.First(); ok && err == nil; ok = s.nextAccount() {
		if err = ctx.Err(); err != nil {
			break
		}
		var found bool
		if found, err = s.find(); err == nil && found {
			err = fn(&s.now)
		}
	}
	return errors.Join(err, storeFailed(groups), storeFailed(details))
}

func storeFailed(it *pebble.Iterator) error {
	if err := it.Error(); err != nil {
		return fmt.Errorf("%w: read accounts: %w", ErrStore, err)
	}
	return nil
}

// standing goes through a partition's accounts.
type standing struct {
	groups, details *pebble.Iterator
	partition       int
	at              moment
	of              journal.Handle // whose balance is looked for
	now             Balance
	key             []byte
}

// here is the account whose group the iterator is at.
func (s *standing) here() journal.Handle { return journal.Handle(s.groups.Key()[prefixSize:]) }

// find looks for the account's last line that is not behind the cut; false when it did not exist by then.
func (s *standing) find() (bool, error) {
	if len(s.groups.Key()) != groupKeySize {
		return false, badRecord("group's key", s.groups.Key())
	}
	h := s.here()
	s.of = h
	if timeMS, _ := parseGroupKey(s.groups.Key()); timeMS > s.at.timeMS {
		s.key = groupKey(s.key[:0], s.partition, h, s.at.timeMS, 1<<48-1)
		if !s.groups.SeekGE(s.key) {
			return false, storeFailed(s.groups)
		}
	}
	for valid := s.groups.Valid(); valid && s.here() == h; valid = s.groups.Next() {
		value, err := s.groups.ValueAndErr()
		if err != nil {
			return false, fmt.Errorf("%w: read accounts: %w", ErrStore, err)
		}
		g, err := parseGroup(s.groups.Key(), value)
		if err != nil {
			return false, err
		}
		for {
			l, ok, err := g.next()
			if err != nil {
				return false, err
			}
			if !ok {
				break
			}
			if l.TimeMS <= s.at.timeMS && l.Seq <= s.at.seq {
				b := &s.now
				b.Account, b.Asset, b.Available, b.Reserved, b.Version, b.TimeMS = h, g.account.Asset, l.AvailableAfter, l.ReservedAfter, l.Version, l.TimeMS
				b.ID, err = s.name(h)
				return err == nil, err
			}
		}
	}
	return false, storeFailed(s.groups)
}

// name reads the account's id: details lie in the order of handles, too.
func (s *standing) name(h journal.Handle) (string, error) {
	if p, asset, ok := h.Suspense(); ok {
		return SuspenseID(p, asset), nil
	}
	s.key = handleKey(s.key[:0], keyDetails, s.partition, h)
	if !s.details.Valid() || !s.details.Next() || !bytes.Equal(s.details.Key(), s.key) {
		if !s.details.SeekGE(s.key) || !bytes.Equal(s.details.Key(), s.key) {
			return "", storeFailed(s.details)
		}
	}
	value, err := s.details.ValueAndErr()
	if err != nil || len(value) < 7 {
		return "", errors.Join(badRecord("details", value), err)
	}
	var d journal.AccountDetails
	if json.Unmarshal(value[7:], &d) != nil {
		d = journal.AccountDetails{}
	}
	return d.ID, nil
}

// nearGroups is how many groups of an account are passed over before seeking the next account is cheaper.
const nearGroups = 4

// nextAccount goes to the newest group of the account behind the last one that was looked for, where find may have gone already;
// false behind the last.
func (s *standing) nextAccount() bool {
	for i := 0; s.groups.Valid() && s.here() == s.of; i++ {
		if i < nearGroups {
			s.groups.Next()
			continue
		}
		s.key = handleKey(s.key[:0], keyGroup, s.partition, s.of)
		s.groups.SeekGE(behind(s.key))
	}
	return s.groups.Valid()
}

// InFlight is what a channel carries in one asset: decided and not credited.
type InFlight struct {
	From, To int
	Asset    journal.Asset
	Legs     int64 // negative, like Amount, where the cut has a credit and not its decision: clocks differ
	Amount   int64
}

// InFlightAt answers what the channels carried at a cut: cut[p] is the last seq of partition p in it. It reads the events around the
// cut: back to the last delivery of every channel that was ever used, and from there the decisions.
func (r *Reading) InFlightAt(ctx context.Context, cut []uint64) (list []InFlight, err error) {
	if err := r.openChunks(); err != nil {
		return nil, err
	}
	used, err := r.channelsUsed()
	if err != nil {
		return nil, err
	}
	sums := map[way]*InFlight{}
	delivered := make([]map[int]uint64, len(cut)) // [payee's partition][payer's]
	for q := range cut {
		if delivered[q], err = r.deliveredAt(ctx, q, cut[q], used[q]); err != nil {
			return nil, err
		}
	}
	for p := range cut {
		if err := r.carried(ctx, p, cut[p], used, delivered, sums); err != nil {
			return nil, err
		}
	}
	for _, s := range sums {
		if s.Legs != 0 || s.Amount != 0 {
			list = append(list, *s)
		}
	}
	slices.SortFunc(list, func(a, b InFlight) int {
		return cmp.Or(a.From-b.From, a.To-b.To, int(a.Asset)-int(b.Asset))
	})
	return list, nil
}

// channelsUsed answers by payee's partition the payers' that ever decided a leg for it.
func (r *Reading) channelsUsed() (used []map[int]bool, err error) {
	for range r.view.config.Partitions {
		used = append(used, map[int]bool{})
	}
	for p := range used {
		err = errors.Join(err, scan(r.snap, prefix(nil, keySent, p), func(key, value []byte) error {
			if len(key) != prefixSize+4 {
				return badRecord("tally key", key)
			}
			if q := int(binary.BigEndian.Uint16(key[prefixSize:])); q < len(used) {
				used[q][p] = true
			}
			return nil
		}))
	}
	return used, err
}

// deliveredAt answers how far the partition had credited the sources' legs at a seq: its last deliveries of each.
func (r *Reading) deliveredAt(ctx context.Context, partition int, seq uint64, sources map[int]bool) (map[int]uint64, error) {
	found := map[int]uint64{}
	if seq == 0 {
		return found, nil
	}
	ok, err := r.chunks.seek(partition, seq)
	for ; err == nil && ok && len(found) < len(sources); ok, err = r.chunks.before(partition) {
		if err = ctx.Err(); err != nil {
			break
		}
		here := map[int]uint64{}
		var row journal.Row
		err = r.chunks.now.frame.EachEvent(func(e *journal.Event) error {
			if e.Seq > seq || journal.Op(e.Packed[2]) != journal.OpDeliver {
				return nil
			}
			if _, err := row.Parse(e.Packed); err != nil {
				return err
			}
			here[row.Source] = row.UpTo
			return nil
		})
		for source, upTo := range here {
			if _, newer := found[source]; !newer && sources[source] {
				found[source] = upTo
			}
		}
		if err != nil {
			break
		}
	}
	return found, notStored(err)
}

// before goes to the chunk before this one; false when there is none.
func (c *chunks) before(partition int) (bool, error) {
	c.valid = false
	if !c.it.Prev() {
		return false, c.failed()
	}
	return c.take(partition)
}

// carried adds up the legs that a partition had decided at its cut and whose payees had not been credited, and subtracts those that
// were credited and decided behind it.
func (r *Reading) carried(ctx context.Context, p int, cut uint64, used []map[int]bool, delivered []map[int]uint64, sums map[way]*InFlight) error {
	from, to := cut, cut
	for q := range used {
		if used[q][p] {
			from, to = min(from, delivered[q][p]), max(to, delivered[q][p])
		}
	}
	if from == to {
		return nil
	}
	return r.chunks.each(p, from+1, func(e *stored) (bool, error) {
		if e.Seq > to || ctx.Err() != nil {
			return false, ctx.Err()
		}
		amount, asset, ok, err := r.decided(e)
		if err != nil || !ok {
			return true, err
		}
		w := way{p, e.row.To.Partition(len(used)), asset}
		sign, credited := int64(0), e.Seq <= delivered[w.to][p]
		switch {
		case e.Seq <= cut && !credited:
			sign = 1
		case e.Seq > cut && credited:
			sign = -1
		}
		if sums[w] == nil {
			sums[w] = &InFlight{From: w.from, To: w.to, Asset: asset}
		}
		sums[w].Legs += sign
		sums[w].Amount += sign * int64(amount)
		return true, nil
	})
}

// decided is the leg that an event decided for another partition.
func (r *Reading) decided(e *stored) (amount journal.Amount, asset journal.Asset, ok bool, err error) {
	row := &e.row
	switch {
	case !e.Status.Accepted():
	case row.Op == journal.OpPay:
		return row.Amount, row.Asset, true, nil
	case row.Op == journal.OpConfirm && row.Verdict != journal.VerdictLocal:
		c, ok, err := get(r.snap, captureKey(nil, e.Partition, row.Reservation, e.Seq), parseCapture)
		if err != nil || !ok {
			return 0, 0, false, errors.Join(err, fmt.Errorf("%w: capture of event %v: found %v", ErrStore, e.Position, ok))
		}
		k, ok, err := r.kept(row.Reservation)
		if err != nil || !ok {
			return 0, 0, false, errors.Join(err, fmt.Errorf("%w: reservation of event %v: found %v", ErrStore, e.Position, ok))
		}
		return c.amount, k.Asset, true, nil
	}
	return 0, 0, false, nil
}
