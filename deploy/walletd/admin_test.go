package walletd

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOperatorsAreNoPages: without a token a developer's browser may be sent to the operators' listener by any page that he looks at.
func TestOperatorsAreNoPages(t *testing.T) {
	for _, c := range []struct {
		name, at, host, origin, token string
		want                          int
	}{
		{"the command line", "127.0.0.1", "127.0.0.1:8081", "", "", http.StatusNotFound},
		{"by localhost", "127.0.0.1", "localhost:8081", "", "", http.StatusNotFound},
		{"a page of another origin", "127.0.0.1", "127.0.0.1:8081", "https://evil.example", "", http.StatusForbidden},
		{"a sandboxed page", "127.0.0.1", "127.0.0.1:8081", "null", "", http.StatusForbidden},
		{"a page of its own", "127.0.0.1", "127.0.0.1:8081", "http://127.0.0.1:8081", "", http.StatusNotFound},
		{"a name that was bound to loopback", "127.0.0.1", "evil.example:8081", "", "", http.StatusForbidden},
		{"and its page", "127.0.0.1", "evil.example:8081", "http://evil.example:8081", "", http.StatusForbidden},
		{"a host's own name", "10.0.0.7", "keeper-0:8081", "", "", http.StatusNotFound},
		{"with a token", "127.0.0.1", "wallet.example:8081", "", "secret", http.StatusNotFound},
	} {
		n := &node{cfg: nodeConfig{token: c.token, keeps: []string{"s1"}}}
		r := httptest.NewRequest(http.MethodPost, "/admin/v1/drills/shard-loss", strings.NewReader(`{"shard":"none"}`))
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(c.at), Port: 8081}))
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		n.adminOnly(n.adminShardLoss)(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, w.Code, c.want, w.Body)
		}
	}
}
