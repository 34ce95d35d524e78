//go:build planted

package snapshot

import (
	"testing"

	"walletd/journal/planted"
	"walletd/projector/internal/history"
)

// TestPlantedSnapshotNoKeys: a snapshot without keys is found by comparing it with the fold, and by a deep verify.
func TestPlantedSnapshotNoKeys(t *testing.T) {
	planted.Choose(planted.SnapshotNoKeys)
	defer planted.Choose("")
	h := history.New(shape(1))
	store := NewDir(t.TempDir())
	cuts := []int64{40, 40, 40}
	m := taken(t, store, viewAt(t, h, cuts), h.Log)
	l, err := shelfOf(store, h.Partitions).Newest(t.Context(), 0)
	must(t, err)
	if dump(t, l.Book) == dump(t, foldTo(t, h.Log, 0, cuts[0]).Book) {
		t.Error("the Books are equal")
	}
	verdicts, err := shelfOf(store, h.Partitions).Verify(t.Context(), Entry{ID: m.ID, Manifest: m}, h.Log, nil)
	must(t, err)
	for _, v := range verdicts {
		if v.OK {
			t.Errorf("%+v", v)
		}
	}
}
