package gateway

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// Whatever stands in a query, a statement's bounds are within bounds, or the field at fault is named.
func FuzzEntriesQuery(f *testing.F) {
	f.Add("50", "2026-11-20T00:00:00Z", "2026-11-21", "debit", "abc-1")
	f.Add("0", "1969-12-31", "1970-01-01T00:00:00Z", "credit", "")
	f.Add("50", "1969-12-31", "1970-01-01T00:00:00Z", "credit", "")
	f.Add("1001", "0001-01-01", "9999-12-31T23:59:59.999999999+14:00", "both", "%")
	f.Fuzz(func(t *testing.T, limit, from, to, direction, cursor string) {
		query := url.Values{"limit": {limit}, "from": {from}, "to": {to}, "direction": {direction}, "cursor": {cursor}}
		q, p := entriesQuery(httptest.NewRequest("GET", "/v1/accounts/a/entries?"+query.Encode(), nil))
		if p != nil {
			if p.Code != "malformed" || query.Get(p.Field) == "" {
				t.Fatalf("%v: %+v", query, p)
			}
			return
		}
		if q.Limit < 1 || q.Limit > 1000 || q.Cursor != cursor || q.Direction != direction {
			t.Fatalf("%v: %+v", query, q)
		}
		for _, bound := range []struct {
			text string
			ms   int64
		}{{from, q.FromMS}, {to, q.ToMS}} {
			if (bound.text == "") != (bound.ms == 0) || bound.ms < 0 {
				t.Fatalf("%q is %d ms, and 0 is none", bound.text, bound.ms)
			}
			if bound.ms > 1 && time.UnixMilli(bound.ms).UTC().Year() > 10000 {
				t.Fatalf("%q is %v", bound.text, time.UnixMilli(bound.ms))
			}
		}
	})
}

// Details of an account that a shard sends are read or refused.
func FuzzDetails(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x01" + `{"id":"a","asset":"USD","metadata":{"k":"v"}}`))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := parseDetails(b); err == nil && (len(b) < 7 || d.createdMS < 0) {
			t.Fatalf("%x is %+v", b, d)
		}
	})
}
