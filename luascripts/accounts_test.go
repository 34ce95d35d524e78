package luascripts

import (
	"strconv"
	"strings"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
)

// TestAccountsOfAMoment: accounts come with epoch and seq of their partition, and not at all from a shard that does not serve it.
func TestAccountsOfAMoment(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	ctx := t.Context()
	ghost := journal.HandleOf("nobody")
	st, err := s.Accounts(ctx, 0, []journal.Handle{ghost})
	must(t, err)
	if st.Serves {
		t.Errorf("an empty shard serves: %+v", st)
	}
	books := bigBooks(1, AccountsMax)
	must(t, s.Load(ctx, books[0]))
	var handles []journal.Handle
	want := books[0].State.(*journal.Memory).Accounts
	for h := range want {
		if len(handles) < AccountsMax-1 {
			handles = append(handles, h)
		}
	}
	handles = append(handles, ghost)
	st, err = s.Accounts(ctx, 0, handles)
	must(t, err)
	if !st.Serves || st.Part.Epoch != books[0].Epoch || st.Part.Seq != books[0].Seq {
		t.Fatalf("part %+v", st.Part)
	}
	for i, h := range handles {
		if a, ok := want[h]; ok != st.Found[i] || a != st.Accounts[i] {
			t.Errorf("account %x is %+v %t, want %+v %t", h, st.Accounts[i], st.Found[i], a, ok)
		}
	}
	if _, err = s.Accounts(ctx, 1, handles); err != nil {
		t.Error(err)
	}
	must(t, s.client.HSet(ctx, accountsKey, string(handles[0][:]), "x").Err())
	if _, err = s.Accounts(ctx, 0, handles); err == nil {
		t.Error("a record of one byte is an account")
	}
	must(t, s.Close())
	if _, err = s.Accounts(ctx, 0, handles); err == nil {
		t.Error("a closed client answers")
	}
}

// BenchmarkAccounts is a page of a sweep.
func BenchmarkAccounts(b *testing.B) {
	s := openShard(b, local.Redis(b).Addr)
	books := bigBooks(1, 20_000)
	must(b, s.Load(b.Context(), books[0]))
	var handles []journal.Handle
	for h := range books[0].State.(*journal.Memory).Accounts {
		if len(handles) < AccountsMax {
			handles = append(handles, h)
		}
	}
	cpu := func() (sum float64) { // µs
		for _, line := range strings.Split(s.client.Info(b.Context(), "cpu").Val(), "\r\n") {
			for _, name := range []string{"used_cpu_user:", "used_cpu_sys:"} {
				if text, ok := strings.CutPrefix(line, name); ok {
					seconds, err := strconv.ParseFloat(text, 64)
					must(b, err)
					sum += 1e6 * seconds
				}
			}
		}
		return sum
	}
	busy := cpu()
	for b.Loop() {
		if _, err := s.Accounts(b.Context(), 0, handles); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpu()-busy)/float64(b.N), "redis-cpu-µs/op")
}
