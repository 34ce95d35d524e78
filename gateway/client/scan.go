package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"walletd/journal"
)

// replyKind tells what a message from the gateway is.
type replyKind uint8

const (
	replyOK       replyKind = iota // raw is the value of ok
	replyTransfer                  // result
	replyRefused                   // refusal
	replyPing                      // {}
	replyPush                      // push
	replyStrange                   // nothing that this client knows
)

// reply is one message, scanned.
type reply struct {
	id      uint64 // 0: none
	kind    replyKind
	result  Result
	raw     []byte // shares memory with the frame
	refusal *RefusedError
	push    *Push
}

// scanFrame appends the frame's messages to replies.
func scanFrame(replies []reply, frame []byte) []reply {
	for len(frame) > 0 {
		line := frame
		if i := bytes.IndexByte(frame, '\n'); i >= 0 {
			line, frame = frame[:i], frame[i+1:]
		} else {
			frame = nil
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		replies = append(replies, reply{})
		scanReply(line, &replies[len(replies)-1])
	}
	return replies
}

// scanReply reads one message. A confirmed transfer, as the gateway writes it, is read without encoding/json and without
// an allocation; everything else, and a gateway that writes it otherwise, goes the long way.
func scanReply(line []byte, r *reply) {
	if len(line) == 2 && line[0] == '{' && line[1] == '}' {
		r.kind = replyPing
		return
	}
	if !scanConfirmed(line, r) {
		*r = reply{}
		scanSlowly(line, r)
	}
}

const (
	confirmedHead = `{"id":`
	confirmedID   = `,"ok":{"transfer":"tr_`
	confirmedMid  = `","status":"confirmed","position":"`
	confirmedTail = `"}}`
	statusOK      = "confirmed"
)

func scanConfirmed(line []byte, r *reply) (ok bool) {
	rest, ok := cut(line, confirmedHead)
	if !ok {
		return false
	}
	if r.id, rest, ok = journal.ScanNumber(rest); !ok {
		return false
	}
	if rest, ok = cut(rest, confirmedID); !ok || len(rest) < journal.IDChars {
		return false
	}
	if !r.result.ID.ParseChars(rest[:journal.IDChars]) {
		return false
	}
	if rest, ok = cut(rest[journal.IDChars:], confirmedMid); !ok {
		return false
	}
	if r.result.Position, rest, ok = journal.ScanPosition(rest); !ok || string(rest) != confirmedTail {
		return false
	}
	r.kind = replyTransfer
	r.result.Status = statusOK
	return true
}

func cut(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || string(b[:len(prefix)]) != prefix {
		return b, false
	}
	return b[len(prefix):], true
}

// envelope is any message from the gateway.
type envelope struct {
	ID    uint64          `json:"id"`
	OK    json.RawMessage `json:"ok"`
	Error *refusal        `json:"error"`
	Push  *Push           `json:"push"`
}

// refusal is the error of a reply.
type refusal struct {
	RefusedError
	RetryAfterS float64 `json:"retry_after"`
}

func (f *refusal) refused() *RefusedError {
	e := f.RefusedError
	e.RetryAfter = time.Duration(f.RetryAfterS * float64(time.Second))
	return &e
}

func scanSlowly(line []byte, r *reply) {
	var e envelope
	if err := json.Unmarshal(line, &e); err != nil {
		r.kind = replyStrange
		return
	}
	r.id = e.ID
	switch {
	case e.Error != nil:
		r.kind, r.refusal = replyRefused, e.Error.refused()
	case e.OK != nil:
		r.kind, r.raw = replyOK, e.OK
		var t resultShape
		if json.Unmarshal(e.OK, &t) == nil {
			if result, err := t.result(); err == nil {
				r.kind, r.result = replyTransfer, result
			}
		}
	case e.Push != nil:
		r.kind, r.push = replyPush, e.Push
	default:
		r.kind = replyStrange
	}
}

// resultShape is the short reply to a transfer, alone or in a batch.
type resultShape struct {
	Transfer string   `json:"transfer"`
	Status   string   `json:"status"`
	Position Position `json:"position"`
	Replayed bool     `json:"replayed"`
}

func (t *resultShape) result() (Result, error) {
	id, err := journal.ParseID(journal.TransferPrefix, t.Transfer)
	if err != nil {
		return Result{}, fmt.Errorf("read the reply to a transfer: %q: %w", t.Transfer, err)
	}
	return Result{ID: id, Status: t.Status, Position: t.Position.Position, Replayed: t.Replayed}, nil
}
