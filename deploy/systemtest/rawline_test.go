package systemtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// rawLine is a raw WebSocket connection.
type rawLine struct {
	t    *testing.T
	ws   *websocket.Conn
	left [][]byte // messages of the last frame, not read yet
}

// reply is one message of the gateway.
type reply struct {
	ID    uint64
	OK    json.RawMessage
	Error *struct{ Code, Field, Side string }
}

func (d *dev) line(t *testing.T) *rawLine {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"wallet.v1.json"}, HandshakeTimeout: answerLimit}
	ws, _, err := dialer.Dial("ws://"+d.gateways[0]+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	l := &rawLine{t: t, ws: ws}
	l.send(`{"id":1,"connect":{}}`)
	if r := l.next(); r.ID != 1 || r.Error != nil {
		t.Fatalf("connect answered %+v", r)
	}
	return l
}

func (l *rawLine) send(message string) {
	l.t.Helper()
	if err := l.ws.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		l.t.Fatal(err)
	}
}

// next is the next message that is no ping.
func (l *rawLine) next() reply {
	l.t.Helper()
	for {
		for len(l.left) == 0 {
			_ = l.ws.SetReadDeadline(time.Now().Add(answerLimit))
			_, frame, err := l.ws.ReadMessage()
			if err != nil {
				l.t.Fatal(err)
			}
			l.left = bytes.Split(frame, []byte{'\n'})
		}
		text := l.left[0]
		l.left = l.left[1:]
		if string(text) == "{}" {
			continue
		}
		var r reply
		if err := json.Unmarshal(text, &r); err != nil {
			l.t.Fatalf("%v in %q", err, text)
		}
		return r
	}
}

// refuses sends a bad message. Where the text is no JSON nothing in it is believed, so the answer has no id.
func (l *rawLine) refuses(message string, b bad) {
	l.t.Helper()
	l.send(message)
	r := l.next()
	wantID := uint64(7)
	if !json.Valid([]byte(message)) || strings.Contains(b.name, "id") && !strings.Contains(message, `"id":7`) || strings.HasPrefix(b.name, "depth") ||
		strings.Contains(b.name, "UTF-8") || b.name == "lone surrogate" {
		wantID = 0
	}
	if r.Error == nil || r.Error.Code != b.code || b.field != "" && r.Error.Field != b.field || r.ID != wantID {
		l.t.Errorf("%s: answered id %d, %+v; want id %d, %s, field %q", b.name, r.ID, r.Error, wantID, b.code, b.field)
	}
}

// closes sends a message and returns the code with which the connection is closed.
func (l *rawLine) closes(kind int, message string) int {
	l.t.Helper()
	_ = l.ws.WriteMessage(kind, []byte(message)) // the gateway may close before it has read all of it
	_ = l.ws.SetReadDeadline(time.Now().Add(answerLimit))
	for {
		_, _, err := l.ws.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed.Code
		case err != nil:
			l.t.Fatal(err)
		}
	}
}
