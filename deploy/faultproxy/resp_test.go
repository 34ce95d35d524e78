package faultproxy

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// command is words as a Redis client sends them.
func command(words ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.Bytes()
}

// TestCommandsAreFoundHoweverTheyArrive: whatever the reads are, the splitter gives the same
// commands, and no byte is lost or added.
func TestCommandsAreFoundHoweverTheyArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var commands [][]byte
		for range rapid.IntRange(1, 6).Draw(t, "commands") {
			words := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("a*$\r\n0")), 0, 20, -1), 1, 5).Draw(t, "words")
			c := command(words...)
			commands, stream = append(commands, c), append(stream, c...)
		}
		var s splitter
		var got [][]byte
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "read")
			got = append(got, s.add(stream[:n])...)
			stream = stream[n:]
		}
		if !slices.EqualFunc(got, commands, bytes.Equal) || len(s.rest()) != 0 {
			t.Fatalf("got %q, want %q", got, commands)
		}
	})
}

// TestAnyBytesPassUnchanged: also what only begins like RESP.
func TestAnyBytesPassUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := []byte(rapid.StringOf(rapid.SampledFrom([]rune("*$\r\n1234-x"))).Draw(t, "stream"))
		var s splitter
		var got []byte
		for left := stream; len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "read")
			got = append(got, bytes.Join(s.add(left[:n]), nil)...)
			left = left[n:]
		}
		got = append(got, bytes.Join(s.rest(), nil)...)
		if !bytes.Equal(got, stream) {
			t.Fatalf("got %q, want %q", got, stream)
		}
	})
}

func TestCommandEnd(t *testing.T) {
	for _, row := range []struct {
		bytes string
		end   int
		ok    bool
	}{
		{"*1\r\n$4\r\nPING\r\n", 14, true},
		{"*1\r\n$4\r\nPING\r\n*1\r\n", 14, true},
		{"*1\r\n$4\r\nPING\r", 0, true},
		{"*1\r\n$4\r", 0, true},
		{"*1\r\n", 0, true},
		{"*", 0, true},
		{"*1\r\n$0\r\n\r\n", 10, true},
		{"*0\r\n", 4, true},
		{"PING\r\n", 0, false},
		{"*-1\r\n", 0, false},
		{"*x\r\n", 0, false},
		{"*1\r\n:4\r\n", 0, false},
		{"*1\r\n$-1\r\n", 0, false},
		{"*1\r\n$99999999999\r\n", 0, false},
		{"*11111111111111111", 0, false},
	} {
		if end, ok := commandEnd([]byte(row.bytes)); end != row.end || ok != row.ok {
			t.Errorf("%q: %d %t, want %d %t", row.bytes, end, ok, row.end, row.ok)
		}
	}
}
