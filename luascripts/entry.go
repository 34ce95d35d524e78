package luascripts

import (
	"encoding/binary"
	"fmt"

	"walletd/journal"
	"walletd/journal/rows"
)

// AppendEntry packs the outbox entry that the answered train left onto dst: byte for byte what ReadOutbox answers for that id,
// for a train's rows and its reply are all that the script makes it of (decision 20). id 0: it left none. ErrBadReply: what it
// left is not known; the outbox has it.
func (t *Train) AppendEntry(dst []byte) (id uint64, packed []byte, err error) {
	r, from := newReply(t), len(dst)
	for r.NextSection() {
		if r.Section().Status == journal.OK {
			dst = r.appendHappened(dst)
		}
	}
	if err := r.Err(); err != nil {
		return 0, dst[:from], err
	}
	if (r.entry == 0) != (len(dst) == from) {
		return 0, dst[:from], fmt.Errorf("%w: outbox entry %d of %d bytes", ErrBadReply, r.entry, len(dst)-from)
	}
	return r.entry, dst, nil
}

// appendHappened packs what happened in the present section, if anything.
func (r *Reply) appendHappened(dst []byte) []byte {
	at, s := len(dst), r.section
	if s.Base >= 1<<56-1-ActsMax {
		r.fail("seq %d", s.Base)
	}
	dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, uint16(s.Partition)), s.Epoch)
	dst = appendU56(appendU56(dst, s.Base+1), uint64(s.TimeMS))
	dst = append(dst, 0, 0, 0, 0, 0, 0) // events, bytes
	var o rows.Outcome
	for r.NextRow(&o) {
		if r.journaled {
			dst = append(append(dst, r.Row()...), byte(o.Status))
		}
	}
	events := r.seq - s.Base
	if events == 0 {
		return dst[:at]
	}
	binary.BigEndian.PutUint16(dst[at+20:], uint16(events))
	binary.BigEndian.PutUint32(dst[at+22:], uint32(len(dst)-at-happenedHeadSize))
	return dst
}
