package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
)

// ErrEpochUsed says that events were written in the epoch before it was claimed: it must not be used again.
var ErrEpochUsed = errors.New("the epoch has been used")

// Claim makes a partition this keeper's own in the log (design section 7, rule 1): it appends EpochStarted and reads the
// log from the cursor from on to its end, with that in it. visit, if not nil, is given every frame that counts, in order, with the cursor
// behind it; the frame holds until visit returns. The epoch must be one that no keeper has used, and keeper a name that
// no other process bears. Claim answers the cursor at the log's end, for Config.Cursors.
//
// A reply that is lost is resolved by reading; a journal that is away is waited for until ctx ends. Errors: ErrDeposed,
// when a higher epoch has started, or another keeper started this one; ErrEpochUsed; a journal.ErrDamaged; visit's own;
// ctx's. After an error nothing is claimed, though the epoch may have been started.
func Claim(ctx context.Context, log journal.Log, from journal.Cursor, epoch uint32, keeper string, nowMS int64,
	visit func(f *journal.Frame, end journal.Cursor) error) (journal.Cursor, error) {
	c := claiming{log: log, cursor: from, epoch: epoch, keeper: keeper, visit: visit, landed: -1}
	err := c.run(ctx, nowMS)
	if err != nil {
		return journal.Cursor{}, fmt.Errorf("claim partition %d in epoch %d: %w", from.Partition, epoch, err)
	}
	return c.cursor, nil
}

// claiming is one Claim under way.
type claiming struct {
	log    journal.Log
	cursor journal.Cursor
	epoch  uint32
	keeper string
	visit  func(*journal.Frame, journal.Cursor) error

	landed  int64 // where the log says that our EpochStarted is, -1 before that
	claimed bool
	fault   error // what ends the claim
}

const (
	claimRetryMin = 5 * time.Millisecond
	claimRetryMax = time.Second
)

func (c *claiming) run(ctx context.Context, nowMS int64) error {
	if c.cursor.Epoch >= c.epoch {
		return &DeposedError{Partition: c.cursor.Partition, Epoch: c.epoch, By: c.cursor.Epoch}
	}
	frame := journal.NewEpochFrame(c.cursor.Partition, c.epoch, nowMS, c.keeper)
	records := []journal.Record{{Partition: c.cursor.Partition, Bytes: frame.Seal(nil)}}
	for pause := claimRetryMin; ; pause = min(2*pause, claimRetryMax) {
		if c.landed < c.cursor.Offset { // not known to lie ahead of us
			offsets, err := c.log.Append(ctx, records)
			if err == nil && len(offsets) == 1 {
				c.landed = offsets[0]
			}
		}
		_, err := c.log.Read(ctx, c.cursor.Partition, c.cursor.Offset, c.next)
		switch {
		case c.fault != nil:
			return c.fault
		case errors.Is(err, journal.ErrDamaged):
			return err
		case err == nil && c.claimed:
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(ctx.Err(), err)
		}
	}
}

// next takes a record of the log; an error of ours ends the claim, whatever the log makes of it.
func (c *claiming) next(offset int64, record []byte) error {
	f, verdict, err := c.cursor.Next(offset, record)
	if err == nil {
		err = c.judge(&f, verdict)
	}
	if err == nil && verdict == journal.Accepted && c.visit != nil {
		err = c.visit(&f, c.cursor)
	}
	c.fault = err
	return err
}

func (c *claiming) judge(f *journal.Frame, verdict journal.Verdict) error {
	switch {
	case f.Epoch > c.epoch && f.Kind == journal.FrameEpochStarted:
		return &DeposedError{Partition: f.Partition, Epoch: c.epoch, By: f.Epoch}
	case f.Epoch == c.epoch && f.Kind == journal.FrameEvents:
		return fmt.Errorf("%w: events from seq %d at offset %d", ErrEpochUsed, f.FirstSeq, c.cursor.Offset-1)
	case f.Epoch == c.epoch && verdict == journal.Accepted:
		if keeper := string(f.Payload[min(len(f.Payload), epochTimeSize):]); keeper != c.keeper {
			return fmt.Errorf("%w, by keeper %q", &DeposedError{Partition: f.Partition, Epoch: c.epoch, By: c.epoch}, keeper)
		}
		c.claimed = true
	}
	return nil
}

// epochTimeSize is the time before the keeper's name in an epoch frame's payload, bytes.
const epochTimeSize = 7
