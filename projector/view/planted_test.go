//go:build planted

package view

import (
	"testing"

	"walletd/deploy/trial"
	"walletd/journal/planted"
)

// TestPlantedProjectionOffset: an offset that is durable before what it stands for is found by crashes.
func TestPlantedProjectionOffset(t *testing.T) {
	trial.Caught(t, planted.ProjectionOffset, 200, func(t testing.TB, seed uint64) { foldThroughCrashes(t, seed, 50) })
}
