package systemtest

import (
	"fmt"
	"sync"
	"syscall"
	"testing"

	"walletd/gateway/client"
	"walletd/journal"
)

// listener subscribes to an account and keeps what it is told.
type listener struct {
	account string
	sub     *client.Subscription

	mu        sync.Mutex
	version   uint64
	had       map[uint64]client.Event // by version
	snapshots int
	wrong     error
}

// listen subscribes to all accounts of a load, over two connections, each of which reconnects by itself.
func listen(t *testing.T, w *wallet, accounts []string) []*listener {
	t.Helper()
	sessions := []*client.Client{w.dial(), w.dial()}
	var all []*listener
	var running sync.WaitGroup
	for i, account := range accounts {
		l := &listener{account: account, had: map[uint64]client.Event{}}
		await(t, upLimit, "a subscription", func() (err error) {
			l.sub, err = sessions[i%2].Subscribe(within(t, answerLimit), account, 0)
			return err
		})
		running.Go(l.run)
		all = append(all, l)
	}
	t.Cleanup(func() {
		for _, l := range all {
			l.sub.Close()
		}
		running.Wait()
	})
	return all
}

func (l *listener) run() {
	for p := range l.sub.Pushes() {
		l.mu.Lock()
		switch {
		case p.Snapshot != nil:
			l.snapshots++
		case p.Version != l.version+1 && l.wrong == nil:
			l.wrong = fmt.Errorf("%s: behind version %d comes %d", l.account, l.version, p.Version)
		default:
			l.had[p.Version] = *p.Event
		}
		l.version = p.Version
		l.mu.Unlock()
	}
}

// heard waits until every listener has come as far as its account, and compares what it was told with the statement.
func heard(t *testing.T, w *wallet, all []*listener) {
	t.Helper()
	for _, l := range all {
		await(t, recoverLimit, "all pushes of "+l.account, func() error {
			version := w.balance(l.account).Version
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.version != version {
				return fmt.Errorf("it has version %d, its listener %d (%v)", version, l.version, l.sub.Err())
			}
			return nil
		})
		l.mu.Lock()
		if l.wrong != nil {
			t.Error(l.wrong)
		}
		if len(l.had) < steady {
			t.Errorf("%s: %d events", l.account, len(l.had))
		}
		l.compare(t, w)
		t.Logf("%s: %d events up to version %d, %d snapshots", l.account, len(l.had), l.version, l.snapshots)
		l.mu.Unlock()
	}
}

func (l *listener) compare(t *testing.T, w *wallet) {
	t.Helper()
	type line struct {
		available, reserved, amount journal.Amount
		id                          string
	}
	seen := 0
	for q := (client.EntriesQuery{Page: client.Page{Limit: 1000}}); ; {
		page, err := w.rest().Entries(within(t, answerLimit), l.account, q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Data {
			e := &page.Data[i]
			p, ok := l.had[e.Version]
			if !ok {
				continue
			}
			seen++
			have := line{p.Available, p.Reserved, p.Amount, p.Transfer + p.Reservation}
			if want := (line{e.AvailableAfter, e.ReservedAfter, e.Amount, e.Transfer + e.Reservation}); have != want || p.Position != e.Position {
				t.Errorf("%s version %d: pushed %+v, the statement has %+v", l.account, e.Version, have, want)
			}
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	if seen != len(l.had) {
		t.Errorf("%s: %d events pushed, %d of them in the statement", l.account, len(l.had), seen)
	}
}

// Subscribers have every version while a Redis dies, a partition moves and the whole wallet is killed (P14).
func TestPushesSurviveFaults(t *testing.T) {
	d := startDev(t, 4)
	l := startLoad(t, d.wallet)
	all := listen(t, d.wallet, l.accounts)
	l.advance(steady)
	d.signalRedis(0, syscall.SIGKILL)
	l.advance(steady)
	d.mustRun("partition", "move", "0", "--to", "s2")
	l.advance(steady)
	d.kill()
	d.start()
	l.advance(steady)
	ledger := l.stop()
	heard(t, d.wallet, all)
	d.check(ledger)
}

// The same where gateways are linked to a projector elsewhere: it is killed, and a gateway and a keeper.
func TestPushesInACluster(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	l := startLoad(t, c.wallet)
	all := listen(t, c.wallet, l.accounts)
	l.advance(steady)
	for _, m := range []*member{c.projector, c.gateways[0], c.keepers[0]} {
		m.kill()
		m.restart()
		l.advance(steady)
	}
	ledger := l.stop()
	heard(t, c.wallet, all)
	c.check(ledger)
}
