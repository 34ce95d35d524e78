package client

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
)

// A wallet takes a request on a connection that was used before, and dies. Nobody listens any more, but whoever says that
// the request was never sent is wrong.
func TestRESTRequestLostWithItsWallet(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- serveOneAndDie(l) }()

	r, err := NewREST(Config{URL: "http://" + l.Addr().String(), Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Transfer(t.Context(), pay("first")); err != nil {
		t.Fatal(err)
	}
	_, err = r.Transfer(t.Context(), pay("second"))
	if e, unknown := errors.AsType[*UnknownError](err); !unknown || e.Key != "second" {
		t.Errorf("got %v; it may have happened", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// serveOneAndDie answers the first request and takes the second with it.
func serveOneAndDie(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n := range 2 {
		req, err := http.ReadRequest(in)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return err
		}
		if n == 1 {
			return l.Close()
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 22\r\n\r\n{\"status\":\"confirmed\"}"); err != nil {
			return err
		}
	}
	return nil
}
