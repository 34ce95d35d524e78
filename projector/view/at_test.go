package view

import (
	"testing"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// TestAccountsAsAnEventLeftThem holds every account, after every event, against the history; and walks over all accounts page by page.
func TestAccountsAsAnEventLeftThem(t *testing.T) {
	h := history.New(history.Config{Seed: 77, Partitions: 2, Accounts: 5, Steps: 600, Assets: 2, FrameMax: 10})
	v := opened(t, h.Partitions)
	project(t, v, h)
	r := v.Read()
	defer func() { must(t, r.Close()) }()
	for p, book := range h.Books {
		final := book.State.(*journal.Memory).Accounts
		seen := map[journal.Handle]bool{}
		for at := (journal.Handle{}); ; {
			page, err := r.AccountsBehind(p, at, 3)
			must(t, err)
			for _, a := range page {
				if seen[a] || string(a[:]) <= string(at[:]) || a.Partition(h.Partitions) != p {
					t.Fatalf("%x comes behind %x, or again", a, at)
				}
				seen[a], at = true, a
			}
			if len(page) < 3 {
				break
			}
		}
		if len(seen) != len(final) {
			t.Fatalf("partition %d: %d of %d accounts", p, len(seen), len(final))
		}
		now := map[journal.Handle]journal.Account{}
		for i := range h.Events[p] {
			for _, c := range h.Changes[p][i] {
				now[c.Account] = c.After
			}
			if i%11 != 0 && i < len(h.Events[p])-1 {
				continue
			}
			for a := range final {
				have, ok, whole, err := r.AccountAt(a, uint64(i+1))
				must(t, err)
				want, there := now[a]
				if ok != there || have.Version != want.Version || have.Available != want.Available || have.Reserved != want.Reserved || whole && have != want {
					t.Fatalf("account %x at seq %d is %+v (%t), want %+v", a, i+1, have, whole, want)
				}
				if i == len(h.Events[p])-1 && !whole {
					t.Fatalf("account %x is not whole at the end", a)
				}
			}
		}
	}
}
