package luascripts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

// windowed is a shard with one partition, whose key records go into slices of the server's time.
type windowed struct {
	t      *testing.T
	s      *Shard
	keeper uint32
}

func newWindowed(t *testing.T, slice time.Duration) *windowed {
	w := &windowed{t: t, s: openShard(t, local.Redis(t).Addr)}
	w.s.keySlice = slice
	w.load(journal.NewBook(0, 1))
	w.do(journal.Row{Op: journal.OpOpen, Account: account("MINT"), Flags: journal.Issuance})
	w.do(journal.Row{Op: journal.OpOpen, Account: account("A")})
	return w
}

func (w *windowed) load(b *journal.Book) {
	w.t.Helper()
	b.Epoch = 1
	must(w.t, w.s.Load(w.t.Context(), b))
}

func (w *windowed) do(r journal.Row) rows.Outcome {
	w.t.Helper()
	var tr Train
	tr.Section(0, 1)
	tr.Add(r.Append(nil))
	outs, err := runTrain(w.t, w.s, &tr)
	must(w.t, err)
	return outs[0]
}

func (w *windowed) transfer(key string) rows.Outcome {
	w.t.Helper()
	return w.do(mintRow(key))
}

func mintRow(key string) journal.Row {
	return journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(account("MINT"), key), Account: account("MINT"), To: account("A"), Amount: 1, Key: []byte(key)}
}

func (w *windowed) window() Window {
	w.t.Helper()
	win, err := w.s.Window(w.t.Context())
	must(w.t, err)
	return win
}

func (w *windowed) now() int64 {
	w.t.Helper()
	at, err := w.s.Time(w.t.Context())
	must(w.t, err)
	return at.UnixMilli()
}

// pass waits until the server's clock has left the slice that a moment is in.
func (w *windowed) pass(ms int64) {
	w.t.Helper()
	slice := ms / w.window().SliceMS
	waitFor(w.t, func() bool { return w.now()/w.window().SliceMS > slice })
}

// sealAll closes and seals what is past.
func (w *windowed) sealAll() {
	w.t.Helper()
	ctx := w.t.Context()
	must(w.t, w.s.CloseSlices(ctx, w.keeper))
	win := w.window()
	for _, slice := range win.Slices {
		if slice < win.Sealed || slice >= win.Floor {
			continue
		}
		ids, _, err := w.s.ReadSlice(ctx, slice, 0)
		must(w.t, err)
		for _, id := range ids {
			var b journal.FilterBlock
			b.Add(id)
			must(w.t, w.s.AddToFilter(ctx, w.keeper, map[FilterPlace]*journal.FilterBlock{{0, journal.FilterBlockOf(id)}: &b}))
		}
	}
	must(w.t, w.s.Seal(ctx, w.keeper, win.Floor))
}

// A slice goes from being written to, over closed and sealed, to dropped, and its keys answer the first outcome until they
// are evicted, and key_old from then on.
func TestTheLifeOfASlice(t *testing.T) {
	w := newWindowed(t, time.Second)
	first := w.transfer("a")
	if win := w.window(); len(win.Slices) != 1 || win.Slices[0] != first.TimeMS/1000 || win.SliceMS != 1000 || win.Filtered {
		t.Fatalf("window %+v after a key at %d", win, first.TimeMS)
	}
	w.pass(first.TimeMS)
	if o := w.transfer("a"); !o.Replayed || o.Position != first.Position {
		t.Fatalf("before it is sealed: %+v", o)
	}
	second := w.transfer("b")
	w.sealAll()
	win := w.window()
	if !win.Filtered || win.Sealed <= first.TimeMS/1000 || len(win.Slices) != 2 {
		t.Fatalf("sealed: %+v", win)
	}
	if o := w.transfer("a"); !o.Replayed || o.Position != first.Position {
		t.Fatalf("sealed: %+v", o)
	}
	if _, err := w.s.DropSlice(t.Context(), w.keeper, win.Slices[0]); !errors.Is(err, ErrOvertaken) {
		t.Fatalf("dropped before it was evicted: %v", err)
	}
	cutoff := (first.TimeMS/1000 + 1) * 1000
	if o := w.do(journal.Row{Op: journal.OpEvict, CutoffMS: cutoff}); o.Status != journal.Evicted {
		t.Fatal(o.Status)
	}
	for range 2 { // before and after its records are gone
		if o := w.transfer("a"); o.Status != journal.KeyOld || o.Replayed || string(o.Record) != string(packed(mintRow("a"))) {
			t.Fatalf("evicted: %+v", o)
		}
		if o := w.transfer("b"); !o.Replayed || o.Position != second.Position {
			t.Fatalf("in the window: %+v", o)
		}
		_, err := w.s.DropSlice(t.Context(), w.keeper, win.Slices[0])
		must(t, err)
	}
	if win := w.window(); slices.Contains(win.Slices, first.TimeMS/1000) {
		t.Fatalf("dropped: %+v", win)
	}
	cleared := mintRow("a")
	cleared.ClearedMS = cutoff
	if o := w.do(cleared); o.Status != journal.Confirmed || o.Replayed {
		t.Fatalf("cleared: %+v", o)
	}
}

// A keeper that does not own its partitions any more does nothing to the window, and nobody drops while a shard is loaded.
func TestTheWindowIsFenced(t *testing.T) {
	w := newWindowed(t, time.Second)
	ctx := t.Context()
	w.pass(w.transfer("a").TimeMS)
	w.sealAll()
	before := w.window()
	slice := before.Slices[0]
	w.do(journal.Row{Op: journal.OpEvict, CutoffMS: (slice + 1) * 1000})
	for _, other := range []uint32{1, 7} {
		block := map[FilterPlace]*journal.FilterBlock{{0, 7}: {1}}
		_, dropErr := w.s.DropSlice(ctx, other, slice)
		for what, err := range map[string]error{
			"close": w.s.CloseSlices(ctx, other), "filter": w.s.AddToFilter(ctx, other, block),
			"seal": w.s.Seal(ctx, other, before.Sealed), "drop": dropErr,
		} {
			if !errors.Is(err, ErrOvertaken) {
				t.Errorf("%s as keeper %d: %v", what, other, err)
			}
		}
	}
	must(t, w.s.client.HSet(ctx, partsKey, loaderField, "\x00\x00\x00\x01x").Err())
	if _, err := w.s.DropSlice(ctx, w.keeper, slice); !errors.Is(err, ErrOvertaken) {
		t.Errorf("dropped while somebody loads: %v", err)
	}
	must(t, w.s.client.HDel(ctx, partsKey, loaderField).Err())
	aside := journal.NewBook(1, 2)
	for _, value := range []string{"Lx", "F" + string(aside.AppendPart(nil))} {
		must(t, w.s.client.HSet(ctx, partsKey, asideField(1), value).Err())
		if _, err := w.s.DropSlice(ctx, w.keeper, slice); !errors.Is(err, ErrOvertaken) {
			t.Errorf("dropped beside a partition that is aside, %q: %v", value[:1], err)
		}
	}
	aside.EvictedMS = (slice + 1) * 1000 // frozen where it has evicted as much
	must(t, w.s.client.HSet(ctx, partsKey, asideField(1), "F"+string(aside.AppendPart(nil))).Err())
	if after := w.window(); !slices.Equal(after.Slices, before.Slices) || after.Sealed != before.Sealed {
		t.Errorf("window %+v, was %+v", after, before)
	}
	_, err := w.s.DropSlice(ctx, w.keeper, slice)
	must(t, err)
}

// A server's clock that goes back writes nothing into a slice that is closed.
func TestClosedSlicesGetNothing(t *testing.T) {
	w := newWindowed(t, time.Second)
	win := w.window()
	win.Floor += 3600 // as if the clock had been an hour ahead
	must(t, w.s.client.HSet(t.Context(), partsKey, windowField, packWindow(&win)).Err())
	if o := w.transfer("a"); o.TimeMS != win.Floor*1000 {
		t.Errorf("at %d, the floor is %d", o.TimeMS, win.Floor*1000)
	}
	if got := w.window(); !slices.Equal(got.Slices, []int64{win.Floor}) {
		t.Errorf("slices %v", got.Slices)
	}
}

// A shard that is loaded has its keys by their own time, the filter knows all that were evicted, and a filter that is full
// makes nothing wrong: what is in the window is found, what is not is old.
func TestLoadedWindow(t *testing.T) {
	w := newWindowed(t, time.Minute)
	for n := range 50 {
		w.transfer(fmt.Sprint("k", n))
	}
	books, err := w.s.Dump(t.Context(), 1)
	must(t, err)
	b := books[0]
	m := b.State.(*journal.Memory)
	n, now := 0, b.TimeMS
	for id, k := range m.Keys { // spread over an hour
		k.TimeMS = now - int64(n)*72_000
		m.SetKey(id, k)
		n++
	}
	b.EvictedMS = now - 1_800_000
	m.Evict(b.EvictedMS)
	for _, full := range []bool{false, true} {
		if full {
			for n := range journal.FilterBlocks {
				for i := range m.Filter.Block(n) {
					m.Filter.Block(n)[i] = 0xff
				}
			}
		}
		wiped(t, w.s)
		w.load(b)
		if win := w.window(); !win.Filtered || len(win.Slices) < 20 || win.Sealed != w.now()/60_000 && win.Sealed != w.now()/60_000-1 {
			t.Fatalf("window %+v", win)
		}
		replayed, old := 0, 0
		for n := range 50 {
			switch o := w.transfer(fmt.Sprint("k", n)); {
			case o.Replayed:
				replayed++
			case o.Status == journal.KeyOld:
				old++
			}
		}
		if replayed != len(m.Keys) || replayed+old != 50 {
			t.Errorf("full %v: %d replayed, %d old, of 50 with %d in the window", full, replayed, old, len(m.Keys))
		}
		if o := w.transfer(fmt.Sprint("new", full)); (o.Status == journal.KeyOld) != full {
			t.Errorf("full %v: a new key: %v", full, o.Status)
		}
	}
	held, err := w.s.Held(t.Context(), 1)
	must(t, err)
	if held.Keys != int64(len(m.Keys)) || held.FilterBlocks != journal.FilterBlocks || held.FilterFill != 1 || held.Slices == 0 {
		t.Errorf("held %+v", held)
	}
}

// Partitions that are loaded into a shard that serves others come into its window.
func TestLoadIntoAWindow(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	s.keySlice = time.Minute
	now, err := s.Time(t.Context())
	must(t, err)
	var want []int64
	for p := range 2 {
		b := journal.NewBook(p, 2)
		b.Epoch, b.Seq, b.TimeMS = 1, 1, now.UnixMilli()
		ago := int64(p+1) * 3_600_000
		b.State.SetKey(journal.ID{byte(p)}, journal.KeyRecord{Status: journal.Confirmed, Op: journal.OpPay, TimeMS: now.UnixMilli() - ago, Content: make([]byte, 25)})
		want = append([]int64{(now.UnixMilli() - ago) / 60_000}, want...)
		must(t, s.Load(t.Context(), b))
	}
	win, err := s.Window(t.Context())
	must(t, err)
	if !slices.Equal(win.Slices, want) {
		t.Errorf("slices %v, want %v", win.Slices, want)
	}
}

func packed(r journal.Row) []byte { return r.Append(nil) }

// TransferWindow: as Transfer, with a window in use: 24 slices, and a filter of every block at a third full, which is the
// design's load (100 ids a block): 1 new key in 90 is looked for in the slices behind.
func BenchmarkTransferWindow(b *testing.B) {
	benchRowsOn(b, windowedBench, journal.Confirmed, func(r *journal.Row, i int) { benchMove(r, journal.OpTransfer, journal.VerdictLocal, i) })
}

func windowedBench(b *testing.B) *Shard {
	s := openShard(b, local.Redis(b).Addr)
	s.keySlice = time.Hour
	now, err := s.Time(b.Context())
	must(b, err)
	book := benchBook()
	book.TimeMS = now.UnixMilli()
	m := book.State.(*journal.Memory)
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 24 * 100 {
		m.SetKey(journal.IDOf(journal.Handle{}, fmt.Sprint(n)), journal.KeyRecord{TimeMS: book.TimeMS - int64(n%24)*3_600_000, Content: make([]byte, 25)})
	}
	for n := range journal.FilterBlocks {
		block := m.Filter.Block(n)
		for range 400 {
			block[rng.IntN(len(block))] |= 1 << rng.IntN(8)
		}
	}
	must(b, s.Load(b.Context(), book))
	return s
}

// TestAPartDumpedAloneHasForgotten: what a partition has evicted is not in its Book, whether its slice is still there or not: a
// move compares it with the journal's.
func TestAPartDumpedAloneHasForgotten(t *testing.T) {
	w := newWindowed(t, time.Second)
	w.do(journal.Row{Op: journal.OpReserve, ID: journal.IDOf(account("MINT"), "r"), Account: account("MINT"), Amount: 1, ExpiresInS: 60, Key: []byte("r")})
	w.transfer("first")
	w.do(journal.Row{Op: journal.OpCancel, ID: journal.IDOf(account("MINT"), "r")})
	at := w.now()
	w.pass(at)
	w.sealAll()
	if o := w.do(journal.Row{Op: journal.OpEvict, CutoffMS: (at/w.window().SliceMS + 1) * w.window().SliceMS}); o.Status != journal.Evicted {
		t.Fatal(o.Status)
	}
	whole, err := w.s.Dump(t.Context(), 1)
	must(t, err)
	alone := func() *journal.Book {
		t.Helper()
		b, err := w.s.DumpPart(t.Context(), 0, 1, false)
		must(t, err)
		return b
	}
	if want, is := whole[0].Digest(), alone().Digest(); is != want {
		t.Errorf("it serves: digest %x alone, %x with the others", is, want)
	}
	must(t, w.s.Admit(t.Context(), 1, w.now()+60_000))
	if _, err := w.s.Freeze(t.Context(), 1, 0, 1); err != nil {
		t.Fatal(err)
	}
	if want, is := whole[0].Digest(), alone().Digest(); is != want || len(alone().State.(*journal.Memory).Keys) > 0 {
		t.Errorf("it is frozen: digest %x alone, %x with the others", is, want)
	}
}
