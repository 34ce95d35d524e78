package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"walletd/gateway/client"
	"walletd/journal"
)

// batchEnded takes the answers to a batch's items.
func (n *lane) batchEnded(m *slot, at time.Duration, end *client.Completion) {
	size := n.load.size()
	if end.Err != nil {
		for range size {
			n.failed(end.Err)
		}
		return
	}
	rest, ok := bytes.CutPrefix(end.Reply, []byte(`{"data":[`))
	for i := range size {
		var a answer
		if ok {
			rest, ok = nextItem(rest, &a)
		}
		if !ok {
			n.trouble(fmt.Sprintf("a batch of %d was answered %s", size, end.Reply))
			return
		}
		o := n.composer.effective(m, i)
		if n.judge(o, m, i, &a) {
			n.count(o, m, at, 1)
		}
	}
}

// Pieces of an acknowledged item, as the gateway writes it: {"ok":{"transfer":"tr_…","status":"confirmed","position":"…"}}
const (
	itemHead = `{"ok":{"transfer":"tr_`
	itemMid  = `","status":"confirmed","position":"`
	itemTail = `"}}`
	idChars  = 26
)

// nextItem reads one item of a batch's answer; what is not written as usual is read by encoding/json.
func nextItem(b []byte, a *answer) (rest []byte, ok bool) {
	b = bytes.TrimPrefix(b, []byte(","))
	if bytes.HasPrefix(b, []byte(itemHead)) && len(b) > len(itemHead)+idChars+len(itemMid) {
		id := b[len(itemHead) : len(itemHead)+idChars]
		behind := b[len(itemHead)+idChars:]
		end := bytes.Index(behind, []byte(itemTail))
		if bytes.HasPrefix(behind, []byte(itemMid)) && end >= len(itemMid) && decodeID(id, &a.id) && decodePosition(behind[len(itemMid):end], &a.position) {
			a.status = "confirmed"
			return behind[end+len(itemTail):], true
		}
	}
	return slowItem(b, a)
}

func slowItem(b []byte, a *answer) (rest []byte, ok bool) {
	var item struct {
		OK *struct {
			Transfer string
			Status   string
			Position client.Position
		}
		Error *client.RefusedError
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&item); err != nil || item.OK == nil && item.Error == nil {
		return b, false
	}
	if item.Error != nil {
		if a.code = item.Error.Code; a.code == "outcome_unknown" {
			a.err = &client.UnknownError{Err: errors.New("as an item of a batch")}
		}
	} else {
		id, err := journal.ParseID(journal.TransferPrefix, item.OK.Transfer)
		if err != nil {
			return b, false
		}
		a.id, a.status, a.position = id, item.OK.Status, item.OK.Position.Position
	}
	return b[d.InputOffset():], true
}

// idValues maps the characters of an id to their five bits; 0xff: none.
var idValues = func() (v [256]byte) {
	for i := range v {
		v[i] = 0xff
	}
	for i, c := range []byte("0123456789abcdefghjkmnpqrstvwxyz") {
		v[c] = byte(i)
	}
	return v
}()

// decodeID is journal.ParseID without its allocations.
func decodeID(text []byte, id *journal.ID) bool {
	var bits uint64
	n, at := uint(0), 0
	for _, c := range text {
		v := idValues[c]
		if v == 0xff {
			return false
		}
		bits = bits<<5 | uint64(v)
		if n += 5; n >= 8 {
			n -= 8
			id[at] = byte(bits >> n)
			at++
		}
	}
	return at == len(id)
}

// decodePosition reads partition.epoch.seq.
func decodePosition(text []byte, p *journal.Position) bool {
	var numbers [3]uint64
	at := 0
	for _, c := range text {
		switch {
		case c == '.' && at < 2:
			at++
		case c >= '0' && c <= '9':
			numbers[at] = numbers[at]*10 + uint64(c-'0')
		default:
			return false
		}
	}
	*p = journal.Position{Partition: int(numbers[0]), Epoch: uint32(numbers[1]), Seq: numbers[2]}
	return at == 2
}
