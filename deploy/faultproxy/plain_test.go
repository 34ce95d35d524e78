package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// httpServer counts the requests that it has executed; a WebSocket gets every message back.
func httpServer(t *testing.T) (addr string, executed *atomic.Int64) {
	t.Helper()
	executed = new(atomic.Int64)
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Context().Err() == nil {
			executed.Add(1)
		}
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			executed.Add(1)
			if conn.WriteMessage(kind, message) != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), executed
}

func TestDropNextReplyOfHTTP(t *testing.T) {
	addr, executed := httpServer(t)
	p := ForTest(t, addr)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	post := func(body string) (string, error) {
		r, err := client.Post("http://"+p.Addr()+"/echo", "text/plain", strings.NewReader(body))
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		answer, err := io.ReadAll(r.Body)
		return string(answer), err
	}

	if answer, err := post("plain"); err != nil || answer != "plain" {
		t.Fatalf("without a fault: %q, %v", answer, err)
	}
	// The mark stands at the end of a body that takes many reads.
	dropped := p.DropNextReply(func(request []byte) bool {
		return bytes.HasPrefix(request, []byte("POST /echo ")) && bytes.HasSuffix(request, []byte("mark"))
	})
	if answer, err := post("other"); err != nil || answer != "other" {
		t.Errorf("what does not match: %q, %v", answer, err)
	}
	if answer, err := post(strings.Repeat("x", 500<<10) + "mark"); err == nil {
		t.Errorf("it was answered: %d bytes", len(answer))
	}
	soon(t, "the reply is dropped", dropped)
	if got := executed.Load(); got != 3 {
		t.Errorf("the server executed %d requests, want 3", got)
	}
	if c := p.Counts(); c.DroppedReplies != 1 || c.Cut != 1 {
		t.Errorf("counts %+v", c)
	}
}

func TestDropNextReplyOfAWebSocket(t *testing.T) {
	addr, executed := httpServer(t)
	p := ForTest(t, addr)
	conn, response, err := websocket.DefaultDialer.Dial("ws://"+p.Addr()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer response.Body.Close()
	say := func(text string) (string, error) {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			return "", err
		}
		_, answer, err := conn.ReadMessage()
		return string(answer), err
	}
	if answer, err := say("hello"); err != nil || answer != "hello" {
		t.Fatalf("without a fault: %q, %v", answer, err)
	}
	dropped := p.DropNextReply(nil)
	var closed *websocket.CloseError
	if answer, err := say("again"); err == nil || errors.As(err, &closed) && closed.Code == websocket.CloseNormalClosure {
		t.Errorf("got %q, %v; want a broken connection", answer, err)
	}
	soon(t, "the reply is dropped", dropped)
	if got := executed.Load(); got != 2 {
		t.Errorf("the server executed %d messages, want 2", got)
	}
}
