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
	what, journalHas, acts := firstDifference(p.book, b)
	if what == "" {
		digest := b.Digest()
		p.report.Digest = hexOf(digest[:])
		return nil
	}
	last := step{at: journal.Position{Partition: p.book.Partition, Epoch: p.book.Epoch, Seq: p.book.Seq}, timeMS: p.book.TimeMS, offset: p.cursor.Offset - 1}
	p.diverge(&last, "state at the end: "+what, journalHas, acts, "as the journal")
	return errDiverged
}

// firstDifference names a record that two states of a partition do not have alike, the first in the order of a dump; "" when all of
// what a dump shows is alike.
func firstDifference(a, b *journal.Book) (what, inA, inB string) {
	x, y := a.State.(*journal.Memory), b.State.(*journal.Memory)
	if h, ok := differs(x.Accounts, y.Accounts, compareHandles, func(a, b journal.Account) bool { return a == b }); ok {
		return "account " + hexOf(h[:]), accountOf(x, h), accountOf(y, h)
	}
	if h, ok := differs(x.DetailsOf, y.DetailsOf, compareHandles, bytes.Equal); ok {
		return "details of account " + hexOf(h[:]), fmt.Sprintf("%q", x.DetailsOf[h]), fmt.Sprintf("%q", y.DetailsOf[h])
	}
	if id, ok := differs(x.Keys, y.Keys, compareIDs, sameKey); ok {
		return "key record of " + hexOf(id[:]), keyOf(x, id), keyOf(y, id)
	}
	if id, ok := differs(x.Reservations, y.Reservations, compareIDs, func(a, b journal.Reservation) bool { return a == b }); ok {
		return "reservation " + hexOf(id[:]), reservationOf(x, id), reservationOf(y, id)
	}
	if source, ok := differs(x.DeliveredOf, y.DeliveredOf, cmp.Compare[int], func(a, b uint64) bool { return a == b }); ok {
		return fmt.Sprintf("delivered from partition %d", source), fmt.Sprint(x.DeliveredOf[source]), fmt.Sprint(y.DeliveredOf[source])
	}
	part := func(b *journal.Book) string {
		return fmt.Sprintf("epoch %d seq %d, time %d ms, evicted before %d ms", b.Epoch, b.Seq, b.TimeMS, b.EvictedMS)
	}
	if a.Seq != b.Seq || a.Epoch != b.Epoch || a.TimeMS != b.TimeMS || a.EvictedMS != b.EvictedMS {
		return "the partition's record", part(a), part(b)
	}
	return "", "", ""
}

func sameKey(a, b journal.KeyRecord) bool {
	return bytes.Equal(a.Content, b.Content) && a.Status == b.Status && a.Op == b.Op && a.TimeMS == b.TimeMS && a.Epoch == b.Epoch && a.Seq == b.Seq && a.Detail == b.Detail
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
