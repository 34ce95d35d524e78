package systemtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// P4, P16: with a key window of seconds, keys leave the shards as fast as they come, and none is ever executed again: repeats of
// every age get their first answers, also after a shard was lost and rebuilt.
func TestOldKeysAreNeverExecutedAgain(t *testing.T) {
	d := startDev(t, 4, "--key-window", "2s")
	l := startLoad(t, d.wallet)
	d.keysCome(l)
	d.signalRedis(0, syscall.SIGKILL)
	l.advance(steady)
	ledger := l.stop()
	d.keysGo()
	d.repeatAll(ledger, 1<<20)
	d.check(ledger)
	if n := d.metric("wallet_old_keys_total{outcome=\"found\"}"); n < 100 {
		t.Errorf("%v old keys were answered from the projection: the test shows less than it should", n)
	}
}

// The same where gateways, keepers and projector are processes of their own, over Kafka.
func TestOldKeysInACluster(t *testing.T) {
	c := startCluster(t, clusterOptions{keyWindow: "2s"})
	l := startLoad(t, c.wallet)
	l.advance(5 * steady)
	ledger := l.stop()
	for _, k := range c.keepers {
		c.at(k).keysGo()
	}
	c.repeatAll(ledger, 1<<20)
	c.check(ledger)
	found := 0.0
	for _, g := range c.gateways {
		found += c.at(g).metric("wallet_old_keys_total{outcome=\"found\"}")
	}
	if found < 100 {
		t.Errorf("%v old keys were answered from the projection: the test shows less than it should", found)
	}
}

// at is the wallet as a member's operators' listener shows it.
func (c *cluster) at(m *member) *wallet {
	w := *c.wallet
	w.admin = m.addr
	return &w
}

// keysCome lets the load go on until more keys have gone than a shard holds.
func (w *wallet) keysCome(l *load) {
	w.t.Helper()
	await(w.t, recoverLimit, "more keys have gone than are held", func() error {
		l.advance(1)
		held, gone := w.metric("wallet_key_records{"), w.metric("wallet_key_records_dropped_total{")
		if gone <= 2*held {
			return fmt.Errorf("%v are held, %v have gone", held, gone)
		}
		return nil
	})
}

// keysGo waits until no key is in a shard.
func (w *wallet) keysGo() {
	w.t.Helper()
	await(w.t, recoverLimit, "all keys have gone", func() error {
		if held := w.metric("wallet_key_records{"); held > 0 {
			return fmt.Errorf("%v are held", held)
		}
		return nil
	})
}

// metric is the sum of all series whose name and labels begin so.
func (w *wallet) metric(prefix string) float64 {
	w.t.Helper()
	sum, err := w.sum(prefix)
	if err != nil {
		w.t.Fatal(err)
	}
	return sum
}

// sum is metric, of a process that may be away.
func (w *wallet) sum(prefix string) (sum float64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	defer func() { _, _ = io.Copy(io.Discard, reply.Body) }()
	for lines := bufio.NewScanner(reply.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, prefix) {
			n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", line, err)
			}
			sum += n
		}
	}
	return sum, nil
}

// repeatAll asks again for every transfer that has an outcome, with the same content and with another; or for so many of them,
// from all times.
func (w *wallet) repeatAll(l *ledger, most int) {
	w.t.Helper()
	rest := w.rest()
	for _, o := range []outcome{acknowledged, refused} {
		each(spread(l.with(o), most), func(r *request) {
			if r.act != actTransfer || o == refused && r.code != "insufficient_funds" { // what is not stored may succeed now
				return
			}
			again := w.settle(rest, r)
			if again.outcome != r.outcome || again.code != r.code || again.status != r.status || again.position != r.position {
				l.fault("%v was %s %s at %v; asked again it is %s %s at %v", r, r.status, r.code, r.position, again.status, again.code, again.position)
			}
			if o != acknowledged {
				return
			}
			other := *r
			other.amount++
			if again := w.settle(rest, &other); again.code != "key_reused_with_different_amount" {
				l.fault("%v with another amount: %s %s at %v", r, again.status, again.code, again.position)
			}
		})
	}
}

// spread are so many of the items, at most, from the first to the last.
func spread[T any](items []T, most int) []T {
	step := max(1, (len(items)+most-1)/most)
	var some []T
	for i := 0; i < len(items); i += step {
		some = append(some, items[i])
	}
	return some
}
