package view

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// cutBooks folds every partition up to its cut, and says what was in flight there.
func cutBooks(t *testing.T, h *history.History, cut []uint64) (books []*journal.Book, inFlight map[way]InFlight) {
	t.Helper()
	legs := &sentLegs{legs: map[int][]sentAt{}}
	for p := range cut {
		books = append(books, fold(t, h, p, cut[p]))
		all := journal.NewBook(p, h.Partitions)
		for i := range h.Events[p] {
			must(t, all.Apply(&h.Events[p][i], legs))
		}
	}
	inFlight = map[way]InFlight{}
	for p, sent := range legs.legs {
		for _, s := range sent {
			q := s.leg.Payee.Partition(h.Partitions)
			w, sign := way{p, q, s.leg.Asset}, int64(0)
			credited := s.seq <= books[q].State.Delivered(p)
			switch {
			case s.seq <= cut[p] && !credited:
				sign = 1
			case s.seq > cut[p] && credited:
				sign = -1
			}
			f := inFlight[w]
			inFlight[w] = InFlight{p, q, s.leg.Asset, f.Legs + sign, f.Amount + sign*int64(s.leg.Amount)}
		}
	}
	return books, inFlight
}

type sentAt struct {
	seq uint64
	leg journal.Leg
}

type sentLegs struct{ legs map[int][]sentAt }

func (s *sentLegs) Changed(*journal.Event, journal.Change) {}
func (s *sentLegs) Leg(e *journal.Event, l journal.Leg) {
	s.legs[e.Partition] = append(s.legs[e.Partition], sentAt{e.Seq, l})
}

// Promises 1 and 13 for every past: at random cuts, of a time or of any seqs, the book is the fold of the journal up to there, and
// what is on accounts and what is in flight add up to nothing.
func TestTheBookAtACutIsTheFoldUpToThere(t *testing.T) {
	for seed := range uint64(4) {
		h := history.New(shape(70 + seed))
		h.Flood(0)
		h.More(100) // some legs are in flight at the end
		v := opened(t, h.Partitions)
		project(t, v, h)
		rng := rand.New(rand.NewPCG(seed, 1))
		flying := 0
		for n := range 40 {
			r := v.Read()
			cut := make([]uint64, h.Partitions)
			switch {
			case n == 0: // nothing yet
			case n == 1:
				for p := range cut {
					cut[p] = uint64(len(h.Events[p]))
				}
			case n%2 == 0:
				p := rng.IntN(h.Partitions)
				at := h.Events[p][rng.IntN(len(h.Events[p]))].TimeMS
				for p := range cut {
					var err error
					cut[p], err = r.SeqAt(p, at)
					must(t, err)
					if s := cut[p]; (s > 0 && h.Events[p][s-1].TimeMS > at) || (s < uint64(len(h.Events[p])) && h.Events[p][s].TimeMS <= at) {
						t.Fatalf("seq %d is not the last of partition %d at %d", s, p, at)
					}
				}
			default:
				for p := range cut {
					cut[p] = rng.Uint64N(uint64(len(h.Events[p])) + 1)
				}
			}
			flying += compareBook(t, h, r, cut)
			must(t, r.Close())
		}
		if flying == 0 {
			t.Error("nothing was in flight at any cut")
		}
	}
}

// compareBook compares the book at a cut with the fold, and answers how many channels carried something.
func compareBook(t *testing.T, h *history.History, r *Reading, cut []uint64) int {
	t.Helper()
	books, inFlight := cutBooks(t, h, cut)
	sums := map[journal.Asset]int64{}
	for p, b := range books {
		accounts := b.State.(*journal.Memory).Accounts
		seen := map[journal.Handle]bool{}
		must(t, r.EachBalance(t.Context(), p, cut[p], func(have *Balance) error {
			want, ok := accounts[have.Account]
			equal(t, "balance at "+fmt.Sprint(cut), [5]any{have.Available, have.Reserved, have.Version, have.Asset, true},
				[5]any{want.Available, want.Reserved, want.Version, want.Asset, ok && !seen[have.Account]})
			if name, ok := h.Names[have.Account]; ok {
				equal(t, "id", have.ID, name)
			}
			one, ok, err := r.BalanceBehind(have.Account, cut[p])
			must(t, err)
			equal(t, "balance behind", [4]any{ok, one.Available, one.Reserved, one.Version}, [4]any{true, want.Available, want.Reserved, want.Version})
			seen[have.Account] = true
			sums[have.Asset] += int64(have.Available + have.Reserved)
			return nil
		}))
		equal(t, "accounts", len(seen), len(accounts))
	}
	list, err := r.InFlightAt(t.Context(), cut)
	must(t, err)
	have := map[way]InFlight{}
	for _, f := range list {
		have[way{f.From, f.To, f.Asset}] = f
		sums[f.Asset] += f.Amount
	}
	for w, want := range inFlight {
		if want.Legs != 0 || want.Amount != 0 {
			equal(t, "in flight", have[w], want)
			delete(have, w)
		}
	}
	equal(t, "channels that carry nothing", len(have), 0)
	for asset, sum := range sums {
		equal(t, fmt.Sprintf("sum of asset %d at %v", asset, cut), sum, 0)
	}
	return len(list)
}

func TestWaitUntilTheFoldIsPastATime(t *testing.T) {
	h := history.New(shape(75))
	v := opened(t, h.Partitions)
	f := folding(t, v, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	last := h.Events[1][len(h.Events[1])-1].TimeMS
	waited := make(chan error, 1)
	go func() { waited <- v.WaitPast(ctx, 1, last-1) }()
	for feed(t, f, h.Log, 5) > 0 {
	}
	must(t, <-waited)
	ended, cancel2 := context.WithCancel(t.Context())
	cancel2()
	if err := v.WaitPast(ended, 1, last); !errors.Is(err, context.Canceled) {
		t.Fatalf("another event of this millisecond may come: %v", err)
	}
	go func() { waited <- v.WaitPast(ctx, 1, last) }()
	f.Stop(journal.ErrDamaged)
	if err := <-waited; !errors.Is(err, journal.ErrDamaged) {
		t.Fatal(err)
	}
}
