package bench

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"testing"
)

// Whatever a process calls itself, its line in /proc is read or refused.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (re) dis) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21"))
	f.Add([]byte("42 (x"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if _, born, err := parseStat(stat); err == nil && born == "" {
			t.Fatalf("%q was born at no time", stat)
		}
	})
}

// Whatever a wallet answers to a batch, an item is read whole or not at all.
func FuzzNextItem(f *testing.F) {
	f.Add([]byte(`{"ok":{"transfer":"tr_00000000000000000000000000","status":"confirmed","position":"3.1.42"}},{"error":{"code":"insufficient_funds"}}]}`))
	f.Add([]byte(`{"error":{"code":"overloaded","retryable":true}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a answer
		rest, ok := nextItem(b, &a)
		if ok && len(rest) >= len(b) {
			t.Fatalf("nothing of %q was read", b)
		}
	})
}

// Whatever a server answers, it is read within its bounds or refused.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, body, err := readAnswer(bufio.NewReader(bytes.NewReader(b)), nil); err == nil && len(body) > restBodyMax {
			t.Fatalf("%d bytes", len(body))
		}
	})
}

// Whatever stands in a profile, reading it ends.
func FuzzReadProfile(f *testing.F) {
	f.Add([]byte("\x12\x04\x08\x01\x10\x02\x22\x06\x08\x01\x22\x02\x08\x01\x2a\x04\x08\x01\x10\x01\x32\x00\x32\x09main.main"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		_, err := w.Write(text)
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if shares, err := componentsOf(zipped.Bytes()); err == nil {
			for _, c := range shares {
				if c.Name == "" {
					t.Fatalf("%v", shares)
				}
			}
		}
	})
}
