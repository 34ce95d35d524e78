package rival

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"walletd/journal"
	"walletd/journal/rows"
)

//go:embed schema.sql
var schema string

// PostgresSettings are what the rival sets beyond PostgreSQL's defaults; docs/rivals.md says why. Nothing here makes a
// commit weaker: fsync, full_page_writes and synchronous_commit stay on.
var PostgresSettings = []string{
	"shared_buffers=512MB",
	"wal_level=minimal", "max_wal_senders=0", // nobody replicates here
	"wal_buffers=64MB", "max_wal_size=8GB", "min_wal_size=1GB", "checkpoint_timeout=30min", "checkpoint_completion_target=0.9",
	"bgwriter_lru_maxpages=0", "random_page_cost=1.1", "jit=off", "max_connections=100",
	"plan_cache_mode=force_generic_plan", "track_activities=off",
}

// Install makes the rival's tables and functions in an empty database.
func Install(ctx context.Context, dsn string) error {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("install the rival: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // it says goodbye, or nobody is there
	if _, err := conn.Exec(ctx, schema).ReadAll(); err != nil {
		return fmt.Errorf("install the rival: %w", err)
	}
	return nil
}

// statements are prepared on every connection.
var statements = []struct {
	name, text string
	types      []uint32
}{
	{"together", "SELECT * FROM together($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		[]uint32{uuidArrayOID, int8ArrayOID, int8ArrayOID, int8ArrayOID, int8ArrayOID, int2ArrayOID,
			uuidArrayOID, uuidArrayOID, uuidArrayOID, int8ArrayOID, int4ArrayOID, int2ArrayOID}},
	{"together_with_entries", "SELECT * FROM together_with_entries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
		[]uint32{uuidArrayOID, int8ArrayOID, int8ArrayOID, int8ArrayOID, int8ArrayOID, int2ArrayOID,
			uuidArrayOID, uuidArrayOID, uuidArrayOID, int8ArrayOID, int4ArrayOID, int2ArrayOID,
			uuidArrayOID, int8ArrayOID, int8ArrayOID, int8ArrayOID}},
	{"in_order", "SELECT * FROM in_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		[]uint32{uuidArrayOID, int4ArrayOID, int4ArrayOID,
			uuidArrayOID, uuidArrayOID, uuidArrayOID, int8ArrayOID, int4ArrayOID, int2ArrayOID, boolOID}},
	{"one_by_one", "SELECT * FROM one_by_one($1, $2, $3, $4, $5, $6, $7)",
		[]uint32{uuidArrayOID, uuidArrayOID, uuidArrayOID, int8ArrayOID, int4ArrayOID, int2ArrayOID, boolOID}},
	{"one", "SELECT * FROM one($1, $2, $3, $4, $5, $6, $7)", []uint32{uuidOID, uuidOID, uuidOID, int8OID, int4OID, int2OID, boolOID}},
	{"open", "SELECT * FROM open_accounts($1, $2, $3, $4, $5)", []uint32{uuidArrayOID, int2ArrayOID, int2ArrayOID, int8ArrayOID, byteaArrayOID}},
	{"read", `SELECT a.handle, a.available, a.version, a.overdraft_limit, a.asset, a.flags, d.created_ms, d.details
		FROM accounts a JOIN account_details d USING (handle) WHERE a.handle = ANY($1)`, []uint32{uuidArrayOID}},
}

// postgresConn is one connection with its statements, made again after a failure. One goroutine uses it at a time.
type postgresConn struct {
	dsn  string
	conn *pgconn.PgConn
}

// get connects if need be.
func (p *postgresConn) get(ctx context.Context) (*pgconn.PgConn, error) {
	if p.conn != nil && !p.conn.IsClosed() {
		return p.conn, nil
	}
	conn, err := pgconn.Connect(ctx, p.dsn)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	for _, s := range statements {
		if _, err := conn.Prepare(ctx, s.name, s.text, s.types); err != nil {
			_ = conn.Close(ctx)
			return nil, fmt.Errorf("prepare %s: %w", s.name, err)
		}
	}
	p.conn = conn
	return conn, nil
}

func (p *postgresConn) close() {
	if p.conn != nil {
		_ = p.conn.Close(context.Background()) // says goodbye, or nobody is there
	}
}

var allBinary = []int16{1}

// call runs a statement as a transaction of its own: when it answers, the commit is durable.
func (p *postgresConn) call(ctx context.Context, name string, values ...[]byte) ([][][]byte, error) {
	conn, err := p.get(ctx)
	if err != nil {
		return nil, err
	}
	result := conn.ExecPrepared(ctx, name, values, allBinary, allBinary).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("%s: %w", name, result.Err)
	}
	return result.Rows, nil
}

func boolean(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}

// failure is what rows are told whose statement failed.
func failure(err error) journal.Status {
	var refused *pgconn.PgError
	if errors.As(err, &refused) || pgconn.SafeToRetry(err) {
		return journal.ShardUnavailable // it was rolled back, or never left
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return journal.ShardUnavailable
	}
	return journal.OutcomeUnknown
}

func refusedWith(err error, codes ...string) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return false
	}
	for _, code := range codes {
		if refused.Code == code {
			return true
		}
	}
	return false
}

// Codes of PostgreSQL's errors.
const (
	notTogether     = "WA001" // schema.sql's own
	uniqueViolation = "23505"
)

// accountRecord makes a read's record of a row of the statement read.
func accountRecord(row [][]byte, details bool) []byte {
	a := journal.Account{
		Available: journal.Amount(be64(row[1])), Version: be64(row[2]), OverdraftLimit: journal.Amount(be64(row[3])),
		Asset: journal.Asset(binary.BigEndian.Uint16(row[4])), Flags: journal.Flags(binary.BigEndian.Uint16(row[5])),
	}
	record := a.Append(nil)
	if details {
		record = append(append(record, row[6][1:]...), row[7]...) // created_ms u56
	}
	return record
}

func be64(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// Audit asks the database whether its balances are what its journal says, and whether each asset sums up to 0. wrong names
// the first that is not.
func Audit(ctx context.Context, dsn string) (accounts, transfers int64, wrong string, err error) {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return 0, 0, "", fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // it says goodbye, or nobody is there
	result := conn.ExecParams(ctx, "SELECT * FROM audit()", nil, nil, nil, allBinary).Read()
	if result.Err != nil {
		return 0, 0, "", fmt.Errorf("audit: %w", result.Err)
	}
	row := result.Rows[0]
	return int64(be64(row[0])), int64(be64(row[1])), string(row[2]), nil
}

// readAccounts answers the reads among a batch's rows.
func (p *postgresConn) readAccounts(ctx context.Context, c *column, at []int, b *Batch, seq uint64) {
	if len(at) == 0 {
		return
	}
	found, err := p.call(ctx, "read", c.value())
	byHandle := map[journal.Handle][][]byte{}
	for _, row := range found {
		byHandle[journal.Handle(row[0][:12])] = row
	}
	wanted := map[int]bool{}
	for _, i := range at {
		wanted[i] = true
	}
	b.each(func(i int, r *journal.Row, out *rows.Outcome) {
		if !wanted[i] {
			return
		}
		row, ok := byHandle[r.Account]
		switch {
		case err != nil:
			out.Status = journal.ShardUnavailable
		case !ok:
			out.Status = journal.AccountNotFound
		default:
			out.Status, out.Record = journal.OK, accountRecord(row, r.Details)
			out.Position = journal.Position{Epoch: 1, Seq: seq}
		}
	})
}

// DSN names a database of a server that trusts its machine.
func DSN(addr, user, database string) string {
	return "postgres://" + user + "@" + addr + "/" + database + "?sslmode=disable"
}
