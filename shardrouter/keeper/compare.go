package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"walletd/journal"
	"walletd/journal/planted"
	"walletd/luascripts"
)

// folded is a partition's log, read to its end.
type folded struct {
	book   *journal.Book
	end    journal.Cursor
	until  int64  // offset at which the folding ends; 0: with the log
	wrote  uint32 // the epoch of the last frame of events
	recent recent
	points points
	from   string       // the snapshot that the fold began at, "" at the log's first record
	last   journal.Hash // of the record before it
}

// verdict is what the comparison of a shard with the log says.
type verdict struct {
	adopt bool   // the shard goes on as it is
	why   string // if not: why it is rebuilt
	parts map[int]luascripts.Part
	ahead map[int][]span
	never uint32 // an epoch above ours that the shard is in, and that never started
}

func rebuild(format string, args ...any) verdict { return verdict{why: fmt.Sprintf(format, args...)} }

// compare stops the trains of the shard and holds it against the log (design section 8). It is adopted when each of its
// partitions is where the log ends or ahead of it on the same history:
//
//   - it admitted trains of the epoch that the partition shows, until we stopped them: so it is the Redis process in which that
//     epoch began, and everything that ran in it is there;
//   - it has never evicted anything, whatever its settings are now;
//   - it was fenced by the owner that wrote the log's last events, or by a later one: so no other shard was served since;
//     and by no owner that the log does not know;
//   - its outbox goes on exactly behind the log's last event, up to the partition's seq;
//   - what the outbox still has of the log's own events is the same, byte for byte.
//
// What it is ahead was never seen by anyone; the relay brings it into the log.
func compare(ctx context.Context, shard Shard, log journal.Log, epoch uint32, own map[int]*folded) (verdict, error) {
	before, err := shard.Parts(ctx)
	if err != nil {
		return verdict{}, err
	}
	v, err := neverStarted(ctx, log, epoch, own, before)
	if err != nil {
		return verdict{}, err
	}
	admitted, err := shard.Stop(ctx, epochsOf(own, before)...)
	if err != nil || v.never > 0 {
		return v, err
	}
	parts, err := shard.Parts(ctx) // where they stand now
	if err != nil {
		return verdict{}, err
	}
	for _, p := range ordered(own) {
		f := own[p]
		part, ok := parts[p]
		switch {
		case planted.Is(planted.AdoptUncompared) && ok:
			continue
		case !ok:
			return rebuild("partition %d is not there", p), nil
		case part.Epoch != before[p].Epoch:
			return verdict{}, fmt.Errorf("partition %d went from epoch %d to %d while it was looked at", p, before[p].Epoch, part.Epoch)
		case part.Epoch < f.wrote:
			return rebuild("partition %d is of epoch %d, the log was written by %d", p, part.Epoch, f.wrote), nil
		case part.Seq < f.book.Seq:
			return rebuild("partition %d is at seq %d, the log at %d", p, part.Seq, f.book.Seq), nil
		}
	}
	if evicted, err := shard.Evicted(ctx); err != nil || evicted > 0 {
		return rebuild("it has evicted %d keys", evicted), err
	}
	if planted.Is(planted.AdoptUncompared) {
		return verdict{adopt: true, parts: parts}, nil
	}
	if !admitted {
		return rebuild("it has been started again, or its scripts were flushed"), nil
	}
	return continues(ctx, shard, log, own, parts)
}

// epochsOf are the epochs that the partitions show.
func epochsOf(own map[int]*folded, parts map[int]luascripts.Part) (epochs []uint32) {
	for _, p := range ordered(own) {
		if part, ok := parts[p]; ok && !slices.Contains(epochs, part.Epoch) {
			epochs = append(epochs, part.Epoch)
		}
	}
	return epochs
}

// continues reports whether the shard's outbox continues the log.
func continues(ctx context.Context, shard Shard, log journal.Log, own map[int]*folded, parts map[int]luascripts.Part) (verdict, error) {
	ahead, err := readAhead(ctx, shard, own, false)
	if errors.Is(err, errDiffers) {
		return rebuild("%v", err), nil
	}
	if err != nil {
		return verdict{}, err
	}
	for _, p := range ordered(own) {
		f := own[p]
		if got, want := ahead.next[p], parts[p].Seq+1; got < want {
			return rebuild("partition %d is at seq %d, its outbox has only what is before %d", p, want-1, got), nil
		}
		same, err := f.sameAs(ctx, log, ahead.overlap[p])
		if err != nil {
			return verdict{}, err
		}
		if !same {
			return rebuild("partition %d: the outbox has other events than the log", p), nil
		}
	}
	return verdict{adopt: true, parts: parts, ahead: ahead.ahead}, nil
}

// neverStarted finds the highest epoch above ours that a partition is in. Its owner may have come after us; then it is in the
// log, and we are deposed.
func neverStarted(ctx context.Context, log journal.Log, epoch uint32, own map[int]*folded, parts map[int]luascripts.Part) (v verdict, err error) {
	for _, p := range ordered(own) {
		f, part := own[p], parts[p]
		if part.Epoch <= max(epoch, v.never) {
			continue
		}
		highest, err := f.highest(ctx, log)
		if err == nil && highest > epoch {
			err = fmt.Errorf("%w: epoch %d has started", errDeposed, highest)
		}
		if err != nil {
			return verdict{}, err
		}
		v = rebuild("partition %d is of epoch %d, which never started", p, part.Epoch)
		v.never = part.Epoch
	}
	return v, nil
}

// highest is the highest epoch that has started in the log by now.
func (f *folded) highest(ctx context.Context, log journal.Log) (uint32, error) {
	cursor := f.end
	_, err := log.Read(ctx, cursor.Partition, cursor.Offset, func(offset int64, record []byte) error {
		_, _, err := cursor.Next(offset, record)
		return err
	})
	return cursor.Epoch, err
}

// span is a run of events that a shard had before it was adopted, and the log had not.
type span struct {
	first, last uint64
	epoch       uint32
}

// errDiffers says that the shard's history is not the log's.
var errDiffers = errors.New("another history")

// outbox is what a shard's outbox has, against the log.
type outbox struct {
	next    map[int]uint64                // seq that would follow
	overlap map[int][]luascripts.Happened // what the log has, too
	beyond  map[int][]luascripts.Happened // what it has not
	ahead   map[int][]span                // where that is, and in which epochs it happened
	last    map[int]uint64                // seq seen last, of partitions seen
}

const outboxRead = 128 // entries at once

// readAhead reads the whole outbox, which ends where the trains of the moment end, and keeps what is beyond the log if asked to.
func readAhead(ctx context.Context, shard Shard, own map[int]*folded, beyond bool) (o outbox, err error) {
	o = outbox{next: map[int]uint64{}, overlap: map[int][]luascripts.Happened{}, beyond: map[int][]luascripts.Happened{}, ahead: map[int][]span{}, last: map[int]uint64{}}
	for p, f := range own {
		o.next[p] = f.book.Seq + 1
	}
	for after := uint64(0); ; {
		entries, err := shard.ReadOutbox(ctx, after, outboxRead, 0)
		if err != nil || len(entries) == 0 {
			return o, err
		}
		for _, e := range entries {
			if err := e.Each(func(h luascripts.Happened) error { return o.take(h, own, beyond) }); err != nil {
				return o, fmt.Errorf("outbox entry %d: %w", e.ID, err)
			}
			after = e.ID
		}
	}
}

func (o *outbox) take(h luascripts.Happened, own map[int]*folded, beyond bool) error {
	f, ours := own[h.Partition]
	if !ours {
		return fmt.Errorf("%w: events of partition %d, which the map gives to another shard", errDiffers, h.Partition)
	}
	before, seen := o.last[h.Partition]
	if (seen && h.FirstSeq != before+1) || h.FirstSeq > o.next[h.Partition] {
		return fmt.Errorf("%w: partition %d: seq %d does not follow", errDiffers, h.Partition, h.FirstSeq)
	}
	o.last[h.Partition] = h.LastSeq()
	if h.FirstSeq <= f.book.Seq {
		o.overlap[h.Partition] = append(o.overlap[h.Partition], h)
	}
	if h.LastSeq() > f.book.Seq {
		o.ahead[h.Partition] = append(o.ahead[h.Partition], span{h.FirstSeq, h.LastSeq(), h.Epoch})
	}
	if beyond && h.LastSeq() > f.book.Seq {
		o.beyond[h.Partition] = append(o.beyond[h.Partition], h)
	}
	o.next[h.Partition] = max(o.next[h.Partition], h.LastSeq()+1)
	return nil
}

// sameAs reports whether the log has these events: bytes, outcomes, times and epochs.
func (f *folded) sameAs(ctx context.Context, log journal.Log, runs []luascripts.Happened) (bool, error) {
	if len(runs) == 0 {
		return true, nil
	}
	want := map[uint64]journal.Event{}
	for i := range runs {
		if err := f.events(&runs[i], want); err != nil {
			return false, nil //nolint:nilerr // an outbox that cannot be read is another one
		}
	}
	cursor := f.points.before(f.book.Partition, runs[0].FirstSeq-1)
	same := true
	_, err := log.Read(ctx, f.book.Partition, cursor.Offset, func(offset int64, record []byte) error {
		frame, v, err := cursor.Next(offset, record)
		if err != nil || v != journal.Accepted {
			return err
		}
		return frame.EachEvent(func(e *journal.Event) error {
			if w, ok := want[e.Seq]; ok {
				delete(want, e.Seq)
				same = same && w.Status == e.Status && w.TimeMS == e.TimeMS && w.Epoch == e.Epoch && bytes.Equal(w.Packed, e.Packed)
			}
			return nil
		})
	})
	return same && len(want) == 0, err
}

// events takes a run apart, as far as the log goes.
func (f *folded) events(h *luascripts.Happened, into map[uint64]journal.Event) error {
	frame := journal.Frame{Kind: journal.FrameEvents, Partition: h.Partition, FirstSeq: h.FirstSeq, Count: h.Count, Payload: h.Append(nil)}
	return frame.EachEvent(func(e *journal.Event) error {
		if e.Seq <= f.book.Seq {
			into[e.Seq] = *e
		}
		return nil
	})
}
