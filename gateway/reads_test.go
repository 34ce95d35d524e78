package gateway

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"walletd/gateway/wire"
)

// TestALongAnswerWaitsForNobodyForEver: who asks for much and reads nothing is cut; who reads gets all, however long it is.
func TestALongAnswerWaitsForNobodyForEver(t *testing.T) {
	const parts, size = 1000, 64 << 10
	ended := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK, patience: 100 * time.Millisecond}
		var err error
		for i := 0; i < parts && err == nil; i++ {
			_, err = rec.Write(make([]byte, size))
		}
		ended <- err
	}))
	defer s.Close()
	reply, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	n, err := bufio.NewReader(reply.Body).Discard(parts * size)
	reply.Body.Close()
	if err != nil || n != parts*size || <-ended != nil {
		t.Fatalf("%d bytes came: %v", n, err)
	}
	silent, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("everything was written to who read nothing")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it is still being written")
	}
}

// noEntries is a projection in which every account's statement is empty.
type noEntries struct{ Projection }

func (noEntries) Entries(context.Context, string, EntriesQuery) (s Statement, found bool, err error) {
	s.StatementReply = wire.StatementReply{Account: "alice", Asset: "USD"}
	return s, true, nil
}
func (noEntries) Lag(int) uint64                             { return 0 }
func (noEntries) WaitPast(context.Context, int, int64) error { return nil }

// TestAPeriodThatIsNotOverHasNoEndYet: its closing balance is not said to be one of the future.
func TestAPeriodThatIsNotOverHasNoEndYet(t *testing.T) {
	h := NewReads(noEntries{}, 1)
	for to, dated := range map[string]bool{"2001-01-01": true, "2999-01-01": false} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/accounts/alice/entries?from=2000-01-01&to="+to, nil))
		_, closing, ok := strings.Cut(w.Body.String(), `"closing":`)
		if closing, _, _ = strings.Cut(closing, "}"); !ok || strings.Contains(closing, `"at":`) != dated {
			t.Errorf("to %s: %d %s", to, w.Code, w.Body)
		}
	}
}
