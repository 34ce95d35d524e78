package bench

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A request put together from pieces is one that net/http reads, and its answer is read.
func TestRequestsAreHTTP(t *testing.T) {
	s, cfg := scriptOf(t, 1000, Load{})
	c := newComposer(cfg, s, "test-r3")
	o := s.ops[7]
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(c.request("h:1", "secret", 17, o)))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		From, To, Asset string
		Amount          int64
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if r.Method != "POST" || r.URL.Path != "/v1/transfers" || r.Host != "h:1" || r.Header.Get("Idempotency-Key") != "test-r3-17" || r.Header.Get("Authorization") != "Bearer secret" ||
		m.From != string(s.name(o.from)) || m.To != string(s.name(o.to)) || m.Amount != 1 || m.Asset != "USD" || int64(len(body)) != r.ContentLength {
		t.Errorf("%+v %+v %d", r, m, len(body))
	}
	w := httptest.NewRecorder()
	Nothing().ServeHTTP(w, r)
	if w.Code != http.StatusCreated || string(textField(w.Body.Bytes(), `"status":"`)) != "confirmed" {
		t.Errorf("nothing answers %d %s", w.Code, w.Body)
	}
}

func TestAnswersAreRead(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("HTTP/1.1 201 Created\r\nX: y\r\ncontent-LENGTH: 5\r\n\r\nhelloHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"))
	status, body, err := readAnswer(in, nil)
	if err != nil || status != 201 || string(body) != "hello" {
		t.Errorf("%d %s %v", status, body, err)
	}
	if status, body, err = readAnswer(in, body); err != nil || status != 503 || len(body) != 0 {
		t.Errorf("%d %s %v", status, body, err)
	}
	for _, bad := range []string{"", "HTTP/1.1 2", "HTTP/1.1 xxx\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"} {
		if _, _, err := readAnswer(bufio.NewReader(strings.NewReader(bad)), nil); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
