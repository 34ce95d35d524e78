package lane

import (
	"testing"
	"time"
)

func TestIntervalGrowsWithLoad(t *testing.T) {
	for _, c := range []struct {
		load float64
		want time.Duration
	}{
		{0, 0},
		{1_999, 0},
		{2_000, 500 * time.Microsecond},
		{51_000, 1750 * time.Microsecond},
		{100_000, 3 * time.Millisecond},
		{1_000_000, 3 * time.Millisecond},
	} {
		if got := interval(c.load); got != c.want {
			t.Errorf("at %.0f acts/s: %v, want %v", c.load, got, c.want)
		}
	}
}

// run drives a pace: every step a train with so many acts leaves, steps apart.
func run(p *pace, from time.Time, trains, acts int, apart time.Duration) time.Time {
	for range trains {
		from = from.Add(apart)
		p.depart(from, acts)
	}
	return from
}

func TestPace(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	t.Run("a lone client never waits", func(t *testing.T) {
		p := pace{}
		now := run(&p, start, 1000, 1, 700*time.Microsecond)
		if p.next().After(now) {
			t.Errorf("waits %v at %.0f acts/s", p.next().Sub(now), p.load)
		}
	})
	t.Run("a loaded lane waits, and its trains fill", func(t *testing.T) {
		p := pace{}
		now := run(&p, start, 200, 50, time.Millisecond) // 50,000 acts/s
		wait := p.next().Sub(now)
		if wait < 1500*time.Microsecond || wait > 2*time.Millisecond {
			t.Errorf("waits %v at %.0f acts/s", wait, p.load)
		}
	})
	t.Run("a burst after idleness does not wait", func(t *testing.T) {
		p := pace{}
		now := run(&p, start, 200, 50, time.Millisecond)
		now = now.Add(time.Second)
		p.depart(now, 1000)
		if p.next().After(now) {
			t.Errorf("waits %v", p.next().Sub(now))
		}
	})
	t.Run("load that ends is forgotten", func(t *testing.T) {
		p := pace{}
		now := run(&p, start, 200, 300, 3*time.Millisecond)
		now = run(&p, now, 100, 1, 2*time.Millisecond)
		if p.next().After(now) {
			t.Errorf("waits %v at %.0f acts/s", p.next().Sub(now), p.load)
		}
	})
}
