package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

type line struct {
	t    *testing.T
	ws   *websocket.Conn
	left []string // messages of the last frame that have not been asked for
}

func (d *door) dial() *line {
	d.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"wallet.v1.json"}}
	ws, _, err := dialer.Dial("ws"+strings.TrimPrefix(d.url, "http")+"/v1/ws", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { ws.Close() })
	return &line{t: d.t, ws: ws}
}

func (d *door) connect() *line {
	d.t.Helper()
	l := d.dial()
	l.send(`{"id":1,"connect":{}}`)
	if r := l.next(); r["id"] != 1.0 || r["ok"].(map[string]any)["session"] == "" {
		d.t.Fatalf("connect answered %v", r)
	}
	return l
}

func (l *line) send(messages ...string) {
	l.t.Helper()
	if err := l.ws.WriteMessage(websocket.TextMessage, []byte(strings.Join(messages, "\n"))); err != nil {
		l.t.Fatal(err)
	}
}

// next is the next message; an empty one is a ping.
func (l *line) next() map[string]any {
	l.t.Helper()
	if len(l.left) == 0 {
		_ = l.ws.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, b, err := l.ws.ReadMessage()
		if err != nil {
			l.t.Fatal(err)
		}
		l.left = strings.Split(string(b), "\n")
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(l.left[0]), &m); err != nil {
		l.t.Fatalf("%v in %q", err, l.left[0])
	}
	l.left = l.left[1:]
	return m
}

// closed waits for the end of the session and answers its close code.
func (l *line) closed() int {
	l.t.Helper()
	_ = l.ws.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		_, _, err := l.ws.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *line) wantError(code string) {
	l.t.Helper()
	r := l.next()
	e, ok := r["error"].(map[string]any)
	if !ok || e["code"] != code {
		l.t.Errorf("answered %v, want %s", r, code)
	}
}

func transferMessage(id int, key, from, to string, amount int) string {
	return fmt.Sprintf(`{"id":%d,"transfer":{"key":%q,"from":%q,"to":%q,"amount":%d,"asset":"USD"}}`, id, key, from, to, amount)
}

func TestSessionMovesMoney(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	l := d.connect()
	var frame []string
	for i := range 100 {
		frame = append(frame, transferMessage(10+i, fmt.Sprint("k", i), "alice", "bob", 1))
	}
	l.send(frame...)
	seen := map[float64]bool{}
	for range 100 {
		r := l.next()
		ok := r["ok"].(map[string]any)
		if ok["status"] != "confirmed" || !strings.HasPrefix(ok["transfer"].(string), "tr_") || ok["position"] == "" {
			t.Fatalf("answered %v", r)
		}
		seen[r["id"].(float64)] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d messages were answered", len(seen))
	}
	l.send(transferMessage(1000, "k0", "alice", "bob", 2), transferMessage(1001, "poor", "alice", "bob", 1_000_000))
	l.wantError("key_reused_with_different_amount")
	l.wantError("insufficient_funds")
	l.send(transferMessage(1002, "k0", "alice", "bob", 1), transferMessage(1003, "poor", "alice", "bob", 1_000_000))
	if r := l.next(); r["ok"].(map[string]any)["replayed"] != true {
		t.Errorf("a repeat answered %v", r)
	}
	if r := l.next(); r["error"].(map[string]any)["replayed"] != true {
		t.Errorf("the repeat of a refusal answered %v", r)
	}
	l.send(`{"id":2000,"balance":{"account":"alice"}}`)
	if b := l.next()["ok"].(map[string]any); b["available"] != 9900.0 || b["account"] != "alice" {
		t.Errorf("balance answered %v", b)
	}
	l.send(`{"id":2001,"balance":{"account":"nobody"}}`)
	l.wantError("account_not_found")
	l.send(`{"id":3000,"batch":{"transfers":[{"key":"b1","from":"alice","to":"bob","amount":1,"asset":"USD"},{"key":"b2","from":"alice","to":"nobody","amount":1,"asset":"USD"},{"from":"alice","to":"bob","amount":1,"asset":"USD"}]}}`)
	data := l.next()["ok"].(map[string]any)["data"].([]any)
	if len(data) != 3 || data[0].(map[string]any)["ok"] == nil || data[1].(map[string]any)["error"] == nil || data[2].(map[string]any)["error"] == nil {
		t.Errorf("batch answered %v", data)
	}
	d.shards.sums(t)
}

func TestSessionReservations(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	l := d.connect()
	l.send(`{"id":2,"reserve":{"key":"r","from":"alice","to":"bob","amount":500,"asset":"USD"}}`)
	ok := l.next()["ok"].(map[string]any)
	if ok["status"] != "tried" || ok["expires_at"] == nil || ok["from"] != "alice" {
		t.Fatalf("reserve answered %v", ok)
	}
	id := ok["id"].(string)
	l.send(`{"id":3,"confirm":{"reservation":"` + id + `","key":"c","amount":200,"final":false}}`)
	if ok := l.next()["ok"].(map[string]any); ok["status"] != "tried" || ok["remaining"] != 300.0 || ok["to"] != "bob" {
		t.Errorf("confirm answered %v", ok)
	}
	d.server.names = newNames(d.server.desk)
	l.send(`{"id":4,"cancel":{"reservation":"` + id + `"}}`)
	if ok := l.next()["ok"].(map[string]any); ok["status"] != "cancelled" || ok["from"] != "alice" {
		t.Errorf("cancel answered %v", ok)
	}
	l.send(`{"id":5,"cancel":{"from":"alice","key":"late"}}`)
	if ok := l.next()["ok"].(map[string]any); ok["status"] != "cancelled" {
		t.Errorf("cancel by key answered %v", ok)
	}
	l.send(transferMessage(6, "late", "alice", "bob", 1))
	l.wantError("cancelled_before_try")
	if a, reserved := d.balance("alice"); a != 9800 || reserved != 0 {
		t.Errorf("alice has %v, %v reserved", a, reserved)
	}
}

func TestSessionRefusesWhatItCannotRead(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	l := d.connect()
	l.send("not json")
	l.wantError("malformed")
	l.send(`{"id":7,"dance":{}}`)
	l.wantError("unknown_command")
	l.send(`{"id":8,"transfer":{"key":"k","from":"alice","to":"bob","amount":1.5,"asset":"USD"}}`)
	l.wantError("malformed")
	l.send(`{"id":9,"transfer":{"key":"k","from":"alice","to":"bob","amount":0,"asset":"USD"}}`)
	l.wantError("amount_out_of_range")
	l.send(`{"id":10,"connect":{}}`)
	l.wantError("malformed")
	l.send(`{}`)
	if r := l.next(); len(r) != 0 {
		t.Errorf("a ping answered %v", r)
	}
	l.send(transferMessage(11, "k", "alice", "bob", 1)) // the connection stays, the key is usable
	if r := l.next(); r["ok"] == nil {
		t.Errorf("answered %v", r)
	}
	if err := l.ws.WriteMessage(websocket.BinaryMessage, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if code := l.closed(); code != websocket.CloseUnsupportedData {
		t.Errorf("a binary frame closed with %d", code)
	}
}

func TestSessionCloseCodes(t *testing.T) {
	t.Run("no connect in time", func(t *testing.T) {
		d := openDoor(t, func(c *Config) { c.ConnectTimeout = 50 * time.Millisecond })
		if code := d.dial().closed(); code != closeConnectTimeout {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("another first message", func(t *testing.T) {
		l := openDoor(t, nil).dial()
		l.send(`{"id":1,"balance":{"account":"alice"}}`)
		l.wantError("malformed")
	})
	t.Run("a message too big", func(t *testing.T) {
		l := openDoor(t, nil).connect()
		l.send(`{"id":2,"balance":{"account":"` + strings.Repeat("a", 1<<20) + `"}}`)
		if code := l.closed(); code != websocket.CloseMessageTooBig {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("bad token", func(t *testing.T) {
		l := openDoor(t, func(c *Config) { c.Token = "secret" }).dial()
		l.send(`{"id":1,"connect":{"token":"guess"}}`)
		l.wantError("unauthenticated")
		if code := l.closed(); code != closeBadToken {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("good token", func(t *testing.T) {
		d := openDoor(t, func(c *Config) { c.Token = "secret" })
		l := d.dial()
		l.send(`{"id":1,"connect":{"token":"secret"}}`)
		if r := l.next(); r["ok"] == nil {
			t.Errorf("answered %v", r)
		}
		d.want(d.call("GET", "/v1/accounts/alice", "", ""), 401, "unauthenticated")
	})
	t.Run("drain", func(t *testing.T) {
		d := openDoor(t, nil)
		l := d.connect()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() { d.server.Drain(ctx); close(done) }()
		if code := l.closed(); code != websocket.CloseServiceRestart {
			t.Errorf("closed with %d", code)
		}
		<-done
		d.want(d.call("GET", "/readyz", "", ""), 503, "draining")
	})
	t.Run("a client that does not answer pings", func(t *testing.T) {
		l := openDoor(t, func(c *Config) { c.PingEvery = 20 * time.Millisecond }).connect()
		if r := l.next(); len(r) != 0 {
			t.Errorf("expected a ping, got %v", r)
		}
		if code := l.closed(); code != closeSilent {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("a client that does not read", func(t *testing.T) {
		d := openDoor(t, func(c *Config) { c.OutboundMax = 1 << 10 })
		d.fund("alice", "bob")
		d.shards.hold = true // replies come at once, below
		l := d.connect()
		var frame []string
		for i := range 200 {
			frame = append(frame, fmt.Sprintf(`{"id":%d,"dance":{}}`, i+2))
		}
		l.send(frame...)
		if code := l.closed(); code != closeSlowConsumer && code != websocket.CloseAbnormalClosure {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("a foreign origin", func(t *testing.T) {
		d := openDoor(t, nil)
		_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(d.url, "http")+"/v1/ws", http.Header{"Origin": {"https://evil.example"}})
		if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("a foreign origin was answered %v, %v", resp, err)
		}
	})
}

func TestSessionInFlightWindow(t *testing.T) {
	d := openDoor(t, func(c *Config) { c.MaxInFlight = 3 })
	d.fund("alice", "bob")
	l := d.connect()
	d.shards.mu.Lock()
	d.shards.hold = true
	d.shards.mu.Unlock()
	for i := range 4 {
		l.send(transferMessage(10+i, fmt.Sprint("w", i), "alice", "bob", 1))
	}
	r := l.next()
	if e, ok := r["error"].(map[string]any); !ok || e["code"] != "rate_limited" || r["id"] != 13.0 {
		t.Errorf("the act above the window answered %v", r)
	}
}
