package keeper

import (
	"context"
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/luascripts"
)

// A replica's (epoch, seq) of a partition names one history: trains run in one Redis process an epoch, since their scripts die
// with it, and what that process did reaches a replica in order. So the log and a replica agree up to the lower of their two
// seqs, if the log's event there was decided in the replica's epoch or an earlier one: an owner of a later epoch either went on
// with the same process, or began with what the log had. Behind that, they differ in what either of them has touched.
//
// Nothing is believed that does not fit: what the outbox still has of the log's events must be the same, byte for byte; it
// must end where the partition does; and in the end there must be as many records as in the Books (luascripts.Repair). Else
// the shard is rebuilt.

// patches are what the shard differs in from the log; errDiffers, with the reason, when that cannot be known.
func (r *reign) patches(ctx context.Context) ([]luascripts.Patch, error) {
	parts, err := r.shard.Parts(ctx)
	if err != nil {
		return nil, err
	}
	if len(parts) != len(r.own) {
		return nil, fmt.Errorf("%w: it has %d partitions, the map says %d", errDiffers, len(parts), len(r.own))
	}
	ahead, err := readAhead(ctx, r.shard, r.own, true)
	if err != nil {
		return nil, err
	}
	patches := make([]luascripts.Patch, 0, len(r.own))
	for _, p := range ordered(r.own) {
		part, ok := parts[p]
		if !ok {
			return nil, fmt.Errorf("%w: partition %d is not there", errDiffers, p)
		}
		t := newTouched(r.own[p].book)
		if err := r.own[p].differences(ctx, r.cfg.Journal, part, ahead, t); err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
		b := *r.own[p].book
		b.Epoch = r.epoch
		patches = append(patches, t.patch(&b))
	}
	return patches, nil
}

// differences notes what a partition of the shard may differ in from the log.
func (f *folded) differences(ctx context.Context, log journal.Log, part luascripts.Part, ahead outbox, t *touched) error {
	p := f.book.Partition
	last, some := ahead.last[p]
	switch {
	case part.EvictedMS != f.book.EvictedMS:
		return fmt.Errorf("%w: its keys were evicted up to %d, the log's up to %d", errDiffers, part.EvictedMS, f.book.EvictedMS)
	case some && last != part.Seq:
		return fmt.Errorf("%w: it is at seq %d, its outbox ends at %d", errDiffers, part.Seq, last)
	case !some && part.Seq > f.book.Seq:
		return fmt.Errorf("%w: it is at seq %d, the log at %d, and its outbox is empty", errDiffers, part.Seq, f.book.Seq)
	case ahead.next[p] <= part.Seq:
		return fmt.Errorf("%w: it is at seq %d, its outbox has only what is before %d", errDiffers, part.Seq, ahead.next[p])
	}
	same, err := f.sameAs(ctx, log, ahead.overlap[p])
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("%w: its outbox has other events than the log", errDiffers)
	}
	if err := f.behind(ctx, log, part, t); err != nil {
		return err
	}
	for i := range ahead.beyond[p] {
		h := &ahead.beyond[p][i]
		frame := journal.Frame{Kind: journal.FrameEvents, Partition: h.Partition, FirstSeq: h.FirstSeq, Count: h.Count, Payload: h.Append(nil)}
		if err := frame.EachEvent(func(e *journal.Event) error { return t.event(e) }); err != nil {
			return fmt.Errorf("%w: %w", errDiffers, err)
		}
	}
	return nil
}

// behind notes what the log's events touch that the shard does not have, after a look at the last one that both have.
func (f *folded) behind(ctx context.Context, log journal.Log, part luascripts.Part, t *touched) error {
	common := min(part.Seq, f.book.Seq)
	fits := func(epoch uint32) error {
		if epoch > part.Epoch {
			return fmt.Errorf("%w: the log's seq %d is of epoch %d, the shard was in %d", errDiffers, common, epoch, part.Epoch)
		}
		return nil
	}
	if common == f.book.Seq {
		return fits(f.book.Epoch)
	}
	cursor := f.points.before(f.book.Partition, max(common, 1)-1)
	_, err := log.Read(ctx, f.book.Partition, cursor.Offset, func(offset int64, record []byte) error {
		frame, v, err := cursor.Next(offset, record)
		if err != nil || v != journal.Accepted || frame.Kind != journal.FrameEvents {
			return err
		}
		return frame.EachEvent(func(e *journal.Event) error {
			switch {
			case e.Seq == common:
				return fits(e.Epoch)
			case e.Seq < common || e.Seq > f.book.Seq:
				return nil
			}
			return t.event(e)
		})
	})
	return err
}

// touched are the records of a partition that events name.
type touched struct {
	book     *journal.Book
	accounts map[journal.Handle]bool
	ids      map[journal.ID]bool
	sources  map[int]bool
	payers   map[journal.ID]journal.Handle // of reservations that the Book may not have
}

func newTouched(b *journal.Book) *touched {
	return &touched{book: b, accounts: map[journal.Handle]bool{}, ids: map[journal.ID]bool{}, sources: map[int]bool{}, payers: map[journal.ID]journal.Handle{}}
}

// event notes all that an event may have written: rather too much than too little.
func (t *touched) event(e *journal.Event) error {
	row, err := e.Row()
	if err != nil {
		return err
	}
	switch row.Op {
	case journal.OpOpen, journal.OpAlter:
		t.account(row.Account)
	case journal.OpTransfer, journal.OpPay:
		t.account(row.Account, row.To)
		t.id(row.ID)
	case journal.OpReserve:
		t.account(row.Account)
		t.id(row.ID)
		t.payers[row.ID] = row.Account
	case journal.OpConfirm:
		t.id(row.ID)
		if !e.Status.Accepted() { // its reservation may never have been: a Cancel came before it
			return nil
		}
		t.account(row.To)
		return t.reservation(row.Reservation)
	case journal.OpCancel, journal.OpExpire:
		if e.Status == journal.Tombstone {
			t.id(row.ID)
			return nil
		}
		return t.reservation(row.ID)
	case journal.OpDeliver:
		t.sources[row.Source] = true
		for i := range row.LegCount {
			l := row.Leg(i)
			t.account(l.Payee, journal.SuspenseHandle(t.book.Partition, l.Asset))
		}
	default:
		return fmt.Errorf("%w: what %v writes is not known here", errDiffers, row.Op)
	}
	return nil
}

// reservation notes one, and its payer.
func (t *touched) reservation(id journal.ID) error {
	t.id(id)
	if res, ok := t.book.State.Reservation(id); ok {
		t.account(res.Payer)
		return nil
	}
	if payer, ok := t.payers[id]; ok {
		t.account(payer)
		return nil
	}
	return fmt.Errorf("%w: nobody knows the reservation %x", errDiffers, id)
}

// account notes accounts of this partition: a payee may be another's, and live in the same shard.
func (t *touched) account(handles ...journal.Handle) {
	for _, h := range handles {
		if h.Partition(t.book.Partitions) == t.book.Partition {
			t.accounts[h] = true
		}
	}
}

func (t *touched) id(id journal.ID) {
	if id.Partition(t.book.Partitions) == t.book.Partition {
		t.ids[id] = true
	}
}

func (t *touched) patch(b *journal.Book) luascripts.Patch {
	p := luascripts.Patch{Book: b}
	for h := range t.accounts {
		p.Accounts = append(p.Accounts, h)
	}
	for id := range t.ids {
		p.IDs = append(p.IDs, id)
	}
	for s := range t.sources {
		p.Sources = append(p.Sources, s)
	}
	return p
}

// repair brings a promoted replica to the log's end. False: it does not fit, and must be rebuilt.
func (r *reign) repair(ctx context.Context) (bool, error) {
	patches, err := r.patches(ctx)
	if err == nil {
		records := 0
		for _, p := range patches {
			records += len(p.Accounts) + len(p.IDs) + len(p.Sources)
		}
		r.cfg.Log.Info("replica is brought to the log's end", "epoch", r.epoch, "records", records)
		r.tell(Progress{State: Rebuilding, Epoch: r.epoch, Reason: fmt.Sprintf("a replica, %d records of which may differ", records)})
		err = r.shard.Repair(ctx, patches...)
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, luascripts.ErrOvertaken):
		return false, fmt.Errorf("%w: %w", errDeposed, err)
	case errors.Is(err, errDiffers), errors.Is(err, luascripts.ErrNotWhole), errors.Is(err, luascripts.ErrBadEntry):
		r.cfg.Log.Warn("replica does not fit the log", "error", err)
		return false, nil
	}
	return false, err
}
