package export

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walletd/journal"
)

// ErrForeign says that a database's schema belongs to another wallet, or that somebody else writes into it.
var ErrForeign = errors.New("the schema is another's")

// ErrDatabase says that PostgreSQL refuses what it is asked, which trying again does not change.
var ErrDatabase = errors.New("PostgreSQL refuses")

const postgresSchema = `
CREATE SCHEMA IF NOT EXISTS %[1]s;
CREATE TABLE IF NOT EXISTS %[1]s.wallet (one boolean PRIMARY KEY DEFAULT true CHECK (one), name text NOT NULL, partitions integer NOT NULL);
CREATE TABLE IF NOT EXISTS %[1]s.cursors (partition integer PRIMARY KEY, seq bigint NOT NULL, genesis bytea NOT NULL, written_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS %[1]s.legs (partition integer NOT NULL, epoch bigint NOT NULL, seq bigint NOT NULL, leg integer NOT NULL, time timestamptz NOT NULL,
  transfer text NOT NULL, key text NOT NULL, kind text NOT NULL, account text NOT NULL, part text NOT NULL, direction text NOT NULL, asset text NOT NULL,
  amount bigint NOT NULL, balance_after bigint, counterparty text NOT NULL, reference text NOT NULL, status text NOT NULL, PRIMARY KEY (partition, seq, leg));
CREATE INDEX IF NOT EXISTS legs_by_account ON %[1]s.legs (account, time);
CREATE INDEX IF NOT EXISTS legs_by_transfer ON %[1]s.legs (transfer);
`

var postgresColumns = []string{"partition", "epoch", "seq", "leg", "time", "transfer", "key", "kind", "account", "part", "direction", "asset", "amount",
	"balance_after", "counterparty", "reference", "status"}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// bulk is what one transaction writes: rows, and how far they bring each partition.
type bulk struct {
	rows     [][]any
	from, to map[int]int64 // seqs
}

func newBulk() *bulk { return &bulk{from: map[int]int64{}, to: map[int]int64{}} }

// database is one schema, with a connection that is made again when it is lost. One goroutine uses it at a time.
type database struct {
	config  *pgx.ConnConfig
	schema  string
	conn    *pgx.Conn
	genesis map[int][]byte
}

func newDatabase(url, schema string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*database, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	if dial != nil {
		c.DialFunc = dial
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	return &database{config: c, schema: schema, genesis: map[int][]byte{}}, nil
}

func (d *database) connect(ctx context.Context) error {
	if d.conn != nil && !d.conn.IsClosed() {
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, d.config)
	if err != nil {
		return err
	}
	d.conn = conn
	return nil
}

func (d *database) close() {
	if d.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = d.conn.Close(ctx) // it says goodbye, or nobody is there
	d.conn = nil
}

// prepare makes what is missing, in one transaction, and refuses what is another wallet's. It answers how far each partition is.
func (d *database) prepare(ctx context.Context, wallet string, partitions int) (at map[int]int64, err error) {
	if err := d.connect(ctx); err != nil {
		return nil, err
	}
	err = pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "walletd export "+d.schema); err != nil { // IF NOT EXISTS is no protection against another who makes it now
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf(postgresSchema, d.schema)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("INSERT INTO %s.wallet (name, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING", d.schema), wallet, partitions); err != nil {
			return err
		}
		var name string
		var n int
		if err := tx.QueryRow(ctx, fmt.Sprintf("SELECT name, partitions FROM %s.wallet", d.schema)).Scan(&name, &n); err != nil {
			return err
		}
		if name != wallet || n != partitions {
			return fmt.Errorf("%w: schema %s has wallet %q with %d partitions, the journal is of %q with %d; name another with --schema", ErrForeign, d.schema, name, n, wallet, partitions)
		}
		at, err = d.cursors(ctx, tx)
		return err
	})
	return at, err
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// cursors are how far each partition is, and hold the journal's beginnings against those that were written.
func (d *database) cursors(ctx context.Context, q querier) (map[int]int64, error) {
	rows, err := q.Query(ctx, fmt.Sprintf("SELECT partition, seq, genesis FROM %s.cursors", d.schema))
	if err != nil {
		return nil, err
	}
	at := map[int]int64{}
	var p int
	var seq int64
	var genesis []byte
	_, err = pgx.ForEachRow(rows, []any{&p, &seq, &genesis}, func() error {
		if string(d.genesis[p]) != string(genesis) {
			return fmt.Errorf("%w: partition %d of schema %s is of a journal with another beginning; name another with --schema", ErrForeign, p, d.schema)
		}
		at[p] = seq
		return nil
	})
	return at, err
}

// write makes a bulk durable, with its cursors in the same transaction. When a commit's answer was lost, the next call finds out.
func (d *database) write(ctx context.Context, b *bulk) error {
	if err := d.connect(ctx); err != nil {
		return err
	}
	at, err := d.cursors(ctx, d.conn)
	if err != nil {
		return err
	}
	now := map[int]int64{}
	for p := range b.to {
		now[p] = at[p]
	}
	switch {
	case maps.Equal(now, b.to):
		return nil // it was committed
	case !maps.Equal(now, b.from):
		return fmt.Errorf("%w: somebody else writes into schema %s", ErrForeign, d.schema)
	}
	return pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		for p, to := range b.to {
			tag, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %[1]s.cursors AS c (partition, seq, genesis) VALUES ($1, $2, $3)
				ON CONFLICT (partition) DO UPDATE SET seq = $2, written_at = now() WHERE c.seq = $4`, d.schema), p, to, d.genesis[p], b.from[p])
			if err != nil {
				return err
			}
			if tag.RowsAffected() != 1 {
				return fmt.Errorf("%w: somebody else writes into schema %s", ErrForeign, d.schema)
			}
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{d.schema, "legs"}, postgresColumns, pgx.CopyFromRows(b.rows))
		return err
	})
}

// passing reports whether a failure may pass by itself: a lost connection, a server that stops or has no room for one more client.
func passing(err error) bool {
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, ErrForeign):
		return false
	case errors.As(err, &refused):
		class := refused.Code[:min(2, len(refused.Code))]
		return class == "08" || class == "40" || class == "53" || class == "57"
	}
	return true
}

func postgresRow(l *leg, at journal.Position, timeMS int64, assets journal.Assets) []any {
	var balance any
	if l.part != InFlight {
		balance = int64(l.balance)
	}
	return []any{at.Partition, int64(at.Epoch), int64(at.Seq), l.number, time.UnixMilli(timeMS).UTC(), l.id, plain(l.event.key), l.kind, plain(l.account), l.part,
		l.direction(), assets.Code(l.asset), int64(l.amount), balance, plain(l.counterparty), plain(l.event.refer), l.event.status}
}

// plain is a text that PostgreSQL can hold: it has neither NUL nor what is not UTF-8.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
