package view

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// busyBook folds a busy partition in memory and keeps every change.
func busyBook(t testing.TB, h *history.Busy, p int) (*journal.Book, map[journal.Handle][]journal.Change) {
	t.Helper()
	b, x := journal.NewBook(p, h.Partitions), changesByAccount{}
	for _, record := range h.Log.Records(p) {
		f, err := journal.ParseFrame(record)
		must(t, err)
		must(t, f.EachEvent(func(e *journal.Event) error { return b.Apply(e, x) }))
	}
	return b, x
}

type changesByAccount map[journal.Handle][]journal.Change

func (c changesByAccount) Changed(_ *journal.Event, ch journal.Change) {
	c[ch.Account] = append(c[ch.Account], ch)
}
func (changesByAccount) Leg(*journal.Event, journal.Leg) {}

// More accounts than are kept, opened again, rolled back: what is read from groups is the fold.
func TestMoreAccountsThanAreKept(t *testing.T) {
	h := history.NewBusy(history.BusyConfig{Partitions: 1, Accounts: 3000, Transfers: 20_000, FrameBytes: 2 << 10})
	fs := vfs.NewMem()
	records := h.Log.Records(0)
	v := open(t, fs, 1)
	for round, at := 0, 0; at < len(records); round++ {
		f, err := v.Fold(0)
		must(t, err)
		for range 40 {
			for i := range min(7, len(records)-at) {
				_, err := f.Take(int64(at+i), records[at+i])
				must(t, err)
			}
			if round%3 == 1 {
				must(t, f.Rollback())
				for i := range min(7, len(records)-at) {
					_, err := f.Take(int64(at+i), records[at+i])
					must(t, err)
				}
			}
			at += min(7, len(records)-at)
			must(t, f.Commit())
		}
		if n := len(f.state.accounts.slots); n > 1200 {
			t.Fatalf("%d accounts are kept", n)
		}
		must(t, f.Close())
		if round%2 == 0 {
			must(t, v.Close())
			v = open(t, fs, 1)
		}
	}
	want, _ := busyBook(t, h, 0)
	have, _, err := v.Digest(0)
	must(t, err)
	equal(t, "digest", have, want.Digest())
	must(t, v.Close())
}

// An account with thousands of lines in one commit has them in many groups; statements, pages and balances do not show it.
func TestAHotAccountOfOneCommit(t *testing.T) {
	h := history.NewBusy(history.BusyConfig{Partitions: 1, Accounts: 2, Transfers: 3000, FrameBytes: 64 << 10})
	v := opened(t, 1)
	f := folding(t, v, 0)
	for i, record := range h.Log.Records(0) {
		_, err := f.Take(int64(i), record)
		must(t, err)
	}
	must(t, f.Commit())
	_, changes := busyBook(t, h, 0)
	r := v.Read()
	defer func() { must(t, r.Close()) }()
	for account, want := range changes {
		have := statement(t, v, account, EntriesOptions{Limit: 100})
		slices.Reverse(have)
		equal(t, "lines", len(have), len(want))
		for i, e := range have {
			c := want[i]
			equal(t, "line", [5]any{e.Version, e.ID, e.Counterparty, e.AvailableAfter, e.AvailableChange}, [5]any{c.After.Version, c.ID, c.Other, c.After.Available, c.After.Available - c.Before.Available})
			if i+1 < len(have) && have[i+1].TimeMS != e.TimeMS {
				b, ok, err := v.BalanceAt(account, e.TimeMS)
				must(t, err)
				equal(t, "balance", [3]any{ok, b.Available, b.Version}, [3]any{true, c.After.Available, c.After.Version})
			}
			one, ok, err := r.Entry(account, e.TimeMS, e.Version)
			must(t, err)
			one.CounterpartyID = e.CounterpartyID
			equal(t, "entry", [2]any{ok, one}, [2]any{true, e})
		}
	}
}
