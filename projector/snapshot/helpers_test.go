package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/projector/internal/history"
	"walletd/projector/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shape(seed uint64) history.Config {
	return history.Config{Seed: seed, Partitions: 3, Accounts: 4, Steps: 1200, Assets: 2, FrameMax: 10}
}

// viewAt is a projection that has folded every partition's log up to an offset of its own.
func viewAt(t testing.TB, h *history.History, until []int64) *view.View {
	t.Helper()
	v, err := view.Open(view.Config{Dir: filepath.Join(t.TempDir(), "view"), Wallet: "test", Partitions: h.Partitions, CacheBytes: 8 << 20, CacheAccounts: 64})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	for p, to := range until {
		advance(t, v, h.Log, p, to)
	}
	return v
}

func advance(t testing.TB, v *view.View, log journal.Log, p int, to int64) {
	t.Helper()
	f, err := v.Fold(p)
	must(t, err)
	for n := 0; f.Cursor().Offset < to; n++ {
		if _, err = log.Read(t.Context(), p, f.Cursor().Offset, func(offset int64, record []byte) error {
			if offset == to || f.Cursor().Offset-offset > 20 {
				return errUntil
			}
			_, err := f.Take(offset, record)
			return err
		}); err != nil && !errors.Is(err, errUntil) {
			t.Fatal(err)
		}
		must(t, f.Commit())
	}
	must(t, f.Close())
}

// foldTo folds a partition from the log's first record.
func foldTo(t testing.TB, log journal.Log, p int, until int64) *Folded {
	t.Helper()
	if until == 0 {
		return &Folded{Book: journal.NewBook(p, log.Partitions()), Cursor: journal.Cursor{Partition: p}}
	}
	f, err := Fold(t.Context(), FoldConfig{Log: log, Partition: p, Until: until})
	must(t, err)
	return f
}

func dump(t testing.TB, b *journal.Book) string {
	t.Helper()
	var text bytes.Buffer
	must(t, b.Dump(&text))
	return fmt.Sprintf("epoch %d filter %x\n%s", b.Epoch, b.State.(*journal.Memory).Filter.Digest(), text.String())
}

// cutsOf are random offsets, one a partition.
func cutsOf(rng *rand.Rand, log journal.Log) (cuts []int64) {
	for p := range log.Partitions() {
		end, _ := log.End(context.Background(), p)
		cuts = append(cuts, rng.Int64N(end+1))
	}
	return cuts
}

// taken takes a snapshot of a projection into a store.
func taken(t testing.TB, store Store, v *view.View, log journal.Log) *Manifest {
	t.Helper()
	cut := v.Cut()
	defer func() { must(t, cut.Close()) }()
	m, err := (&Taking{Shelf: shelfOf(store, log.Partitions()), Policy: Policy{Newest: 100}}).Take(t.Context(), FromView(cut, log))
	must(t, err)
	return m
}

func shelfOf(store Store, partitions int) *Shelf {
	return &Shelf{Store: store, Wallet: "test", Partitions: partitions}
}

// small is a file with something in every section.
func small(t testing.TB, compress bool) []byte {
	t.Helper()
	var b bytes.Buffer
	h := Header{Wallet: "test", Partitions: 4, Cursor: journal.Cursor{Partition: 1, Offset: 9, Epoch: 3, Seq: 17, Chain: journal.Hash{1}}, Last: journal.Hash{2}, Genesis: journal.Hash{3},
		BookEpoch: 2, TimeMS: 1_700_000_000_000, EvictedMS: 5, CreatedMS: time.Now().UnixMilli()}
	w, err := NewWriter(&b, &h, compress)
	must(t, err)
	w.Account(journal.Handle{1}, journal.Account{Available: -70, Flags: journal.Issuance, Version: 3})
	w.Account(journal.Handle{2}, journal.Account{Available: 50, Reserved: 20, Version: 2})
	w.Details(journal.Handle{1}, []byte("\x00\x00\x00\x00\x00\x00\x01{}"))
	w.Key(journal.ID{5}, journal.KeyRecord{Status: journal.Confirmed, Op: journal.OpPay, Seq: 12, Content: make([]byte, 25)})
	w.Key(journal.ID{6}, journal.KeyRecord{Status: journal.Tombstone, Op: journal.OpCancel, Seq: 13})
	w.Reservation(journal.ID{7}, journal.Reservation{Status: journal.Tried, Amount: 20, Remaining: 20})
	w.Delivered(0, 8)
	w.Delivered(3, 1)
	w.Filter(7, &journal.FilterBlock{1, 2, 3})
	w.Filter(8, &journal.FilterBlock{})
	w.Filter(900, &journal.FilterBlock{3})
	w.Behind(2, 11)
	w.Leg(12, journal.Leg{Of: journal.OpPay, ID: journal.ID{5}, Payer: journal.Handle{2}, Payee: journal.Handle{0, 0, 0, 2}, Amount: 5})
	w.Leg(12, journal.Leg{Of: journal.OpPay, ID: journal.ID{5}, Payer: journal.Handle{2}, Payee: journal.Handle{0, 0, 0, 2}, Amount: 6})
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
