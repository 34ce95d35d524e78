package history

import (
	"testing"

	"walletd/journal"
)

// Deliveries finds the events that deliver legs: by partition and seq.
func (h *History) Deliveries(partition, legs int) (seqs []uint64) {
	for i := range h.Events[partition] {
		if row := mustRow(h.Events[partition][i].Packed); row.Op == journal.OpDeliver && row.LegCount >= legs {
			seqs = append(seqs, uint64(i)+1)
		}
	}
	return seqs
}

// Forge writes a partition of log again, with one event's row changed and the chain unbroken.
func (h *History) Forge(log *Log, partition int, seq uint64, change func(*journal.Row)) {
	events := append([]journal.Event(nil), h.Events[partition]...)
	row := mustRow(events[seq-1].Packed)
	change(&row)
	events[seq-1].Packed = row.Append(nil)
	Rewrite(log, partition, events, h.FrameMax)
}

// LoseLeg takes the first leg out of the first delivery of two legs or more, in log, and answers it.
func LoseLeg(t testing.TB, h *History, log *Log) (lost journal.Leg) {
	for q := range h.Partitions {
		if seqs := h.Deliveries(q, 2); len(seqs) > 0 {
			h.Forge(log, q, seqs[0], func(r *journal.Row) {
				list := Legs(r)
				lost = list[0]
				r.SetLegs(Pack(list[1:]))
			})
			return lost
		}
	}
	t.Fatal("the history delivers nothing")
	return lost
}

// Legs are a deliver row's.
func Legs(r *journal.Row) (list []journal.Leg) {
	for i := range r.LegCount {
		list = append(list, r.Leg(i))
	}
	return list
}

// Pack packs legs for SetLegs.
func Pack(list []journal.Leg) (b []byte) {
	for _, l := range list {
		b = journal.AppendLeg(b, l)
	}
	return b
}
