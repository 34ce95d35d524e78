package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// moments answers what the Books of a history hold, spoiled.
type moments struct {
	h     *history.History
	spoil func(*Moment)
	err   error
}

func (m moments) Accounts(_ context.Context, partition int, handles []journal.Handle) (Moment, error) {
	b := m.h.Books[partition]
	o := Moment{Shard: "s1", Epoch: b.Epoch, Seq: b.Seq}
	for _, h := range handles {
		a, ok := b.State.Account(h)
		o.Accounts, o.Found = append(o.Accounts, a), append(o.Found, ok)
	}
	if m.spoil != nil {
		m.spoil(&o)
	}
	return o, m.err
}

// versions are the account's changes, oldest first, with the positions of their events.
func versions(h *history.History, account journal.Handle) (list []journal.Change, at []string) {
	p := account.Partition(h.Partitions)
	for i := range h.Changes[p] {
		for _, c := range h.Changes[p][i] {
			if c.Account == account {
				list, at = append(list, c), append(at, h.Events[p][i].String())
			}
		}
	}
	return list, at
}

func explained(t *testing.T, c WhyConfig) *Explanation {
	t.Helper()
	c.Assets, c.Patience = journal.DevAssets, patience
	x, err := Why(t.Context(), c)
	must(t, err)
	return x
}

func TestWhyOfAnAccountThatIsRight(t *testing.T) {
	h := history.New(shape(41))
	account := busiest(h, 1)
	v, _ := projected(t, h.Log, 1)
	t.Cleanup(func() { must(t, v.Close()) })
	changes, at := versions(h, account)
	x := explained(t, WhyConfig{Log: h.Log, Account: account, Live: moments{h: h}, View: v, Limit: 1 << 20})
	if !x.OK() || len(x.Unchecked) > 0 || len(x.Stands) != 3 || x.Before != nil || len(x.Steps) != len(changes) || x.Account != h.Names[account] {
		t.Fatalf("%+v", x)
	}
	for i, c := range changes {
		s := x.Steps[i]
		if s.Version != c.After.Version || s.Position != at[i] || s.Available != c.After.Available || s.Reserved != c.After.Reserved ||
			s.AvailableChange != c.After.Available-c.Before.Available || s.ReservedChange != c.After.Reserved-c.Before.Reserved || s.Flagged != c.Flagged {
			t.Fatalf("step %d is %+v, the event did %+v", i, s, c)
		}
	}
	last := x.Stands[0]
	for _, s := range x.Stands[1:] {
		if s.Available != last.Available || s.Version != last.Version || s.Reserved != last.Reserved {
			t.Errorf("%+v, the replay has %+v", s, last)
		}
	}
	short := explained(t, WhyConfig{Log: h.Log, Account: account, Limit: 3})
	equal(t, "steps", len(short.Steps), 3)
	equal(t, "what was before", *short.Before, Standing{"replay", at[len(at)-4], changes[len(at)-4].After.Version, changes[len(at)-4].After.Available, changes[len(at)-4].After.Reserved})
	since := explained(t, WhyConfig{Log: h.Log, Account: account, SinceVersion: 5, Limit: 2, View: v})
	equal(t, "first step", since.Steps[0].Version, changes[len(changes)-2].After.Version)
	equal(t, "first step", explained(t, WhyConfig{Log: h.Log, Account: account, SinceVersion: 5, Limit: 1000}).Steps[0].Version, 5)
	for _, live := range []moments{{h: h, err: ErrNotServed}, {h: h}} {
		_, err := Why(t.Context(), WhyConfig{Log: h.Log, Account: journal.HandleOf("nobody"), Live: live})
		if !errors.Is(err, ErrNoAccount) {
			t.Errorf("nobody: %v", err)
		}
	}
}

// TestWhyNamesThePartnersEvents: every leg to or from another partition shows the event there that credited or decided it.
func TestWhyNamesThePartnersEvents(t *testing.T) {
	h := history.New(shape(42))
	credited, decided, open := 0, 0, 0
	for p := range h.Partitions {
		x := explained(t, WhyConfig{Log: h.Log, Account: busiest(h, p), Limit: 1 << 20})
		for _, s := range x.Steps {
			if s.PartnerAt == nil || *s.PartnerAt == p || s.Kind == "reserve" || s.Kind == "cancel" || s.Kind == "expire" {
				continue
			}
			if s.PartnerEvent == "" {
				equal(t, "phase", s.Phase, "tried")
				open++
				continue
			}
			at, err := journal.ParsePosition(s.PartnerEvent)
			must(t, err)
			row, err := h.Events[at.Partition][at.Seq-1].Row()
			must(t, err)
			ours, err := journal.ParsePosition(s.Position)
			must(t, err)
			if at.Partition != *s.PartnerAt || s.Phase != "confirmed" {
				t.Fatalf("%+v", s)
			}
			if row.Op == journal.OpDeliver {
				credited++
				if row.Source != p || ours.Seq <= row.From || ours.Seq > row.UpTo {
					t.Fatalf("%+v was not credited by %v", s, at)
				}
				continue
			}
			decided++
			id := row.ID
			if row.Op == journal.OpConfirm {
				id = row.Reservation
			}
			if !slices.Contains([]string{id.Text(journal.TransferPrefix), id.Text(journal.ReservationPrefix)}, s.ID) {
				t.Fatalf("%+v was not decided by %v", s, at)
			}
			if strings.HasPrefix(s.Counterparty, "handle:") {
				t.Errorf("the payer of %+v has no name", s)
			}
		}
	}
	if credited < 10 || decided < 10 {
		t.Errorf("%d credited, %d decided, %d open: the history has too little", credited, decided, open)
	}
}

func TestWhyNamesTheEventsThatMakeTheDifference(t *testing.T) {
	h := history.New(shape(30))
	account := busiest(h, 1)
	changes, at := versions(h, account)
	n := len(changes)
	// The newest version that moved money, and whose effect no run behind it makes.
	k := n - 4
	for changes[k].After.Available == changes[k].Before.Available {
		k--
	}
	effect := changes[k].After.Available - changes[k].Before.Available
	for _, row := range []struct {
		name    string
		spoil   func(*Moment)
		what    string
		version uint64
		events  []string
	}{
		{"stale", func(m *Moment) { m.Accounts[0] = changes[n-6].After }, "5 events are missing", changes[n-5].After.Version, at[n-5:]},
		{"gone", func(m *Moment) { m.Accounts[0], m.Found[0] = journal.Account{}, false }, fmt.Sprintf("%d events are missing", n), 1, at[:min(n, 100)]},
		{"one missing", func(m *Moment) { m.Accounts[0].Available -= effect }, "1 events are missing", 0, nil},
		{"one twice", func(m *Moment) { m.Accounts[0].Available += effect }, "in it", 0, nil},
		{"by hand", func(m *Moment) { m.Accounts[0].Available += 1_000_000_007 }, "no act", changes[n-1].After.Version, nil},
		{"flags", func(m *Moment) { m.Accounts[0].Flags ^= journal.FrozenSending }, "money is right", changes[n-1].After.Version, nil},
		{"ahead of the journal", func(m *Moment) { m.Seq++ }, "ahead of the journal", 0, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			wait := patience
			if row.version == 0 && row.events == nil {
				wait = 50 * time.Millisecond
			}
			x, err := Why(t.Context(), WhyConfig{Log: h.Log, Account: account, Live: moments{h: h, spoil: row.spoil}, Assets: journal.DevAssets, Limit: 1000, Patience: wait})
			must(t, err)
			if len(x.Differences) != 1 || !strings.Contains(x.Differences[0].What, row.what) {
				t.Fatalf("%+v", x.Differences)
			}
			d := x.Differences[0]
			if row.version > 0 && (d.Version != row.version || !slices.Equal(d.Events, row.events)) {
				t.Errorf("version %d, events %v; want %d, %v", d.Version, d.Events, row.version, row.events)
			}
			var sum journal.Amount
			for _, s := range x.Steps {
				if s.Explains == missing {
					sum -= s.AvailableChange
				}
				if s.Explains == twice {
					sum += s.AvailableChange
				}
			}
			if len(d.Events) > 0 && (sum != d.Available || x.Steps[0].Explains == "" || x.Steps[0].Position != d.Position) {
				t.Errorf("the steps sum up to %d, the difference is %+v; the list begins with %+v", sum, d, x.Steps[0])
			}
		})
	}
	x := explained(t, WhyConfig{Log: h.Log, Account: account, Live: moments{h: h, spoil: func(m *Moment) { m.Epoch = 1 }}})
	if !x.OK() || len(x.Unchecked) != 1 || !strings.Contains(x.Unchecked[0], "deposed") {
		t.Errorf("a deposed shard: %+v", x)
	}
	ghost := explained(t, WhyConfig{Log: h.Log, Account: journal.HandleOf("ghost"), Live: moments{h: h, spoil: func(m *Moment) {
		m.Accounts[0], m.Found[0] = journal.Account{Available: 5, Version: 1}, true
	}}})
	if len(ghost.Differences) != 1 || !strings.Contains(ghost.Differences[0].What, "no event made") {
		t.Errorf("a ghost: %+v", ghost)
	}
}

func TestParseAccount(t *testing.T) {
	for name, want := range map[string]journal.Handle{
		"alice": journal.HandleOf("alice"), "suspense:3:1": journal.SuspenseHandle(3, 1), unknown(journal.HandleOf("bob")): journal.HandleOf("bob"),
	} {
		have, err := ParseAccount(name)
		must(t, err)
		equal(t, name, have, want)
	}
	if _, err := ParseAccount("handle:12"); err == nil {
		t.Error("a short handle is one")
	}
}
