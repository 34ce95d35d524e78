package snapshot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"time"
)

// Taking says how snapshots are taken.
type Taking struct {
	Shelf    *Shelf
	By       string // who takes them, for people
	Policy   Policy
	Progress func(partition, partitions int) // nil: nobody is told
	Now      func() time.Time                // nil: time.Now
}

const idLayout = "20060102T150405.000Z"

// newID names a snapshot by its time, and by chance where two are taken at once.
func newID(at time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return at.UTC().Format(idLayout) + "-" + hex.EncodeToString(b[:])
}

// timeOf is the time in a snapshot's name.
func timeOf(id string) (time.Time, bool) {
	if len(id) < len(idLayout) {
		return time.Time{}, false
	}
	at, err := time.Parse(idLayout, id[:len(idLayout)])
	return at, err == nil
}

// Take writes a snapshot, reads it back, makes it one by its manifest, and tidies up. When the tidying fails, the snapshot
// is taken all the same: then both are answered.
func (t *Taking) Take(ctx context.Context, src Source) (*Manifest, error) {
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	at := now().UTC().Truncate(time.Millisecond)
	m := &Manifest{Version: Version, ID: newID(at), Wallet: t.Shelf.Wallet, Partitions: t.Shelf.Partitions, CreatedAt: at, TakenBy: t.By}
	if err := t.files(ctx, src, m); err != nil {
		t.forget(ctx, m)
		return nil, fmt.Errorf("take snapshot: %w", err)
	}
	if _, err := t.Shelf.Tidy(ctx, t.Policy, at); err != nil {
		return m, fmt.Errorf("delete old snapshots: %w", err)
	}
	return m, nil
}

func (t *Taking) files(ctx context.Context, src Source, m *Manifest) error {
	for p := range m.Partitions {
		h, err := src.Header(ctx, p)
		if err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
		h.Wallet, h.CreatedMS = m.Wallet, m.CreatedAt.UnixMilli()
		var w Written
		err = t.Shelf.Store.Put(ctx, path.Join(m.ID, fileName(p)), func(dst io.Writer) (err error) {
			w, err = writeFile(ctx, dst, &h, func(into Records) error { return src.Each(p, into) })
			return err
		})
		if err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
		m.Files = append(m.Files, fileOf(&h, &w))
		// What the store has is what counts.
		if err := t.Shelf.check(ctx, m, p, false); err != nil {
			return fmt.Errorf("partition %d, read back: %w", p, err)
		}
		if t.Progress != nil {
			t.Progress(p+1, m.Partitions)
		}
	}
	b, err := m.encode()
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return t.Shelf.Store.Put(ctx, path.Join(m.ID, manifestName), func(w io.Writer) error { _, err := w.Write(b); return err })
}

func writeFile(ctx context.Context, dst io.Writer, h *Header, each func(Records) error) (Written, error) {
	w, err := NewWriter(&interruptible{ctx, dst}, h, true)
	if err != nil {
		return Written{}, err
	}
	if err := each(w); err != nil {
		return Written{}, err
	}
	return w.Close()
}

// interruptible fails when ctx ends.
type interruptible struct {
	ctx context.Context
	w   io.Writer
}

func (i *interruptible) Write(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.w.Write(b)
}

// forget removes the files of a snapshot that did not come about. What it cannot remove is swept later.
func (t *Taking) forget(ctx context.Context, m *Manifest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var errs []error
	// The manifest first: an error of Put may have come after its effect.
	for _, name := range append([]string{manifestName}, fileNames(m.Partitions)...) {
		errs = append(errs, t.Shelf.Store.Delete(ctx, path.Join(m.ID, name)))
	}
	if err := errors.Join(errs...); err != nil {
		t.Shelf.log().Warn("the remains of a snapshot that did not come about stay for a day", "snapshot", m.ID, "error", err)
	}
}

func fileNames(partitions int) (names []string) {
	for p := range partitions {
		names = append(names, fileName(p))
	}
	return names
}
