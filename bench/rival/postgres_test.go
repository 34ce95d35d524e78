package rival

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"walletd/deploy/local"
	"walletd/journal"
)

// One server for all: what it takes longest for is its first start.
func TestPostgres(t *testing.T) {
	s := local.Postgres(t, append(PostgresSettings, "shared_buffers=32MB")...)
	for name, test := range map[string]func(*testing.T, string){
		"batching": postgresAnswersAsTheWallet(false), "statements": postgresAnswersAsTheWallet(true), "a function": functionAnswersAsTheWallet, "functions at a time": manyFunctionsAtATime,
		"a server that goes": batchesSurviveTheServer(s),
	} {
		t.Run(name, func(t *testing.T) {
			database := strings.ReplaceAll(name, " ", "_")
			conn, err := pgconn.Connect(t.Context(), DSN(s.Addr, local.PostgresUser, "postgres"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = conn.Exec(t.Context(), "CREATE DATABASE "+database).ReadAll()
			conn.Close(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			dsn := DSN(s.Addr, local.PostgresUser, database)
			if err := Install(t.Context(), dsn); err != nil {
				t.Fatal(err)
			}
			test(t, dsn)
		})
	}
}

// Whoever is told that nothing moved, or that nobody knows, asks again with the same keys, and gets the truth.
func batchesSurviveTheServer(s *local.Server) func(*testing.T, string) {
	return func(t *testing.T, dsn string) {
		store := NewPostgres(dsn, true)
		t.Cleanup(store.Close)
		b := NewBatching(store)
		run(t, b.Run)
		w := newWorld(t, b)
		w.begin()
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		batch := []journal.Row{transfer("after", "issuance", "account3", 5), transfer("after2", "account3", "account4", 5)}
		for deadline := time.Now().Add(time.Minute); ; {
			o := w.submit(batch[0])[0]
			if o.Status == journal.Confirmed {
				w.reference(&batch[0])
				break
			}
			if !o.Status.Retryable() && o.Status != journal.OutcomeUnknown || time.Now().After(deadline) {
				t.Fatalf("after a restart: %v", o.Status)
			}
		}
		w.agree(batch[1:])
		w.agree(batch) // both are remembered
		w.balances()
	}
}

func audited(t *testing.T, dsn string) {
	t.Helper()
	accounts, transfers, wrong, err := Audit(t.Context(), dsn)
	if err != nil || wrong != "" || accounts != 13 || transfers < 300 {
		t.Errorf("audit of %d accounts and %d transfers: %q, %v", accounts, transfers, wrong, err)
	}
}

func postgresAnswersAsTheWallet(statements bool) func(*testing.T, string) {
	return func(t *testing.T, dsn string) {
		store := NewPostgres(dsn, statements)
		t.Cleanup(store.Close)
		b := NewBatching(store)
		run(t, b.Run)
		w := newWorld(t, b)
		w.play()
		audited(t, dsn)
		if a, b, c := store.Together.Load(), store.InOrder.Load(), store.OneByOne.Load(); a == 0 || b < 5 || c == 0 {
			t.Errorf("%d batches were accepted together, %d decided in order, %d one by one: want some of each", a, b, c)
		}
		if o := w.submit(transfer("cap", "issuance", "account3", journal.AmountMax))[0]; o.Status != journal.LimitExceeded {
			t.Errorf("all that can be issued, once more: %v", o.Status)
		}

		// The audit sees what it is for.
		conn, err := (&postgresConn{dsn: dsn}).get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		cheats := []string{
			"UPDATE accounts SET available = available + 1 WHERE handle = (SELECT handle FROM accounts LIMIT 1)",
			"DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal WHERE status = 5)",
		}
		if statements {
			cheats = append(cheats, "UPDATE entries SET balance = balance + 1", "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)")
		}
		for _, cheat := range cheats {
			if _, err := conn.Exec(t.Context(), "BEGIN; "+cheat).ReadAll(); err != nil {
				t.Fatal(err)
			}
			result := conn.ExecParams(t.Context(), "SELECT (audit()).wrong", nil, nil, nil, nil).Read()
			if result.Err != nil || len(result.Rows[0][0]) == 0 {
				t.Errorf("the audit does not see: %s (%v)", cheat, result.Err)
			}
			if _, err := conn.Exec(t.Context(), "ROLLBACK").ReadAll(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
