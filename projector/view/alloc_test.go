package view

import (
	"testing"

	"walletd/projector/internal/history"
)

// Folding allocates nothing per event once it is warm: what a commit allocates is shared by the many events of it.
func TestFoldingAllocatesNothingPerEvent(t *testing.T) {
	h := history.NewBusy(history.BusyConfig{Partitions: 1, Accounts: 200, Transfers: 60_000, FrameBytes: 64 << 10})
	v := opened(t, 1)
	f := folding(t, v, 0)
	records := h.Log.Records(0)
	at, seq := 0, uint64(0)
	take := func() {
		_, err := f.Take(int64(at), records[at])
		must(t, err)
		at++
	}
	for at < len(records)/2 {
		take()
		must(t, f.Commit())
	}
	seq = f.Position().Seq
	perFrame := testing.AllocsPerRun(len(records)-at-2, take)
	events := float64(f.Position().Seq-seq) / float64(len(records)/2)
	must(t, f.Commit())
	if perFrame > events/20 {
		t.Errorf("%.0f allocations for a frame of about %.0f events", perFrame, events)
	}
	t.Logf("%.0f allocations for a frame of about %.0f events", perFrame, events)
}
