package reconcile

import (
	"context"
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/projector/view"
)

// What a difference says of the events that explain it.
const (
	missing = "missing"
	twice   = "twice"
)

// compareShard holds the shard's account against the replay at the same seq.
func (w *why) compareShard() {
	w.Stands = []Standing{{"replay", w.at.String(), w.account.Version, w.account.Available, w.account.Reserved}}
	if w.live == nil {
		return
	}
	where, have := "shard "+w.live.Shard, journal.Account{}
	if w.live.Found[0] {
		have = w.live.Accounts[0]
	}
	at := journal.Position{Partition: w.Partition, Epoch: w.live.Epoch, Seq: w.live.Seq}
	w.Stands = append(w.Stands, Standing{where, at.String(), have.Version, have.Available, have.Reserved})
	if have == w.account {
		return
	}
	w.Differences = append(w.Differences, w.differs(where, have))
}

// differs is the difference between an account that somebody has and the replay's.
func (w *why) differs(where string, have journal.Account) WhyDifference {
	r := record{kind: accountRecord}
	d := WhyDifference{Where: where, Available: have.Available - w.account.Available, Reserved: have.Reserved - w.account.Reserved,
		Have: describe(r, string(have.Append(nil))), Want: describe(r, string(w.account.Append(nil)))}
	w.explain(&d, have)
	return d
}

// explain looks for the fewest events that make the difference: the newest that the shard does not have; or those, one after the other,
// that it lacks or has twice. The newest of several equally short explanations is named.
func (w *why) explain(d *WhyDifference, have journal.Account) {
	n := len(w.replayed)
	d.from, d.to = n, n
	switch {
	case n == 0:
		d.What, d.Version = "an account that no event made", have.Version
		return
	case have.Version == 0:
		d.Have, d.how, d.from = "", missing, 0
	case d.Available == 0 && d.Reserved == 0 && have.Version == w.account.Version:
		d.What, d.Version = "its money is right, something else in its record is not", have.Version
		return
	default:
		if d.from = w.stale(have); d.from < n {
			d.how = missing
		} else {
			d.from, d.to, d.how = w.run(d.Available, d.Reserved)
		}
	}
	if d.how == "" {
		d.Version = have.Version
		d.What = "no event, nor any that follow each other, make this difference: the record was written by something that is no act"
		return
	}
	d.Version, d.Position = w.replayed[d.from].version, w.replayed[d.from].at.String()
	for i := d.from; i < d.to; i++ {
		if len(d.Events) == 100 {
			d.More = d.to - i
			break
		}
		d.Events = append(d.Events, w.replayed[i].at.String())
	}
	d.What = fmt.Sprintf("%d events are missing in it", d.to-d.from)
	if d.how == twice {
		d.What = fmt.Sprintf("%d events are in it twice", d.to-d.from)
	}
}

// stale is the index behind the version that the shard has stayed at; their number when it is none.
func (w *why) stale(have journal.Account) int {
	for i := len(w.replayed) - 1; i >= -1; i-- {
		l := &w.base
		if i >= 0 {
			l = &w.replayed[i]
		}
		if l.version == have.Version && l.version > 0 && l.available == have.Available && l.reserved == have.Reserved {
			return i + 1
		}
	}
	return len(w.replayed)
}

// run is the shortest run of lines whose effects sum up to the difference, negated (missing) or as they are (twice).
func (w *why) run(available, reserved journal.Amount) (from, to int, how string) {
	from, to = len(w.replayed), len(w.replayed)
	if available == 0 && reserved == 0 {
		return from, to, ""
	}
	type money struct{ available, reserved journal.Amount }
	last := map[money]int{{w.base.available, w.base.reserved}: 0} // by what was before it, the latest line
	for j := range w.replayed {
		l := &w.replayed[j]
		for _, c := range [2]struct {
			before money
			how    string
		}{{money{l.available + available, l.reserved + reserved}, missing}, {money{l.available - available, l.reserved - reserved}, twice}} {
			if i, ok := last[c.before]; ok && (how == "" || j+1-i <= to-from) {
				from, to, how = i, j+1, c.how
			}
		}
		last[money{l.available, l.reserved}] = j + 1
	}
	return from, to, how
}

// compareView holds every line of the projection's statement against the replay.
func (w *why) compareView(ctx context.Context) (err error) {
	if w.c.View == nil {
		return nil
	}
	if w.c.Live != nil { // somebody folds
		ctx, cancel := context.WithTimeout(ctx, w.c.Patience)
		_ = w.c.View.WaitFor(ctx, w.at) // what has not come is said below
		cancel()
	}
	r := w.c.View.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	at, err := r.Position(w.Partition)
	if err != nil {
		return err
	}
	if at.Seq < w.at.Seq {
		w.Unchecked = append(w.Unchecked, fmt.Sprintf("projection: it has come to %v, the replay to %v; what is between was not compared", at, w.at))
	}
	a, _, err := r.Account(w.c.Account)
	if err != nil {
		return err
	}
	w.Stands = append(w.Stands, Standing{projection, at.String(), a.Version, a.Available, a.Reserved})
	i := len(w.replayed) - 1
	for i >= 0 && w.replayed[i].at.Seq > at.Seq {
		i--
	}
	wrong, complete := -1, i == len(w.replayed)-1 // the projection has all that is replayed, and no more
	err = r.EachLineOf(w.c.Account, func(l *view.Line) (bool, error) {
		if l.Seq > w.at.Seq { // the shard was read before
			complete = false
			return true, nil
		}
		for ; i >= 0 && w.replayed[i].version > l.Version; i-- { // missing
			wrong = i
		}
		if i < 0 {
			return false, nil
		}
		if x := &w.replayed[i]; l.Version != x.version || l.Seq != x.at.Seq || l.AvailableAfter != x.available || l.ReservedAfter != x.reserved {
			wrong = i
		}
		if l.Version == w.replayed[i].version {
			i--
		}
		return true, nil
	})
	if i >= 0 {
		wrong = 0
	}
	if err == nil && wrong < 0 && complete && i < 0 && a.Account != w.account {
		wrong = len(w.replayed) - 1
	}
	if wrong < 0 || err != nil {
		return err
	}
	x := &w.replayed[wrong]
	w.Differences = append(w.Differences, WhyDifference{Where: projection, Version: x.version, Position: x.at.String(), from: wrong, to: wrong,
		Available: a.Available - w.account.Available, Reserved: a.Reserved - w.account.Reserved,
		What: "the account, or a line of its statement, is not what the event did, or is missing; the projection may be deleted: it is rebuilt from the journal"})
	return nil
}
