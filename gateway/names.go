package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"walletd/journal"
)

// namesMax bounds the names that a gateway remembers.
const namesMax = 1 << 17

// names finds account ids by their handles: rows and records hold handles only. A name never changes, so what has been
// seen is remembered, within a bound.
type names struct {
	desk *desk

	mu    sync.RWMutex // guards known
	known map[journal.Handle]string
}

func newNames(d *desk) *names { return &names{desk: d, known: map[journal.Handle]string{}} }

func (n *names) learn(h journal.Handle, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= namesMax {
		clear(n.known)
	}
	n.known[h] = id
}

// known answers from memory; nobody (zeros) is "".
func (n *names) recall(h journal.Handle) (string, bool) {
	if h.IsZero() {
		return "", true
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.known[h]
	return id, ok
}

// find answers from memory, or asks the account's shard.
func (n *names) find(ctx context.Context, h journal.Handle) (string, error) {
	if id, ok := n.recall(h); ok {
		return id, nil
	}
	o := n.desk.read(ctx, h)
	if o.Status != journal.OK {
		return "", fmt.Errorf("name of account %x: %v", h, o.Status)
	}
	_, d, err := accountOf(&o)
	if err != nil {
		return "", err
	}
	n.learn(h, d.ID)
	return d.ID, nil
}

// details is what stands beside an account.
type details struct {
	journal.AccountDetails
	createdMS int64
}

func parseDetails(b []byte) (d details, err error) {
	createdMS, text, err := journal.SplitDetails(b)
	if err != nil {
		return d, err
	}
	d.createdMS = createdMS
	if err := json.Unmarshal(text, &d.AccountDetails); err != nil {
		return d, fmt.Errorf("account details: %w", err)
	}
	return d, nil
}
