package view

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"walletd/projector/internal/history"
)

// writesFail makes an in-memory disk whose writes and new files fail with what is stored, if anything is.
func writesFail(cause *atomic.Pointer[error]) vfs.FS {
	return errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		err := cause.Load()
		switch op.Kind {
		case errorfs.OpFileWrite, errorfs.OpCreate, errorfs.OpFilePreallocate:
			if err != nil {
				return *err
			}
		}
		return nil
	}))
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// openSmall opens a view that writes to its disk often.
func openSmall(t testing.TB, fs vfs.FS) *View {
	t.Helper()
	v, err := Open(Config{Dir: "view", Wallet: "test", Partitions: 1, MemoryBytes: 64 << 10, FS: fs})
	must(t, err)
	return v
}

// projecting folds a history on a goroutine of its own.
func projecting(t testing.TB, v *View, h *history.History) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		project(t, v, h)
	}()
	return done
}

// A full disk makes the folds wait, and nobody else: what is there is read, the view says why it is behind, and goes on by
// itself, to the same state, when there is room.
func TestAFullDiskIsWaitedOut(t *testing.T) {
	h := history.New(history.Config{Seed: 50, Partitions: 1, Accounts: 50, Steps: 12_000, Assets: 1, FrameMax: 12})
	for _, err := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		var cause atomic.Pointer[error]
		v := openSmall(t, writesFail(&cause))
		f, e := v.Fold(0)
		must(t, e)
		feed(t, f, h.Log, 20)
		must(t, f.Close())
		before, e := v.Position(0)
		must(t, e)

		cause.Store(&err)
		done := projecting(t, v, h)
		eventually(t, "it waits", func() bool { return v.Trouble() != nil })
		if !errors.Is(v.Trouble(), err) {
			t.Errorf("trouble %v, want %v", v.Trouble(), err)
		}
		if at, err := v.Position(0); err != nil || before.Seq == 0 || at.Seq < before.Seq {
			t.Errorf("a read while it waits: %v, %v", at, err)
		}
		cause.Store(nil)
		<-done
		eventually(t, "it is well again", func() bool { return v.Trouble() == nil })
		have, _, e := v.Digest(0)
		must(t, e)
		equal(t, "digest", have, h.Books[0].Digest())
		must(t, v.Close())
	}
}

// A disk that is full when the store is opened, or closed, is an error like others: nobody waits for ever.
func TestAFullDiskAtTheEnds(t *testing.T) {
	full := error(syscall.ENOSPC)
	var cause atomic.Pointer[error]
	cause.Store(&full)
	if v, err := Open(Config{Dir: "view", Wallet: "test", Partitions: 1, FS: writesFail(&cause)}); !errors.Is(err, ErrStore) || !errors.Is(err, full) {
		t.Fatalf("open on a full disk: %v, %v", v, err)
	}
	cause.Store(nil)
	v := openSmall(t, writesFail(&cause))
	h := history.New(history.Config{Seed: 51, Partitions: 1, Accounts: 50, Steps: 12_000, Assets: 1, FrameMax: 12})
	cause.Store(&full)
	done := projecting(t, v, h)
	eventually(t, "it waits", func() bool { return v.Trouble() != nil })
	if err := v.Close(); !errors.Is(err, ErrStore) || !errors.Is(err, full) {
		t.Errorf("close on a full disk: %v", err)
	}
	cause.Store(nil) // lets the fold go
	<-done
	must(t, v.Close())
}

// A disk that fails ends the store, not the process: it is said, what hangs in the store hangs alone, and Close returns.
func TestADiskThatFailsEndsTheStoreAlone(t *testing.T) {
	h := history.New(history.Config{Seed: 52, Partitions: 1, Accounts: 50, Steps: 12_000, Assets: 1, FrameMax: 12})
	broken := error(syscall.EIO)
	var cause atomic.Pointer[error]
	v := openSmall(t, writesFail(&cause))
	f, err := v.Fold(0)
	must(t, err)
	cause.Store(&broken)
	ctx := t.Context()
	go func() { // until it hangs, or all is taken into memory
		_, _ = h.Log.Read(ctx, 0, 0, func(offset int64, record []byte) error {
			if _, err := f.Take(offset, record); err != nil {
				return err
			}
			return f.Commit()
		})
	}()
	select {
	case <-v.Dead():
	case <-time.After(30 * time.Second):
		t.Fatal("the store lives on a disk that fails")
	}
	if err := v.Trouble(); !errors.Is(err, ErrStore) {
		t.Errorf("trouble %v", err)
	}
	if _, err := v.Position(0); err != nil {
		t.Errorf("a read of a store that only cannot be written: %v", err)
	}
	if err := v.Close(); !errors.Is(err, ErrStore) {
		t.Errorf("close: %v", err)
	}
}
