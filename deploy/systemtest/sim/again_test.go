//go:build !race

// (With the race detector Go runs its goroutines in an order that it draws, on purpose.)

package sim

import (
	"strings"
	"testing"
)

// TestASeedIsARun: two runs of a seed are the same, step by step.
//
// A run in which the operating system took the processor away for so long that Go gave it to another goroutine says
// nothing: which one goes on then is not ours to choose. Such a run is repeated.
func TestASeedIsARun(t *testing.T) {
	for seed := uint64(number("WALLETD_SIM_FROM", 10_000)); seed < uint64(number("WALLETD_SIM_FROM", 10_000)+number("WALLETD_SIM_TWICE", 100/share)); seed++ {
		one := undisturbed(t, seed)
		two := undisturbed(t, seed)
		if one.sum == two.sum {
			continue
		}
		for i := range min(len(one.tail), len(two.tail)) {
			if one.tail[i] != two.tail[i] {
				t.Errorf("seed %d, disturbed %d and %d times: line %d of the trace is\n%s\nand then\n%s\nbehind\n%s", seed, one.disturbed, two.disturbed,
					i, one.tail[i], two.tail[i], strings.Join(one.tail[max(0, i-20):i], "\n"))
				break
			}
		}
	}
}

// undisturbed is a run of a seed as it should be, or, on a machine that has no peace to offer, the least disturbed of some.
func undisturbed(t *testing.T, seed uint64) (best result) {
	for n := range 20 {
		r := run(t, seed, true)
		if n == 0 || r.disturbed < best.disturbed {
			best = r
		}
		if best.disturbed == 0 {
			break
		}
	}
	return best
}
