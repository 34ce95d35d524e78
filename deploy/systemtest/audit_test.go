package systemtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"walletd/journal"
)

// audit is what the journal says, read and folded by this test alone: its own cursor, its own books. It trusts nothing
// that the wallet concluded from the journal.
type audit struct {
	partitions int
	books      []*journal.Book
	owners     []string // the keeper that started the partition's last epoch
	dropped    map[journal.Verdict]int
	events     int

	names        map[journal.Handle]string
	acts         map[journal.ID][]decided           // keyed acts and tombstones, by id: one each, or something is wrong
	reservations map[journal.ID]journal.Reservation // the evicted ones, too
	lines        map[journal.Handle][]line
	sent, landed map[channel][]sentLeg   // per channel, in order
	moved        map[journal.Asset]int64 // by the event under way: accounts and legs, 0 when it is over
	faults       []string
}

// decided is an event of a keyed act, or the tombstone that stands for one.
type decided struct {
	at        journal.Position
	op        journal.Op
	status    journal.Status
	payer, to journal.Handle
	amount    journal.Amount
	asset     journal.Asset
	key       string
	reference string
	final     bool
}

// line is one version of an account.
type line struct {
	journal.Change
	at     journal.Position
	timeMS int64
}

// channel carries the decided legs of one partition to another.
type channel struct{ from, to int }

type sentLeg struct {
	journal.Leg
	seq uint64 // of the deciding event
}

// replay reads the whole log, as far as it goes when it is called.
func replay(ctx context.Context, log journal.Log) (*audit, error) {
	a := &audit{partitions: log.Partitions(), dropped: map[journal.Verdict]int{}, names: map[journal.Handle]string{}, acts: map[journal.ID][]decided{}, reservations: map[journal.ID]journal.Reservation{},
		lines: map[journal.Handle][]line{}, sent: map[channel][]sentLeg{}, landed: map[channel][]sentLeg{}, moved: map[journal.Asset]int64{}}
	a.owners = make([]string, a.partitions)
	for p := range a.partitions {
		a.books = append(a.books, journal.NewBook(p, a.partitions))
		cursor := journal.Cursor{Partition: p}
		_, err := log.Read(ctx, p, 0, func(offset int64, record []byte) error { return a.frame(&cursor, offset, record) })
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return a, nil
}

func (a *audit) fault(format string, args ...any) {
	if len(a.faults) < faultsMax {
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

func (a *audit) frame(cursor *journal.Cursor, offset int64, record []byte) error {
	f, verdict, err := cursor.Next(offset, record)
	if err != nil {
		return err
	}
	if verdict != journal.Accepted {
		a.dropped[verdict]++
		return nil
	}
	if f.Kind == journal.FrameEpochStarted {
		a.owners[f.Partition] = string(f.Payload[7:])
		return nil
	}
	return f.EachEvent(a.event)
}

// event folds one event. Before, the Book is asked what it would have decided: what the shard decided, or one is wrong.
func (a *audit) event(e *journal.Event) error {
	a.events++
	book := a.books[e.Partition]
	would, err := book.Decide(e.Packed, e.TimeMS)
	if err != nil {
		return fmt.Errorf("event %v: %w", e.Position, err)
	}
	row, err := e.Row()
	if err != nil {
		return fmt.Errorf("event %v: %w", e.Position, err)
	}
	if would.Status != e.Status || !would.Journaled {
		a.fault("event %v: %v was decided %v, the Book says %v (journaled: %t, replayed: %t)", e.Position, row.Op, e.Status, would.Status, would.Journaled, would.Replayed)
	}
	if row.Op.Keyed() || e.Status == journal.Tombstone {
		a.acts[row.ID] = append(a.acts[row.ID], decided{at: e.Position, op: row.Op, status: e.Status, payer: row.Account, to: row.To, amount: row.Amount,
			asset: row.Asset, key: string(row.Key), reference: string(row.Reference), final: row.Final})
	}
	if row.Op == journal.OpOpen && e.Status == journal.Opened {
		var d journal.AccountDetails
		if err := json.Unmarshal(row.Text, &d); err != nil {
			return fmt.Errorf("event %v: details: %w", e.Position, err)
		}
		a.names[row.Account] = d.ID
	}
	if row.Op == journal.OpDeliver {
		c := channel{row.Source, e.Partition}
		for i := range row.LegCount {
			l := row.Leg(i)
			a.landed[c] = append(a.landed[c], sentLeg{l, row.UpTo})
			a.moved[l.Asset] -= int64(l.Amount)
		}
	}
	if err := book.Apply(e, a); err != nil {
		return err
	}
	for _, id := range []journal.ID{row.ID, row.Reservation} {
		if r, ok := book.State.Reservation(id); ok {
			a.reservations[id] = r
		}
	}
	for asset, sum := range a.moved { // none at this cut, so none at any (P1)
		if sum != 0 {
			a.fault("event %v: %v makes %d of %s out of nothing", e.Position, row.Op, sum, journal.DevAssets.Code(asset))
		}
		delete(a.moved, asset)
	}
	return nil
}

// Changed implements journal.Effects.
func (a *audit) Changed(e *journal.Event, c journal.Change) {
	if c.Flagged {
		a.fault("event %v: a credit of %d to %s was flagged", e.Position, c.Amount, a.name(c.Account))
	}
	var before journal.Account
	if lines := a.lines[c.Account]; len(lines) > 0 {
		before = lines[len(lines)-1].After
	}
	a.moved[c.After.Asset] += int64(c.After.Available+c.After.Reserved) - int64(before.Available+before.Reserved)
	if x := c.After; x.Reserved < 0 || max(x.Available, -x.Available) > journal.AmountMax || !x.Flags.Has(journal.Issuance) && x.Available < -x.OverdraftLimit {
		a.fault("event %v: %s has %+v (P2)", e.Position, a.name(c.Account), x)
	}
	a.lines[c.Account] = append(a.lines[c.Account], line{c, e.Position, e.TimeMS})
}

// Leg implements journal.Effects.
func (a *audit) Leg(e *journal.Event, l journal.Leg) {
	a.moved[l.Asset] += int64(l.Amount)
	c := channel{e.Partition, l.Payee.Partition(a.partitions)}
	a.sent[c] = append(a.sent[c], sentLeg{l, e.Seq})
}

func (a *audit) name(h journal.Handle) string {
	if n := a.names[h]; n != "" {
		return n
	}
	return fmt.Sprintf("%x", h)
}

// compareChannels holds what each channel delivered against what was decided for it: the same legs, in the same order,
// up to a point (P9). What follows that point is in flight. To be asked when nothing is under way: while the journal
// grows, a channel's end may have been read later than its beginning.
func (a *audit) compareChannels() {
	for c, landed := range a.landed {
		sent := a.sent[c]
		if len(landed) > len(sent) {
			a.fault("channel %d→%d delivered %d legs, %d were decided", c.from, c.to, len(landed), len(sent))
			continue
		}
		for i := range landed {
			if landed[i].Leg != sent[i].Leg || landed[i].seq < sent[i].seq {
				a.fault("channel %d→%d: leg %d is %+v (up to seq %d), decided was %+v (seq %d)", c.from, c.to, i, landed[i].Leg, landed[i].seq, sent[i].Leg, sent[i].seq)
				break
			}
		}
	}
}

// inFlight are the legs that have been decided and not delivered, per asset their sum and altogether their number.
func (a *audit) inFlight() (sums map[journal.Asset]int64, legs int) {
	sums = map[journal.Asset]int64{}
	for c, sent := range a.sent {
		for _, l := range sent[min(len(a.landed[c]), len(sent)):] {
			sums[l.Asset] += int64(l.Amount)
			legs++
		}
	}
	return sums, legs
}

// conserved notes a fault unless accounts, reserved amounts and money in flight sum to 0 per asset (P1), and reserved
// amounts are those of open reservations (P2).
func (a *audit) conserved() {
	sums, _ := a.inFlight()
	for p, book := range a.books {
		m := book.State.(*journal.Memory)
		m.Sums(sums)
		open := map[journal.Handle]journal.Amount{}
		for _, r := range m.Reservations {
			open[r.Payer] += r.Remaining
			if r.Status != journal.Tried && r.Remaining != 0 {
				a.fault("partition %d: a reservation is %v and has %d reserved", p, r.Status, r.Remaining)
			}
		}
		for h, account := range m.Accounts {
			if account.Reserved != open[h] {
				a.fault("account %s has %d reserved, its open reservations %d", a.name(h), account.Reserved, open[h])
			}
		}
	}
	for asset, sum := range sums {
		if sum != 0 {
			a.fault("asset %s: all accounts, reserved and in flight, sum to %d", journal.DevAssets.Code(asset), sum)
		}
	}
}

// account is the account's state, and whether it exists.
func (a *audit) account(id string) (journal.Account, bool) {
	h := journal.HandleOf(id)
	return a.books[h.Partition(a.partitions)].State.Account(h)
}

func (a *audit) reservation(id journal.ID) (journal.Reservation, bool) {
	r, ok := a.reservations[id]
	return r, ok
}

// openReservations are the ids of those that are tried.
func (a *audit) openReservations() (open []journal.ID) {
	for _, book := range a.books {
		for id, r := range book.State.(*journal.Memory).Reservations {
			if r.Status == journal.Tried {
				open = append(open, id)
			}
		}
	}
	slices.SortFunc(open, func(x, y journal.ID) int { return slices.Compare(x[:], y[:]) })
	return open
}

// ids are the accounts' names, sorted.
func (a *audit) ids() (ids []string) {
	for _, id := range a.names {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
