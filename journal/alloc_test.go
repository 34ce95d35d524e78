package journal

import "testing"

// Applying an event allocates nothing but room that many events share.
func TestApplyingAllocatesNothingPerEvent(t *testing.T) {
	b := NewBook(0, 1)
	payer, payee := HandleOf("payer"), HandleOf("payee")
	apply := func(r *Row, status Status) {
		t.Helper()
		e := Event{Position: Position{Seq: b.Seq + 1, Epoch: 1}, TimeMS: int64(b.Seq), Status: status, Packed: r.Append(nil)}
		if err := b.Apply(&e, nil); err != nil {
			t.Fatal(err)
		}
	}
	apply(&Row{Op: OpOpen, Account: payer, Flags: Issuance}, Opened)
	apply(&Row{Op: OpOpen, Account: payee}, Opened)
	packed := (&Row{Op: OpTransfer, Verdict: VerdictLocal, Account: payer, To: payee, Amount: 1, Key: []byte("k")}).Append(nil)
	e := Event{Position: Position{Epoch: 1}, TimeMS: 10, Status: Confirmed, Packed: packed}
	n := uint64(0)
	one := func() {
		n++
		e.Seq = b.Seq + 1
		packed[4], packed[5], packed[6] = byte(n>>16), byte(n>>8), byte(n) // of the id
		if err := b.Apply(&e, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 50_000 {
		one()
	}
	if allocs := testing.AllocsPerRun(10_000, func() {
		for range 4 {
			one()
		}
	}); allocs > 0 { // maps and rooms grow now and then: less than one in four events
		t.Errorf("%v allocations for four events", allocs)
	}
}
