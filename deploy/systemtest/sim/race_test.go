//go:build race

package sim

// share is the part of a campaign that a run with the race detector does, which costs ten times as much.
const share = 20
