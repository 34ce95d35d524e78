package systemtest

import (
	"fmt"
	"net/http"
	"testing"

	"walletd/gateway/client"
)

// P3, P5: as far as journal and projection can tell, the disk of a whole wallet is full, while clients press on. New acts get
// a definitive journal_unavailable, what was under way still becomes durable, balances and statements are read; when there is
// room again the wallet goes on by itself.
func TestADiskIsFullUnderLoad(t *testing.T) {
	d := startDev(t, 8)
	l := startLoad(t, d.wallet)
	l.advance(steady)
	const firstSegment = 4 << 20
	for round := range rounds(t, 1) {
		limit := uint64(firstSegment) << (2 * round) // segments grow
		if err := fileLimit(d.proc.pid, limit); err != nil {
			t.Fatal(err)
		}
		await(t, recoverLimit, "the journal says that it is full", func() error {
			a, err := d.pay(l.accounts[0], l.accounts[1], fmt.Sprintf("full/%d", round))
			if err == nil && (a.status != http.StatusServiceUnavailable || a.problem().Code != "journal_unavailable") {
				err = fmt.Errorf("a transfer answers %v", a)
			}
			return err
		})
		full := len(l.ledger.with(unknown))
		for _, account := range l.accounts { // what was under way is durable, so balances can be told
			d.balance(account)
		}
		if list, err := d.rest().Entries(within(t, answerLimit), l.accounts[0], client.EntriesQuery{}); err != nil || len(list.Data) == 0 {
			t.Errorf("a statement on a full disk: %d entries, %v", len(list.Data), err)
		}
		if now := len(l.ledger.with(unknown)); now > full+2*loadWorkers { // impatient clients make some
			t.Errorf("unknown outcomes rose from %d to %d on a full disk", full, now)
		}
		if err := fileLimit(d.proc.pid, 0); err != nil {
			t.Fatal(err)
		}
		l.advance(steady)
	}
	if !d.proc.alive() {
		t.Error("walletd has ended")
	}
	d.check(l.stop())
}

// pay asks for a transfer of 1 USD by one raw request, and does not ask again.
func (w *wallet) pay(from, to, key string) (answer, error) {
	body := fmt.Sprintf(`{"from":%q,"to":%q,"amount":1,"asset":"USD"}`, from, to)
	return w.call(http.MethodPost, "/v1/transfers", map[string]string{"Content-Type": "application/json", "Idempotency-Key": key}, []byte(body))
}
