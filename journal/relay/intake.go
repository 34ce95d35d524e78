package relay

import (
	"context"
	"fmt"
)

// How events come in: the outbox is read, and whoever has the entry that is next may offer it before (decision 20). There is one
// lock, and entries are collected in the order of their places.

// intake reads the outbox and collects.
func (r *Relay) intake(ctx context.Context) error {
	for {
		b, err := r.cfg.Outbox.Next(ctx)
		if err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		if err := r.collect(&b); err != nil {
			return err
		}
		for r.Stats().Pending > r.cfg.PendingBytesMax {
			select {
			case <-r.room:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// Place is the place of the last entry of the outbox that has been collected.
func (r *Relay) Place() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.place
}

// Offer hands over the entry b.UpTo of the outbox, all of it and as the outbox has it, by whoever has it earlier. False: it was
// not taken, and is read from the outbox; there was no room, or it is not the next one, and what is missing is in the outbox, or it
// does not go on where the journal ends, which the outbox must tell. An entry that was collected before is taken, and compared:
// if it differs, Run ends with ErrOutbox. b is the caller's again when Offer returns. It may be called from any goroutine.
func (r *Relay) Offer(b *Batch) (taken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.broken:
		return false
	case b.UpTo <= r.place:
		for i := range b.Sections {
			if err := r.repeats(&b.Sections[i]); err != nil {
				r.breaks(err)
			}
		}
		return true
	case b.UpTo != r.place+1, r.stats.Pending > r.cfg.PendingBytesMax, !r.goesOn(b.Sections):
		r.stats.Refused++
		return false
	}
	t := &ticket{upTo: b.UpTo}
	for i := range b.Sections {
		if err := r.take(t, &b.Sections[i]); err != nil {
			r.breaks(err)
			return false
		}
	}
	r.entered(t)
	r.stats.Offered++
	return true
}

// goesOn reports whether all sections are ours, of one partition each, and begin where their lanes end. r.mu is held, as below.
func (r *Relay) goesOn(sections []Section) bool {
	r.offers++
	for i := range sections {
		s := &sections[i]
		l := r.of[s.Partition]
		if l == nil || l.offer == r.offers || s.Epoch != l.epoch || s.FirstSeq != l.tail+1 || s.Count < 1 || r.cfg.Continues(s) != nil {
			return false
		}
		l.offer = r.offers
	}
	return true
}

// breaks ends Run.
func (r *Relay) breaks(err error) {
	if !r.broken {
		r.broken = true
		r.faults <- err // it has room for one of ours
	}
}

// collect takes what was read: what is behind place.
func (r *Relay) collect(b *Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &ticket{upTo: b.UpTo}
	for i := range b.Sections {
		if err := r.read(t, &b.Sections[i]); err != nil {
			return err
		}
	}
	if b.UpTo > r.place { // else others' tickets wait for all of it
		r.entered(t)
	}
	return nil
}

func (r *Relay) read(t *ticket, s *Section) error {
	switch {
	case s.Place <= r.place:
		return r.repeats(s)
	case r.of[s.Partition] == nil:
		return &OutboxError{Partition: s.Partition, FirstSeq: s.FirstSeq, Count: s.Count, Reason: "the partition is not ours"}
	}
	if err := r.cfg.Continues(s); err != nil {
		return fmt.Errorf("%w: %w", ErrOutbox, err)
	}
	return r.take(t, s)
}

// take collects a section. The ticket waits for every lane that has something of it.
func (r *Relay) take(t *ticket, s *Section) error {
	l := r.of[s.Partition]
	wait, err := l.take(s, &r.stats)
	if err != nil || wait == 0 {
		return err
	}
	if n := len(l.tickets); n > 0 && l.tickets[n-1].ticket == t {
		l.tickets[n-1].seq = max(l.tickets[n-1].seq, wait)
		return nil
	}
	t.left++
	l.tickets = append(l.tickets, share{wait, t})
	return nil
}

// entered notes that a ticket's sections have been collected.
func (r *Relay) entered(t *ticket) {
	r.place = t.upTo
	r.queue = append(r.queue, t)
	poke(r.kick)
}

// repeats compares a section of an entry that has been collected with what was. Its partition may have left since, and come back
// in another epoch: then nothing is known.
func (r *Relay) repeats(s *Section) error {
	l := r.of[s.Partition]
	if l == nil || s.Epoch != l.epoch {
		return nil
	}
	r.stats.Repeats++
	return l.repeats(s)
}
