package reconcile

import (
	"fmt"
	"maps"
	"slices"

	"walletd/journal"
)

// leftovers says what could not be compared to the end: because the journal is damaged, or because it is not there.
func (a *audit) leftovers() {
	for _, w := range a.walkers {
		p := w.cursor.Partition
		for _, s := range w.sources {
			if w.damaged {
				a.unchecked = append(a.unchecked, fmt.Sprintf("%s of partition %d: its journal is damaged behind seq %d", s.where, p, w.book.Seq))
				continue
			}
			a.differ(Difference{Where: s.where, What: "it is ahead of the journal", Partition: p,
				Position: journal.Position{Partition: p, Epoch: w.cursor.Epoch, Seq: w.book.Seq + 1}.String(),
				Have:     fmt.Sprintf("seq %d", s.after), Want: fmt.Sprintf("at most %d", w.book.Seq)})
		}
		for _, d := range w.claims {
			if d.Epoch > w.cursor.Epoch && !w.damaged {
				a.differ(Difference{Where: "shard " + d.Shard, What: "it serves in an epoch that never started", Partition: p,
					Have: fmt.Sprintf("epoch %d", d.Epoch), Want: fmt.Sprintf("at most %d", w.cursor.Epoch)})
			}
		}
		switch v := w.view; {
		case v == nil || v.done:
		case w.damaged:
			a.unchecked = append(a.unchecked, fmt.Sprintf("lists of the projection of partition %d: its journal is damaged", p))
		default:
			a.differ(Difference{Where: projection, What: "it has folded records that the journal does not have", Partition: p,
				Have: cursorText(&v.cursor), Want: cursorText(&w.cursor)})
		}
	}
	for _, c := range a.sortedChannels() {
		if len(c.groups) > 0 { // what follows the first is no news
			g := &c.groups[0]
			if from := a.byNo[c.from]; from.damaged {
				a.unchecked = append(a.unchecked, fmt.Sprintf("channel %d→%d from event %v on: the journal of partition %d is damaged", c.from, c.to, g.at, c.from))
			} else {
				a.differ(Difference{Where: fmt.Sprintf("channel %d→%d", c.from, c.to), What: "it delivers events that the payer's journal does not have", Partition: c.to,
					Position: g.at.String(), Have: fmt.Sprintf("delivered up to seq %d", g.upTo), Want: fmt.Sprintf("at most %d", from.book.Seq)})
			}
		}
	}
}

// conservation is P1 at the cut: per asset, accounts and what is in flight are 0.
func (a *audit) conservation() (list []AssetReport) {
	if !a.whole() {
		return nil
	}
	accounts, inFlight := map[journal.Asset]int64{}, map[journal.Asset]int64{}
	for _, w := range a.walkers {
		if w.damaged {
			a.unchecked = append(a.unchecked, fmt.Sprintf("conservation: the journal of partition %d is damaged", w.cursor.Partition))
			return nil
		}
		w.memory.Sums(accounts)
	}
	for _, c := range a.channels {
		if len(c.groups) > 0 {
			a.unchecked = append(a.unchecked, fmt.Sprintf("conservation: the journal of partition %d is incomplete", c.from))
			return nil
		}
		for _, d := range c.decided {
			inFlight[d.leg.Asset] += int64(d.leg.Amount)
		}
	}
	for _, asset := range slices.Sorted(maps.Keys(accounts)) {
		r := AssetReport{a.config.Assets.Code(asset), accounts[asset], inFlight[asset], accounts[asset] + inFlight[asset]}
		list = append(list, r)
		if r.Error == 0 {
			continue
		}
		d := Difference{Where: "conservation", What: fmt.Sprintf("%s: money was created or lost", r.Asset), Have: fmt.Sprintf("%+d minor units", r.Error), Want: "0"}
		if at, ok := a.offending[asset]; ok {
			d.Partition, d.Position = at.Partition, at.String()
		}
		a.differ(d)
	}
	return list
}
