package luascripts

import (
	"encoding/binary"
	"slices"

	"walletd/journal"
	"walletd/journal/rows"
)

const (
	// ActsMax bounds a train, acts; each leg of a deliver row is one (design section 5).
	ActsMax = 1024
	// TrainBytesMax bounds a train, bytes: what happened in one section fits into one frame of the journal.
	TrainBytesMax = 512 << 10
)

// Of Train.Arg.
const (
	trainHeadSize   = 2         // version u8, 0 u8
	sectionHeadSize = 2 + 4 + 6 // partition u16, epoch u32, rows u16, bytes u32
	legCountAt      = 19        // of a packed deliver row
)

// Train is one script call: rows in sections of one partition each. It is filled, run and reset by one goroutine;
// a train that is used again allocates nothing. The zero value is an empty train.
type Train struct {
	arg      []byte // the sections, each with a head
	names    names
	head     []byte // the first argument, once it is to be sent
	events   []byte // what the shard gets of sections that are not sent as a whole
	sections []trainSection
	acts     int
	rows     int
	restless bool // it carries a row that does not release money
	sent     bool // bytes of it may have left for the shard
	reply    []byte
	words    []any // of the command
}

type trainSection struct {
	partition int
	epoch     uint32
	head      int // where its head starts in arg
	rows      int
	looks     int    // bytes of those that never happen
	packed    []byte // what the shard gets of them, once they are to be sent
}

// MarshalBinary is how the client takes the section's rows.
func (s *trainSection) MarshalBinary() ([]byte, error) { return s.packed, nil }

// Reset empties the train and keeps its buffers. A Reply to it ends.
func (t *Train) Reset() {
	t.arg, t.sections, t.reply = t.arg[:0], t.sections[:0], t.reply[:0]
	t.acts, t.rows, t.restless, t.sent = 0, 0, false, false
	t.names.reset()
}

// Acts is the number of acts in the train, ≤ ActsMax.
func (t *Train) Acts() int { return t.acts }

// Rows is the number of rows in the train.
func (t *Train) Rows() int { return t.rows }

// Releases reports whether all rows only free or deliver money: such a train also runs on a Redis that is full.
func (t *Train) Releases() bool { return !t.restless }

// Section begins the rows of a partition, which the caller knows to be in this epoch.
func (t *Train) Section(partition int, epoch uint32) {
	if len(t.arg) == 0 {
		t.names.reset()
		t.arg = append(t.arg, trainVersion, 0)
	}
	t.sections = append(t.sections, trainSection{partition: partition, epoch: epoch, head: len(t.arg)})
	t.arg = binary.BigEndian.AppendUint16(t.arg, uint16(partition))
	t.arg = binary.BigEndian.AppendUint32(t.arg, epoch)
	t.arg = append(t.arg, 0, 0, 0, 0, 0, 0)
}

// Add adds one packed row to the section begun last; false when the train is full.
func (t *Train) Add(row []byte) bool {
	acts := actsOf(row)
	if !t.fits(acts, len(row)) {
		return false
	}
	t.name(row, len(t.arg))
	t.arg = append(t.arg, row...)
	t.grow(1, acts)
	t.restless = t.restless || !journal.Op(row[2]).Releases()
	return true
}

// AddRows adds the rows of a staged section from the i-th on, as many as fit, to the section begun last. It answers the
// number of the first row that is left: len(staged.Metas) when all went in.
func (t *Train) AddRows(staged *rows.Section, i int) int {
	from, first := uint32(0), i
	if i > 0 {
		from = staged.Metas[i-1].End
	}
	end, acts := from, 0
	for ; i < len(staged.Metas); i++ {
		m := &staged.Metas[i]
		n := 1
		if m.Op == journal.OpDeliver {
			n = actsOf(staged.Rows[end:m.End])
		}
		if !t.fits(acts+n, int(m.End-from)) {
			break
		}
		t.name(staged.Rows[end:m.End], len(t.arg)+int(end-from))
		acts, end = acts+n, m.End
		t.restless = t.restless || !m.Op.Releases()
	}
	t.arg = append(t.arg, staged.Rows[from:end]...)
	t.grow(i-first, acts)
	return i
}

// fits: an empty train takes any row (RowSizeMax, LegsMax), so that none waits for ever.
func (t *Train) fits(acts, bytes int) bool {
	return t.acts+acts <= ActsMax && len(t.arg)+bytes <= TrainBytesMax
}

// name takes a row that is to stand at this place in arg.
func (t *Train) name(row []byte, at int) {
	s := &t.sections[len(t.sections)-1]
	t.names.add(s.partition, row, at-s.head-sectionHeadSize-s.looks)
	if looks(row) {
		s.looks += len(row)
	}
}

func (t *Train) grow(rows, acts int) {
	s := &t.sections[len(t.sections)-1]
	s.rows += rows
	t.rows += rows
	t.acts += acts
	binary.BigEndian.PutUint16(t.arg[s.head+6:], uint16(s.rows))
	binary.BigEndian.PutUint32(t.arg[s.head+8:], uint32(len(t.arg)-s.head-sectionHeadSize))
}

// looks reports that a row only looks: the columns say all that its act needs, and it never goes to the outbox.
func looks(row []byte) bool {
	op := journal.Op(row[2])
	return op == journal.OpCheck || op == journal.OpRead || op == journal.OpLook
}

func actsOf(row []byte) int {
	if journal.Op(row[2]) != journal.OpDeliver {
		return 1
	}
	return max(1, int(binary.BigEndian.Uint16(row[legCountAt:])))
}

// Arg is the train as a whole, for those who run it otherwise than a shard does: version u8, 0 u8, then sections: partition u16,
// epoch u32, rows u16, bytes u32, rows. It shares memory with the train.
func (t *Train) Arg() []byte { return t.arg }

// pack makes the script's arguments: the head, then each section's rows, but for those that only look: so what happens in a section
// mostly is its whole argument, which goes to the outbox as it is.
func (t *Train) pack(epoch uint32) {
	t.head = t.names.head(t.head[:0], t.arg[0], epoch, t.sections)
	t.events = slices.Grow(t.events[:0], len(t.arg))
	for i := range t.sections {
		s, end := &t.sections[i], len(t.arg)
		if i+1 < len(t.sections) {
			end = t.sections[i+1].head
		}
		if s.packed = t.arg[s.head+sectionHeadSize : end]; s.looks > 0 {
			from := len(t.events)
			t.events = appendEvents(t.events, s.packed)
			s.packed = t.events[from:]
		}
	}
}

// appendEvents appends the rows that may happen.
func appendEvents(dst, rows []byte) []byte {
	for len(rows) > 0 {
		n := int(binary.BigEndian.Uint16(rows)) // as packed: never less than a row's head
		if n < 3 || n > len(rows) {
			return append(dst, rows...)
		}
		if !looks(rows) {
			dst = append(dst, rows[:n]...)
		}
		rows = rows[n:]
	}
	return dst
}

// MarshalBinary is how the client takes the head while it writes the command: from here on the shard may see it.
func (t *Train) MarshalBinary() ([]byte, error) {
	t.sent = true
	return t.head, nil
}
