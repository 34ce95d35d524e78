package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"walletd/journal"
)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

func claimAs(t *testing.T, l journal.Log, epoch uint32, keeper string) (journal.Cursor, error) {
	t.Helper()
	return Claim(t.Context(), l, journal.Cursor{}, epoch, keeper, 1, nil)
}

func TestClaimGivesWhatCountsAndEndsAtTheLogsEnd(t *testing.T) {
	l := newMemLog(1)
	k := mustKeeper(t, l, 1, 'a')
	k.run()
	k.work(0, 3)
	k.awaitAll()
	k.work(0, 4)
	k.awaitAll()
	k.mustStop()

	seq, frames := uint64(0), 0
	cur, err := Claim(t.Context(), l, journal.Cursor{}, 2, "b", 7, func(f *journal.Frame, end journal.Cursor) error {
		frames++
		if end.Offset != int64(frames) || (f.Kind == journal.FrameEvents && (f.FirstSeq != seq+1 || end.Seq != f.LastSeq())) {
			t.Errorf("frame %d: seq %d behind %d, cursor %+v", frames, f.FirstSeq, seq, end)
		}
		seq = end.Seq
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if end := int64(len(l.records[0])); cur.Offset != end || cur.Epoch != 2 || cur.Seq != 7 || frames != 4 {
		t.Errorf("cursor %+v, the log ends at %d; %d frames", cur, end, frames)
	}
	// From a cursor on, only what lies behind is given.
	again, err := Claim(t.Context(), l, cur, 3, "c", 8, func(f *journal.Frame, _ journal.Cursor) error {
		if f.Kind != journal.FrameEpochStarted || f.Epoch != 3 {
			t.Errorf("given again: %+v", f)
		}
		return nil
	})
	if err != nil || again.Seq != 7 || again.Epoch != 3 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestClaimSurvivesEveryFault(t *testing.T) {
	for seed := range uint64(25) {
		l := newFaultLog(newMemLog(1), seed, 0.6)
		for epoch := uint32(1); epoch <= 3; epoch++ {
			cur, err := claimAs(t, l, epoch, fmt.Sprint("k", epoch))
			if err != nil || cur.Epoch != epoch {
				t.Fatalf("seed %d: epoch %d: %+v, %v", seed, epoch, cur, err)
			}
		}
	}
}

func TestClaimRefuses(t *testing.T) {
	l := newMemLog(1)
	if _, err := claimAs(t, l, 5, "five"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		epoch  uint32
		keeper string
		from   journal.Cursor
	}{{4, "four", journal.Cursor{}}, {5, "another", journal.Cursor{}}, {5, "five", journal.Cursor{Epoch: 5}}, {4, "four", journal.Cursor{Epoch: 5}}} {
		if _, err := Claim(t.Context(), l, c.from, c.epoch, c.keeper, 1, nil); !errors.Is(err, ErrDeposed) {
			t.Errorf("epoch %d by %s from %+v: %v, want ErrDeposed", c.epoch, c.keeper, c.from, err)
		}
	}
	// The same claim again, after an error in between: the epoch is still unused.
	if _, err := claimAs(t, l, 5, "five"); err != nil {
		t.Errorf("the same claim again: %v", err)
	}
	k := mustKeeper(t, newMemLog(1), 1, 'a')
	k.run()
	k.work(0, 1)
	k.awaitAll()
	k.mustStop()
	if _, err := claimAs(t, k.relay.cfg.Log, 1, "keeper-1"); !errors.Is(err, ErrEpochUsed) {
		t.Errorf("an epoch with events: %v, want ErrEpochUsed", err)
	}
	enough := errors.New("enough")
	if _, err := Claim(t.Context(), l, journal.Cursor{}, 9, "nine", 1, func(*journal.Frame, journal.Cursor) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("visit's error: %v", err)
	}
}

func TestClaimOfADamagedLog(t *testing.T) {
	k := mustKeeper(t, newMemLog(1), 1, 'a')
	l := k.relay.cfg.Log.(*memLog)
	k.run()
	k.work(0, 1)
	k.awaitAll()
	k.mustStop()
	l.records[0][1][90] ^= 1
	if _, err := claimAs(t, l, 2, "b"); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("%v, want ErrDamaged", err)
	}
}

func TestClaimWaitsForTheJournalUntilItsContextEnds(t *testing.T) {
	l := newFaultLog(newMemLog(1), 1, 0)
	l.lose(0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := Claim(ctx, l, journal.Cursor{}, 1, "a", 1, nil)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's", err)
	}
}
