package keeper

import (
	"testing"
	"time"
)

// A keeper that is nearly idle sends at once; under load deliveries keep a distance that grows with it, within bounds; idle again, it
// sends at once again.
func TestPace(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	run := func(p *pace, legs int, every, span time.Duration) (rest time.Duration) {
		for end := now.Add(span); now.Before(end); {
			now = now.Add(every)
			p.depart(now, legs)
			rest = p.next().Sub(now)
		}
		return rest
	}
	var p pace
	if rest := run(&p, 1, time.Second, 10*time.Second); rest != 0 {
		t.Errorf("one leg a second: %v", rest)
	}
	if rest := run(&p, 1, 5*time.Millisecond, time.Second); rest != 0 {
		t.Errorf("200 legs a second: %v", rest)
	}
	if rest := run(&p, 10, 5*time.Millisecond, time.Second); rest <= paceMin || rest >= paceMax {
		t.Errorf("2,000 legs a second: %v", rest)
	}
	if rest := run(&p, 1000, 10*time.Millisecond, time.Second); rest != paceMax {
		t.Errorf("100,000 legs a second: %v", rest)
	}
	if rest := run(&p, 1, time.Second, time.Second); rest != 0 {
		t.Errorf("after a second of silence: %v", rest)
	}
}
