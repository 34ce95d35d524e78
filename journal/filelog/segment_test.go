package filelog

import (
	"sync"
	"testing"
)

// TestASegmentIsMadeInSteps: what is made ahead goes to the disk a step at a time, each durable before the next is written: never
// does an fdatasync that somebody waits for stand behind a whole segment.
func TestASegmentIsMadeInSteps(t *testing.T) {
	const steps = 4
	d := newDisk()
	l, err := Open(Config{Dir: dir, Partitions: 1, SegmentBytes: steps * zeroStep, FS: d})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	writes, syncs, together := 0, 0, 0
	d.setFault(func(op, name string, done bool) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case name != nextFile || !done:
		case op == "write":
			writes++
			together = max(together, writes-syncs)
		case op == "sync":
			syncs++
		}
		return nil
	})
	fill(t, l, steps, zeroStep/2) // more than half of the first one: the next is made
	waitFor(t, func() bool { mu.Lock(); defer mu.Unlock(); return syncs == steps })
	if writes != steps || together != 1 {
		t.Errorf("%d writes, up to %d of them between two syncs; want %d, one at a time", writes, together, steps)
	}
	mustClose(t, l)
}
