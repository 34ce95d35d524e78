package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// read reads a partition to the end in steps.
func read(t *testing.T, s *Source, partition int, from Place, b Bounds) (list []event) {
	t.Helper()
	for {
		items, next, err := s.Read(partition, from, b)
		must(t, err)
		if len(items) == 0 {
			return list
		}
		for _, i := range items {
			list = append(list, event{i.ID.String(), i.Account, string(i.Body)})
		}
		from = next
	}
}

func same(t *testing.T, what string, have, want []event) {
	t.Helper()
	for i := range min(len(have), len(want)) {
		if have[i] != want[i] {
			t.Fatalf("%s: event %d\nhave %v\nwant %v", what, i, have[i], want[i])
		}
	}
	if len(have) != len(want) {
		t.Fatalf("%s: %d events, want %d", what, len(have), len(want))
	}
}

func TestTheSourceTellsWhatTheBookDidFromAnyPlace(t *testing.T) {
	for seed := range uint64(3) {
		h := history.New(shape(seed))
		v := opened(t, h.Partitions)
		fold(t, v, h, all(h)...)
		s := NewSource(v, journal.DevAssets)
		for p := range h.Partitions {
			want := wanted(h, p)
			for _, b := range []Bounds{{Events: 1}, {Events: 7}, {Bytes: 1000}, {}} {
				same(t, fmt.Sprintf("seed %d partition %d %+v", seed, p, b), read(t, s, p, Place{}, b), want)
			}
			for i := 0; i < len(want); i += 1 + len(want)/50 {
				items, next, err := s.Read(p, Place{}, Bounds{Events: i + 1})
				must(t, err)
				if next != PlaceOf(items[i].ID) && i+1 < len(want) {
					t.Fatalf("behind event %v the place is %v", items[i].ID, next)
				}
				same(t, fmt.Sprintf("behind %v", items[i].ID), read(t, s, p, PlaceOf(items[i].ID), Bounds{}), want[i+1:])
			}
		}
	}
}

func TestEveryAccountsVersionsAreToldWithoutAGap(t *testing.T) {
	h := history.New(shape(7))
	v := opened(t, h.Partitions)
	fold(t, v, h, all(h)...)
	s := NewSource(v, journal.DevAssets)
	accounts := map[string]uint64{}
	for p := range h.Partitions {
		items, _, err := s.Read(p, Place{}, Bounds{Events: 1 << 30, Bytes: 1 << 30})
		must(t, err)
		for _, i := range items {
			if i.Version != accounts[i.Account]+1 {
				t.Fatalf("%v: version %d of %s follows %d", i.ID, i.Version, i.Account, accounts[i.Account])
			}
			accounts[i.Account] = i.Version
			if !json.Valid(i.Body) {
				t.Fatalf("%v: %s is no JSON", i.ID, i.Body)
			}
		}
	}
	if len(accounts) < len(h.Names) {
		t.Errorf("%d accounts have events, of %d", len(accounts), len(h.Names))
	}
}

func TestWhoseNameIsNotFoldedYetIsWaitedFor(t *testing.T) {
	h := history.New(shape(3))
	v := opened(t, h.Partitions)
	fold(t, v, h, 0)
	s := NewSource(v, journal.DevAssets)
	items, next, err := s.Read(0, Place{}, Bounds{Events: 1 << 30, Bytes: 1 << 30})
	if !errors.Is(err, ErrNameless) {
		t.Fatalf("have %d events and %v, want %v", len(items), err, ErrNameless)
	}
	want := wanted(h, 0)
	var have []event
	for _, i := range items {
		have = append(have, event{i.ID.String(), i.Account, string(i.Body)})
	}
	same(t, "before the other partitions are folded", have, want[:len(items)])
	fold(t, v, h, 1, 2)
	same(t, "behind it", read(t, s, 0, next, Bounds{}), want[len(items):])
}

func TestTheJournalAloneGivesTheSameEvents(t *testing.T) {
	h := history.New(shape(9))
	var have, want []event
	must(t, FromJournal(t.Context(), JournalConfig{Log: h.Log, Assets: journal.DevAssets}, func(i *Item) error {
		have = append(have, event{i.ID.String(), i.Account, string(i.Body)})
		return nil
	}))
	for p := range h.Partitions {
		want = append(want, wanted(h, p)...)
	}
	same(t, "of the journal", have, want)
}
