package sim

import (
	"strings"
	"testing"
)

// TestASeedIsARun: two runs of a seed are the same, step by step.
func TestASeedIsARun(t *testing.T) {
	same := 0
	defer func() { t.Log("disturbed and equal:", same) }()
	for seed := range uint64(number("WALLETD_SIM_TWICE", 100/share)) {
		seed += 10_000
		one, two := run(t, seed, true), run(t, seed, true)
		if one.sum == two.sum {
			same += min(1, one.disturbed+two.disturbed)
			continue
		}
		for i := range min(len(one.tail), len(two.tail)) {
			if one.tail[i] != two.tail[i] {
				t.Errorf("disturbed %d %d seed %d: line %d of the trace is\n%s\nand then\n%s\nafter\n%s", one.disturbed, two.disturbed, seed, i, one.tail[i], two.tail[i], strings.Join(one.tail[max(0, i-15):i+3], "\n"))
				break
			}
		}
	}
}
