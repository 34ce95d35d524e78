package luascripts

import (
	"encoding/binary"

	"walletd/journal"
)

// names is what a train's rows name, each thing once and by a number from 1 on, and columns of what their acts look at, one
// entry a row: Lua reads a column in one go, at a tenth of what it costs to look into every row. The head of a train
// (train.lua) is, in this order:
//
//	version u16, epoch u32 (of the admission); numbers, u16 each: sections, rows, accounts, keys, reservations, channels, details, legs
//	accounts × 12, keys × 16, reservations × 16, channels × 4, details: accounts u16
//	sections × (partition u16, epoch u32, rows u16)
//	columns of rows: op u8, verdict u8, account u16, to u16, key u16, amount u56, asset u16, at u32 (from 1 on, in its section),
//	  and where there are reservations: held u16, tomb u16
//	columns of legs: to u16, amount u56, spare u16
//
// What the columns hold, by op; the rest is 0, which is nothing:
//
//	         account  to          key   amount  asset  verdict  held         tomb
//	open     itself
//	alter    itself
//	read     itself                                    details
//	check    payee                      amount  asset
//	transfer payer    payee       id    amount  asset
//	pay      payer    payee here  id    amount  asset  verdict
//	reserve  payer    payee here  id    amount  asset  verdict  id
//	confirm           payee here  id    amount         verdict  reservation  reservation
//	cancel   payer                id                   by_key   id
//	expire                                                      id
//	deliver  channel  first leg   legs  from
//	look                          id                            id
//	evict                               cutoff
//
// A payee who is the payer has the payer's number, wherever he is. A row too short for its op has op 0, which no act answers.
type names struct {
	accounts, keys, reservations, channels table

	details []byte
	columns [columns][]byte
	to      []byte // of legs
	amount  []byte
	spare   []byte // the suspense account of its asset
}

// The columns of rows, in the order of the head.
const (
	colOp = iota
	colVerdict
	colAccount
	colTo
	colKey
	colAmount
	colAsset
	colAt
	colHeld
	colTomb
	columns
)

func (n *names) reset() {
	n.accounts.reset(len(journal.Handle{}))
	n.keys.reset(len(journal.ID{}))
	n.reservations.reset(len(journal.ID{}))
	n.channels.reset(2 + 2)
	for i := range n.columns {
		n.columns[i] = n.columns[i][:0]
	}
	n.details, n.to, n.amount, n.spare = n.details[:0], n.to[:0], n.amount[:0], n.spare[:0]
}

// cells are a row's entries in the columns.
type cells struct {
	op, verdict      byte
	account, to, key uint16
	amount, asset    []byte // u56, u16; nil = 0
	held, tomb       uint16
}

// leastSizes are those of packed rows, by op (journal.Row).
var leastSizes = [...]uint8{
	journal.OpOpen: 25, journal.OpAlter: 37, journal.OpRead: 16, journal.OpCheck: 24, journal.OpTransfer: 60, journal.OpPay: 60,
	journal.OpReserve: 64, journal.OpConfirm: 59, journal.OpCancel: 35, journal.OpExpire: 19, journal.OpDeliver: 21, journal.OpLook: 19,
	journal.OpBegin: 255, journal.OpTry: 255, journal.OpDecide: 255, journal.OpEvict: 10,
}

// add takes a packed row of the partition, which begins at an offset in its section.
func (n *names) add(partition int, row []byte, offset int) {
	var c cells
	if int(row[2]) < len(leastSizes) && len(row) >= int(leastSizes[row[2]]) {
		c.op = row[2]
	}
	switch op := journal.Op(c.op); op {
	case journal.OpTransfer, journal.OpPay, journal.OpReserve:
		n.move(&c, op, row)
	case journal.OpCheck:
		c.account, c.asset, c.amount = n.accounts.number(row[3:15]), row[15:17], row[17:24]
	case journal.OpDeliver:
		n.deliver(&c, partition, row)
	case journal.OpConfirm:
		c.verdict, c.key, c.held = row[journal.VerdictAt], n.keys.number(row[4:20]), n.reservations.number(row[20:36])
		c.tomb, c.amount = n.keys.number(row[20:36]), row[48:55]
		if c.verdict == journal.VerdictLocal {
			c.to = n.accounts.number(row[36:48])
		}
	case journal.OpCancel:
		c.verdict, c.key, c.held = row[3], n.keys.number(row[4:20]), n.reservations.number(row[4:20])
		if c.verdict == 1 {
			c.account = n.accounts.number(row[20:32])
		}
	case journal.OpExpire:
		c.held = n.reservations.number(row[3:19])
	case journal.OpLook:
		c.key, c.held = n.keys.number(row[3:19]), n.reservations.number(row[3:19])
	case journal.OpOpen, journal.OpAlter, journal.OpRead:
		c.account = n.accounts.number(row[3:15])
		if op == journal.OpRead {
			c.verdict = row[15]
		}
		if op == journal.OpAlter || c.verdict == 1 {
			n.details = binary.BigEndian.AppendUint16(n.details, c.account)
		}
	case journal.OpEvict:
		c.amount = row[3:10]
	}
	n.append(&c, offset)
}

// move is a transfer, pay or reserve.
func (n *names) move(c *cells, op journal.Op, row []byte) {
	c.verdict, c.key, c.account = row[journal.VerdictAt], n.keys.number(row[4:20]), n.accounts.number(row[20:32])
	c.amount, c.asset = row[44:51], row[51:53]
	switch {
	case op == journal.OpTransfer || c.verdict == journal.VerdictLocal:
		c.to = n.accounts.number(row[32:44])
	case string(row[20:32]) == string(row[32:44]):
		c.to = c.account
	}
	if op == journal.OpReserve {
		c.held = n.reservations.number(row[4:20])
	}
}

func (n *names) deliver(c *cells, partition int, row []byte) {
	legs := row[leastSizes[journal.OpDeliver]:]
	if len(legs)%journal.LegSize != 0 {
		c.op = 0
		return
	}
	channel := [4]byte{byte(partition >> 8), byte(partition), row[3], row[4]}
	c.account, c.amount = n.channels.number(channel[:]), row[5:12]
	c.to, c.key = uint16(len(n.to)/2+1), uint16(len(legs)/journal.LegSize)
	for ; len(legs) > 0; legs = legs[journal.LegSize:] {
		spare := journal.SuspenseHandle(partition, journal.Asset(binary.BigEndian.Uint16(legs[48:])))
		n.to = binary.BigEndian.AppendUint16(n.to, n.accounts.number(legs[29:41]))
		n.amount = append(n.amount, legs[41:48]...)
		n.spare = binary.BigEndian.AppendUint16(n.spare, n.accounts.number(spare[:]))
	}
}

var zeros [7]byte

func (n *names) append(c *cells, offset int) {
	if c.amount == nil {
		c.amount = zeros[:]
	}
	if c.asset == nil {
		c.asset = zeros[:2]
	}
	k := &n.columns
	k[colOp], k[colVerdict] = append(k[colOp], c.op), append(k[colVerdict], c.verdict)
	k[colAccount], k[colTo] = binary.BigEndian.AppendUint16(k[colAccount], c.account), binary.BigEndian.AppendUint16(k[colTo], c.to)
	k[colKey], k[colAmount] = binary.BigEndian.AppendUint16(k[colKey], c.key), append(k[colAmount], c.amount...)
	k[colAsset], k[colAt] = append(k[colAsset], c.asset...), binary.BigEndian.AppendUint32(k[colAt], uint32(offset+1))
	k[colHeld], k[colTomb] = binary.BigEndian.AppendUint16(k[colHeld], c.held), binary.BigEndian.AppendUint16(k[colTomb], c.tomb)
}

// head packs everything onto dst.
func (n *names) head(dst []byte, version byte, epoch uint32, sections []trainSection) []byte {
	dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, uint16(version)), epoch)
	for _, count := range [...]int{len(sections), len(n.columns[colOp]), n.accounts.count, n.keys.count, n.reservations.count,
		n.channels.count, len(n.details) / 2, len(n.to) / 2} {
		dst = binary.BigEndian.AppendUint16(dst, uint16(count))
	}
	dst = append(append(append(dst, n.accounts.names...), n.keys.names...), n.reservations.names...)
	dst = append(append(dst, n.channels.names...), n.details...)
	for i := range sections {
		s := &sections[i]
		dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, uint16(s.partition)), s.epoch)
		dst = binary.BigEndian.AppendUint16(dst, uint16(s.rows))
	}
	used := n.columns[:colHeld]
	if n.reservations.count > 0 {
		used = n.columns[:]
	}
	for _, column := range used {
		dst = append(dst, column...)
	}
	return append(append(append(dst, n.to...), n.amount...), n.spare...)
}
