package systemtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"walletd/gateway/client"
)

// The other two forms in which a wallet stands on one machine: with a Kafka of its own, and as a whole cluster. Both
// keep every balance over a crash and leave nothing running.
func TestOtherFormsKeepEveryBalance(t *testing.T) {
	for _, form := range []struct {
		name string
		args []string
	}{
		{"dev on Kafka", []string{"dev", "--journal", "kafka"}},
		{"cluster up", []string{"cluster", "up"}},
	} {
		t.Run(form.name, func(t *testing.T) {
			dir := t.TempDir()
			data, ready := filepath.Join(dir, "data"), filepath.Join(dir, "ready.json")
			http, admin := freeAddr(t), freeAddr(t)
			w := &wallet{t: t, partitions: 8, gateways: []string{http}, admin: admin}
			up := func() *process {
				_ = os.Remove(ready)
				p := launch(t, form.name, nil, append(form.args, "--data", data, "--http", http, "--admin", admin, "--ready-file", ready)...)
				p.ready(func() error {
					b, err := os.ReadFile(ready)
					if err != nil {
						return err
					}
					return json.Unmarshal(b, new(readyFile))
				})
				return p
			}
			p := up()
			from, to := w.pair("form", false)
			w.fund("USD", 1_000, from)
			w.open(client.AccountCreate{ID: to, Asset: "USD"})
			w.transfer(client.Transfer{From: from, To: to, Amount: 400, Asset: "USD"})
			w.arrived(to, 2)
			p.kill()
			noneLeft(t, data)

			p = up()
			if b := w.arrived(from, 3); b.Available != 600 {
				t.Errorf("the payer has %+v", b)
			}
			if b := w.arrived(to, 2); b.Available != 400 {
				t.Errorf("the payee has %+v", b)
			}
			if r := run(t, nil, "reconcile", "-o", "json", "--server", "http://"+http); r.code != 0 {
				t.Errorf("walletd reconcile: %v", r)
			}
			if code := p.interrupt(); code != 0 {
				t.Errorf("Ctrl-C ended it with code %d", code)
			}
			noneLeft(t, data)
		})
	}
}
