package rerun

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"walletd/journal"
)

// compareEnd holds the scratch shard's whole state against the fold: an act may change what its event does not tell of.
func (p *partition) compareEnd(ctx context.Context) error {
	dump, err := p.shard.Dump(ctx, p.book.Partitions)
	if err != nil {
		return err
	}
	b := dump[p.cursor.Partition]
	if b == nil || len(dump) != 1 {
		return fmt.Errorf("the scratch shard holds %d partitions at the end", len(dump))
	}
	want, have := p.book.Digest(), b.Digest()
	if want == have {
		p.report.Digest = hexOf(want[:])
		return nil
	}
	what, journalHas, acts := firstDifference(p.book, b)
	last := step{at: journal.Position{Partition: p.book.Partition, Epoch: p.book.Epoch, Seq: p.book.Seq}, timeMS: p.book.TimeMS, offset: p.cursor.Offset - 1}
	p.diverge(&last, "state at the end: "+what, journalHas, acts, "as the journal")
	return errDiverged
}

// firstDifference names a record that two states of a partition do not have alike, the first in the order of a dump.
func firstDifference(a, b *journal.Book) (what, inA, inB string) {
	x, y := a.State.(*journal.Memory), b.State.(*journal.Memory)
	if h, ok := differs(x.Accounts, y.Accounts, compareHandles, func(a, b journal.Account) bool { return a == b }); ok {
		return "account " + hexOf(h[:]), accountOf(x, h), accountOf(y, h)
	}
	if h, ok := differs(x.DetailsOf, y.DetailsOf, compareHandles, bytes.Equal); ok {
		return "details of account " + hexOf(h[:]), fmt.Sprintf("%q", x.DetailsOf[h]), fmt.Sprintf("%q", y.DetailsOf[h])
	}
	if id, ok := differs(x.Keys, y.Keys, compareIDs, func(a, b journal.KeyRecord) bool { return bytes.Equal(a.Append(nil), b.Append(nil)) }); ok {
		return "key record of " + hexOf(id[:]), keyOf(x, id), keyOf(y, id)
	}
	if id, ok := differs(x.Reservations, y.Reservations, compareIDs, func(a, b journal.Reservation) bool { return a == b }); ok {
		return "reservation " + hexOf(id[:]), reservationOf(x, id), reservationOf(y, id)
	}
	if source, ok := differs(x.DeliveredOf, y.DeliveredOf, cmp.Compare[int], func(a, b uint64) bool { return a == b }); ok {
		return fmt.Sprintf("delivered from partition %d", source), fmt.Sprint(x.DeliveredOf[source]), fmt.Sprint(y.DeliveredOf[source])
	}
	part := func(b *journal.Book) string {
		return fmt.Sprintf("seq %d, time %d ms, evicted before %d ms", b.Seq, b.TimeMS, b.EvictedMS)
	}
	return "the partition's record", part(a), part(b)
}

// differs finds the least name under which two maps do not have the same.
func differs[K comparable, V any](a, b map[K]V, order func(K, K) int, same func(V, V) bool) (name K, found bool) {
	for _, names := range []map[K]V{a, b} {
		for k := range names {
			u, inA := a[k]
			v, inB := b[k]
			if (inA != inB || !same(u, v)) && (!found || order(k, name) < 0) {
				name, found = k, true
			}
		}
	}
	return name, found
}

func compareHandles(a, b journal.Handle) int { return bytes.Compare(a[:], b[:]) }
func compareIDs(a, b journal.ID) int         { return bytes.Compare(a[:], b[:]) }

func accountOf(m *journal.Memory, h journal.Handle) string {
	a, ok := m.Accounts[h]
	if !ok {
		return "none"
	}
	return accountWords(a.Append(nil))
}

func keyOf(m *journal.Memory, id journal.ID) string {
	k, ok := m.Keys[id]
	if !ok {
		return "none"
	}
	return keyWords(k.Append(nil))
}

func reservationOf(m *journal.Memory, id journal.ID) string {
	r, ok := m.Reservations[id]
	if !ok {
		return "none"
	}
	return reservationWords(r.Append(nil))
}
