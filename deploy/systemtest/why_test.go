package systemtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"walletd/gateway/client"
	"walletd/journal"
	"walletd/luascripts"
	"walletd/projector/reconcile"
	"walletd/projector/sweep"
)

// spoil writes an account's record in its shard by hand, and answers what was there.
func (d *dev) spoil(account string, change func(*journal.Account)) (was journal.Account) {
	d.t.Helper()
	h := journal.HandleOf(account)
	for i := range d.ready.Redis {
		c := d.redisOf(i)
		packed, err := c.HGet(within(d.t, answerLimit), "accounts", string(h[:])).Bytes()
		if err != nil {
			continue
		}
		now, err := luascripts.ParseAccount(packed)
		must(d.t, err)
		was = now
		change(&now)
		must(d.t, c.HSet(within(d.t, answerLimit), "accounts", string(h[:]), luascripts.AppendAccount(nil, now)).Err())
		return was
	}
	d.t.Fatalf("no shard has %s", account)
	return was
}

// explanation is what `walletd why -o json` writes.
type explanation struct {
	OK bool
	reconcile.Explanation
}

func why(t testing.TB, code int, args ...string) (x explanation) {
	t.Helper()
	r := run(t, nil, append([]string{"why", "-o", "json"}, args...)...)
	if r.code != code {
		t.Fatalf("walletd why %v: %v", args, r)
	}
	must(t, json.Unmarshal([]byte(r.stdout), &x))
	return x
}

// TestWhy: a balance is explained by its events, running and stopped; one that was changed by hand, by the events that make the
// difference, or by none.
func TestWhy(t *testing.T) {
	d := startDev(t, 8)
	near, far := d.pair("why", false)
	d.fund("USD", 1_000, near, far)
	paid := d.transfer(client.Transfer{Key: "a", From: near, To: far, Amount: 70, Asset: "USD"})
	d.arrived(far, 3)
	d.transfer(client.Transfer{Key: "b", From: near, To: far, Amount: 5, Asset: "USD"})
	d.arrived(far, 4)
	d.atRest()
	server := []string{"--server", "http://" + d.gateways[0]}

	x := why(t, 0, append(server, near)...)
	if len(x.Steps) != 4 || x.Steps[2].Available != 930 || x.Steps[2].Counterparty != far || *x.Steps[2].PartnerAt != d.partitionOf(far) ||
		x.Steps[2].Phase != "confirmed" || x.Steps[2].PartnerEvent == "" || x.Steps[2].Position != paid.Position.String() || len(x.Stands) != 3 || len(x.Unchecked) > 0 {
		t.Errorf("%+v", x)
	}
	if got := why(t, 0, append(server, far, "--since", "3")...); len(got.Steps) != 2 || got.Steps[0].PartnerEvent != paid.Position.String() || got.Before.Version != 2 {
		t.Errorf("%+v", got)
	}
	was := d.spoil(near, func(a *journal.Account) { a.Available += 70 })
	x = why(t, 9, append(server, near)...)
	if len(x.Differences) != 1 || len(x.Differences[0].Events) != 1 || x.Differences[0].Events[0] != paid.Position.String() || x.Differences[0].Version != 3 ||
		x.Differences[0].Available != 70 || x.Steps[0].Explains != "missing" {
		t.Errorf("a credit by hand: %+v", x.Differences)
	}
	d.spoil(near, func(a *journal.Account) { a.Available = was.Available + 13 })
	r := run(t, nil, append([]string{"why", near}, server...)...)
	if r.code != 9 || !strings.Contains(r.stdout, "DIFFERENCE shard") || !strings.Contains(r.stdout, "no act") {
		t.Errorf("%v", r)
	}
	d.spoil(near, func(a *journal.Account) { *a = was })
	for _, wrong := range []struct {
		code int
		say  string
		args []string
	}{
		{3, "neither the journal nor a shard", append(server, "nobody")}, {2, "neither a version", append(server, near, "--since", "yesterday")},
		{2, "1 to 1000", append(server, near, "--limit", "5000")}, {2, "arguments given", server}, {2, "either --data or -c", []string{near, "--data", d.data, "-c", "x"}},
	} {
		if r := run(t, nil, append([]string{"why"}, wrong.args...)...); r.code != wrong.code || !strings.Contains(r.stderr, wrong.say) {
			t.Errorf("why %v: %v", wrong.args, r)
		}
	}
	if code := d.proc.interrupt(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	x = why(t, 0, far, "--data", d.data)
	if len(x.Steps) != 4 || x.Steps[3].Available != 1_075 || len(x.Stands) != 2 || !x.OK {
		t.Errorf("stopped: %+v", x)
	}
	if r := run(t, nil, "why", far, "--data", d.data, "-o", "csv"); r.code != 0 || !strings.Contains(r.stdout, ",1075,") {
		t.Errorf("csv: %v", r)
	}
}

// sweepOf is what is compared all the time.
func (w *wallet) sweepOf() (r struct {
	Sweep sweep.Report
	Last  *struct{ OK bool }

	Conservation map[string]int64
	ChainsBroken []int `json:"chains_broken"`
}) {
	w.t.Helper()
	a, err := callAt(w.admin, "GET", "/admin/v1/reconciliations", nil, nil)
	if err != nil || a.status != 200 {
		w.t.Fatalf("reconciliations: %v %v", a, err)
	}
	must(w.t, json.Unmarshal(a.body, &r))
	return r
}

// TestTheRunningWalletFindsAForgedBalance: by itself, with its name, in the metric and in the log; and it forgets it when it is right again.
func TestTheRunningWalletFindsAForgedBalance(t *testing.T) {
	d := startDev(t, 8, "--reconcile-every", "1s")
	d.fund("USD", 1_000, "payer", "payee")
	d.atRest()
	await(t, drainLimit, "full sweeps", func() error {
		if r := d.sweepOf(); r.Sweep.Sweeps < 2 || r.Sweep.Book < 3 || len(r.Sweep.Differences) > 0 || r.Conservation["USD"] != 0 || len(r.ChainsBroken) > 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	was := d.spoil("payee", func(a *journal.Account) { a.Available += 5 })
	await(t, drainLimit, "the difference", func() error {
		r := d.sweepOf().Sweep
		if len(r.Differences) != 1 || r.Differences[0].Account != "payee" || r.Differences[0].Why.Available != 5 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	if a, err := callAt(d.admin, "GET", "/metrics", nil, nil); err != nil || !strings.Contains(string(a.body), `wallet_reconcile_differences{asset="USD"} 1`) {
		t.Error("the metric does not say it")
	}
	if said := d.proc.out.String(); !strings.Contains(said, "an account in a shard is not what the journal says") || !strings.Contains(said, "account=payee") {
		t.Errorf("the log does not say it: %s", said)
	}
	d.spoil("payee", func(a *journal.Account) { *a = was })
	await(t, drainLimit, "no difference", func() error {
		if r := d.sweepOf().Sweep; len(r.Differences) > 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	d.reconciled()
	if r := d.sweepOf(); r.Last == nil || !r.Last.OK {
		t.Errorf("the last report on demand: %+v", r.Last)
	}
}

// TestTheSweepGivesNoFalseAlarm: under load, while partitions move, a shard's Redis dies and comes back empty, and walletd itself is killed.
func TestTheSweepGivesNoFalseAlarm(t *testing.T) {
	d := startDev(t, 8, "--reconcile-every", "1s")
	l := startLoad(t, d.wallet)
	quiet := func() {
		t.Helper()
		before := d.sweepOf().Sweep
		await(t, recoverLimit, "a full sweep", func() error {
			if r := d.sweepOf().Sweep; r.Sweeps < before.Sweeps+1 {
				return fmt.Errorf("%d sweeps, last left out: %s", r.Sweeps, r.LastLeftOut)
			}
			return nil
		})
		if r := d.sweepOf().Sweep; len(r.Differences) > 0 || strings.Contains(d.proc.out.String(), "is not what the journal says") {
			t.Fatalf("a false alarm: %+v", r.Differences)
		}
	}
	l.advance(steady)
	quiet()
	d.mustRun("partition", "move", "0", "--to", "s2")
	d.mustRun("partition", "move", "0", "--to", "s1")
	quiet()
	d.signalRedis(0, syscall.SIGKILL)
	l.advance(steady)
	quiet()
	d.kill()
	d.start()
	l.advance(steady)
	quiet()
	d.check(l.stop())
	quiet()
}
