package systemtest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"walletd/gateway/client"
	"walletd/journal"
)

// lookUpsMax bounds the transfers that are looked up one by one; the statements hold all of them anyway.
const lookUpsMax = 3000

// shows holds what the wallet answers now against the journal and the ledger: balances, statements, look-ups.
func (w *wallet) shows(a *audit, l *ledger) {
	w.t.Helper()
	s := &shown{audit: a, rest: w.rest(), entries: map[string]map[string]client.Entry{}}
	each(a.ids(), s.account)
	sums := map[string]int64{}
	for _, b := range s.balances {
		sums[b.Asset] += int64(b.Available + b.Reserved)
	}
	for asset, sum := range sums {
		if sum != 0 {
			s.fault("the balances of all accounts in %s sum to %d", asset, sum)
		}
	}
	for _, r := range l.requests {
		s.listed(r)
	}
	s.lookUps(l)
	w.report("what the wallet answers", s.faults)
}

// shown collects what the wallet answers.
type shown struct {
	*audit
	rest *client.REST

	mu       sync.Mutex // guards the rest
	faults   []string
	balances []client.Balance
	entries  map[string]map[string]client.Entry // by account, by act: "transfer tr_… debit"
}

func (s *shown) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < faultsMax {
		s.faults = append(s.faults, fmt.Sprintf(format, args...))
	}
}

// account reads an account's balance and its whole statement.
func (s *shown) account(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	b, err := s.rest.Balance(ctx, id)
	if err != nil {
		s.fault("balance of %s: %v", id, err)
		return
	}
	s.mu.Lock()
	s.balances = append(s.balances, b)
	s.mu.Unlock()
	had, _ := s.audit.account(id)
	if b.Available != had.Available || b.Reserved != had.Reserved || b.Version != had.Version {
		s.fault("balance of %s is %+v, the journal says %+v", id, b, had)
	}
	entries, err := statement(ctx, s.rest.After(b.Position), id)
	if err != nil {
		s.fault("statement of %s: %v", id, err)
		return
	}
	s.compare(id, entries)
}

// statement is the account's whole statement, oldest first.
func statement(ctx context.Context, rest *client.REST, id string) (all []client.Entry, err error) {
	q := client.EntriesQuery{Page: client.Page{Limit: 1000}}
	for {
		page, err := rest.Entries(ctx, id, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if !page.HasMore {
			slices.Reverse(all)
			return all, nil
		}
		if q.Cursor = page.NextCursor; len(page.Data) == 0 || q.Cursor == "" {
			return nil, fmt.Errorf("a page of %d entries says that there are more, cursor %q", len(page.Data), q.Cursor)
		}
	}
}

// compare holds a statement against the account's versions in the journal, one by one.
func (s *shown) compare(id string, entries []client.Entry) {
	lines := s.lines[journal.HandleOf(id)]
	if len(entries) != len(lines) {
		s.fault("the statement of %s has %d entries, the journal %d versions", id, len(entries), len(lines))
		return
	}
	var before client.Entry
	for i, e := range entries {
		after := lines[i].After
		if e.Version != uint64(i+1) || e.AvailableAfter != before.AvailableAfter+e.AvailableChange || e.ReservedAfter != before.ReservedAfter+e.ReservedChange ||
			e.AvailableAfter != after.Available || e.ReservedAfter != after.Reserved || e.Amount != lines[i].Amount || e.Position.Position != lines[i].at || e.Kind != kindOf(lines[i].Of) {
			s.fault("entry %d of %s is %+v, the journal says %+v", i+1, id, e, lines[i])
			return
		}
		before = e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[id] = map[string]client.Entry{}
	for _, e := range entries {
		if e.Transfer != "" {
			s.entries[id][e.Transfer+" "+e.Direction] = e
		}
	}
}

func kindOf(o journal.Op) string {
	switch o {
	case journal.OpOpen, journal.OpAlter:
		return "account"
	case journal.OpPay:
		return "transfer"
	}
	return o.String()
}

// listed: an acknowledged transfer stands in both statements, a refused one in none. That it stands there once follows
// from the comparison with the journal, which has it once.
func (s *shown) listed(r *request) {
	if r.act != actTransfer {
		return
	}
	id := r.id().Text(journal.TransferPrefix)
	debit, paid := s.entries[r.from][id+" debit"]
	credit, received := s.entries[r.to][id+" credit"]
	happened := r.outcome == acknowledged
	if paid != happened || received != happened {
		s.fault("%v: debit listed %t, credit listed %t", r, paid, received)
		return
	}
	if happened && (debit.Amount != r.amount || credit.Amount != r.amount || debit.Counterparty != r.to || credit.Counterparty != r.from) {
		s.fault("%v: listed as %+v and %+v", r, debit, credit)
	}
}

// lookUps asks for transfers by payer and key: confirmed with the same content and all legs settled, or refused, or not there.
func (s *shown) lookUps(l *ledger) {
	var some []*request
	for _, r := range l.requests {
		if r.act == actTransfer {
			some = append(some, r)
		}
	}
	if step := len(some)/lookUpsMax + 1; step > 1 {
		for i := range len(some) / step {
			some[i] = some[i*step]
		}
		some = some[:len(some)/step]
	}
	each(some, func(r *request) {
		ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
		defer cancel()
		v, found, err := s.rest.TransferByKey(ctx, r.from, r.key)
		switch {
		case err != nil:
			s.fault("look-up of %v: %v", r, err)
		case r.outcome == acknowledged:
			if !found || v.Status != "confirmed" || v.From != r.from || v.To != r.to || v.Amount != r.amount || v.Asset != r.asset || v.Reference != r.reference || v.Position.Position != r.position {
				s.fault("look-up of %v at %v: found %t, %+v", r, r.position, found, v)
			}
			for _, leg := range v.Legs {
				if leg.Phase != "confirmed" {
					s.fault("look-up of %v: the leg of %s is %s at rest", r, leg.Account, leg.Phase)
				}
			}
		case found && (v.Status != "refused" || v.Code != r.code):
			s.fault("look-up of %v: %+v", r, v)
		}
	})
}
