package journal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"walletd/journal"
)

// TestDumpText pins the canonical text: digests of before and after an upgrade are compared.
func TestDumpText(t *testing.T) {
	b := journal.NewBook(1, 4)
	b.Seq, b.TimeMS, b.EvictedMS = 7, 1000, 900
	b.State.SetAccount(journal.Handle{2}, journal.Account{Available: -5, Version: 3})
	b.State.SetAccount(journal.Handle{1}, journal.Account{Available: 5, Reserved: 1, Asset: 2})
	b.State.SetDetails(journal.Handle{1}, []byte("\x00{\"id\":\"a\"}"))
	b.State.SetKey(journal.ID{9}, journal.KeyRecord{Status: journal.Confirmed, Op: journal.OpPay, Seq: 7, Content: []byte{0xab}})
	b.State.SetReservation(journal.ID{8}, journal.Reservation{Status: journal.Tried, Amount: 1, Remaining: 1})
	b.State.SetDelivered(3, 12)
	b.State.SetDelivered(2, 300)
	var text strings.Builder
	if err := b.Dump(&text); err != nil {
		t.Fatal(err)
	}
	want := `partition 1 of 4 seq 7 time_ms 1000 evicted_ms 900
account 010000000000000000000000 00000000000000050000000000000100000000000000000000000000000200000000000000
account 020000000000000000000000 fffffffffffffffb0000000000000000000000000003000000000000000000000000000000
details 010000000000000000000000 "\x00{\"id\":\"a\"}"
key 09000000000000000000000000000000 `
	if got := text.String(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\ndelivered 2 300\ndelivered 3 12\n") {
		t.Errorf("got\n%s", got)
	}
}

// A digest of many records takes long: who waits for something else does not wait for the rest of it.
func TestDigestEndsWithItsContext(t *testing.T) {
	b := journal.NewBook(0, 1)
	for i := range 1000 {
		b.State.SetAccount(journal.Handle(fmt.Appendf(nil, "%012d", i)), journal.Account{})
	}
	if h, err := b.DigestWithin(t.Context()); err != nil || h != b.Digest() {
		t.Errorf("%x, %v", h, err)
	}
	soon := &lines{Context: t.Context(), left: 10}
	if _, err := b.DigestWithin(soon); !errors.Is(err, errEnded) || soon.left != -1 {
		t.Errorf("%v, with %d lines left", err, soon.left)
	}
}

var errEnded = errors.New("ended")

// lines is a context that ends after so many looks at it.
type lines struct {
	context.Context
	left int
}

func (l *lines) Err() error {
	if l.left--; l.left < 0 {
		return errEnded
	}
	return nil
}
