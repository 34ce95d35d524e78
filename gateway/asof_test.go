package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// TestNoClientTakesTheProofApart: what settles a past balance reaches a projector in another process whole, whatever the client says of its
// connection.
func TestNoClientTakesTheProofApart(t *testing.T) {
	var got http.Header
	projector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer projector.Close()
	target, err := url.Parse(projector.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, func(c *Config) {
		c.Reads = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	})
	d.fund("alice")
	r, err := http.NewRequest(http.MethodGet, d.url+"/v1/accounts/alice/balance?at=1970-01-01T00:00:00Z", nil) // the book's clock is young
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Connection", "keep-alive, Wallet-Min-Position")
	r.Header.Set(settledHeader, "9")
	d.want(d.do(r), http.StatusOK, "")
	if settled, from := got.Get(settledHeader), got.Values("Wallet-Min-Position"); settled != "1" || len(from) != 1 {
		t.Errorf("settled until %q, by the positions %q", settled, from)
	}
}
