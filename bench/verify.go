package bench

import (
	"context"
	"fmt"
	"time"

	"walletd/journal"
)

// Audit is what the end of a session has shown.
type Audit struct {
	Conserved bool     `json:"conserved"`         // Σ of the accounts as it must be, and 0 together with the issuance accounts
	Replayed  bool     `json:"replayed"`          // the wallet's reconciliation: replay of the journal = state = projection
	Reasons   []string `json:"reasons,omitempty"` // why everything that was measured is void
}

func (a *Audit) against(wrong bool, format string, args ...any) {
	if wrong {
		a.Reasons = append(a.Reasons, fmt.Sprintf(format, args...))
	}
}

// reconcileMax bounds the wallet's reading of its whole journal.
const reconcileMax = 10 * time.Minute

// Audit holds the wallet against what it has acknowledged: every account's money and version exactly, so that each acknowledged
// transfer is there exactly once and nothing else is; the sum; and the journal's replay.
func (s *Session) Audit(ctx context.Context) (a Audit, err error) {
	s.cfg.Progress("verify", 0)
	want := make([]standing, len(s.people.accounts))
	for i := range want {
		want[i] = s.ledger.want(i, s.before[i])
	}
	seen, err := settle(ctx, s.cfg, s.people, s.clients, want)
	if err != nil {
		return a, err
	}
	var sum, meant journal.Amount
	money, versions, example := 0, 0, ""
	for i := range seen {
		sum += seen[i].money
		meant += want[i].money
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
				s.people.name(uint32(i)), seen[i].money, seen[i].version, want[i].money, want[i].version)
		}
	}
	a.against(money+versions > 0, "not every acknowledged transfer is there exactly once: %d balances and %d versions differ; %s",
		money, versions, example)
	a.against(s.acked == 0, "no transfer was acknowledged")
	if err := s.conservation(ctx, &a, sum, meant); err != nil {
		return a, err
	}
	a.Reasons = append(a.Reasons, s.trouble...)
	a.against(s.cpuErr != nil, "CPU was not measured: %v", s.cpuErr)
	s.replay(ctx, &a)
	s.cfg.Progress("verify", 1)
	return a, nil
}

// conservation compares the sums.
func (s *Session) conservation(ctx context.Context, a *Audit, sum, meant journal.Amount) error {
	rest := sum
	for _, id := range s.people.issuers {
		b, err := s.clients[0].Balance(ctx, id)
		if err != nil {
			return fmt.Errorf("read the issuance account %s: %w", id, err)
		}
		rest += b.Available + b.Reserved
	}
	a.Conserved = sum == meant && rest == 0
	a.against(sum != meant, "money is not conserved: the accounts have %d together, %+d than they should", sum, sum-meant)
	a.against(rest != 0, "money is not conserved: accounts and issuance together are %d, not 0", rest)
	return nil
}

// replay asks the wallet to hold its state against its journal.
func (s *Session) replay(ctx context.Context, a *Audit) {
	if s.admin == nil {
		a.against(true, "not replayed: no admin listener given")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reconcileMax)
	defer cancel()
	reconciliation, err := s.admin.Reconcile(ctx)
	a.Replayed = err == nil && reconciliation.OK
	a.against(err != nil, "not replayed: %v", err)
	a.against(err == nil && !reconciliation.OK, "replaying the journal gives another state: %s", reconciliation.Raw)
}
