package view

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
	"walletd/projector/internal/history"
)

func shape(seed uint64) history.Config {
	return history.Config{Seed: seed, Partitions: 3, Accounts: 4, Steps: 1500, Assets: 2, FrameMax: 12}
}

func open(t testing.TB, fs vfs.FS, partitions int) *View {
	t.Helper()
	v, err := Open(Config{Dir: "view", Wallet: "test", Partitions: partitions, CacheBytes: 8 << 20, CacheAccounts: 64, FS: fs})
	must(t, err)
	return v
}

// opened is an empty view in memory that is closed at the end.
func opened(t testing.TB, partitions int) *View {
	t.Helper()
	v := open(t, vfs.NewMem(), partitions)
	t.Cleanup(func() { must(t, v.Close()) })
	return v
}

func folding(t testing.TB, v *View, partition int) *Fold {
	t.Helper()
	f, err := v.Fold(partition)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

// feed takes at most n records from the log and commits; it answers how many there were.
func feed(t testing.TB, f *Fold, log *history.Log, n int) int {
	t.Helper()
	taken := 0
	_, err := log.Read(t.Context(), f.Cursor().Partition, f.Cursor().Offset, func(offset int64, record []byte) error {
		if taken == n {
			return errEnough
		}
		taken++
		_, err := f.Take(offset, record)
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	must(t, f.Commit())
	return taken
}

var errEnough = errors.New("enough")

// project folds a whole history.
func project(t testing.TB, v *View, h *history.History) {
	t.Helper()
	for p := range h.Partitions {
		f, err := v.Fold(p)
		must(t, err)
		for feed(t, f, h.Log, 50) > 0 {
		}
		must(t, f.Close())
	}
}

// fold is the memory fold of a partition's events up to a seq.
func fold(t testing.TB, h *history.History, partition int, seq uint64) *journal.Book {
	t.Helper()
	b := journal.NewBook(partition, h.Partitions)
	for i := range h.Events[partition][:seq] {
		must(t, b.Apply(&h.Events[partition][i], nil))
	}
	return b
}

// contents is everything that the store says, as text. How lines are grouped and ids lie in runs depends on where commits
// were, so of these it is the lines, the accounts and the ids.
func contents(t testing.TB, v *View) string {
	t.Helper()
	var b bytes.Buffer
	var ids []string
	var last journal.Handle
	it, err := v.db.NewIter(&pebble.IterOptions{})
	must(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		must(t, err)
		switch key := it.Key(); key[0] {
		case keyGroup:
			g, err := parseGroup(key, value)
			must(t, err)
			if g.handle != last {
				last = g.handle
				fmt.Fprintf(&b, "account %x %+v\n", last, g.account)
			}
			for {
				l, ok, err := g.next()
				must(t, err)
				if !ok {
					break
				}
				fmt.Fprintf(&b, "line %x %+v\n", last, l)
			}
		case keyRun:
			for ; len(value) > 0; value = value[bucketItem:] {
				ids = append(ids, fmt.Sprintf("id %x %v", key[1:prefixSize], parseID(value)))
			}
		case keyRuns:
		default:
			fmt.Fprintf(&b, "%q %x\n", key, value)
		}
	}
	must(t, it.Close())
	slices.Sort(ids)
	return b.String() + strings.Join(ids, "\n")
}

// firstDifference shows where two texts part.
func firstDifference(have, want string) string {
	a, b := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d: have %s, want %s", i, a[i], b[i])
		}
	}
	return fmt.Sprintf("have %d lines, want %d", len(a), len(b))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, have, want T) {
	t.Helper()
	if have != want {
		t.Fatalf("%s: have %v, want %v", what, have, want)
	}
}

// historyOfKeys is of some thousand keys in the window of one partition.
func historyOfKeys() *history.History {
	return history.New(history.Config{Seed: 60, Partitions: 1, Accounts: 20, Steps: 5000, Assets: 1, FrameMax: 50, Plain: true})
}

// keysOnly are the ids of the key records that a Cut gives.
type keysOnly []journal.ID

func (k *keysOnly) Key(id journal.ID, _ journal.KeyRecord)    { *k = append(*k, id) }
func (*keysOnly) Account(journal.Handle, journal.Account)     {}
func (*keysOnly) Details(journal.Handle, []byte)              {}
func (*keysOnly) Reservation(journal.ID, journal.Reservation) {}
func (*keysOnly) Delivered(int, uint64)                       {}
func (*keysOnly) Filter(int, *journal.FilterBlock)            {}
