package client

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"walletd/journal"
)

const confirmedLine = `{"id":65537,"ok":{"transfer":"tr_0123456789abcdefghjkmnpqr0","status":"confirmed","position":"421.7.18842"}}`

func TestReplies(t *testing.T) {
	id, err := journal.ParseID("tr_", "tr_0123456789abcdefghjkmnpqr0")
	if err != nil {
		t.Fatal(err)
	}
	paid := Result{ID: id, Status: "confirmed", Position: journal.Position{Partition: 421, Epoch: 7, Seq: 18842}}
	for _, row := range []struct {
		name, line string
		want       reply
	}{
		{"as the gateway writes it", confirmedLine, reply{id: 65537, kind: replyTransfer, result: paid}},
		{"other order, other space, more fields", `{ "ok":{"position":"421.7.18842","x":[1],"status":"confirmed","transfer":"tr_0123456789abcdefghjkmnpqr0"},"id":65537 }`,
			reply{id: 65537, kind: replyTransfer, result: paid, raw: []byte(`{"position":"421.7.18842","x":[1],"status":"confirmed","transfer":"tr_0123456789abcdefghjkmnpqr0"}`)}},
		{"another status", `{"id":1,"ok":{"transfer":"tr_0123456789abcdefghjkmnpqr0","status":"refused","position":"421.7.18842"}}`,
			reply{id: 1, kind: replyTransfer, result: Result{ID: id, Status: "refused", Position: paid.Position}, raw: []byte(`{"transfer":"tr_0123456789abcdefghjkmnpqr0","status":"refused","position":"421.7.18842"}`)}},
		{"an id that is none", `{"id":1,"ok":{"transfer":"tr_0123456789abcdefghjkmnpqrI","status":"confirmed","position":"1.1.1"}}`,
			reply{id: 1, kind: replyOK, raw: []byte(`{"transfer":"tr_0123456789abcdefghjkmnpqrI","status":"confirmed","position":"1.1.1"}`)}},
		{"ok of another command", `{"id":2,"ok":{"data":[]}}`, reply{id: 2, kind: replyOK, raw: []byte(`{"data":[]}`)}},
		{"refusal", `{"id":3,"error":{"code":"limit_exceeded","retryable":false,"limit":10}}`,
			reply{id: 3, kind: replyRefused, refusal: &RefusedError{Code: "limit_exceeded", Limit: 10}}},
		{"refusal of what had no id", `{"error":{"code":"malformed","retryable":false}}`, reply{kind: replyRefused, refusal: &RefusedError{Code: "malformed"}}},
		{"ping", `{}`, reply{kind: replyPing}},
		{"push", `{"push":{"channel":"account:a","version":3,"event":{"type":"transfer.sent"}}}`,
			reply{kind: replyPush, push: &Push{Channel: "account:a", Version: 3, Event: &Event{Type: "transfer.sent"}}}},
		{"nothing known", `{"hello":1}`, reply{kind: replyStrange}},
		{"no JSON", `{"id":1,"ok":{"transfer":"tr_`, reply{kind: replyStrange}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got reply
			scanReply([]byte(row.line), &got)
			if !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
		})
	}
}

func TestFrameIsCutIntoMessages(t *testing.T) {
	for frame, want := range map[string]int{
		"{}": 1, "{}\n{}": 2, "{}\n\n{}\n": 2, confirmedLine + "\n" + confirmedLine + "\r\n{}": 3, "": 0, "\n": 0,
	} {
		if got := scanFrame(nil, []byte(frame)); len(got) != want {
			t.Errorf("%q: %d messages, want %d", frame, len(got), want)
		}
	}
}

// What the quick way reads, the long way reads the same.
func FuzzScanReply(f *testing.F) {
	f.Add([]byte(confirmedLine))
	f.Add([]byte(`{"id":12345678901234567,"ok":{"transfer":"tr_00000000000000000000000000","status":"confirmed","position":"0.0.0"}}`))
	f.Add([]byte(`{"id":1,"error":{}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return
		}
		var quick, slow reply
		if !scanConfirmed(line, &quick) {
			scanReply(line, &slow) // must not panic
			return
		}
		scanSlowly(line, &slow)
		// JSON knows no leading zeros, and a position has bounds; what the quick way takes beyond that, no gateway writes.
		if slow.kind == replyTransfer && (quick.id != slow.id || quick.result != slow.result) {
			t.Fatalf("%s: quick %+v, slow %+v", line, quick, slow)
		}
	})
}

func TestConfirmedTransfersAreScannedWithoutAllocation(t *testing.T) {
	frame := bytes.Repeat([]byte(confirmedLine+"\n"), 64)
	replies := make([]reply, 0, 64)
	if n := testing.AllocsPerRun(100, func() { replies = scanFrame(replies[:0], frame) }); n != 0 {
		t.Errorf("%v allocations for a frame", n)
	}
	if len(replies) != 64 || replies[63].kind != replyTransfer {
		t.Errorf("scanned %d", len(replies))
	}
}

// Every text comes out of the JSON as it went in.
func TestCommandsCarryTextsUnchanged(t *testing.T) {
	for _, text := range []string{"k", `quote " and \ backslash`, "ключ <&>", "tab\tline\n", "\u2028", ""} {
		in := Transfer{Key: text, From: text, To: text, Amount: 1<<53 - 1, Asset: text, Reference: text}
		var out struct {
			ID       uint64
			Transfer Transfer
		}
		message := appendMessage(nil, 1<<52, AppendTransfer(nil, &in))
		if err := json.Unmarshal(message, &out); err != nil || out.Transfer != in || out.ID != 1<<52 {
			t.Errorf("%s: %v, got %+v", message, err, out)
		}
	}
	if err := (&Transfer{Key: "k", From: "a\xff"}).prepare(); Code(err) != "malformed" {
		t.Errorf("not UTF-8: %v", err)
	}
}

func BenchmarkScanConfirmed(b *testing.B) {
	var r reply
	line := []byte(confirmedLine)
	for b.Loop() {
		scanReply(line, &r)
	}
}

func BenchmarkAppendTransfer(b *testing.B) {
	t := pay("0190a0a0-0000-7000-8000-000000000000")
	command, message := make([]byte, 0, 256), make([]byte, 0, 256)
	for b.Loop() {
		command = AppendTransfer(command[:0], &t)
		message = appendMessage(message[:0], 1<<40, command)
	}
}
