package keeper

import (
	"slices"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// TestExpiryAsks: when an expire is sent for an open reservation, and when again.
func TestExpiryAsks(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	const again = 15 * time.Second
	x := newExpiry(2, again, func() {})
	id := func(n byte) journal.ID { return journal.ID{3: n, 15: n} } // partition n mod 2
	asked := func() (out []byte, tags map[byte]uint64) {
		tags = map[byte]uint64{}
		stage := rows.NewStage(2)
		x.pump(now, stage)
		stage.Each(func(s *rows.Section) {
			for i, b := 0, s.Rows; len(b) > 0; i++ {
				var r journal.Row
				n, err := r.Parse(b)
				if err != nil || r.Op != journal.OpExpire || r.ID.Partition(2) != s.Partition {
					t.Fatalf("%v %v to partition %d: %v", r.Op, r.ID, s.Partition, err)
				}
				out, tags[r.ID[15]], b = append(out, r.ID[15]), s.Metas[i].Tag, b[n:]
			}
		})
		slices.Sort(out)
		return out, tags
	}
	expect := func(what string, want ...byte) map[byte]uint64 {
		t.Helper()
		got, tags := asked()
		if !slices.Equal(got, want) {
			t.Fatalf("%s: asked for %v, want %v", what, got, want)
		}
		return tags
	}
	answer := func(tag uint64, s journal.Status) {
		x.Settle([]rows.Outcome{{Tag: tag, Op: journal.OpExpire, Status: s}})
	}
	for n := byte(1); n <= 5; n++ {
		x.opened(id(n), open{expiresMS: now.Add(time.Duration(n) * time.Minute).UnixMilli()})
	}
	expect("before any is due")
	now = now.Add(4 * time.Minute)
	x.closed(id(4))
	tags := expect("three are due, one was closed", 1, 2, 3)
	expect("they are on their way")
	answer(tags[1], journal.Expired)
	answer(tags[2], journal.NotDue)
	// Of the third no answer comes. The answers' own pauses are by the real clock, which is about now − 4 minutes.
	expect("after the answers", 2)
	now = now.Add(again + time.Second)
	tags = expect("no answer in time", 2, 3)
	answer(tags[3], journal.OutcomeUnknown)
	expect("nobody knows: at once again", 3)
	if open, expired := x.stats(); open != 3 || expired != 1 {
		t.Errorf("%d open, %d expired", open, expired)
	}
	next := x.pump(now, rows.NewStage(2))
	if wait := next.Sub(now); wait <= 0 || wait > again {
		t.Errorf("to come again in %v", wait)
	}
}

// TestExpiryIsBounded: so many expires are under way, and lost answers do not use them up.
func TestExpiryIsBounded(t *testing.T) {
	now := time.Now()
	x := newExpiry(1, time.Second, func() {})
	for n := range 3 * expiresMax {
		x.opened(journal.ID{14: byte(n >> 8), 15: byte(n)}, open{expiresMS: now.UnixMilli()})
	}
	for range 3 {
		stage := rows.NewStage(1)
		x.pump(now, stage)
		if stage.Rows() != expiresMax || len(x.flying) != expiresMax || len(x.tags) != expiresMax {
			t.Fatalf("%d sent, %d under way", stage.Rows(), len(x.flying))
		}
		if x.pump(now, stage); stage.Rows() != expiresMax {
			t.Fatalf("%d sent at once", stage.Rows())
		}
		now = now.Add(2 * time.Second)
	}
}
