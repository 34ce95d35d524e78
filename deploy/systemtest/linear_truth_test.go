package systemtest

import (
	"walletd/journal"
)

// lookUp finds in the journal what became of operations of which nobody was told: each has happened by now, or never will. A
// search over dozens that may or may not have happened does not end. What has no id there stays unknown: cancels, and reserves
// that were refused, which a later cancel may meet.
func (h *historian) lookUp(truth *audit, account string, drained int64) {
	ops := h.ops[account][:0]
	for _, op := range h.ops[account] {
		s, unknown := op.Input.(step), op.Output.(said).maybe
		happened, known := became(truth, s.id)
		switch {
		case !unknown || s.id == (journal.ID{}) || (known && !happened && s.verb == reserves):
			ops = append(ops, op)
		case happened:
			op.Output, op.Return = said{}, drained
			ops = append(ops, op)
		}
	}
	h.ops[account] = ops
	credits := h.credits[account][:0]
	for _, c := range h.credits[account] {
		if c.maybe {
			if happened, _ := became(truth, c.id); !happened {
				continue
			}
			c.maybe, c.seq, c.back = false, truth.acts[c.id][0].at.Seq, drained
		}
		credits = append(credits, c)
	}
	h.credits[account] = credits
}

// became tells whether the journal has an act, and whether it was accepted.
func became(truth *audit, id journal.ID) (happened, known bool) {
	acts := truth.acts[id]
	return len(acts) == 1 && acts[0].status.Accepted() && acts[0].status != journal.Tombstone, len(acts) > 0
}
