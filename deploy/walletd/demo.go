package walletd

import (
	"context"
	"fmt"
	"time"

	"walletd/gateway/client"
	"walletd/journal"
)

// demo is what an empty development wallet begins with: an issuance account, and two accounts that have money from it by
// ordinary transfers. It is idempotent: keys and content are always the same.
func demo(ctx context.Context, url, token string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	rest, err := client.NewREST(client.Config{URL: url, Token: token})
	if err != nil {
		return fmt.Errorf("demo accounts: %w", err)
	}
	defer rest.Close()
	for _, a := range []client.AccountCreate{
		{ID: "bank", Asset: "USD", Issuance: true, Owner: "money enters and leaves here"}, {ID: "alice", Asset: "USD", Owner: "Alice"}, {ID: "bob", Asset: "USD", Owner: "Bob"},
	} {
		if _, err := rest.CreateAccount(ctx, a); err != nil {
			return fmt.Errorf("demo account %s: %w", a.ID, err)
		}
	}
	for to, amount := range map[string]journal.Amount{"alice": 100_000, "bob": 50_000} {
		if _, err := rest.Transfer(ctx, client.Transfer{Key: "demo-" + to, From: "bank", To: to, Amount: amount, Asset: "USD", Reference: "demo money"}); err != nil {
			return fmt.Errorf("demo money for %s: %w", to, err)
		}
	}
	return nil
}
