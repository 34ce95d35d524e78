package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"walletd/projector/internal/history"
)

// TestDamagedSnapshotsArePassedOver (P12): whatever happens to the newest one, the older one is used, and it is told.
func TestDamagedSnapshotsArePassedOver(t *testing.T) {
	h := history.New(shape(1))
	spoil := map[string]func(root string, m *Manifest) error{
		"a bit of the file":     func(r string, m *Manifest) error { return flip(filepath.Join(r, m.ID, "p0001.snap")) },
		"the file is cut short": func(r string, m *Manifest) error { return os.Truncate(filepath.Join(r, m.ID, "p0001.snap"), 300) },
		"the file is gone":      func(r string, m *Manifest) error { return os.Remove(filepath.Join(r, m.ID, "p0001.snap")) },
		"a bit of the manifest": func(r string, m *Manifest) error { return flip(filepath.Join(r, m.ID, manifestName)) },
		"the manifest is empty": func(r string, m *Manifest) error { return os.Truncate(filepath.Join(r, m.ID, manifestName), 0) },
		"another partition's":   func(r string, m *Manifest) error { return swap(r, m.ID, "p0001.snap", m.ID, "p0002.snap") },
		"an older snapshot's":   nil,
		"of another wallet": func(r string, m *Manifest) error {
			return replace(filepath.Join(r, m.ID, manifestName), `"test"`, `"tset"`)
		},
	}
	for what, do := range spoil {
		t.Run(what, func(t *testing.T) {
			d := NewDir(t.TempDir())
			v := viewAt(t, h, []int64{10, 20, 30})
			first := taken(t, d, v, h.Log)
			for p := range h.Partitions {
				advance(t, v, h.Log, p, 40)
			}
			second := taken(t, d, v, h.Log)
			if do == nil {
				do = func(r string, m *Manifest) error { return swap(r, m.ID, "p0001.snap", first.ID, "p0001.snap") }
			}
			must(t, do(d.root, second))
			var said bytes.Buffer
			shelf := shelfOf(d, h.Partitions)
			shelf.Logger = slog.New(slog.NewTextHandler(&said, nil))
			l, err := shelf.Newest(t.Context(), 1)
			must(t, err)
			swapped := what == "an older snapshot's" // then the older one has the newer file
			switch {
			case swapped && l != nil:
				t.Fatalf("%+v", l.Header)
			case !swapped && (l == nil || l.ID != first.ID || l.Header.Cursor.Offset != 20):
				t.Fatalf("%+v", l)
			}
			if shelf.Damaged() == 0 || !strings.Contains(said.String(), second.ID) {
				t.Errorf("%d damaged; it said %s", shelf.Damaged(), said.String())
			}
			all, err := shelf.List(t.Context())
			must(t, err)
			verdicts, err := shelf.Verify(t.Context(), all[0], nil, nil)
			must(t, err)
			bad := 0
			for _, v := range verdicts {
				if !v.OK {
					bad++
				}
			}
			if bad == 0 {
				t.Error("verify finds nothing")
			}
			// It is never tidied away on its own, and never counted as the one that is kept.
			if _, err := shelf.Tidy(t.Context(), Policy{Newest: 1}, time.Now()); err != nil && !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			if l, err := shelf.Newest(t.Context(), 0); err != nil || (l == nil && !swapped) {
				t.Errorf("nothing is left: %v", err)
			}
		})
	}
}

func flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 0x40
	return os.WriteFile(path, b, 0o600)
}

func replace(path, from, to string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o600)
}

func swap(root, id1, a, id2, b string) error {
	x, y, z := filepath.Join(root, id1, a), filepath.Join(root, id2, b), filepath.Join(root, "z")
	return errors.Join(os.Rename(x, z), os.Rename(y, x), os.Rename(z, y))
}

// TestPolicy: the last so many and one a day; damaged ones are nobody's to delete.
func TestPolicy(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	at := func(days, hours int, err error) Entry {
		taken := now.AddDate(0, 0, -days).Add(-time.Duration(hours) * time.Hour)
		return Entry{ID: newID(taken), Manifest: &Manifest{CreatedAt: taken}, Err: err}
	}
	all := []Entry{at(0, 1, ErrDamaged), at(0, 2, nil), at(0, 3, nil), at(0, 4, nil), at(1, 1, ErrDamaged), at(1, 2, nil), at(1, 3, nil), at(3, 0, nil), at(5, 0, nil), at(6, 0, ErrForeign)}
	for _, tc := range []struct {
		Policy
		keep []int
	}{
		{Policy{Newest: 2, Days: 4}, []int{0, 1, 2, 4, 5, 7, 9}},
		{Policy{Newest: 1}, []int{0, 1, 4, 9}},
		{Policy{}, []int{0, 1, 4, 9}}, // the newest whole one stays
		{Policy{Newest: 100}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{Policy{Newest: 1, Days: 1}, []int{0, 1, 4, 9}},
		{Policy{Newest: 1, Days: 2}, []int{0, 1, 4, 5, 9}},
	} {
		gone := map[string]bool{}
		for _, e := range tc.superfluous(all, now) {
			gone[e.ID] = true
		}
		var kept []int
		for i := range all {
			if !gone[all[i].ID] {
				kept = append(kept, i)
			}
		}
		if fmt.Sprint(kept) != fmt.Sprint(tc.keep) {
			t.Errorf("%+v keeps %v, want %v", tc.Policy, kept, tc.keep)
		}
	}
}

// TestTidyKeepsWhatIsNeeded: when the newest is damaged, the older ones stay.
func TestTidyKeepsWhatIsNeeded(t *testing.T) {
	h := history.New(shape(1))
	d := NewDir(t.TempDir())
	v := viewAt(t, h, []int64{10, 20, 30})
	taken(t, d, v, h.Log)
	taken(t, d, v, h.Log)
	m := taken(t, d, v, h.Log)
	must(t, flip(filepath.Join(d.root, m.ID, "p0001.snap")))
	shelf := shelfOf(d, h.Partitions)
	if n, err := shelf.Tidy(t.Context(), Policy{Newest: 1}, time.Now()); n != 0 || !errors.Is(err, ErrDamaged) {
		t.Errorf("%d deleted, %v", n, err)
	}
	if all, err := shelf.List(t.Context()); err != nil || len(all) != 3 {
		t.Error(len(all), err)
	}
}
