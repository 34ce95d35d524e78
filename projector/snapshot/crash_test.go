package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/projector/internal/history"
)

// crashing is a filesystem in memory that stops at its n-th step, before or after the step's effect; what was not synced
// may then be lost.
type crashing struct {
	mem   *vfs.MemFS
	left  int // steps until it stops; < 0: never
	after bool
	steps int
}

var errCrash = errors.New("crash")

func (c *crashing) step(do func() error) error {
	c.steps++
	if c.left == 0 {
		return errCrash
	}
	if c.left--; c.left != 0 {
		return do()
	}
	if c.after {
		_ = do()
	}
	return errCrash
}

func (c *crashing) Create(p string) (f syncedFile, err error) {
	err = c.step(func() error {
		inner, err := c.mem.Create(p, vfs.WriteCategoryUnspecified)
		f = &crashingFile{inner, c}
		return err
	})
	return f, err
}

type crashingFile struct {
	vfs.File
	c *crashing
}

func (f *crashingFile) Write(b []byte) (n int, err error) {
	err = f.c.step(func() error { n, err = f.File.Write(b); return err })
	return n, err
}
func (f *crashingFile) Sync() error { return f.c.step(f.File.Sync) }

func (c *crashing) Open(p string) (io.ReadCloser, error) { return c.mem.Open(p) }
func (c *crashing) Rename(from, to string) error {
	return c.step(func() error { return c.mem.Rename(from, to) })
}
func (c *crashing) Remove(p string) error { return c.step(func() error { return c.mem.Remove(p) }) }
func (c *crashing) Mkdir(p string) error {
	return c.step(func() error { return c.mem.MkdirAll(p, 0o755) })
}

func (c *crashing) SyncDir(p string) error {
	return c.step(func() error {
		d, err := c.mem.OpenDir(p)
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	})
}

func (c *crashing) List(p string) (files []Object, dirs []string, err error) {
	names, err := c.mem.List(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	for _, n := range names {
		info, err := c.mem.Stat(p + "/" + n)
		if err != nil {
			return nil, nil, err
		}
		if info.IsDir() {
			dirs = append(dirs, n)
		} else {
			files = append(files, Object{n, info.Size()})
		}
	}
	return files, dirs, err
}

// TestACrashAtAnyStep: while a second snapshot is taken and the first tidied away, the machine stops at every step of the
// disk, with everything, something or nothing of what was not synced. Afterwards there is a whole snapshot: the first or the
// second; and taking goes on.
func TestACrashAtAnyStep(t *testing.T) {
	h := history.New(history.Config{Seed: 3, Partitions: 2, Accounts: 2, Steps: 60, Assets: 1, FrameMax: 10})
	rng := rand.New(rand.NewPCG(5, 6))
	v := viewAt(t, h, []int64{3, 3})
	cut1 := v.Cut()
	defer func() { must(t, cut1.Close()) }()
	for p := range h.Partitions {
		end, err := h.Log.End(t.Context(), p)
		must(t, err)
		advance(t, v, h.Log, p, end)
	}
	cut2 := v.Cut()
	defer func() { must(t, cut2.Close()) }()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	taking := func(c *crashing) *Taking {
		at = at.Add(time.Second)
		return &Taking{Shelf: shelfOf(&Dir{root: "/snapshots", fs: c}, h.Partitions), Policy: Policy{Newest: 1}, Now: func() time.Time { return at }}
	}
	seen := map[int64]int{}
	for n := 1; ; n++ {
		c := &crashing{mem: vfs.NewCrashableMem(), left: -1}
		_, err := taking(c).Take(t.Context(), FromView(cut1, h.Log))
		must(t, err)
		c.left, c.after, c.steps = n, rng.IntN(2) == 0, 0
		_, err = taking(c).Take(t.Context(), FromView(cut2, h.Log))
		if err == nil && c.steps < n {
			break
		}
		for _, kept := range []int{0, 50, 100} {
			after := &crashing{left: -1, mem: c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng})}
			shelf := shelfOf(&Dir{root: "/snapshots", fs: after}, h.Partitions)
			for p := range h.Partitions {
				l, err := shelf.Newest(t.Context(), p)
				must(t, err)
				if l == nil {
					t.Fatalf("step %d, %d%% kept: nothing is left", n, kept)
				}
				seen[l.Header.Cursor.Offset]++
			}
			if kept == 0 {
				if _, err := taking(after).Take(t.Context(), FromView(cut2, h.Log)); err != nil {
					t.Fatalf("step %d: the next one: %v", n, err)
				}
			}
		}
	}
	if len(seen) < 2 || seen[3] == 0 {
		t.Errorf("%v: the test shows less than it should", seen)
	}
}
