package settle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"walletd/journal"
	"walletd/projector/reconcile"
)

// settled matches records "key amount day [asset]" of the file with such of the wallet.
func settled(days int, lines []Line, movements []Movement) *Result {
	c := Config{Days: days, Assets: journal.DevAssets}
	return c.match(lines, movements, reconcile.Names{})
}

func record(t testing.TB, text string) (r Record) {
	t.Helper()
	if _, err := fmt.Sscanf(text, "%s %d %d %d", &r.Key, &r.Amount, &r.Day, &r.Asset); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestClasses: each class, as it can be read aloud: key amount day asset.
func TestClasses(t *testing.T) {
	for _, c := range []struct {
		name         string
		days         int
		file, wallet []string
		want         string // classes of the file's lines / of the movements
	}{
		{"matched", 0, []string{"a 10 1 0"}, []string{"a 10 1 0"}, "matched / matched"},
		{"days within", 2, []string{"a 10 1 0"}, []string{"a 10 3 0"}, "matched / matched"},
		{"days beyond", 1, []string{"a 10 1 0"}, []string{"a 10 3 0"}, "missing_in_wallet / missing_in_file"},
		{"missing in the file", 0, nil, []string{"a 10 1 0"}, " / missing_in_file"},
		{"missing in the wallet", 0, []string{"a 10 1 0"}, nil, "missing_in_wallet / "},
		{"amount", 0, []string{"a 10 1 0"}, []string{"a 11 1 0"}, "amount_differs / amount_differs"},
		{"asset", 0, []string{"a 10 1 0"}, []string{"a 10 1 1"}, "amount_differs / amount_differs"},
		{"twice in the file", 0, []string{"a 10 1 0", "a 10 1 0"}, []string{"a 10 1 0"}, "matched duplicate_in_file / matched"},
		{"twice in the file, the later is near", 1, []string{"a 10 1 0", "a 10 2 0"}, []string{"a 10 3 0"}, "duplicate_in_file matched / matched"},
		{"twice in the wallet", 0, []string{"a 10 1 0"}, []string{"a 10 1 0", "a 10 1 0"}, "matched / matched duplicate_in_wallet"},
		{"twice on both sides", 0, []string{"a 10 1 0", "a 10 1 0"}, []string{"a 10 1 0", "a 10 1 0"}, "matched matched / matched matched"},
		{"twice and nowhere else", 0, []string{"a 10 1 0", "a 10 1 0"}, nil, "missing_in_wallet duplicate_in_file / "},
		{"every month the same", 3, []string{"rent 10 1 0", "rent 10 31 0"}, []string{"rent 10 1 0"}, "matched missing_in_wallet / matched"},
		{"captures of one reservation", 0, []string{"a 7 1 0", "a 3 1 0"}, []string{"a 3 1 0", "a 7 1 0"}, "matched matched / matched matched"},
		{"equal goes before near", 5, []string{"a 10 1 0", "a 7 2 0"}, []string{"a 7 1 0", "a 9 2 0"}, "amount_differs matched / matched amount_differs"},
		{"the other asset only if there is no better", 0, []string{"a 10 1 0"}, []string{"a 10 1 1", "a 11 1 0"}, "amount_differs / missing_in_file amount_differs"},
	} {
		var lines []Line
		var movements []Movement
		for _, f := range c.file {
			lines = append(lines, Line{Record: record(t, f)})
		}
		for _, w := range c.wallet {
			movements = append(movements, Movement{Record: record(t, w)})
		}
		r := settled(c.days, lines, movements)
		if got := classes(r.ofLine) + " / " + classes(r.ofMove); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func classes(vs []Verdict) string {
	var names []string
	for _, v := range vs {
		names = append(names, v.Class.String())
	}
	return strings.Join(names, " ")
}

func TestWithoutAReferenceNothingIsMatched(t *testing.T) {
	r := settled(0, []Line{{Record: Record{Key: "a", Amount: 1}}}, []Movement{{Record: Record{Amount: 1}}, {Record: Record{Amount: 1}}})
	if r.Counts.MissingInFile != 2 || r.Counts.MissingInWallet != 1 {
		t.Errorf("%+v", r.Counts)
	}
}

// TestAgainstANaiveMatcher holds match against one that tries everything: as many equal pairs as there can be, nothing left that could be paired,
// partners that name each other, and duplicates by their definition.
func TestAgainstANaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := rapid.Custom(func(t *rapid.T) Record {
			return Record{Key: rapid.SampledFrom([]string{"a", "a", "b"}).Draw(t, "key"), Amount: journal.Amount(rapid.IntRange(1, 3).Draw(t, "amount")),
				Day: int32(rapid.IntRange(0, 6).Draw(t, "day")), Asset: journal.Asset(rapid.IntRange(0, 1).Draw(t, "asset")), Direction: uint8(rapid.IntRange(1, 2).Draw(t, "direction"))}
		})
		days := rapid.IntRange(0, 2).Draw(t, "days")
		var lines []Line
		var movements []Movement
		for i, r := range rapid.SliceOfN(one, 0, 12).Draw(t, "file") {
			lines = append(lines, Line{Record: r, Number: i + 1})
		}
		for _, r := range rapid.SliceOfN(one, 0, 12).Draw(t, "wallet") {
			movements = append(movements, Movement{Record: r})
		}
		r := settled(days, lines, movements)
		if err := naive(r, days); err != nil {
			t.Fatalf("%v\n%v\n%v", err, r.ofLine, r.ofMove)
		}
	})
}

func near(x, y *Record, days int) bool {
	return x.Key == y.Key && max(x.Day-y.Day, y.Day-x.Day) <= int32(days)
}

func equal(x, y *Record, days int) bool { return near(x, y, days) && compareContent(x, y) == 0 }

func naive(r *Result, days int) error {
	paired := 0
	for i, v := range r.ofLine {
		if v.Partner < 0 {
			continue
		}
		l, m := &r.Lines[i].Record, &r.Movements[v.Partner].Record
		if back := r.ofMove[v.Partner]; back.Partner != int32(i) || back.Class != v.Class {
			return fmt.Errorf("line %d: its partner has another one", i)
		}
		if v.Class == Matched {
			paired++
		}
		if ok := equal(l, m, days); ok != (v.Class == Matched) || !near(l, m, days) || v.Class != Matched && v.Class != Differs {
			return fmt.Errorf("line %d: %v", i, v)
		}
	}
	if most := mostPairs(r, days); paired != most {
		return fmt.Errorf("%d matched, %d could be", paired, most)
	}
	for i, v := range r.ofLine {
		for j, w := range r.ofMove {
			if v.Partner < 0 && w.Partner < 0 && near(&r.Lines[i].Record, &r.Movements[j].Record, days) {
				return fmt.Errorf("line %d and movement %d are alone beside each other", i, j)
			}
		}
	}
	line := func(i int) *Record { return &r.Lines[i].Record }
	movement := func(i int) *Record { return &r.Movements[i].Record }
	if err := twins(r.ofLine, line, days, MissingInWallet, DuplicateInFile); err != nil {
		return fmt.Errorf("file: %w", err)
	}
	if err := twins(r.ofMove, movement, days, MissingInFile, DuplicateInWallet); err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	n := &r.Counts
	if n.Lines != n.Matched+n.Differs+n.MissingInWallet+n.DuplicateInFile+n.Malformed || n.Transfers != n.Matched+n.Differs+n.MissingInFile+n.DuplicateInWallet {
		return fmt.Errorf("counts: %+v", n)
	}
	return nil
}

// twins checks the classes of those without a partner.
func twins(of []Verdict, record func(int) *Record, days int, alone, twin Class) error {
	for i, v := range of {
		if v.Partner >= 0 {
			continue
		}
		want := alone
		for j := range of {
			before := record(j).Day < record(i).Day || record(j).Day == record(i).Day && j < i
			if j != i && equal(record(i), record(j), days) && (before || of[j].Partner >= 0) {
				want = twin
			}
		}
		if v.Class != want {
			return fmt.Errorf("%d is %v, want %v", i, v.Class, want)
		}
	}
	return nil
}

// mostPairs is the size of a largest matching of equal lines and movements, by augmenting paths.
func mostPairs(r *Result, days int) (n int) {
	taken := make([]int, len(r.Movements))
	for j := range taken {
		taken[j] = -1
	}
	var augment func(i int, seen []bool) bool
	augment = func(i int, seen []bool) bool {
		for j := range r.Movements {
			if seen[j] || !equal(&r.Lines[i].Record, &r.Movements[j].Record, days) {
				continue
			}
			seen[j] = true
			if taken[j] < 0 || augment(taken[j], seen) {
				taken[j] = i
				return true
			}
		}
		return false
	}
	for i := range r.Lines {
		if augment(i, make([]bool, len(r.Movements))) {
			n++
		}
	}
	return n
}

// TestOneKeyForAll: a file whose lines all have one reference is no slower by orders of magnitude.
func TestOneKeyForAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	lines, movements := make([]Line, 100_000), make([]Movement, 100_000)
	for i := range lines {
		lines[i].Record = Record{Key: "payout", Amount: journal.Amount(1 + rng.IntN(1000)), Day: int32(rng.IntN(30))}
		movements[i].Record = Record{Key: "payout", Amount: journal.Amount(1 + rng.IntN(1000)), Day: int32(rng.IntN(30))}
	}
	r := settled(1, lines, movements)
	if r.Counts.Matched < 80_000 || slices.ContainsFunc(r.ofLine, func(v Verdict) bool { return v.Class == Unmatched }) {
		t.Errorf("%+v", r.Counts)
	}
}
