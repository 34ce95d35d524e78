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
	key := groupKey(nil, 3, journal.Handle{1}, 5, 6)
	a := newAccounts(4)
	a.add(journal.Handle{1}, journal.Account{Available: 5, Version: 7})
	a.lines = []change{{seq: 2, timeMS: 5, available: 2, older: -1}, {seq: 3, timeMS: 9, available: 3, leg: 3, older: 0}}
	a.slots[0].newest = 1
	packed, _ := a.appendGroup(nil, &a.slots[0])
	f.Add(key, packed)
	frame := journal.Frame{FirstSeq: 5, Count: 2, Payload: []byte("no blocks")}
	f.Add(chunkKey(nil, 3, 5), appendChunk(nil, &frame, []detail{{6, 77}}))
	f.Add(key, directoryOfFuzz.append(nil))
	f.Add(key, appendFlagged(nil, journal.Handle{1}, 2, 3))
	f.Add(key, progress{evictedMS: 7}.append(nil))
	f.Add(key, kept{}.append(nil))
	f.Add(key, capture{amount: 5}.append(nil))
	f.Add(key, tally{1, 2, 3}.append(nil))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		check := func(what string, again []byte, err error) {
			if err != nil && !errors.Is(err, ErrStore) && !errors.Is(err, journal.ErrBadRecord) {
				t.Fatalf("%s %x: %v", what, b, err)
			}
			if err == nil && again != nil && !bytes.Equal(again, b) {
				t.Fatalf("%s %x is read, and packs into %x", what, b, again)
			}
		}
		g, err := parseGroup(key, b)
		for err == nil {
			var ok bool
			if _, ok, err = g.next(); !ok {
				break
			}
		}
		check("group", nil, err)
		ch, err := parseChunk(key, b)
		if err == nil {
			for d := detailsOf(&ch); d.next.seq != 0; {
				d.take(d.next.seq)
			}
			_, _, err = ch.frame.Find(ch.frame.FirstSeq)
			err = notStored(err)
		}
		check("chunk", nil, err)
		dir, err := parseDirectory(b)
		check("directory", dir.append(nil), err)
		h, ms, version, err := parseFlagged(b)
		check("flagged", appendFlagged(nil, h, ms, version), err)
		p, err := parseProgress(3, b)
		check("progress", p.append(nil), err)
		k, err := parseKept(b)
		check("reservation", k.append(nil), err)
		c, err := parseCapture(b)
		check("capture", c.append(nil), err)
		n, err := parseTally(b)
		check("tally", n.append(nil), err)
		block, err := parseFilterBlock(b)
		check("filter block", block[:], err)
	})
}

var directoryOfFuzz = directory{9, []run{{3, 1, 4, 5000}, {8, 0, 0, 7}}}
