package luascripts

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"walletd/journal"
)

// What an account's field holds is the account again, short where it is plain, and nothing else is an account.
func TestAccountInTheShard(t *testing.T) {
	plain := journal.Account{Available: 1, Version: 2, StatusSeq: 3, Asset: 4}
	full := journal.Account{Available: -journal.AmountMax, Reserved: journal.AmountMax, Flags: journal.Closed, Version: 1<<48 - 1,
		StatusSeq: 1<<48 - 1, Asset: 1<<16 - 1, OverdraftLimit: journal.AmountMax}
	for _, c := range []struct {
		change func(a *journal.Account)
		size   int
	}{
		{func(*journal.Account) {}, plainSize},
		{func(a *journal.Account) { a.Available = 0 }, plainSize},
		{func(a *journal.Account) { a.Available = journal.AmountMax }, plainSize},
		{func(a *journal.Account) { a.Version, a.StatusSeq, a.Asset = full.Version, full.StatusSeq, full.Asset }, plainSize},
		{func(a *journal.Account) { a.Available = -1 }, journal.AccountSize},
		{func(a *journal.Account) { a.Reserved = 1 }, journal.AccountSize},
		{func(a *journal.Account) { a.Flags = journal.Issuance }, journal.AccountSize},
		{func(a *journal.Account) { a.OverdraftLimit = 1 }, journal.AccountSize},
		{func(a *journal.Account) { *a = full }, journal.AccountSize},
	} {
		a := plain
		c.change(&a)
		b := AppendAccount(nil, a)
		if got, err := ParseAccount(b); err != nil || got != a || len(b) != c.size {
			t.Errorf("%+v\nis %+v, %v, in %d bytes", a, got, err, len(b))
		}
	}
	for _, n := range []int{0, plainSize - 1, plainSize + 1, journal.AccountSize - 1, journal.AccountSize + 1} {
		if _, err := ParseAccount(make([]byte, n)); !errors.Is(err, journal.ErrBadRecord) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// A key's field holds its record, short where there is no detail, and old ones are read as they were written.
func TestKeyInTheShard(t *testing.T) {
	for op, size := range contentSizes {
		k := journal.KeyRecord{Status: journal.Confirmed, Op: op, TimeMS: 1<<48 - 1, Epoch: 1<<32 - 1, Seq: 1<<53 - 1, Content: bytes.Repeat([]byte{7}, size)}
		for _, c := range []struct {
			detail uint64
			size   int
		}{{0, shortKeySize}, {1, journal.KeyHeadSize}, {1<<53 - 1, journal.KeyHeadSize}} {
			k.Detail = c.detail
			b := AppendKey(nil, k)
			if got, err := ParseKey(b); err != nil || !reflect.DeepEqual(got, k) || len(b) != c.size+size {
				t.Errorf("%+v\nis %+v, %v, in %d bytes", k, got, err, len(b))
			}
			if got, err := ParseKey(k.Append(nil)); err != nil || !reflect.DeepEqual(got, k) {
				t.Errorf("%+v, as it was written before,\nis %+v, %v", k, got, err)
			}
		}
	}
	if len(journal.Content((&journal.Row{Op: journal.OpConfirm}).Append(nil))) != contentSizes[journal.OpConfirm] {
		t.Error("a confirm's content has another length")
	}
	if _, err := ParseKey(make([]byte, shortKeySize-1)); !errors.Is(err, journal.ErrBadRecord) {
		t.Errorf("cut short: %v", err)
	}
}
