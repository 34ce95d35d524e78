package relay

import (
	"context"
	"fmt"

	"walletd/journal"
)

// Claim makes a partition this keeper's: it reads the log from a cursor on, appends EpochStarted, and reads on up to it and
// to the end (design section 7, rule 1). visit is told every frame that counts, in order, with the cursor behind it; the
// frame shares memory with the log and is valid until visit returns. An error of visit ends the claim.
//
// ErrDeposed: the log shows an epoch above this one, or reached it by another keeper's frame; take a higher epoch.
func Claim(ctx context.Context, log journal.Log, from journal.Cursor, epoch uint32, keeper string, nowMS int64, visit func(*journal.Frame, journal.Cursor) error) (journal.Cursor, error) {
	cursor := from
	frame := journal.NewEpochFrame(cursor.Partition, epoch, nowMS, keeper)
	record := frame.Seal(nil)
	for wait := backoffMin; ; wait = min(2*wait, backoffMax) {
		claimed, err := readOn(ctx, log, &cursor, &frame, visit)
		if claimed || err != nil {
			return cursor, err
		}
		// Whatever the append answers: the log itself says whether the frame is there, and what stands before it.
		if _, err := log.Append(ctx, []journal.Record{{Partition: cursor.Partition, Bytes: record}}); err != nil {
			if err := pause(ctx, wait); err != nil {
				return cursor, fmt.Errorf("claim partition %d: %w", cursor.Partition, err)
			}
		}
	}
}

// readOn reads to the log's end and answers whether the claim's frame has been passed.
func readOn(ctx context.Context, log journal.Log, cursor *journal.Cursor, claim *journal.Frame, visit func(*journal.Frame, journal.Cursor) error) (claimed bool, err error) {
	claimed = cursor.Epoch == claim.Epoch
	_, err = log.Read(ctx, cursor.Partition, cursor.Offset, func(offset int64, record []byte) error {
		f, verdict, err := cursor.Next(offset, record)
		if err != nil || verdict != journal.Accepted {
			return err
		}
		if f.Kind == journal.FrameEpochStarted && f.Epoch >= claim.Epoch {
			if f.Hash != claim.Hash {
				return fmt.Errorf("%w: partition %d is in epoch %d", ErrDeposed, cursor.Partition, f.Epoch)
			}
			claimed = true
		}
		return visit(&f, *cursor)
	})
	if err != nil {
		return false, fmt.Errorf("claim partition %d: %w", cursor.Partition, err)
	}
	if cursor.Epoch > claim.Epoch {
		return false, fmt.Errorf("claim partition %d: %w: it is in epoch %d", cursor.Partition, ErrDeposed, cursor.Epoch)
	}
	return claimed, nil
}
