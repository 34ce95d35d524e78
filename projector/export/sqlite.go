package export

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite", in Go alone

	"walletd/journal"
)

const (
	sqliteRows        = 40     // an INSERT
	sqliteTransaction = 50_000 // rows
)

// sqliteFile is a database that nobody else has: it is written without a journal of its own, and the file appears when it is whole.
type sqliteFile struct {
	ctx    context.Context // of the export: database/sql asks for it with every call
	db     *sql.DB
	conn   *sql.Conn
	assets journal.Assets
	bulk   *sql.Stmt
	args   []any
	rows   int // since BEGIN
}

const sqliteSchema = `
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -65536;
CREATE TABLE legs (position TEXT NOT NULL, leg INTEGER NOT NULL, time TEXT NOT NULL, transfer TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL,
  account TEXT NOT NULL, part TEXT NOT NULL, direction TEXT NOT NULL, asset TEXT NOT NULL, amount INTEGER NOT NULL, balance_after INTEGER,
  counterparty TEXT NOT NULL, reference TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE sums (asset TEXT PRIMARY KEY, exponent INTEGER, debit TEXT NOT NULL, credit TEXT NOT NULL, in_flight TEXT NOT NULL);
`

const sqliteIndexes = `
CREATE INDEX legs_by_account ON legs (account, time);
CREATE INDEX legs_by_transfer ON legs (transfer);
`

func newSQLite(ctx context.Context, path string, assets journal.Assets) (w writer, closeAll func(), err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, nil, fmt.Errorf("sqlite: %w", err)
	}
	f := &sqliteFile{ctx: ctx, db: db, assets: assets}
	if err := f.begin(); err != nil {
		f.close()
		return nil, nil, fmt.Errorf("sqlite: %w", err)
	}
	return f, f.close, nil
}

func (f *sqliteFile) begin() (err error) {
	if f.conn, err = f.db.Conn(f.ctx); err != nil {
		return err
	}
	if err := f.exec(sqliteSchema + "BEGIN"); err != nil {
		return err
	}
	f.bulk, err = f.conn.PrepareContext(f.ctx, insertOf(sqliteRows))
	return err
}

func insertOf(rows int) string {
	one := "(?" + strings.Repeat(",?", len(Columns)-1) + ")"
	return "INSERT INTO legs VALUES " + one + strings.Repeat(","+one, rows-1)
}

func (f *sqliteFile) exec(text string, args ...any) error {
	_, err := f.conn.ExecContext(f.ctx, text, args...)
	return err
}

func (f *sqliteFile) close() {
	if f.bulk != nil {
		_ = f.bulk.Close()
	}
	if f.conn != nil {
		_ = f.conn.Close()
	}
	_ = f.db.Close()
}

func (f *sqliteFile) write(l *leg) error {
	var balance any
	if l.part != InFlight {
		balance = int64(l.balance)
	}
	f.args = append(f.args, l.event.position, int64(l.number), l.event.time, l.id, l.event.key, l.kind, l.account, l.part, l.direction(),
		f.assets.Code(l.asset), int64(l.amount), balance, l.counterparty, l.event.refer, l.event.status)
	if f.rows++; len(f.args) < sqliteRows*len(Columns) {
		return nil
	}
	if _, err := f.bulk.ExecContext(f.ctx, f.args...); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	f.args = f.args[:0]
	if f.rows < sqliteTransaction {
		return nil
	}
	f.rows = 0
	if err := f.exec("COMMIT; BEGIN"); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

// finish writes what is left, the sums and the indexes.
func (f *sqliteFile) finish(s *Summary) error {
	err := func() error {
		if n := len(f.args) / len(Columns); n > 0 {
			if err := f.exec(insertOf(n), f.args...); err != nil {
				return err
			}
		}
		for _, a := range s.Assets {
			var exponent any
			if n, ok := f.assets.Lookup(a.Asset); ok {
				exponent = f.assets[n].Exponent
			}
			if err := f.exec("INSERT INTO sums VALUES (?, ?, ?, ?, ?)", a.Asset, exponent, a.Debit.String(), a.Credit.String(), a.InFlight.String()); err != nil {
				return err
			}
		}
		return f.exec(sqliteIndexes + "COMMIT")
	}()
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}
