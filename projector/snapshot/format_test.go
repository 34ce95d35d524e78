package snapshot

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"walletd/journal"
)

// TestEveryByteCounts (P12): no file that differs from the written one in any bit, is cut short or goes on is accepted,
// and the error names file and place.
func TestEveryByteCounts(t *testing.T) {
	for what, compress := range map[string]bool{"plain": false, "packed": true} {
		t.Run(what, func(t *testing.T) {
			whole := small(t, compress)
			if _, err := Load(bytes.NewReader(whole), "x"); err != nil {
				t.Fatal(err)
			}
			refused := func(how string, at int, b []byte) {
				t.Helper()
				l, err := Load(bytes.NewReader(b), "some/p0001.snap")
				if l != nil || !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "some/p0001.snap at byte ") {
					t.Fatalf("%s at %d: %v", how, at, err)
				}
			}
			for at := range whole {
				for bit := range 8 {
					b := bytes.Clone(whole)
					b[at] ^= 1 << bit
					refused("a bit flipped", at, b)
				}
				refused("cut short", at, whole[:at])
			}
			refused("goes on", len(whole), append(bytes.Clone(whole), 0))
			refused("twice", len(whole), append(bytes.Clone(whole), whole...))
		})
	}
}

// TestPlainAndPackedSayTheSame: packing changes bytes, not contents.
func TestPlainAndPackedSayTheSame(t *testing.T) {
	a, err := Load(bytes.NewReader(small(t, false)), "plain")
	must(t, err)
	b, err := Load(bytes.NewReader(small(t, true)), "packed")
	must(t, err)
	if dump(t, a.Book) != dump(t, b.Book) || len(a.Legs) != 2 || a.Legs[1] != b.Legs[1] || a.Behind[2] != 11 || a.File.Records[Filter] != 2 {
		t.Errorf("%+v\n%+v", a, b)
	}
	if d := a.Book.Digest(); d != a.File.Digest || b.File.Digest != d {
		t.Errorf("the Book's digest is %x, the file's %x and %x", d, a.File.Digest, b.File.Digest)
	}
	if f := b.Book.State.(*journal.Memory).Filter.Digest(); f != a.File.Filter || b.File.Filter != f {
		t.Errorf("the Book's filter is %x, the file's %x", f, a.File.Filter)
	}
	if a.Book.Epoch != 2 || a.Header.Cursor.Epoch != 3 || a.File.Sums[0] != 0 {
		t.Errorf("%+v %v", a.Header, a.File.Sums)
	}
}

// TestWritingHoldsOneBlock: a large partition is written and read in many blocks, the last record included.
func TestWritingHoldsOneBlock(t *testing.T) {
	h := Header{Partitions: 1}
	var b bytes.Buffer
	w, err := NewWriter(&b, &h, true)
	must(t, err)
	const n = 40_000
	for i := range n {
		w.Account(journal.Handle{byte(i >> 16), byte(i >> 8), byte(i), byte(rand.Uint32())}, journal.Account{Available: journal.Amount(i)})
		if len(w.buf) > blockMax {
			t.Fatal("a block is too large")
		}
	}
	f, err := w.Close()
	must(t, err)
	if l, err := Load(&b, "x"); err != nil || l.File.Records[Accounts] != n || len(l.Book.State.(*journal.Memory).Accounts) != n || l.File.SHA256 != f.SHA256 {
		t.Error(err)
	}
}

// FuzzRead: whatever the bytes, reading ends with a file that writes itself again, or with ErrDamaged.
func FuzzRead(f *testing.F) {
	for _, compress := range []bool{false, true} {
		b := small(f, compress)
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Load(bytes.NewReader(b), "fuzz")
		if err != nil {
			if l != nil || !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if d := l.File.Size; d != int64(len(b)) {
			t.Fatalf("%d of %d bytes", d, len(b))
		}
	})
}

// FuzzBlock: a block whose checksums are right and whose contents are anything is taken apart or refused, within bounds.
func FuzzBlock(f *testing.F) {
	whole := small(f, false)
	n, err := headerSize(whole)
	must(f, err)
	for at := n; ; {
		b, err := parseBlock(whole[at : at+blockHead])
		must(f, err)
		stored := whole[at+blockHead : at+blockHead+int(b.stored)]
		f.Add(byte(b.section), b.packing, b.records, b.raw, stored)
		if at += blockHead + int(b.stored); b.section == trailerBlock {
			break
		}
	}
	f.Fuzz(func(t *testing.T, section, packing byte, records, raw uint32, stored []byte) {
		b := block{Section(section), packing, records, raw, uint32(len(stored)), 0}
		head := b.append(nil)
		b.crc = checksum(head[:blockHead-4], stored)
		src := append(bytes.Clone(whole[:n]), b.append(nil)...)
		r, err := NewReader(bytes.NewReader(append(src, stored...)), "fuzz")
		must(t, err)
		if _, err := r.Each(&loading{&Loaded{Behind: map[int]uint64{}, Book: &journal.Book{}}, journal.NewMemory()}); !errors.Is(err, ErrDamaged) {
			t.Fatal(err) // a file without its end is damaged in any case
		}
	})
}

// FuzzManifest: a manifest is parsed or refused.
func FuzzManifest(f *testing.F) {
	m := Manifest{Version: Version, ID: "x", Partitions: 1, Files: []File{{Name: fileName(0)}}}
	b, err := m.encode()
	must(f, err)
	f.Add(b)
	f.Add([]byte(`{"version":1,"id":"x","partitions":1,"files":[{"partition":0,"name":"../../p0000.snap"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest("x", b)
		if err == nil && (len(m.Files) != m.Partitions || m.path(&m.Files[0]) != "x/p0000.snap") {
			t.Fatalf("%+v", m)
		}
		if err == nil {
			m.Events()
		}
	})
}

// TestWriteErrors: a store that fails at the n-th byte fails the writing.
func TestWriteErrors(t *testing.T) {
	full := errors.New("full")
	for n := range len(small(t, false)) {
		h := Header{Partitions: 1}
		w, err := NewWriter(&limited{n / 2, full}, &h, false)
		if err == nil {
			for i := range 100 {
				w.Account(journal.Handle{byte(i)}, journal.Account{})
			}
			_, err = w.Close()
		}
		if !errors.Is(err, full) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

type limited struct {
	left int
	err  error
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.left {
		return l.left, l.err
	}
	l.left -= len(b)
	return len(b), nil
}

// TestStoredFile pins the layout: a file of version 1 that was written once is read for ever.
func TestStoredFile(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "version1.snap"))
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	l, err := Load(bytes.NewReader(b), "version1.snap")
	must(t, err)
	if l.Header.Wallet != "test" || l.Book.Digest() != l.File.Digest || len(l.Book.State.(*journal.Memory).Keys) != 2 {
		t.Errorf("%+v", l)
	}
}
