package settle

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// rowsOf reads everything; a bad row is its error's text.
func rowsOf(t testing.TB, text string, separator byte) (all []string) {
	t.Helper()
	r, err := NewReader(strings.NewReader(text), separator)
	if err != nil {
		t.Fatal(err)
	}
	for {
		fields, line, err := r.Row()
		var bad *RowError
		switch {
		case errors.Is(err, io.EOF):
			return all
		case errors.As(err, &bad):
			all = append(all, bad.Error())
		case err != nil:
			t.Fatal(err)
		default:
			all = append(all, fmt.Sprintf("%d %s", line, bytes.Join(fields, []byte("|"))))
		}
	}
}

func TestRows(t *testing.T) {
	long := strings.Repeat("x", RowBytesMax+1)
	for _, c := range []struct {
		name, text string
		separator  byte
		want       []string
	}{
		{"plain", "a,b\nc,d\n", 0, []string{"1 a|b", "2 c|d"}},
		{"no end of line", "a,b\nc,d", 0, []string{"1 a|b", "2 c|d"}},
		{"CR LF, BOM, empty lines", "\xef\xbb\xbfa;b\r\n\r\nc;d\r\n", 0, []string{"1 a|b", "3 c|d"}},
		{"tabs", "a\tb,c\n", '\t', []string{"1 a|b,c"}},
		{"tabs are seen", "a\tb\tc,d\n1\t2\t3\n", 0, []string{"1 a|b|c,d", "2 1|2|3"}},
		{"a separator within quotes does not count", "\"a,b,c\";d\n", 0, []string{"1 a,b,c|d"}},
		{"quotes", "\"a \"\"b\"\"\",\"\",c\n", ',', []string{`1 a "b"||c`}},
		{"a field over two lines", "\"a\r\nb\",c\nd,e\n", ',', []string{"1 a\nb|c", "3 d|e"}},
		{"empty fields", ",\n,,\n", ',', []string{"1 |", "2 ||"}},
		{"a quote that nobody closes costs its line", "a,\"b\nc,d\ne,f\n", ',', []string{"line 1, column 2: the quote is never closed", "2 c|d", "3 e|f"}},
		{"bare quote", "a,b\"c\nd,e\n", ',', []string{"line 1, column 2: a quote in a field that is not quoted", "2 d|e"}},
		{"behind the quote", "\"a\"b,c\nd,e\n", ',', []string{"line 1, column 1: text behind the closing quote", "2 d|e"}},
		{"long", "a\n" + long + "\nb\n", ',', []string{"1 a", "line 2, column 1: the line is longer than 65536 bytes", "3 b"}},
		{"long behind an open quote", "\"a\nb\n" + long + "\nc\n", ',', []string{"line 1, column 1: the quote is never closed", "2 b",
			"line 3, column 1: the line is longer than 65536 bytes", "4 c"}},
	} {
		if got := rowsOf(t, c.text, c.separator); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if _, err := NewReader(strings.NewReader("\xff\xfea\x00"), 0); !errors.Is(err, ErrEncoding) {
		t.Errorf("UTF-16: %v", err)
	}
	far := "\"a" + strings.Repeat("\nx", quotedLinesMax+1) + "\",b\n"
	if got := rowsOf(t, far, ','); len(got) != quotedLinesMax+2 || !strings.Contains(got[0], "never closed") {
		t.Errorf("a quote over too many lines: %q", got)
	}
}

// FuzzReader: what encoding/csv understands as a whole, this reader reads the same; and of any text every line is in exactly one row or error,
// but for empty ones.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"a,b\n", "\"a\nb\",c\n", "\"", "a\"\n\"b", "\r\n\r", "\xef\xbb\xbfx,y", "a,\"b\"\"\"\n\n,,\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
			return
		}
		r, err := NewReader(strings.NewReader(text), ',')
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]string
		whole, last := true, 0
		for {
			fields, line, err := r.Row()
			if errors.Is(err, io.EOF) {
				break
			}
			if line <= last {
				t.Fatalf("line %d behind line %d", line, last)
			}
			last = line
			var bad *RowError
			if whole = whole && err == nil; errors.As(err, &bad) {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			var row []string
			for _, f := range fields {
				row = append(row, string(f))
			}
			rows = append(rows, row)
		}
		if lines := strings.Count(text, "\n") + 1; last > lines {
			t.Fatalf("line %d of %d", last, lines)
		}
		theirs := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\xef\xbb\xbf")))
		theirs.FieldsPerRecord = -1
		want, err := theirs.ReadAll()
		if err != nil || !whole { // ours bounds what theirs does not
			return
		}
		if fmt.Sprintf("%q", rows) != fmt.Sprintf("%q", want) {
			t.Fatalf("%q, encoding/csv %q", rows, want)
		}
	})
}
