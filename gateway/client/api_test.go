package client

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestBatchAsksAgainForWhatIsOpenOnly(t *testing.T) {
	f := newFake(t)
	var sizes []int
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		items := commands[0].Batch.Transfers
		sizes = append(sizes, len(items))
		var out []string
		for _, item := range items {
			switch {
			case item.Key == "poor":
				out = append(out, `{"error":{"code":"insufficient_funds","retryable":false,"needed":5}}`)
			case item.Key == "later" && len(sizes) == 1:
				out = append(out, `{"error":{"code":"overloaded","retryable":true}}`)
			case item.Key == "unclear" && len(sizes) <= 2:
				f.execute(item.Key, item.From)
				out = append(out, `{"error":{"code":"outcome_unknown","retryable":false}}`)
			case item.Key == "never settled":
				out = append(out, `{"error":{"code":"outcome_unknown","retryable":false}}`)
			default:
				out = append(out, "{"+f.execute(item.Key, item.From)+"}")
			}
		}
		c.reply(commands[0].ID, `"ok":{"data":[`+strings.Join(out, ",")+`]}`)
	}
	c := f.dial(nil)
	got, err := c.Batch(t.Context(), []Transfer{pay("one"), pay("poor"), pay("later"), pay("unclear"), pay("")})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "insufficient_funds", "", "", ""} {
		if Code(got[i].Err) != want || got[i].Result.Key == "" {
			t.Errorf("%d: %+v, want %q", i, got[i], want)
		}
		if want == "" && (f.movesOf(got[i].Result.Key) != 1 || got[i].Result.ID != TransferID("alice", got[i].Result.Key)) {
			t.Errorf("%d: moved %d times", i, f.movesOf(got[i].Result.Key))
		}
	}
	if fmt.Sprint(sizes) != "[5 2 1]" {
		t.Errorf("asked for %v, want what was open only", sizes)
	}
	got, err = c.Batch(deadline(t, 100*time.Millisecond), []Transfer{pay("two"), pay("never settled")})
	var unknown *UnknownError
	if err == nil || got[0].Err != nil || !errors.As(got[1].Err, &unknown) || unknown.Key != "never settled" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBatchWhoseConnectionIsCut(t *testing.T) {
	f := newFake(t)
	var asked atomic.Int64
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		if asked.Add(1) == 1 {
			for _, item := range commands[0].Batch.Transfers[:2] {
				f.execute(item.Key, item.From)
			}
			c.ws.NetConn().Close()
			return
		}
		c.answer(&commands[0])
	}
	c := f.dial(nil)
	got, err := c.Batch(t.Context(), []Transfer{pay("a"), pay("b"), pay("c")})
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{"a", "b", "c"} {
		if got[i].Err != nil || f.movesOf(key) != 1 {
			t.Errorf("%s: %v, moved %d times", key, got[i].Err, f.movesOf(key))
		}
	}
}

func TestBatchBounds(t *testing.T) {
	f := newFake(t)
	c := f.dial(nil)
	if _, err := c.Batch(t.Context(), make([]Transfer, 1001)); Code(err) != "malformed" {
		t.Errorf("1,001: %v", err)
	}
	if got, err := c.Batch(t.Context(), nil); got != nil || err != nil {
		t.Errorf("none: %v %v", got, err)
	}
}

// The commands as they go out, and the shapes as they come in.
func TestOtherCommands(t *testing.T) {
	f := newFake(t)
	var sent string
	reply := ""
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		sent = commands[0].raw[strings.Index(commands[0].raw, ",")+1 : len(commands[0].raw)-1]
		c.reply(commands[0].ID, reply)
	}
	c := f.dial(nil)
	const reservation = `"ok":{"object":"reservation","id":"rs_1","status":"tried","amount":500,"remaining":200,"position":"1.2.3","expires_at":"2026-01-02T03:04:05Z"}`
	for _, row := range []struct {
		name, want, reply string
		call              func() (any, error)
		check             func(any) bool
	}{
		{"balance", `"balance":{"account":"alice"}`, `"ok":{"object":"balance","account":"alice","asset":"USD","available":-5,"reserved":7,"version":9,"position":"3.1.42"}`,
			func() (any, error) { return c.Balance(t.Context(), "alice") },
			func(v any) bool {
				b := v.(Balance)
				return b.Available == -5 && b.Reserved == 7 && b.Version == 9 && b.Position.String() == "3.1.42"
			}},
		{"reserve", `"reserve":{"key":"k","from":"a","to":"b","amount":500,"asset":"USD","expires_in_s":60,"reference":"r"}`, reservation,
			func() (any, error) {
				return c.Reserve(t.Context(), Reserve{Key: "k", From: "a", To: "b", Amount: 500, Asset: "USD", ExpiresInS: 60, Reference: "r"})
			},
			func(v any) bool {
				r := v.(Reservation)
				return r.ID == "rs_1" && r.Remaining == 200 && r.ExpiresAt.Year() == 2026
			}},
		{"confirm", `"confirm":{"reservation":"rs_1","key":"k","final":false,"amount":300,"to":"b"}`, reservation,
			func() (any, error) {
				return c.Confirm(t.Context(), Confirm{Reservation: "rs_1", Key: "k", Amount: 300, To: "b", KeepOpen: true})
			}, nil},
		{"confirm all", `"confirm":{"reservation":"rs_1","key":"k","final":true}`, reservation,
			func() (any, error) { return c.Confirm(t.Context(), Confirm{Reservation: "rs_1", Key: "k"}) }, nil},
		{"cancel", `"cancel":{"reservation":"rs_1"}`, reservation, func() (any, error) { return c.Cancel(t.Context(), "rs_1") }, nil},
		{"cancel by key", `"cancel":{"from":"a","key":"k"}`, reservation, func() (any, error) { return c.CancelKey(t.Context(), "a", "k") }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			reply = row.reply
			v, err := row.call()
			if err != nil || sent != row.want {
				t.Errorf("%v, sent %s, want %s", err, sent, row.want)
			}
			if row.check != nil && !row.check(v) {
				t.Errorf("got %+v", v)
			}
		})
	}
	reply = `"ok":{"status":17}`
	var unknown *UnknownError
	if _, err := c.Reserve(t.Context(), Reserve{Key: "k"}); !errors.As(err, &unknown) || unknown.Key != "k" {
		t.Errorf("a reply that cannot be read: %v, want the outcome of k unknown", err)
	}
	if _, err := c.Transfer(t.Context(), pay("k")); Code(err) != "outcome_unknown" {
		t.Errorf("a reply that tells of no transfer: %v", err)
	}
}
