//go:build planted

package trial

import (
	"strings"
	"testing"

	"walletd/journal/planted"
)

// Caught plants a bug and runs the experiment with seeds 1, 2, … until one fails: by within seeds, or the test fails. The
// seed that failed must then go well without the bug: else it is another bug that was caught.
func Caught(t *testing.T, bug planted.Bug, within uint64, run func(t testing.TB, seed uint64)) {
	t.Helper()
	defer planted.Choose("")
	for seed := uint64(1); seed <= within; seed++ {
		planted.Choose(bug)
		failure := Run(t, func(t testing.TB) { run(t, seed) })
		if failure == "" {
			continue
		}
		planted.Choose("")
		if alone := Run(t, func(t testing.TB) { run(t, seed) }); alone != "" {
			t.Fatalf("%s: seed %d fails without it, too:\n%s", bug, seed, alone)
		}
		first, _, _ := strings.Cut(failure, "\n")
		t.Logf("%s is caught at seed %d: %.400s", bug, seed, first)
		return
	}
	t.Errorf("%s: %d seeds have not caught it", bug, within)
}
