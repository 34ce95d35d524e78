package relay

import (
	"testing"
	"time"
)

// A timetable: what was collected when a request came back, and how long is waited then.
func TestPace(t *testing.T) {
	const first, longest = paceFirst, 3 * time.Millisecond
	lone, few, load, full := collected{1, 1, 100}, collected{2, paceLoad - 1, 4000}, collected{8, 500, 20_000}, collected{2, 2000, 2 * 64 << 10}
	p := pace{max: longest, target: 64 << 10}
	for i, step := range []struct {
		found collected
		wait  time.Duration
	}{
		{collected{}, 0}, {lone, 0}, {few, 0}, // no load: at once
		{load, first}, {load, 2 * first}, {load, 4 * first}, {load, 8 * first}, {load, longest}, {load, longest},
		{full, 0},       // full frames go at once
		{load, longest}, // and the load is still there
		{few, longest / 2}, {few, longest / 4}, {few, longest / 8}, {few, 0},
		{load, first}, {collected{}, 0}, {lone, 0}, // idle in between: at once again
	} {
		p.landed(step.found)
		wait := time.Duration(0)
		if p.begin(time.Unix(0, 0), step.found) > 0 {
			wait = p.wait
		}
		if wait != step.wait {
			t.Errorf("step %d: %+v: waits %v, want %v", i, step.found, wait, step.wait)
		}
	}
}

func TestPaceEndsAWaitEarly(t *testing.T) {
	start := time.Unix(0, 0)
	begin := func() *pace {
		p := &pace{max: 4 * time.Millisecond, target: 1000, wait: 4 * time.Millisecond}
		if d := p.begin(start, collected{2, 100, 100}); d != time.Millisecond {
			t.Fatalf("first look after %v", d)
		}
		return p
	}
	for _, c := range []struct {
		name  string
		after time.Duration
		now   collected
		goOn  bool
	}{
		{"more has come", time.Millisecond, collected{2, 150, 200}, true},
		{"nothing more has come", time.Millisecond, collected{2, 100, 100}, false},
		{"frames are full", time.Millisecond, collected{2, 900, 2000}, false},
		{"the time is over", 4 * time.Millisecond, collected{2, 150, 200}, false},
	} {
		if d := begin().look(start.Add(c.after), c.now); (d > 0) != c.goOn || d > time.Millisecond {
			t.Errorf("%s: waits %v more", c.name, d)
		}
	}
	never := pace{max: -1, target: 1000}
	never.landed(collected{1, 500, 500})
	if d := never.begin(start, collected{1, 500, 500}); d != 0 {
		t.Errorf("told never to wait, it waits %v", d)
	}
}
