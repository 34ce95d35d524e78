package rival

import (
	"context"
	"encoding/binary"

	"walletd/journal"
	"walletd/journal/rows"
)

// function is one connection of the rival that calls a PostgreSQL function for every transfer, each in a transaction of its
// own: what most would begin with.
type function struct {
	conn       postgresConn
	statements bool
	read       column
}

// NewFunctions are callers on so many connections to the database at dsn, where the rival is installed.
func NewFunctions(dsn string, n int, statements bool) (callers []Caller) {
	for range n {
		callers = append(callers, &function{conn: postgresConn{dsn: dsn}, statements: statements})
	}
	return callers
}

// Close implements Caller.
func (f *function) Close() { f.conn.close() }

// Call implements Caller.
func (f *function) Call(ctx context.Context, r *journal.Row, out *rows.Outcome) {
	switch r.Op {
	case journal.OpTransfer:
		f.transfer(ctx, r, out)
	case journal.OpOpen:
		f.open(ctx, r, out)
	case journal.OpRead:
		f.look(ctx, r, out)
	default: // stays Malformed
	}
}

func (f *function) transfer(ctx context.Context, r *journal.Row, out *rows.Outcome) {
	uuid := func(h journal.Handle) []byte { return append(h[:], 0, 0, 0, 0) }
	answer, err := f.conn.call(ctx, "one", r.ID[:], uuid(r.Account), uuid(r.To), binary.BigEndian.AppendUint64(nil, uint64(r.Amount)),
		binary.BigEndian.AppendUint32(nil, journal.RefSum(r.Reference)), binary.BigEndian.AppendUint16(nil, uint16(r.Asset)), boolean(f.statements))
	if err != nil {
		out.Status = failure(err)
		return
	}
	row := answer[0]
	status := binary.BigEndian.Uint16(row[0])
	out.Status, out.Replayed = journal.Status(status&^replayed), status&replayed != 0
	out.Detail, out.Position, out.TimeMS = be64(row[1]), journal.Position{Epoch: 1, Seq: be64(row[2])}, int64(be64(row[3]))
}

func (f *function) open(ctx context.Context, r *journal.Row, out *rows.Outcome) {
	var c [5]column
	for i, element := range []uint32{uuidOID, int2OID, int2OID, int8OID, byteaOID} {
		c[i].reset(element)
	}
	c[0].handle(r.Account)
	c[1].int2(int16(r.Asset))
	c[2].int2(int16(r.Flags))
	c[3].int8(int64(r.OverdraftLimit))
	c[4].bytes(r.Text)
	answer, err := f.conn.call(ctx, "open", c[0].value(), c[1].value(), c[2].value(), c[3].value(), c[4].value())
	if err == nil {
		out.Status, out.TimeMS = journal.AccountExists, int64(be64(answer[0][1]))
		err = elements(answer[0][0], 1, 1, func(_ int, opened []byte) {
			if opened[0] == 1 {
				out.Status = journal.Opened
			}
		})
	}
	if err != nil {
		out.Status = failure(err)
	}
}

func (f *function) look(ctx context.Context, r *journal.Row, out *rows.Outcome) {
	f.read.reset(uuidOID)
	f.read.handle(r.Account)
	found, err := f.conn.call(ctx, "read", f.read.value())
	switch {
	case err != nil:
		out.Status = journal.ShardUnavailable
	case len(found) == 0:
		out.Status = journal.AccountNotFound
	default:
		out.Status, out.Record = journal.OK, accountRecord(found[0], r.Details)
	}
}
