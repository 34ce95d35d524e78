package systemtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"walletd/journal"
	"walletd/luascripts"
)

// redisOf is a client of a shard, for what an operator may do to it.
func (d *dev) redisOf(i int) *redis.Client {
	d.t.Helper()
	c := redis.NewClient(&redis.Options{Addr: d.ready.Redis[i].Addr, MaxRetries: -1})
	d.t.Cleanup(func() { c.Close() })
	return c
}

func (d *dev) setRedis(c *redis.Client, name, value string) {
	d.t.Helper()
	if err := c.ConfigSet(within(d.t, answerLimit), name, value).Err(); err != nil {
		d.t.Fatalf("CONFIG SET %s %s: %v", name, value, err)
	}
}

// P16: somebody changes a Redis under the wallet, under load: too little memory, an evicting policy, an empty database, a
// restart of its scripts, all its connections cut. Put back, all of it heals by itself, and no money is lost.
func TestMisusedRedisHeals(t *testing.T) {
	d := startDev(t, 8)
	l := startLoad(t, d.wallet)
	for i := range rounds(t, 2) {
		c := d.redisOf(i % len(d.ready.Redis))
		for _, misuse := range []struct {
			what string
			do   func()
		}{
			{"FLUSHALL", func() { must(t, c.FlushAll(within(t, answerLimit)).Err()) }},
			{"SCRIPT FLUSH", func() { must(t, c.ScriptFlush(within(t, answerLimit)).Err()) }},
			{"CLIENT KILL", func() {
				must(t, c.ClientKillByFilter(within(t, answerLimit), "TYPE", "normal", "SKIPME", "yes").Err())
				must(t, c.ClientKillByFilter(within(t, answerLimit), "TYPE", "pubsub").Err())
			}},
			{"maxmemory", func() {
				d.setRedis(c, "maxmemory", "1")
				full, well := d.split(i % len(d.ready.Redis))
				l.payWithin(well, 10)
				if _, err := d.probe(full[0]); err == nil {
					t.Errorf("a transfer in partition %d was acknowledged while its shard is full", full[0])
				}
				d.setRedis(c, "maxmemory", "0")
			}},
			{"maxmemory-policy", func() {
				d.setRedis(c, "maxmemory-policy", "allkeys-lru")
				d.setRedis(c, "maxmemory-policy", "noeviction")
			}},
		} {
			l.advance(steady)
			t.Log(misuse.what)
			misuse.do()
		}
		l.advance(steady)
	}
	d.check(l.stop())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The audit can fail: money that appears in a shard, and in no journal, is found by `walletd reconcile`, with exit code 9
// and the account.
func TestReconcileFindsForgedMoney(t *testing.T) {
	d := startDev(t, 8)
	d.fund("USD", 1_000, "payer", "payee")
	d.atRest()
	d.reconciled()
	h := journal.HandleOf("payee")
	forged := false
	for i := range d.ready.Redis {
		c := d.redisOf(i)
		packed, err := c.HGet(within(t, answerLimit), "accounts", string(h[:])).Bytes()
		if err != nil {
			continue
		}
		account, err := luascripts.ParseAccount(packed)
		must(t, err)
		account.Available++
		must(t, c.HSet(within(t, answerLimit), "accounts", string(h[:]), luascripts.AppendAccount(nil, account)).Err())
		forged = true
	}
	if !forged {
		t.Fatal("no shard has the account")
	}
	r := run(t, nil, append([]string{"reconcile", "-o", "json"}, d.audited...)...)
	if r.code != 9 || !strings.Contains(r.stdout+r.stderr, "payee") && !strings.Contains(r.stdout+r.stderr, fmt.Sprintf("%x", h)) {
		t.Errorf("walletd reconcile with forged money: %v", r)
	}
	if !json.Valid([]byte(r.stdout)) {
		t.Errorf("walletd reconcile -o json wrote no JSON: %s", r.stdout)
	}
}

// The oracle can fail: each lie about what happened is noticed.
func TestOracleNoticesLies(t *testing.T) {
	d := startDev(t, 8)
	from, to := d.pair("lie", false)
	d.fund("USD", 1_000, from, to)
	paid := &request{act: actTransfer, key: "paid", from: from, to: to, amount: 10, asset: "USD", reference: "r"}
	info, err := d.rest().Transfer(within(t, answerLimit), asTransfer(paid))
	paid.told(info.Status, info.Position.Position, err)
	poor := &request{act: actTransfer, key: "poor", from: from, to: to, amount: 10_000, asset: "USD"}
	_, err = d.rest().Transfer(within(t, answerLimit), asTransfer(poor))
	poor.told("", journal.Position{}, err)
	held := &request{act: actReserve, key: "held", from: from, to: to, amount: 5, asset: "USD", expiresInS: 3600}
	v, err := askReservation(within(t, answerLimit), d.rest(), held)
	held.told(v.Status, v.Position.Position, err)
	a := d.atRest()

	lies := map[string]func(r *request){
		"":                               func(*request) {},
		"an amount":                      func(r *request) { r.amount++ },
		"a payee":                        func(r *request) { r.to = mint("USD") },
		"a reference":                    func(r *request) { r.reference = "other" },
		"a position":                     func(r *request) { r.position.Seq++ },
		"a transfer that never was":      func(r *request) { r.key = "never" },
		"a refusal of what happened":     func(r *request) { r.outcome = refused },
		"a cancel of what was confirmed": func(r *request) { r.act = actCancelKey },
	}
	for name, lie := range lies {
		told := *paid
		lie(&told)
		if found := noticed(a, &told, poor, held); found != (name != "") {
			t.Errorf("lie %q: noticed %t: %v", name, found, a.faults)
		}
	}
	happened := *poor
	happened.outcome = acknowledged
	if !noticed(a, &happened) {
		t.Error("an acknowledgement of what was refused was not noticed")
	}
	a.faults = nil
	if a.released(); len(a.faults) == 0 {
		t.Error("an open reservation was not noticed")
	}
	a.faults = nil
	book := a.books[d.partitionOf(to)]
	account, _ := a.account(to)
	account.Available++
	book.State.SetAccount(journal.HandleOf(to), account)
	if a.conserved(); len(a.faults) == 0 {
		t.Error("money from nowhere was not noticed")
	}
	a.faults = nil
	for c := range a.landed {
		a.landed[c][0].Amount++
		break
	}
	if a.compareChannels(); len(a.faults) == 0 {
		t.Error("a leg that was delivered with another amount was not noticed")
	}
	d.check(&ledger{requests: []*request{paid, poor, held}})
}

func noticed(a *audit, requests ...*request) bool {
	a.faults = nil
	a.holds(&ledger{requests: requests})
	return len(a.faults) > 0
}
