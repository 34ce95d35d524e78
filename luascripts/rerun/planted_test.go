//go:build planted

package rerun

import (
	"testing"

	"walletd/journal/planted"
)

// Bugs in the acts that show in what a journal records are found by running a recorded journal again; the others show in what
// is not recorded, or only beside a fault.
func TestPlantedBugsChangeDecisions(t *testing.T) {
	defer planted.Choose("")
	log := recorded(t)
	for _, bug := range []planted.Bug{planted.NoTombstone, planted.LossyNumbers} {
		planted.Choose(bug)
		if report := run(t, log, nil, 1); report.OK() {
			t.Errorf("%s is not found", bug)
		}
	}
	planted.Choose("")
	if report := run(t, log, nil, 1); !report.OK() {
		t.Errorf("without a bug: %+v", report.Divergences)
	}
}
