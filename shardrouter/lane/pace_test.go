package lane

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/shardrouter"
)

func TestIntervalGrowsWithLoad(t *testing.T) {
	for _, c := range []struct {
		load float64
		want time.Duration
	}{
		{0, 0},
		{2_999, 0},
		{3_000, time.Millisecond},
		{16_500, 1500 * time.Microsecond},
		{30_000, 2 * time.Millisecond},
		{1_000_000, 2 * time.Millisecond},
	} {
		if got := interval(c.load); got != c.want {
			t.Errorf("at %.0f acts/s: %v, want %v", c.load, got, c.want)
		}
	}
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// leave lets trains with so many acts leave, one whenever the timetable lets it and apart has passed.
func leave(tt *timetable, now time.Time, trains, acts int, apart time.Duration) time.Time {
	departed := now
	for range trains {
		now = now.Add(apart)
		if at := tt.next(departed); at.After(now) {
			now = at
		}
		tt.depart(now, acts)
		departed = now
	}
	return departed
}

func TestTimetable(t *testing.T) {
	waits := func(tt *timetable, departed time.Time) time.Duration { return tt.next(departed).Sub(departed) }
	t.Run("a lone client never waits", func(t *testing.T) {
		tt := &timetable{}
		departed := leave(tt, noon, 1000, 1, 700*time.Microsecond)
		if d := waits(tt, departed); d > 0 {
			t.Errorf("waits %v at %.0f acts/s", d, tt.load)
		}
	})
	t.Run("a loaded lane waits, and its trains fill", func(t *testing.T) {
		tt := &timetable{}
		departed := leave(tt, noon, 200, 50, 500*time.Microsecond)
		if d := waits(tt, departed); d < 3*paceMax/4 || d > paceMax {
			t.Errorf("waits %v at %.0f acts/s", d, tt.load)
		}
	})
	t.Run("a burst after idleness does not wait", func(t *testing.T) {
		tt := &timetable{}
		now := leave(tt, noon, 200, 50, time.Millisecond).Add(time.Second)
		tt.depart(now, 1000)
		if d := waits(tt, now); d > 0 {
			t.Errorf("waits %v at %.0f acts/s", d, tt.load)
		}
	})
	t.Run("load that ends is forgotten", func(t *testing.T) {
		tt := &timetable{}
		departed := leave(tt, noon, 200, 300, 3*time.Millisecond)
		departed = leave(tt, departed, 100, 1, 2*time.Millisecond)
		if d := waits(tt, departed); d > 0 {
			t.Errorf("waits %v at %.0f acts/s", d, tt.load)
		}
	})
	t.Run("of each lane one train in a slot", func(t *testing.T) {
		tt := &timetable{}
		first := leave(tt, noon, 200, 50, time.Millisecond)
		other := first.Add(100 * time.Microsecond)
		if at := tt.next(first.Add(-time.Microsecond)); at.After(first) {
			t.Errorf("one that has not left in the slot waits until %v", at.Sub(first))
		}
		tt.depart(other, 50)
		if a, b := tt.next(first), tt.next(other); a != b || !a.After(other) {
			t.Errorf("two that have left go again after %v and %v: not together", a.Sub(other), b.Sub(other))
		}
	})
}

// TestNoRowIsStranded: whatever comes when, to however many lanes, each row leaves within a slot of its coming, or of the return
// of the train that was away. Time is simulated; the lanes' goroutines are played
// by the test, and sleep exactly as long as they would.
func TestNoRowIsStranded(t *testing.T) {
	const away = 700 * time.Microsecond
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 7))
		w := newPaper(t, 1+dice.IntN(3))
		mean := time.Duration(1+dice.IntN(3000)) * time.Microsecond
		next := noon
		for n, now := 0, noon; n < 300 || w.waiting() > 0; {
			if n < 300 && !next.After(now) {
				w.arrive(dice.IntN(len(w.lanes)), now)
				next = next.Add(time.Duration(dice.ExpFloat64() * float64(mean)))
				n++
			}
			w.run(now, away)
			later := w.wakes(now)
			if n < 300 && next.Before(later) {
				later = next
			}
			if later.Sub(now) > idleLook/2 {
				t.Fatalf("seed %d: %d rows wait and nobody wakes", seed, w.waiting())
			}
			now = later
		}
		if len(w.late) > 0 {
			t.Fatalf("seed %d: %d rows late, the first %v", seed, len(w.late), w.late[0])
		}
	}
}

// paper is lanes without shards.
type paper struct {
	*Lanes
	lanes []*paperLane
	late  []time.Duration
}

type paperLane struct {
	*lane
	part  *part
	waits []time.Time // arrivals
	back  time.Time   // when the train returns
	sleep time.Time   // the goroutine wakes then
}

func newPaper(t *testing.T, lanes int) *paper {
	t.Helper()
	m, err := shardrouter.NewMap(lanes, shardrouter.Shard{ID: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	static, err := shardrouter.NewStatic(shardrouter.StaticConfig{Initial: m})
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(Config{Partitions: lanes, Map: static})
	if err != nil {
		t.Fatal(err)
	}
	w := &paper{Lanes: l}
	for i := range lanes {
		ln := l.newLane(shardName(i))
		l.parts[i].lane.Store(ln)
		w.lanes = append(w.lanes, &paperLane{lane: ln, part: l.parts[i], sleep: noon})
	}
	return w
}

func (w *paper) waiting() (n int) {
	for _, ln := range w.lanes {
		n += len(ln.waits)
	}
	return n
}

// arrive is Submit at a time.
func (w *paper) arrive(i int, now time.Time) {
	stage, ln := rows.NewStage(len(w.lanes)), w.lanes[i]
	stage.Add(i, &journal.Row{Op: journal.OpCheck, Amount: 1}, nil, 0)
	stage.Each(func(s *rows.Section) { ln.part.queue.push(s, 1) })
	ln.queued(ln.part, 1, 10)
	ln.waits = append(ln.waits, now)
}

// run plays the goroutines that are awake: collect and carry.
func (w *paper) run(now time.Time, away time.Duration) {
	for _, ln := range w.lanes {
		woken := false
		select {
		case <-ln.wake:
			woken = true
		default:
		}
		if now.Before(ln.back) || (!woken && now.Before(ln.sleep)) {
			if woken { // its train is away: collect looks at everything when it is back
				ln.sleep = ln.back
			}
			continue
		}
		at, some := ln.departure(now)
		if !some || at.After(now) {
			ln.sleep = at
			continue
		}
		ln.fill()
		ln.wakeAt = never
		for _, at := range ln.waits {
			if now.After(at.Add(away + paceMax)) {
				w.late = append(w.late, now.Sub(at))
			}
		}
		ln.waits = ln.waits[:0]
		ln.departed = now
		w.table.depart(now, ln.train.hurried)
		ln.back = now.Add(away)
		ln.sleep = ln.back
	}
}

// wakes is when the next goroutine wakes.
func (w *paper) wakes(now time.Time) time.Time {
	var at []time.Time
	for _, ln := range w.lanes {
		switch {
		case now.Before(ln.back):
			at = append(at, ln.back)
		case len(ln.wake) > 0:
			return now
		default:
			at = append(at, ln.sleep)
		}
	}
	return slices.MinFunc(at, time.Time.Compare)
}
