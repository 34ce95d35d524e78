package bench

import "testing"

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
