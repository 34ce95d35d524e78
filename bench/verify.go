package bench

import (
	"context"
	"fmt"
	"time"

	"walletd/journal"
)

// verdict is what the end of a run has shown.
type verdict struct {
	conserved bool // Σ of the accounts unchanged, and 0 together with the issuance account
	replayed  bool // the wallet's reconciliation: replay of the journal = state
	reasons   []string
}

func (v *verdict) against(wrong bool, format string, args ...any) {
	if wrong {
		v.reasons = append(v.reasons, fmt.Sprintf(format, args...))
	}
}

// reconcileMax bounds the wallet's reading of its whole journal.
const reconcileMax = 10 * time.Minute

// verify holds the wallet against what it has acknowledged: every account's money and version exactly, so that each
// acknowledged transfer is there exactly once and nothing else is; the sum; and the journal's replay.
func (r *run) verify(ctx context.Context) (v verdict, err error) {
	want, acked := r.expected()
	seen, err := settle(ctx, r.cfg, r.w, r.clients, want)
	if err != nil {
		return v, err
	}
	var sum journal.Amount
	money, versions, example := 0, 0, ""
	for i := range seen {
		sum += seen[i].money
		if seen[i] == want[i] {
			continue
		}
		if seen[i].money != want[i].money {
			money++
		}
		if seen[i].version != want[i].version {
			versions++
		}
		if example == "" {
			example = fmt.Sprintf("%s has %d at version %d, want %d at version %d",
				r.w.accounts[i].id, seen[i].money, seen[i].version, want[i].money, want[i].version)
		}
	}
	v.against(money+versions > 0, "not every acknowledged transfer is there exactly once: %d balances and %d versions differ; %s",
		money, versions, example)
	v.against(acked == 0, "no transfer was acknowledged")
	if err := r.conservation(ctx, &v, sum); err != nil {
		return v, err
	}
	r.trouble(&v)
	r.replay(ctx, &v)
	return v, nil
}

// expected is where every account must stand after what was acknowledged.
func (r *run) expected() (want []standing, acked int64) {
	want = append(want, r.before...)
	for _, n := range r.load.lanes {
		for i, times := range n.acked {
			if times == 0 {
				continue
			}
			acked += int64(times)
			from, to := &want[r.w.pairs[i].from], &want[r.w.pairs[i].to]
			moved := r.cfg.Amount * journal.Amount(times)
			from.money -= moved
			to.money += moved
			from.version += uint64(times)
			to.version += uint64(times)
		}
	}
	return want, acked
}

// conservation compares the sums.
func (r *run) conservation(ctx context.Context, v *verdict, sum journal.Amount) error {
	issuance, err := r.clients[0].Balance(ctx, r.w.issuance)
	if err != nil {
		return fmt.Errorf("read the issuance account: %w", err)
	}
	funded := r.cfg.Prefund * journal.Amount(len(r.w.accounts))
	rest := sum + issuance.Available + issuance.Reserved
	v.conserved = sum == funded && rest == 0
	v.against(sum != funded, "money is not conserved: the accounts have %d together, %+d than before", sum, sum-funded)
	v.against(rest != 0, "money is not conserved: accounts and issuance together are %d, not 0", rest)
	return nil
}

// trouble is what makes a run void whatever the balances say.
func (r *run) trouble(v *verdict) {
	for i, n := range r.load.lanes {
		v.against(n.unknown > 0, "connection %d: %d transfers of unknown outcome: %v", i, n.unknown, n.first)
		v.against(n.errors > 0, "connection %d: %d replies that are neither acknowledgement nor refusal: %v", i, n.errors, n.first)
	}
	v.against(r.cpuErr != nil, "CPU was not measured: %v", r.cpuErr)
}

// replay asks the wallet to hold its state against its journal.
func (r *run) replay(ctx context.Context, v *verdict) {
	if r.admin == nil {
		v.against(true, "not replayed: no admin listener given")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reconcileMax)
	defer cancel()
	reconciliation, err := r.admin.Reconcile(ctx)
	v.replayed = err == nil && reconciliation.OK
	v.against(err != nil, "not replayed: %v", err)
	v.against(err == nil && !reconciliation.OK, "replaying the journal gives another state: %s", reconciliation.Raw)
}
