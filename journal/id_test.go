package journal

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Ids are read as base32 has them, each from one text only.
func TestIDsAreReadAsTheyAreWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var want, got ID
		for i := range want {
			want[i] = byte(r.Uint32())
		}
		text := []byte(want.Text(""))
		if !got.ParseChars(text) || got != want {
			t.Fatalf("%s: got %x, want %x", text, got, want)
		}
		text[r.IntN(len(text))] = "0123456789abcdefghjkmnpqrstvwxyzIL-"[r.IntN(35)]
		b, err := idText.DecodeString(string(text))
		one := err == nil && len(b) == len(got) && idText.EncodeToString(b) == string(text)
		if ok := got.ParseChars(text); ok != one || ok && got != ID(b) {
			t.Fatalf("%s: read %v, base32 says %v", text, ok, err)
		}
	}
	for _, text := range []string{"", strings.Repeat("0", 25), strings.Repeat("0", 27)} {
		if id, err := ParseID("", text); err == nil {
			t.Errorf("%q is read as %x", text, id)
		}
	}
}

func TestPositionsAreReadAsTheyAreWritten(t *testing.T) {
	for _, p := range []Position{{}, {1, 2, 3}, {1<<16 - 1, 1<<32 - 1, 1<<56 - 1}} {
		if got, err := ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
	for _, text := range []string{"", "1", "1.2", "1.2.", "1..3", ".2.3", "1.2.3.", "1.2.3.4", "1.2.3 ", "-1.2.3", "+1.2.3", "65536.2.3", "1.4294967296.3", "1.2.72057594037927936", "1.2.999999999999999999"} {
		if p, err := ParsePosition(text); err == nil {
			t.Errorf("%q is read as %v", text, p)
		}
	}
}
