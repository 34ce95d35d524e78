package journal

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// The index answers what a map answers, whatever is added and removed, also where many handles begin alike.
func TestHandleIndexIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var x HandleIndex
		var handles []Handle // by place
		want := map[Handle]int32{}
		var free []int32
		few := 1 + rng.IntN(3000)
		handle := func() (h Handle) {
			binary.BigEndian.PutUint64(h[4:], uint64(rng.IntN(few)))
			return h
		}
		find := func(h Handle) (int32, bool) {
			for p := x.Probe(h); ; {
				at, ok := p.Next()
				if !ok || handles[at] == h {
					return at, ok
				}
			}
		}
		for range 20_000 {
			h := handle()
			at, ok := find(h)
			if place, there := want[h]; ok != there || (ok && at != place) {
				t.Fatalf("seed %d: %x is at %d (%t), want %d (%t)", seed, h, at, ok, place, there)
			}
			switch {
			case ok && rng.IntN(2) == 0:
				x.Remove(h, at)
				delete(want, h)
				handles[at] = Handle{0xff}
				free = append(free, at)
			case !ok && len(free) > 0:
				at, free = free[len(free)-1], free[:len(free)-1]
				handles[at], want[h] = h, at
				x.Add(h, at)
			case !ok:
				want[h] = int32(len(handles))
				x.Add(h, int32(len(handles)))
				handles = append(handles, h)
			}
			if x.Len() != len(want) {
				t.Fatalf("%d handles, want %d", x.Len(), len(want))
			}
		}
	}
}
