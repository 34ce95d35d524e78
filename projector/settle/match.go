package settle

import (
	"cmp"
	"slices"
)

// Class is what becomes of a line or a movement.
type Class uint8

// The classes, in the order of a report.
const (
	Unmatched         Class = iota // of a movement outside the period: it is in no report
	Matched                        // a line and a movement of equal content
	Differs                        // a line and a movement of one key that differ in amount, asset or direction
	MissingInFile                  // a movement that no line tells of
	MissingInWallet                // a line that no movement stands for
	DuplicateInFile                // a line whose twin is there
	DuplicateInWallet              // a movement whose twin is there
	Malformed                      // a row that cannot be understood
)

var classNames = [...]string{"unmatched", "matched", "amount_differs", "missing_in_file", "missing_in_wallet", "duplicate_in_file", "duplicate_in_wallet", "malformed"}

func (c Class) String() string { return classNames[c] }

// Verdict is what became of one: its class, and the index of its partner on the other side, −1 without one.
type Verdict struct {
	Class   Class
	Partner int32
}

// side is one side's records, in the order of keys, and what becomes of each.
type side struct {
	record   func(int32) *Record
	order    []int32 // by key, content, day, number
	verdicts []Verdict
	alone    Class
	twin     Class
}

func newSide(n int, skip func(int32) bool, record func(int32) *Record, alone, twin Class) *side {
	s := &side{record: record, verdicts: make([]Verdict, n), alone: alone, twin: twin}
	for i := range int32(n) {
		s.verdicts[i].Partner = -1
		if !skip(i) {
			s.order = append(s.order, i)
		}
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		x, y := record(a), record(b)
		if c := cmp.Compare(x.Key, y.Key); c != 0 {
			return c
		}
		return cmp.Or(compareContent(x, y), cmp.Compare(x.Day, y.Day), cmp.Compare(a, b))
	})
	return s
}

func compareContent(x, y *Record) int {
	return cmp.Or(cmp.Compare(x.Asset, y.Asset), cmp.Compare(x.Direction, y.Direction), cmp.Compare(x.Amount, y.Amount))
}

// run is the length of what begins with order[from] and is equal to it.
func (s *side) run(from int, order []int32, compare func(x, y *Record) int) int {
	n := from + 1
	for n < len(order) && compare(s.record(order[from]), s.record(order[n])) == 0 {
		n++
	}
	return n
}

func byKey(x, y *Record) int { return cmp.Compare(x.Key, y.Key) }

// match gives every line and movement its class. days is how far their days may lie from each other.
func match(file, wallet *side, days int32) {
	m := matcher{file, wallet, days}
	i, j := 0, 0
	for i < len(file.order) || j < len(wallet.order) {
		fileEnd, walletEnd := i, j
		order := 0
		switch {
		case i == len(file.order):
			order = 1
		case j == len(wallet.order):
			order = -1
		default:
			order = byKey(file.record(file.order[i]), wallet.record(wallet.order[j]))
		}
		if order <= 0 {
			fileEnd = file.run(i, file.order, byKey)
		}
		if order >= 0 {
			walletEnd = wallet.run(j, wallet.order, byKey)
		}
		m.group(file.order[i:fileEnd], wallet.order[j:walletEnd])
		i, j = fileEnd, walletEnd
	}
}

type matcher struct {
	file, wallet *side
	days         int32
}

// group settles what has one key. A movement without a key (an empty reference) is never matched: no line has an empty one.
func (m *matcher) group(lines, movements []int32) {
	m.pairEqual(lines, movements, compareContent, Matched)
	restLines, restMovements := m.file.left(lines), m.wallet.left(movements)
	if len(restLines) > 0 && len(restMovements) > 0 {
		kind := func(x, y *Record) int {
			return cmp.Or(cmp.Compare(x.Asset, y.Asset), cmp.Compare(x.Direction, y.Direction))
		}
		m.file.sortBy(restLines, kind)
		m.wallet.sortBy(restMovements, kind)
		m.pairEqual(restLines, restMovements, kind, Differs)
		restLines, restMovements = m.file.left(restLines), m.wallet.left(restMovements)
		any := func(_, _ *Record) int { return 0 }
		m.file.sortBy(restLines, any)
		m.wallet.sortBy(restMovements, any)
		m.pairEqual(restLines, restMovements, any, Differs)
	}
	m.file.single(lines, m.days)
	m.wallet.single(movements, m.days)
}

// left are those without a partner.
func (s *side) left(of []int32) (rest []int32) {
	for _, i := range of {
		if s.verdicts[i].Partner < 0 {
			rest = append(rest, i)
		}
	}
	return rest
}

func (s *side) sortBy(order []int32, kind func(x, y *Record) int) {
	slices.SortFunc(order, func(a, b int32) int {
		x, y := s.record(a), s.record(b)
		return cmp.Or(kind(x, y), cmp.Compare(x.Day, y.Day), cmp.Compare(a, b))
	})
}

// pairEqual pairs, among what compares as equal, the earliest with the earliest whose days are near enough. Since all are near within the same
// number of days, no other choice makes more pairs. Both are sorted by compare, then day.
func (m *matcher) pairEqual(lines, movements []int32, compare func(x, y *Record) int, class Class) {
	for i, j := 0, 0; i < len(lines) && j < len(movements); {
		x, y := m.file.record(lines[i]), m.wallet.record(movements[j])
		order := compare(x, y)
		if order == 0 {
			order = m.apart(x, y)
		}
		switch {
		case order < 0:
			i++
		case order > 0:
			j++
		default:
			m.file.verdicts[lines[i]] = Verdict{class, movements[j]}
			m.wallet.verdicts[movements[j]] = Verdict{class, lines[i]}
			i, j = i+1, j+1
		}
	}
}

// apart is 0 where two days are near enough to each other.
func (m *matcher) apart(x, y *Record) int {
	switch {
	case x.Day == NoDay || y.Day == NoDay:
		return 0
	case int64(x.Day)+int64(m.days) < int64(y.Day):
		return -1
	case int64(y.Day)+int64(m.days) < int64(x.Day):
		return 1
	}
	return 0
}

// single gives the rest of a group its class: a duplicate is equal in content to another one of its side, on a day near enough, that has a partner
// or comes before it. group is in the side's own order.
func (s *side) single(group []int32, days int32) {
	for from := 0; from < len(group); {
		end := s.run(from, group, compareContent)
		run := group[from:end]
		from = end
		near := func(a, b int32) bool { return int64(s.record(b).Day)-int64(s.record(a).Day) <= int64(days) }
		paired := int32(-1) // the next one with a partner
		for i := len(run) - 1; i >= 0; i-- {
			at := run[i]
			if s.verdicts[at].Partner >= 0 {
				paired = at
				continue
			}
			s.verdicts[at].Class = s.alone
			if s.record(at).Key == "" {
				continue
			}
			if i > 0 && near(run[i-1], at) || paired >= 0 && near(at, paired) {
				s.verdicts[at].Class = s.twin
			}
		}
	}
}
