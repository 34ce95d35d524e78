package keeper

import (
	"testing"

	"walletd/journal"
)

// TestADeltaHasNoFilter: a partition that is about to come does not wait for megabytes that are there already: what is evicted was
// in the window when it was written (TestFollowingCostsWhatHasChanged). An id that was new and was evicted between two writes is not lost.
func TestADeltaHasNoFilter(t *testing.T) {
	b := journal.NewBook(0, 1)
	key := func(n byte, ms int64) { b.State.SetKey(journal.ID{4: n, 6: n}, journal.KeyRecord{TimeMS: ms}) }
	key(1, 10)
	b.State.Evict(20)
	key(2, 30)
	d := newDelta(b)
	taken := func() *journal.Memory { return d.take().State.(*journal.Memory) }
	key(3, 40)
	if m := taken(); m.Filter.Blocks() != 0 || len(m.Keys) != 1 {
		t.Errorf("%d blocks, %d keys", m.Filter.Blocks(), len(m.Keys))
	}
	key(4, 50)
	b.State.Evict(60)
	if m := taken(); m.Filter.Blocks() != 0 || len(m.Keys) != 1 {
		t.Errorf("%d blocks, %d keys", m.Filter.Blocks(), len(m.Keys))
	}
	if m := taken(); m.Filter.Blocks() != 0 || len(m.Keys) != 0 {
		t.Errorf("%d blocks, %d keys", m.Filter.Blocks(), len(m.Keys))
	}
}
