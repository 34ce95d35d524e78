package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"walletd/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a gateway that forges faults. It keeps the wallet's promise that a key has one outcome.
type fake struct {
	t        *testing.T
	http     *httptest.Server
	window   int
	pingS    int
	greeting string                                              // instead of the reply to connect
	onFrame  func(c *fakeConn, frame []byte, commands []command) // nil: answer each
	refuse   http.HandlerFunc                                    // instead of the upgrade

	mu       sync.Mutex
	outcomes map[string]string // key -> ok or error, as first answered
	moves    map[string]int    // key -> times that money moved: must be 1
	conns    []*fakeConn
	tokens   []string
	sessions atomic.Int64
	handlers sync.WaitGroup
}

// command is a message of the client's.
type command struct {
	ID       uint64 `json:"id"`
	Transfer *struct {
		Key, From, To, Asset, Reference string
		Amount                          int64
	} `json:"transfer"`
	Batch *struct {
		Transfers []struct {
			Key, From, To, Asset string
			Amount               int64
		} `json:"transfers"`
	} `json:"batch"`
	Connect   *struct{ Token string } `json:"connect"`
	Balance   json.RawMessage         `json:"balance"`
	Reserve   json.RawMessage         `json:"reserve"`
	Confirm   json.RawMessage         `json:"confirm"`
	Cancel    json.RawMessage         `json:"cancel"`
	Refresh   *struct{ Token string } `json:"refresh"`
	Subscribe *struct {
		Channel string
		Since   *struct{ Version uint64 }
	} `json:"subscribe"`
	raw string
}

func (c *command) ping() bool { return c.raw == "{}" }

type fakeConn struct {
	f      *fake
	number int64 // 1, 2, … in the order of connecting
	ws     *websocket.Conn
	mu     sync.Mutex
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, window: 1 << 12, pingS: 25, outcomes: map[string]string{}, moves: map[string]int{}}
	f.http = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() {
		f.mu.Lock()
		for _, c := range f.conns {
			c.ws.Close()
		}
		f.mu.Unlock()
		f.http.Close()
		f.handlers.Wait()
	})
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.handlers.Add(1)
	defer f.handlers.Done()
	if f.refuse != nil {
		f.refuse(w, r)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{subprotocol}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		f.t.Errorf("upgrade: %v", err)
		return
	}
	defer ws.Close()
	c := &fakeConn{f: f, ws: ws, number: f.sessions.Add(1)}
	f.mu.Lock()
	f.conns = append(f.conns, c)
	f.mu.Unlock()
	for {
		_, frame, err := ws.ReadMessage()
		if err != nil {
			return
		}
		c.frame(frame)
	}
}

func (c *fakeConn) frame(frame []byte) {
	var commands []command
	for line := range bytes.SplitSeq(frame, []byte("\n")) {
		m := command{raw: string(line)}
		if err := json.Unmarshal(line, &m); err != nil {
			c.f.t.Errorf("client sent %q: %v", line, err)
			return
		}
		if m.Connect != nil {
			c.f.mu.Lock()
			c.f.tokens = append(c.f.tokens, m.Connect.Token)
			c.f.mu.Unlock()
			c.welcome(m.ID)
			continue
		}
		commands = append(commands, m)
	}
	if c.f.onFrame != nil && len(commands) > 0 {
		c.f.onFrame(c, frame, commands)
		return
	}
	for i := range commands {
		c.answer(&commands[i])
	}
}

func (c *fakeConn) welcome(id uint64) {
	if c.f.greeting != "" {
		c.send(c.f.greeting)
		return
	}
	c.send(`{"id":` + jsonOf(id) + `,"ok":{"session":"s","max_in_flight":` + jsonOf(c.f.window) + `,"ping_s":` + jsonOf(c.f.pingS) + `}}`)
}

// send writes one frame.
func (c *fakeConn) send(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The client may have gone: that is for the test to notice.
	_ = c.ws.WriteMessage(websocket.TextMessage, []byte(text))
}

// answer executes a command and replies.
func (c *fakeConn) answer(m *command) {
	switch {
	case m.ping():
		c.send(`{}`)
	case m.Transfer != nil:
		c.reply(m.ID, c.f.execute(m.Transfer.Key, m.Transfer.From))
	case m.Batch != nil:
		text := `"ok":{"data":[`
		for i, t := range m.Batch.Transfers {
			if i > 0 {
				text += ","
			}
			text += "{" + c.f.execute(t.Key, t.From) + "}"
		}
		c.reply(m.ID, text+"]}")
	default:
		c.f.t.Errorf("fake has no answer to %s", m.raw)
	}
}

func (c *fakeConn) reply(id uint64, outcome string) {
	c.send(`{"id":` + jsonOf(id) + `,` + outcome + `}`)
}

// refuse answers an error without executing.
func (c *fakeConn) refuse(id uint64, code string, retryable bool) {
	c.reply(id, `"error":{"code":`+jsonOf(code)+`,"retryable":`+jsonOf(retryable)+`}`)
}

func (c *fakeConn) close(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "forged"), time.Now().Add(time.Second))
	c.ws.Close()
}

// execute moves the money of a key unless it has an outcome.
func (f *fake) execute(key, from string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if outcome, ok := f.outcomes[key]; ok {
		return outcome
	}
	f.moves[key]++
	id := journal.IDOf(journal.HandleOf(from), key)
	outcome := `"ok":{"transfer":"` + id.Text(journal.TransferPrefix) + `","status":"confirmed","position":"3.1.` + jsonOf(len(f.moves)) + `"}`
	f.outcomes[key] = outcome
	return outcome
}

func (f *fake) movesOf(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moves[key]
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// dial connects to the fake, with quick retries unless the test says otherwise.
func (f *fake) dial(configure func(*Config)) *Client {
	f.t.Helper()
	cfg := f.config(configure)
	c, err := Dial(deadline(f.t, 5*time.Second), cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

func (f *fake) config(configure func(*Config)) Config {
	cfg := Config{URL: f.http.URL, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, Timeout: 10 * time.Second}
	if configure != nil {
		configure(&cfg)
	}
	return cfg
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func pay(key string) Transfer {
	return Transfer{Key: key, From: "alice", To: "bob", Amount: 1250, Asset: "USD"}
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
