package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"walletd/gateway/client"
	"walletd/journal"
)

// wallet is what the load and the oracle see of a running wallet, however many processes it has.
type wallet struct {
	t          testing.TB
	partitions int
	gateways   []string // host:port; clients use whichever answers
	admin      string   // host:port of an operators' listener of a process with a projector

	// openLog opens the journal for reading, beside the processes that write it.
	openLog func() (journal.Log, func() error, error)
	// audited are the arguments that name the running wallet to `walletd reconcile`, verify the ones that name its journal
	// to `walletd journal verify`.
	audited, verify []string
	// inProcess, where it is set, does what the commands would do with them.
	inProcess func() error
	// placed tells who serves what; keyRecords how many keys the shards hold. Where they are not set, the operators' listener is
	// asked.
	placed     func() (*placement, error)
	keyRecords func() (float64, error)
	// durable, where it is set, tells the last seq of a partition that the journal has: no answer may name a later one.
	durable func(partition int) (uint64, error)
}

// ahead says what is wrong with an answer that names a position: the journal has to have it already.
func (w *wallet) ahead(at journal.Position) error {
	if w.durable == nil || at.Seq == 0 {
		return nil
	}
	seq, err := w.durable(at.Partition)
	if err == nil && at.Seq > seq {
		err = fmt.Errorf("the answer is of %v, the journal of that partition ends at %d", at, seq)
	}
	return err
}

// config is a client's, over all gateways.
func (w *wallet) config() client.Config {
	return client.Config{URL: "http://" + w.gateways[0], DialContext: dialAny(w.gateways), Timeout: answerLimit, BackoffMax: 250 * time.Millisecond}
}

// dialed counts all connections: clients that dial once do not all come to the same gateway.
var dialed atomic.Uint64

// dialAny dials one of the addresses after the other, as a load balancer does: a dead gateway is passed over.
func dialAny(addrs []string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		first := dialed.Add(1)
		var errs []error
		for i := range addrs {
			conn, err := new(net.Dialer).DialContext(ctx, network, addrs[(first+uint64(i))%uint64(len(addrs))])
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

// dial opens a session that ends with the test.
func (w *wallet) dial() *client.Client {
	w.t.Helper()
	var c *client.Client
	await(w.t, upLimit, "a session", func() (err error) {
		c, err = client.Dial(within(w.t, answerLimit), w.config())
		return err
	})
	w.t.Cleanup(func() { c.Close() })
	return c
}

func (w *wallet) rest() *client.REST {
	w.t.Helper()
	r, err := client.NewREST(w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	return r
}

// partitionOf is the account's partition.
func (w *wallet) partitionOf(account string) int {
	return journal.HandleOf(account).Partition(w.partitions)
}

// inPartition is the first of prefix0, prefix1, … that lives in the partition; names that were given already are passed over.
func (w *wallet) inPartition(prefix string, partition int, taken map[string]bool) string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s%d", prefix, i)
		if w.partitionOf(name) == partition && !taken[name] {
			taken[name] = true
			return name
		}
	}
}

// pair are two fresh accounts' names, in one partition or in two.
func (w *wallet) pair(prefix string, samePartition bool) (from, to string) {
	from = prefix + "-from"
	for i := 0; ; i++ {
		to = fmt.Sprintf("%s-to%d", prefix, i)
		if (w.partitionOf(from) == w.partitionOf(to)) == samePartition {
			return from, to
		}
	}
}

// open opens an account.
func (w *wallet) open(a client.AccountCreate) {
	w.t.Helper()
	if _, err := w.rest().CreateAccount(within(w.t, answerLimit), a); err != nil {
		w.t.Fatalf("open account %s: %v", a.ID, err)
	}
}

// mint is the issuance account of an asset that the harness uses.
func mint(asset string) string { return "mint." + asset }

// fund opens accounts and gives each an amount.
func (w *wallet) fund(asset string, amount journal.Amount, accounts ...string) {
	w.t.Helper()
	w.open(client.AccountCreate{ID: mint(asset), Asset: asset, Issuance: true})
	for _, a := range accounts {
		w.open(client.AccountCreate{ID: a, Asset: asset})
		if amount > 0 {
			w.transfer(client.Transfer{Key: "fund " + a, From: mint(asset), To: a, Amount: amount, Asset: asset})
			w.arrived(a, 2)
		}
	}
}

// transfer moves an amount, or fails the test.
func (w *wallet) transfer(x client.Transfer) client.TransferInfo {
	w.t.Helper()
	info, err := w.rest().Transfer(within(w.t, answerLimit), x)
	if err != nil {
		w.t.Fatalf("transfer %+v: %v", x, err)
	}
	return info
}

func (w *wallet) balance(account string) client.Balance {
	w.t.Helper()
	b, err := w.rest().Balance(within(w.t, answerLimit), account)
	if err != nil {
		w.t.Fatalf("balance of %s: %v", account, err)
	}
	return b
}

// arrived waits until the account has that version: credits from elsewhere come by channel.
func (w *wallet) arrived(account string, version uint64) client.Balance {
	w.t.Helper()
	var b client.Balance
	await(w.t, drainLimit, fmt.Sprintf("%s has version %d", account, version), func() error {
		b = w.balance(account)
		switch {
		case b.Version > version:
			return errFinal{fmt.Errorf("it has %d", b.Version)}
		case b.Version < version:
			return fmt.Errorf("it has %d", b.Version)
		}
		return nil
	})
	return b
}

// answer is what a door said, unread.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, bytes.TrimSpace(a.body)) }

// problem reads a problem document.
func (a answer) problem() (p struct{ Code, Field, Side string }) {
	_ = json.Unmarshal(a.body, &p) // an unreadable one has no code, which its reader sees
	return p
}

// call sends one raw request to a gateway and does not repeat it.
func (w *wallet) call(method, path string, header map[string]string, body []byte) (answer, error) {
	return callAt(w.gateways[0], method, path, header, body)
}

func callAt(addr, method, path string, header map[string]string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

// answers asks a listener's probe.
func answers(addr, path string) error {
	a, err := callAt(addr, http.MethodGet, path, nil, nil)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%s: %v", path, a)
	}
	return err
}

// replay reads the whole journal and folds it.
func (w *wallet) replay() *audit {
	w.t.Helper()
	var a *audit
	await(w.t, recoverLimit, "read the journal", func() error {
		log, closeLog, err := w.openLog()
		if err != nil {
			return err
		}
		a, err = replay(within(w.t, recoverLimit), log)
		if err = errors.Join(err, closeLog()); w.inProcess != nil && errors.Is(err, journal.ErrDamaged) {
			return errFinal{err} // nobody else writes to it
		}
		return err
	})
	return a
}

// reconciled fails the test unless the wallet finds itself in order: replay = live shards = projection, chain intact, and every decision
// is taken again when it is run again.
func (w *wallet) reconciled() {
	w.t.Helper()
	if w.inProcess != nil {
		if err := w.inProcess(); err != nil {
			w.t.Errorf("reconcile: %v", err)
		}
		return
	}
	r := run(w.t, nil, append([]string{"reconcile", "-o", "json"}, w.audited...)...)
	if r.code != 0 {
		w.t.Errorf("walletd reconcile: %v", r)
	}
	r = run(w.t, nil, append([]string{"journal", "verify"}, w.verify...)...)
	if r.code != 0 || strings.TrimSpace(r.stdout+r.stderr) == "" {
		w.t.Errorf("walletd journal verify: %v", r)
	}
	r = run(w.t, nil, append([]string{"verify-logic", "--shards", "1"}, w.verify...)...)
	if r.code != 0 || !strings.HasSuffix(r.stdout, "ok\n") {
		w.t.Errorf("walletd verify-logic: %v", r)
	}
	if w.admin != "" { // what has been compared all the time gave no false alarm, whatever was done to the wallet meanwhile
		if r := w.sweepOf().Sweep; len(r.Differences) > 0 {
			w.t.Errorf("a false alarm: %+v", r.Differences)
		}
	}
}
