package view

import (
	"encoding/binary"
	"fmt"

	"walletd/journal"
)

// A group is some neighbouring lines of an account's statement, those of one commit, behind the account as the newest of them
// left it. So the newest group of an account is also its record. What a line does not say is in its event.
//
//	account, seq uvarint (of the newest line's event), age uvarint (ms from the oldest line to the newest), then the lines, newest first:
//	leg·2 + flagged uvarint, change of available varint, of reserved varint, and unless it is the oldest:
//	seq − the next one's uvarint, time_ms − the next one's uvarint
//
// The key names the oldest line. Flags, limit and status seq are those of the newest line only.
const groupMax = 256 // lines

// Line is a line of a statement as its group has it.
type Line struct {
	Version uint64
	Seq     uint64 // of the event
	TimeMS  int64
	Leg     int // of a delivery, from 0
	Flagged bool

	AvailableChange, ReservedChange journal.Amount
	AvailableAfter, ReservedAfter   journal.Amount
}

// group goes through a group's lines.
type group struct {
	handle  journal.Handle
	account journal.Account // behind the newest line
	oldest  struct {
		timeMS  int64
		version uint64
	}
	lines varints
	now   Line // the next line, but for its changes
}

// parseGroup unpacks a group's head. It shares memory with b.
func parseGroup(key, b []byte) (g group, err error) {
	if len(key) != groupKeySize || len(b) < journal.AccountSize {
		return g, badRecord("group", b)
	}
	g.handle = journal.Handle(key[prefixSize:])
	g.oldest.timeMS, g.oldest.version = parseGroupKey(key)
	if g.account, err = journal.ParseAccount(b[:journal.AccountSize]); err != nil {
		return g, fmt.Errorf("%w: %w", ErrStore, err)
	}
	g.lines.b = b[journal.AccountSize:]
	g.now = Line{Version: g.account.Version, Seq: g.lines.unsigned(), AvailableAfter: g.account.Available, ReservedAfter: g.account.Reserved}
	g.now.TimeMS = g.oldest.timeMS + int64(g.lines.unsigned())
	if g.lines.bad || g.now.Version < g.oldest.version {
		return g, badRecord("group", b)
	}
	return g, nil
}

// next answers the next older line of the group; false behind the oldest.
func (g *group) next() (l Line, ok bool, err error) {
	if g.now.Version < g.oldest.version {
		if len(g.lines.b) != 0 {
			return l, false, badRecord("rest of a group", g.lines.b)
		}
		return l, false, nil
	}
	l = g.now
	leg := g.lines.unsigned()
	l.Leg, l.Flagged = int(leg>>1), leg&1 == 1
	l.AvailableChange, l.ReservedChange = journal.Amount(g.lines.signed()), journal.Amount(g.lines.signed())
	g.now.Version--
	g.now.AvailableAfter -= l.AvailableChange
	g.now.ReservedAfter -= l.ReservedChange
	if l.Version > g.oldest.version {
		g.now.Seq -= g.lines.unsigned()
		g.now.TimeMS -= int64(g.lines.unsigned())
	}
	if g.lines.bad || (l.Version == g.oldest.version && l.TimeMS != g.oldest.timeMS) {
		return l, false, badRecord("line", g.lines.b)
	}
	return l, true, nil
}

// accounts keeps a bounded number of accounts unpacked over the store, each with the group that the open batch adds to it.
// Those that have not been asked for since the hand came by make room for others; an account that the open batch has changed
// stays until it is committed.
type accounts struct {
	max   int
	index map[journal.Handle]int32
	slots []slot
	free  []int32
	hand  int
	all   bool // every account of the partition is here: who is not does not exist

	changed []int32 // slots that the open batch has changed
	lines   []change
	last    int32 // the slot that was asked for last
}

type slot struct {
	account journal.Account
	handle  journal.Handle
	newest  int32 // line of the open group; -1: it has none
	count   uint16
	used    bool // since the hand came by
	changed bool // it is in accounts.changed
}

// change is a line of an open group.
type change struct {
	seq                 uint64
	timeMS              int64
	available, reserved journal.Amount
	leg                 uint32 // ·2 + flagged
	older               int32  // -1: none
}

func newAccounts(max int) *accounts {
	return &accounts{max: max, index: map[journal.Handle]int32{}, last: -1}
}

func (a *accounts) get(h journal.Handle) (*slot, bool) {
	if a.last >= 0 && a.slots[a.last].handle == h {
		return &a.slots[a.last], true
	}
	i, ok := a.index[h]
	if !ok {
		return nil, false
	}
	a.last = i
	a.slots[i].used = true
	return &a.slots[i], true
}

// add makes room for an account that is not there.
func (a *accounts) add(h journal.Handle, of journal.Account) *slot {
	i := a.room()
	a.slots[i] = slot{account: of, handle: h, newest: -1, used: true}
	a.index[h], a.last = i, i
	return &a.slots[i]
}

// clockSteps bounds the search for an account to give up. Where so many in a row have just been used or changed, there is one more
// than max: a batch may change more than that.
const clockSteps = 64

func (a *accounts) room() int32 {
	if n := len(a.free); n > 0 {
		i := a.free[n-1]
		a.free = a.free[:n-1]
		return i
	}
	for range clockSteps {
		if len(a.slots) < a.max {
			break
		}
		a.hand = (a.hand + 1) % len(a.slots)
		switch s := &a.slots[a.hand]; {
		case s.changed:
		case s.used:
			s.used = false
		default:
			delete(a.index, s.handle)
			a.all = false
			return int32(a.hand)
		}
	}
	a.slots = append(a.slots, slot{})
	return int32(len(a.slots) - 1)
}

// set says that the open batch changes the account.
func (a *accounts) set(h journal.Handle, of journal.Account) {
	s, ok := a.get(h)
	if !ok {
		s = a.add(h, of)
	}
	s.account = of
	if !s.changed {
		s.changed = true
		a.changed = append(a.changed, a.last)
	}
}

// committed says that the store now holds what changed.
func (a *accounts) committed() {
	for _, i := range a.changed {
		a.slots[i].changed = false
	}
	a.changed, a.lines = a.changed[:0], a.lines[:0]
}

// dropped forgets what changed: what is kept is what the store holds.
func (a *accounts) dropped() {
	a.all = a.all && len(a.changed) == 0
	for _, i := range a.changed {
		delete(a.index, a.slots[i].handle)
		a.slots[i] = slot{}
		a.free = append(a.free, i)
	}
	a.changed, a.lines, a.last = a.changed[:0], a.lines[:0], -1
}

// appendGroup packs a slot's open group, and answers its oldest line.
func (a *accounts) appendGroup(dst []byte, s *slot) ([]byte, *change) {
	newest := &a.lines[s.newest]
	oldest := newest
	for oldest.older >= 0 {
		oldest = &a.lines[oldest.older]
	}
	dst = s.account.Append(dst)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, newest.seq), uint64(newest.timeMS-oldest.timeMS))
	for l := newest; ; {
		dst = binary.AppendUvarint(dst, uint64(l.leg))
		dst = binary.AppendVarint(binary.AppendVarint(dst, int64(l.available)), int64(l.reserved))
		if l.older < 0 {
			return dst, oldest
		}
		older := &a.lines[l.older]
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, l.seq-older.seq), uint64(l.timeMS-older.timeMS))
		l = older
	}
}
