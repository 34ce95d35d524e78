package protocol

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/filelog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }

func config(t *testing.T) Config {
	t.Helper()
	log, err := filelog.Open(filelog.Config{Dir: t.TempDir(), Partitions: shards})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return Config{
		Redis: [shards]string{local.Redis(t).Addr, local.Redis(t).Addr}, Log: log, Accounts: 20, Window: 32,
		Duration: 100 * time.Millisecond, Rounds: 1, Seed: 1, Progress: func(string, float64) {},
	}
}

func find(t *testing.T, r *Report, workload, name string) *Result {
	t.Helper()
	for i := range r.Results {
		if r.Results[i].Workload == workload && r.Results[i].Protocol == name {
			return &r.Results[i]
		}
	}
	t.Fatalf("no result of %s, %s", name, workload)
	return nil
}

// What each protocol is: what it journals, how long it locks, and that the money is in the accounts that the answers say.
func TestProtocolsMoveMoney(t *testing.T) {
	c := config(t)
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, workload := range Workloads {
		for name, want := range map[string]struct{ events, locks float64 }{"2pc": {5, 1}, "saga": {3, 0}, "tcc": {4, 0}, "channels": {2, 0}} {
			o := find(t, &r, workload, name)
			// Of a delivery's events, one is its own.
			if got := o.JournalBytes.Median / eventSize; got < want.events || got > want.events+1 || name != "channels" && got != want.events {
				t.Errorf("%s, %s: %.2f events a transfer, want %v", name, workload, got, want.events)
			}
			if (o.LockP50MS.Median > 0) != (want.locks > 0) || o.TransfersPerS.Median <= 0 || o.RedisUS.Median <= 0 || o.FlightP50MS.Median <= 0 {
				t.Errorf("%s, %s: %+v", name, workload, *o)
			}
		}
	}
	for _, word := range append(Protocols, "hot", "journal B") {
		if !strings.Contains(r.Table(), word) {
			t.Errorf("%q is not in the table:\n%s", word, r.Table())
		}
	}
}

// Little money, payees that nobody knows, and every row again and again: refusals move nothing, and nothing moves twice.
func TestProtocolsRefuseAndRepeat(t *testing.T) {
	c := config(t)
	c.strange, c.repeat, c.prefund = 7, true, 3
	for _, name := range Protocols {
		for _, workload := range Workloads {
			if _, err := c.once(t.Context(), name, workload, 1); err != nil {
				t.Errorf("%s, %s: %v", name, workload, err)
			}
		}
	}
}

// An audit that could not fail would prove nothing.
func TestAuditSeesWhatIsWrong(t *testing.T) {
	c := config(t)
	c.prefund = 10
	var all [shards]*shard
	for i := range all {
		s, err := openShard(t.Context(), c.Redis[i])
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if err := c.fill(t.Context(), s, i); err != nil {
			t.Fatal(err)
		}
		all[i] = s
	}
	m := &machine{shards: all, load: &load{moved: make([]int64, shards*c.Accounts)}}
	if err := c.audit(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	payer := accountOf(0, 3, c.Accounts)
	for _, row := range []struct {
		name string
		op   op
	}{{"paid and not answered", opPay}, {"reserved for ever", opTryPayer}, {"locked for ever", opPreparePayer}} {
		if _, err := all[0].run(t.Context(), appendRow(nil, row.op, [16]byte{byte(row.op)}, payer.name, 1)); err != nil {
			t.Fatal(err)
		}
		if err := c.audit(t.Context(), m); err == nil {
			t.Errorf("%s: nothing is wrong", row.name)
		}
		if err := c.fill(t.Context(), all[0], 0); err != nil {
			t.Fatal(err)
		}
	}
	var none journal.Log
	if err := (Config{Log: none}).Validate(); err == nil || !strings.Contains(err.Error(), "window") {
		t.Errorf("an empty configuration: %v", err)
	}
}
