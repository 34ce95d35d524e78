package keeper

import (
	"context"
	"errors"
	"testing"

	"walletd/journal"
)

// memLog is a log of one partition in memory.
type memLog struct {
	journal.Log
	cursor  journal.Cursor
	records [][]byte
}

func (l *memLog) append(t *testing.T, acts []journal.Row) {
	t.Helper()
	if len(l.records) == 0 {
		f := journal.NewEpochFrame(0, 1, 0, "sim")
		l.add(t, f.Seal(nil))
	}
	var events []byte
	for _, r := range acts {
		status := journal.Confirmed
		if r.Op == journal.OpReserve || (r.Op == journal.OpConfirm && !r.Final) {
			status = journal.Tried
		}
		events = append(r.Append(events), byte(status))
	}
	f := journal.Frame{Kind: journal.FrameEvents, Epoch: 1, FirstSeq: l.cursor.Seq + 1, Count: len(acts), Prev: l.cursor.Chain,
		Payload: journal.Block{Epoch: 1, Count: len(acts), Events: events}.Append(nil)}
	l.add(t, f.Seal(nil))
}

func (l *memLog) add(t *testing.T, record []byte) {
	t.Helper()
	if _, v, err := l.cursor.Next(int64(len(l.records)), record); err != nil || v != journal.Accepted {
		t.Fatal(v, err)
	}
	l.records = append(l.records, record)
}

func (l *memLog) Read(ctx context.Context, _ int, from int64, fn func(int64, []byte) error) (int64, error) {
	for ; from < int64(len(l.records)); from++ {
		if err := errors.Join(ctx.Err(), fn(from, l.records[from])); err != nil {
			return from, err
		}
	}
	return from, nil
}
