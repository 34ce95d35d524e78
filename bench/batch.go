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
)

// nextItem reads one item of a batch's answer; what is not written as usual is read by encoding/json.
func nextItem(b []byte, a *answer) (rest []byte, ok bool) {
	b = bytes.TrimPrefix(b, []byte(","))
	if bytes.HasPrefix(b, []byte(itemHead)) && len(b) > len(itemHead)+journal.IDChars+len(itemMid) {
		id := b[len(itemHead) : len(itemHead)+journal.IDChars]
		behind := b[len(itemHead)+journal.IDChars:]
		end := bytes.Index(behind, []byte(itemTail))
		if bytes.HasPrefix(behind, []byte(itemMid)) && end >= len(itemMid) && a.id.ParseChars(id) && readPosition(behind[len(itemMid):end], &a.position) {
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

func readPosition(text []byte, p *journal.Position) bool {
	at, rest, ok := journal.ScanPosition(text)
	*p = at
	return ok && len(rest) == 0
}
