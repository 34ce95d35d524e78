package view

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
	"walletd/projector/internal/history"
)

func TestViewIsTheBookAtEveryCut(t *testing.T) {
	for seed := range uint64(4) {
		h := history.New(shape(seed))
		v := opened(t, h.Partitions)
		rng := rand.New(rand.NewPCG(seed, 1))
		for p := range h.Partitions {
			f := folding(t, v, p)
			for feed(t, f, h.Log, 1+rng.IntN(15)) > 0 {
				have, at, err := v.Digest(p)
				must(t, err)
				book := fold(t, h, p, at.Seq)
				equal(t, fmt.Sprintf("digest at %v", at), have, book.Digest())
				equal(t, "epoch", at.Epoch, book.Epoch)
				equal(t, "seq", at.Seq, f.Cursor().Seq)
			}
			equal(t, "events folded", int(f.Cursor().Seq), len(h.Events[p]))
		}
	}
}

func TestTheFoldReadsKeysOfItsOpenBatch(t *testing.T) {
	h := history.New(shape(1))
	v := opened(t, h.Partitions)
	f := folding(t, v, 0)
	for offset, record := range h.Log.Records(0) {
		_, err := f.Take(int64(offset), record)
		must(t, err)
	}
	want := h.Books[0].State.(*journal.Memory)
	for _, committed := range []bool{false, true} {
		for id, k := range want.Keys {
			have, ok := f.state.Key(id)
			if !ok || string(have.Append(nil)) != string(k.Append(nil)) {
				t.Fatalf("committed %v: key %x: have %v %v, want %v", committed, id, ok, have, k)
			}
		}
		if _, ok := f.state.Key(journal.ID{1}); ok {
			t.Fatal("found a key that nobody used")
		}
		must(t, f.state.err)
		must(t, f.Commit())
	}
}

func TestRebuildGivesTheSameStore(t *testing.T) {
	h := history.New(shape(5))
	var first string
	for i, step := range []int{1, 7, 1 << 30} {
		v := opened(t, h.Partitions)
		for p := range h.Partitions {
			f := folding(t, v, (p+i)%h.Partitions)
			for feed(t, f, h.Log, step) > 0 {
			}
		}
		if have := contents(t, v); first == "" {
			first = have
		} else if have != first {
			t.Fatalf("%d records a commit: another store than one record a commit", step)
		}
	}
}

func TestCrashBetweenAnyTwoCommits(t *testing.T) {
	for _, survives := range []int{0, 50, 100} {
		foldThroughCrashes(t, uint64(survives), survives)
	}
}

// foldThroughCrashes folds a history and crashes before and after each commit. survives: percent of what was not synced.
func foldThroughCrashes(t testing.TB, seed uint64, survives int) {
	h := history.New(history.Config{Seed: 9, Partitions: 2, Accounts: 3, Steps: 300, Assets: 1, FrameMax: 12})
	want := opened(t, h.Partitions)
	project(t, want, h)
	wanted := contents(t, want)

	rng := rand.New(rand.NewPCG(seed, 3))
	fs := vfs.NewCrashableMem()
	v := open(t, fs, h.Partitions)
	p, crashes, back := 0, 0, int64(0)
	for done := 0; done < h.Partitions; {
		f, err := v.Fold(p)
		must(t, err)
		if feed(t, f, h.Log, 1+rng.IntN(4)) == 0 {
			done++
		} else {
			done = 0
		}
		committed := f.Cursor().Offset
		// Half a batch more, which nobody committed.
		if records := h.Log.Records(p); f.Cursor().Offset < int64(len(records)) {
			_, err := f.Take(f.Cursor().Offset, records[f.Cursor().Offset])
			must(t, err)
		}
		must(t, f.Close())
		if crashes++; crashes%3 == 0 { // what is flushed survives every crash, so that it gets on at all
			must(t, v.db.Flush())
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: survives, RNG: rng})
		must(t, v.Close())
		fs, v = crashed, open(t, crashed, h.Partitions)
		g, err := v.progress(v.db, p)
		must(t, err)
		if g.cursor.Offset < committed {
			back++
		}
		if crashes > 2000 {
			t.Fatal("it does not get on")
		}
		p = (p + 1) % h.Partitions
	}
	if have := contents(t, v); have != wanted {
		t.Fatalf("%d %%: after %d crashes another store than without", survives, crashes)
	}
	t.Logf("%d %% of unsynced data survives: %d crashes, %d of them lost commits", survives, crashes, back)
	must(t, v.Close())
}

// Whenever the process ends, while tables are being written, too, what is left is what the first so many commits made, of all
// partitions together; and folding on gives the same store as without a crash.
func TestACrashLeavesAPrefixOfTheCommits(t *testing.T) {
	type commit struct {
		partition int
		offset    int64
	}
	h := history.New(history.Config{Seed: 10, Partitions: 3, Accounts: 20, Steps: 6000, Assets: 1, FrameMax: 30})
	want := opened(t, h.Partitions)
	project(t, want, h)
	wanted := contents(t, want)
	lost, kept := 0, 0
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 4))
		fs := vfs.NewCrashableMem()
		c := Config{Dir: "view", Wallet: "test", Partitions: h.Partitions, MemoryBytes: 32 << 10, FS: fs}
		v, err := Open(c)
		must(t, err)
		var commits []commit
		folds := make([]*Fold, h.Partitions)
		for p := range folds {
			folds[p], err = v.Fold(p)
			must(t, err)
		}
		for range 50 + rng.IntN(500) {
			p := rng.IntN(h.Partitions)
			feed(t, folds[p], h.Log, 1+rng.IntN(3))
			commits = append(commits, commit{p, folds[p].Cursor().Offset})
		}
		c.FS = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed%3) * 50, RNG: rng}) // the old store still writes
		for _, f := range folds {
			must(t, f.Close())
		}
		must(t, v.Close())

		v, err = Open(c)
		must(t, err)
		left := map[int]int64{}
		for p := range folds {
			at, err := v.progress(v.db, p)
			must(t, err)
			left[p] = at.cursor.Offset
		}
		is, n := map[int]int64{}, 0
		for is[0] != left[0] || is[1] != left[1] || is[2] != left[2] {
			if n == len(commits) {
				t.Fatalf("seed %d: %v is left, which is no prefix of the commits", seed, left)
			}
			is[commits[n].partition] = commits[n].offset
			n++
		}
		lost, kept = lost+len(commits)-n, kept+n
		for p := range folds {
			have, at, err := v.Digest(p)
			must(t, err)
			equal(t, "digest", have, fold(t, h, p, at.Seq).Digest())
		}
		project(t, v, h)
		if have := contents(t, v); have != wanted {
			t.Fatalf("seed %d: another store than without a crash: %s", seed, firstDifference(have, wanted))
		}
		must(t, v.Close())
	}
	if lost == 0 || kept == 0 {
		t.Fatalf("%d commits were lost, %d kept: nothing is shown", lost, kept)
	}
	t.Logf("%d commits lost, %d kept", lost, kept)
}

func TestDamagedFrameChangesNothing(t *testing.T) {
	h := history.New(shape(2))
	v := opened(t, h.Partitions)
	f := folding(t, v, 0)
	feed(t, f, h.Log, 10)
	before, at := contents(t, v), f.Cursor()

	forged := h.Log.Clone()
	forged.Flip(0, 12, journal.FrameHeadSize+5, 0x10)
	var err error
	for offset := int64(10); err == nil; offset++ {
		_, err = f.Take(offset, forged.Records(0)[offset])
	}
	if !errors.Is(err, journal.ErrDamaged) {
		t.Fatal(err)
	}
	if _, err := f.Take(13, forged.Records(0)[13]); err == nil {
		t.Fatal("it goes on behind the damage")
	}
	if err := f.Commit(); err == nil {
		t.Fatal("it commits after the damage")
	}
	must(t, f.Rollback())
	equal(t, "cursor", f.Cursor(), at)
	equal(t, "store", contents(t, v), before)

	for feed(t, f, h.Log, 7) > 0 { // with the damage repaired it goes on
	}
	have, _, err := v.Digest(0)
	must(t, err)
	equal(t, "digest", have, h.Books[0].Digest())
}

// An event that the chain vouches for and that can not have happened is damage too, and its half is not kept.
func TestImpossibleEventIsDamage(t *testing.T) {
	h := history.New(shape(3))
	events := append([]journal.Event(nil), h.Events[0]...)
	for i := len(events) - 1; ; i-- {
		if row, err := events[i].Row(); err == nil && row.Op == journal.OpTransfer && events[i].Status == journal.Confirmed {
			row.To = journal.HandleOf("nobody")
			events[i].Packed = row.Append(nil)
			break
		}
	}
	history.Rewrite(h.Log, 0, events, 5)
	v := opened(t, h.Partitions)
	f := folding(t, v, 0)
	_, err := h.Log.Read(t.Context(), 0, 0, func(offset int64, record []byte) error {
		if _, err := f.Take(offset, record); err != nil {
			return err
		}
		return f.Commit()
	})
	if !errors.Is(err, journal.ErrDamaged) {
		t.Fatal(err)
	}
	must(t, f.Rollback())
	have, at, err := v.Digest(0)
	must(t, err)
	equal(t, "digest", have, fold(t, h, 0, at.Seq).Digest())
}

func TestForeignStoreIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	must(t, open(t, fs, 3).Close())
	for name, c := range map[string]Config{
		"wallet":     {Dir: "view", Wallet: "other", Partitions: 3, FS: fs},
		"partitions": {Dir: "view", Wallet: "test", Partitions: 4, FS: fs},
		"empty":      {Dir: "none", Wallet: "test", Partitions: 3, FS: vfs.NewMem(), ReadOnly: true},
	} {
		_, err := Open(c)
		if name == "empty" && err != nil {
			continue
		}
		if !errors.Is(err, ErrForeign) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "delete") {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, err := Open(Config{Dir: "view", Wallet: "test", Partitions: 3, FS: fs, ReadOnly: true})
	must(t, err)
	if _, err := v.Fold(0); err == nil {
		t.Error("a read-only store folds")
	}
	must(t, v.Close())
	if _, err := Open(Config{Partitions: -1, Wallet: "a\nb"}); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not every problem is told: %v", err)
	}
}

func TestStoreOfAnotherFormatIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	v := open(t, fs, 1)
	must(t, v.db.Set([]byte{keyMarker}, []byte("walletd projection\nformat 99\nwallet test\npartitions 1\n"), noSync))
	must(t, v.Close())
	if _, err := Open(Config{Dir: "view", Wallet: "test", Partitions: 1, FS: fs}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "format 99") {
		t.Fatal(err)
	}
}

// A store as builds before format 3 made them, of Pebble's own comparer and with a log of batches, opens far enough to be told
// apart: whoever holds it then deletes it.
func TestStoreOfAnOlderBuildIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	db, err := pebble.Open("view", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: logger{newDead()}})
	must(t, err)
	must(t, db.Set([]byte{keyMarker}, []byte("walletd projection\nformat 2\nwallet test\npartitions 1\n"), pebble.Sync))
	h := journal.HandleOf("alice")
	must(t, db.Set(handleKey(nil, 'a', 0, h), journal.Account{Version: 1}.Append(nil), pebble.Sync))
	must(t, db.Set(append(handleKey(nil, 'e', 0, h), make([]byte, 16)...), make([]byte, 60), pebble.Sync))
	must(t, db.Close())
	_, err = Open(Config{Dir: "view", Wallet: "test", Partitions: 1, FS: fs})
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), "delete the directory") {
		t.Fatal(err)
	}
}

func TestOnRealDisk(t *testing.T) {
	h := history.New(shape(6))
	dir := filepath.Join(t.TempDir(), "view")
	for range 2 { // the second time there is nothing left to fold
		v, err := Open(Config{Dir: dir, Wallet: "test", Partitions: h.Partitions})
		must(t, err)
		project(t, v, h)
		for p := range h.Partitions {
			have, _, err := v.Digest(p)
			must(t, err)
			equal(t, "digest", have, h.Books[p].Digest())
		}
		must(t, v.Close())
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
}

func TestOnePartitionHasOneFold(t *testing.T) {
	v := opened(t, 2)
	f := folding(t, v, 0)
	if _, err := v.Fold(0); err == nil {
		t.Fatal("two folds of a partition")
	}
	if _, err := v.Fold(2); err == nil {
		t.Fatal("a partition that is not there")
	}
	_ = f
}
