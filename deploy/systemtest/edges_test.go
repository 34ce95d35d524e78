package systemtest

import (
	"fmt"
	"strings"
	"testing"

	"walletd/gateway/client"
	"walletd/journal"
)

// 2^53−1 and its neighbours, digit for digit, over both doors, within one partition and across two, and after a rebuild.
// A double in between, a %.14g, a float in JSON: each would show in the digits.
func TestLargestAmountsDigitForDigit(t *testing.T) {
	d := startDev(t, 8)
	for _, same := range []bool{true, false} {
		e := &edge{dev: d, t: t, name: map[bool]string{true: "same", false: "cross"}[same]}
		e.rich, e.poor = d.pair("rich"+e.name, same)
		e.run()
	}
	d.check(new(ledger))
	d.kill()
	d.start()
	for _, name := range []string{"same", "cross"} {
		rich, poor := d.pair("rich"+name, name == "same")
		e := &edge{dev: d, t: t, name: name, rich: rich, poor: poor}
		e.shows(rich, "9007199254740989", "0")
		e.shows(poor, "2", "0")
	}
}

// edge is one run at the limit of what amounts and balances can be.
type edge struct {
	*dev
	t          *testing.T
	name       string
	rich, poor string
	keys       int
}

func (e *edge) run() {
	e.t.Helper()
	source, spring := "source-"+e.name, "spring-"+e.name
	for _, id := range []string{source, spring} {
		e.open(client.AccountCreate{ID: id, Asset: "BTC", Issuance: true})
	}
	e.open(client.AccountCreate{ID: e.rich, Asset: "BTC"})
	e.open(client.AccountCreate{ID: e.poor, Asset: "BTC"})

	e.pays(source, e.rich, "9007199254740992", 400, `"code":"amount_out_of_range"`)
	e.pays(source, e.rich, "9007199254740991", 201, `"amount":9007199254740991,`)
	e.arrived(e.rich, 2)
	e.shows(e.rich, "9007199254740991", "0")
	e.shows(source, "-9007199254740991", "0")
	e.pays(source, e.rich, "1", 422, `"limit":9007199254740991`)
	e.pays(spring, e.rich, "1", 422, `"code":"balance_overflow"`)

	e.pays(e.rich, e.poor, "9007199254740990", 201, `"amount":9007199254740990,`)
	e.arrived(e.poor, 2)
	e.shows(e.rich, "1", "0")
	e.shows(e.poor, "9007199254740990", "0")
	e.pays(e.rich, e.poor, "9007199254740991", 422, `"needed":9007199254740990`)

	id := e.reserves(e.poor, e.rich, "9007199254740990")
	e.shows(e.poor, "0", "9007199254740990")
	e.pays(spring, e.poor, "2", 422, `"code":"balance_overflow"`) // what is reserved may come back
	e.pays(spring, e.poor, "1", 201, `"status":"confirmed"`)
	e.arrived(e.poor, 4)
	e.shows(e.poor, "1", "9007199254740990")
	e.confirms(id, "9007199254740991", 422, `"remaining":9007199254740990`)
	e.confirms(id, "9007199254740988", 200, `"captured":9007199254740988`)
	e.arrived(e.poor, 5)
	e.arrived(e.rich, 4)
	e.shows(e.rich, "9007199254740989", "0")
	e.shows(e.poor, "3", "0")
	e.pays(e.poor, spring, "1", 201, `"status":"confirmed"`)
	e.shows(e.poor, "2", "0")

	e.says(e.statement(e.rich), 200,
		`"available_change":9007199254740991,`, `"available_after":9007199254740991,`, `"available_change":-9007199254740990,`, `"available_change":9007199254740988,`, `"available_after":9007199254740989,`)
	e.says(e.statement(e.poor), 200, `"reserved_change":9007199254740990,`, `"reserved_change":-9007199254740990,`, `"reserved_after":9007199254740990,`)
}

func (e *edge) key() string {
	e.keys++
	return fmt.Sprintf("edge-%d", e.keys)
}

func (e *edge) ask(method, path, body string) answer {
	e.t.Helper()
	a, err := e.call(method, path, map[string]string{"Idempotency-Key": e.key()}, []byte(body))
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// statement reads the account's entries, up to its balance now: the projection may be behind.
func (e *edge) statement(account string) answer {
	e.t.Helper()
	a, err := e.call("GET", "/v1/accounts/"+account+"/entries", map[string]string{"Wallet-Min-Position": e.balance(account).Position.String()}, nil)
	if err != nil {
		e.t.Fatalf("entries of %s: %v", account, err)
	}
	return a
}

// says compares digits as text: nothing here turns them into numbers.
func (e *edge) says(a answer, status int, parts ...string) {
	e.t.Helper()
	if a.status != status {
		e.t.Errorf("%s: answered %v, want %d", e.name, a, status)
	}
	for _, part := range parts {
		if !strings.Contains(string(a.body), part) {
			e.t.Errorf("%s: answered %v, want %s in it", e.name, a, part)
		}
	}
}

func (e *edge) pays(from, to, amount string, status int, parts ...string) {
	e.t.Helper()
	e.says(e.ask("POST", "/v1/transfers", fmt.Sprintf(`{"from":%q,"to":%q,"amount":%s,"asset":"BTC"}`, from, to, amount)), status, parts...)
}

func (e *edge) reserves(from, to, amount string) string {
	e.t.Helper()
	body := fmt.Sprintf(`{"from":%q,"to":%q,"amount":%s,"asset":"BTC"}`, from, to, amount)
	e.says(e.ask("POST", "/v1/reservations", body), 201, `"amount":`+amount+",", `"remaining":`+amount+",")
	return journal.IDOf(journal.HandleOf(from), fmt.Sprintf("edge-%d", e.keys)).Text(journal.ReservationPrefix)
}

func (e *edge) confirms(id, amount string, status int, parts ...string) {
	e.t.Helper()
	e.says(e.ask("POST", "/v1/reservations/"+id+"/confirm", `{"amount":`+amount+`}`), status, parts...)
}

// shows asks both doors for a balance.
func (e *edge) shows(account, available, reserved string) {
	e.t.Helper()
	parts := []string{`"available":` + available + ",", `"reserved":` + reserved + ","}
	e.says(e.ask("GET", "/v1/accounts/"+account+"/balance", ""), 200, parts...)
	l := e.line(e.t)
	l.send(fmt.Sprintf(`{"id":5,"balance":{"account":%q}}`, account))
	e.says(answer{status: 200, body: l.next().OK}, 200, parts...)
	l.ws.Close()
}
