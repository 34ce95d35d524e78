package snapshot

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// TestSnapshotAndTailAreTheFold (P11): from a snapshot at any cut, the tail gives byte for byte what folding from the first
// record gives; the file's digest is the Book's; and the projection and a fold write the same file.
func TestSnapshotAndTailAreTheFold(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := history.New(shape(seed))
			rng := rand.New(rand.NewPCG(seed, 1))
			for range 4 {
				cuts := cutsOf(rng, h.Log)
				store := NewDir(t.TempDir())
				m := taken(t, store, viewAt(t, h, cuts), h.Log)
				shelf := shelfOf(store, h.Partitions)
				for p, cut := range cuts {
					l, err := shelf.Newest(t.Context(), p)
					must(t, err)
					at := foldTo(t, h.Log, p, cut)
					if have, want := dump(t, l.Book), dump(t, at.Book); have != want {
						t.Fatalf("partition %d at offset %d: have\n%s\nwant\n%s", p, cut, have, want)
					}
					if d := l.Book.Digest(); hex.EncodeToString(d[:]) != m.Files[p].Digest || l.Header.Cursor != at.Cursor || l.Header.Last != at.Last {
						t.Fatalf("%+v\n%+v", l.Header, at.Cursor)
					}
					end, err := Fold(t.Context(), FoldConfig{Log: h.Log, Partition: p, From: l})
					must(t, err)
					if have, want := dump(t, end.Book), dump(t, h.Books[p]); have != want {
						t.Fatalf("partition %d behind offset %d: have\n%s\nwant\n%s", p, cut, have, want)
					}
				}
				verdicts, err := shelf.Verify(t.Context(), Entry{ID: m.ID, Manifest: m}, h.Log, nil)
				must(t, err)
				for _, v := range verdicts {
					if !v.OK {
						t.Errorf("%+v", v)
					}
				}
			}
		})
	}
}

// TestViewAndFoldWriteTheSameFile: what is taken from a projection that has seen everything, and from a fold, differs in
// nothing; and both know every leg that is on its way.
func TestViewAndFoldWriteTheSameFile(t *testing.T) {
	h := history.New(shape(7))
	var ends []int64
	var folds []*Folded
	for p := range h.Partitions {
		end, err := h.Log.End(t.Context(), p)
		must(t, err)
		ends = append(ends, end)
		folds = append(folds, foldTo(t, h.Log, p, end))
	}
	cut := viewAt(t, h, ends).Cut()
	defer func() { must(t, cut.Close()) }()
	legs := 0
	for p := range h.Partitions {
		var files [2][]byte
		var loaded [2]*Loaded
		for i, src := range []Source{FromView(cut, h.Log), FromFolds(folds)} {
			header, err := src.Header(t.Context(), p)
			must(t, err)
			var b bytes.Buffer
			_, err = writeFile(t.Context(), &b, &header, func(into Records) error { return src.Each(p, into) })
			must(t, err)
			files[i] = b.Bytes()
			loaded[i], err = Load(&b, "x")
			must(t, err)
		}
		if !bytes.Equal(files[0], files[1]) {
			a, b := loaded[0], loaded[1]
			t.Errorf("partition %d:\n%+v\n%+v\n%v %v\n%v %v", p, a.Header, b.Header, a.Behind, b.Behind, a.Legs, b.Legs)
		}
		legs += len(loaded[0].Legs)
		checkLegs(t, h, loaded[0])
	}
	if legs == 0 {
		t.Error("nothing was on its way: the test shows less than it should")
	}
}

// checkLegs holds a snapshot's legs against the log's: all behind what it names, and no others.
func checkLegs(t *testing.T, h *history.History, l *Loaded) {
	t.Helper()
	p := l.Header.Cursor.Partition
	var want []Sent
	b := journal.NewBook(p, h.Partitions)
	x := &all{}
	for i := range h.Events[p][:l.Header.Cursor.Seq] {
		must(t, b.Apply(&h.Events[p][i], x))
	}
	for _, s := range x.sent {
		if s.Seq > l.Behind[s.Leg.Payee.Partition(h.Partitions)] {
			want = append(want, s)
		}
	}
	if fmt.Sprint(want) != fmt.Sprint(l.Legs) {
		t.Errorf("partition %d: behind %v are\n%v\nhave\n%v", p, l.Behind, want, l.Legs)
	}
}

type all struct{ sent []Sent }

func (*all) Changed(*journal.Event, journal.Change) {}
func (a *all) Leg(e *journal.Event, l journal.Leg)  { a.sent = append(a.sent, Sent{e.Seq, l}) }

// TestLegsAtAnyCut: whatever a projection has seen of the other partitions, and whether it was opened a moment ago, the
// legs that a snapshot has are all there are behind what it names; and no destination has credited less than that, unless
// the projection did not know.
func TestLegsAtAnyCut(t *testing.T) {
	for seed := range uint64(5) {
		h := history.New(shape(100 + seed))
		rng := rand.New(rand.NewPCG(seed, 3))
		cuts := cutsOf(rng, h.Log)
		v := viewAt(t, h, cuts)
		for range 4 {
			p := rng.IntN(h.Partitions)
			end, err := h.Log.End(t.Context(), p)
			must(t, err)
			if cuts[p] < end {
				cuts[p] += 1 + rng.Int64N(end-cuts[p])
				advance(t, v, h.Log, p, cuts[p])
			}
			store := NewDir(t.TempDir())
			taken(t, store, v, h.Log)
			for p := range h.Partitions {
				l, err := shelfOf(store, h.Partitions).Newest(t.Context(), p)
				must(t, err)
				checkLegs(t, h, l)
				for q, seq := range l.Behind {
					if at := foldTo(t, h.Log, q, cuts[q]); at.Book.State.Delivered(p) < seq && at.Book.State.Delivered(p) <= l.Header.Cursor.Seq {
						t.Errorf("seed %d: legs of %d for %d are known behind %d, it has %d", seed, p, q, seq, at.Book.State.Delivered(p))
					}
				}
			}
		}
	}
}

// TestForeignLog: a snapshot is not folded on over a log that it was not taken of.
func TestForeignLog(t *testing.T) {
	h := history.New(shape(1))
	other := history.New(shape(2))
	cuts := []int64{20, 20, 20}
	store := NewDir(t.TempDir())
	taken(t, store, viewAt(t, h, cuts), h.Log)
	load := func() *Loaded {
		l, err := shelfOf(store, 3).Newest(t.Context(), 0)
		must(t, err)
		return l
	}
	for what, log := range map[string]journal.Log{"another wallet's": other.Log, "shorter": shortened(h, 19), "empty": history.NewLog(3)} {
		if _, err := Fold(t.Context(), FoldConfig{Log: log, Partition: 0, From: load()}); !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func shortened(h *history.History, n int) *history.Log {
	l := history.NewLog(h.Partitions)
	for _, r := range h.Log.Records(0)[:n] {
		l.Put(0, r)
	}
	return l
}
