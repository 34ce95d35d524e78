package view

import (
	"bytes"
	"errors"
	"testing"

	"walletd/journal"
)

// Cursors are what a list gave, word for word, or are refused.
func FuzzCursors(f *testing.F) {
	f.Add(cursorText(1_700_000_000_000, 42))
	f.Add(listCursorText(1_700_000_000_000, journal.ID{1, 2, 3}))
	f.Add("-1-0")
	f.Fuzz(func(t *testing.T, text string) {
		ms, version, err := parseCursor(text)
		if err != nil && !errors.Is(err, ErrBadCursor) || err == nil && (ms < 0 || cursorText(ms, version) != text) {
			t.Fatalf("%q is time %d, version %d, %v", text, ms, version, err)
		}
		ms, id, err := parseListCursor(text)
		if err != nil && !errors.Is(err, ErrBadCursor) || err == nil && (ms < 0 || listCursorText(ms, id) != text) {
			t.Fatalf("%q is time %d, id %v, %v", text, ms, id, err)
		}
	})
}

// Whatever lies in the store, its readers answer what packs into the same bytes, or ErrStore.
func FuzzStored(f *testing.F) {
	key := entryKey(nil, 3, journal.Handle{1}, 5, 6)
	e := journal.Event{Position: journal.Position{Partition: 3, Epoch: 1, Seq: 2}}
	f.Add(key, appendEntry(nil, &e, &journal.Change{Of: journal.OpPay, Amount: 5}))
	f.Add(key, progress{evictedMS: 7}.append(nil))
	f.Add(key, kept{}.append(nil))
	f.Add(key, capture{amount: 5}.append(nil))
	f.Add(key, tally{1, 2, 3}.append(nil))
	f.Add(key, appendTransfer(nil, journal.KeyRecord{Status: journal.Confirmed}, (&journal.Row{Op: journal.OpPay, Key: []byte("k")}).Append(nil)))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		check := func(what string, again []byte, err error) {
			if err != nil && !errors.Is(err, ErrStore) && !errors.Is(err, journal.ErrBadRecord) {
				t.Fatalf("%s %x: %v", what, b, err)
			}
			if err == nil && again != nil && !bytes.Equal(again, b) {
				t.Fatalf("%s %x is read, and packs into %x", what, b, again)
			}
		}
		_, err := parseEntry(key, b)
		check("entry", nil, err)
		p, err := parseProgress(3, b)
		check("progress", p.append(nil), err)
		k, err := parseKept(b)
		check("reservation", k.append(nil), err)
		c, err := parseCapture(b)
		check("capture", c.append(nil), err)
		n, err := parseTally(b)
		check("tally", n.append(nil), err)
		r, row, err := parseTransfer(b)
		check("transfer", appendTransfer(nil, r, row), err)
		block, err := parseFilterBlock(b)
		check("filter block", block[:], err)
	})
}
