package bench

import (
	"strconv"

	"walletd/gateway/client"
)

// composer puts commands together from prepared pieces, without an allocation. It needs its lane's lock.
type composer struct {
	s      *script
	amount int64
	poor   int64  // more than there is
	head   []byte // {"key":"<run>-
	tail   []byte // from behind the amount to the end of the object
	buf    []byte
}

func newComposer(cfg *Config, s *script, prefix string) *composer {
	c := &composer{s: s, amount: int64(cfg.Amount), poor: int64(cfg.Prefund)*int64(cfg.Accounts) + 1, buf: make([]byte, 0, 512)}
	c.head = append(append([]byte(`{"key":"`), prefix...), '-')
	whole := client.AppendTransfer(nil, &client.Transfer{Asset: cfg.Asset})
	head := client.AppendTransfer(nil, &client.Transfer{})
	// Both begin the same up to the asset's text; the tail begins at the comma before it.
	c.tail = whole[len(head)-len(`,"asset":""}`):]
	return c
}

// transfer is one object of a transfer or a reservation.
func (c *composer) transfer(b []byte, number uint64, from, to uint32, amount int64) []byte {
	b = strconv.AppendUint(append(b, c.head...), number, 10)
	b = append(append(b, `","from":"`...), c.s.name(from)...)
	b = append(append(b, `","to":"`...), c.s.name(to)...)
	b = strconv.AppendInt(append(b, `","amount":`...), amount, 10)
	return append(b, c.tail...)
}

func (c *composer) one(number uint64, from, to uint32, amount int64) []byte {
	c.buf = c.transfer(append(c.buf[:0], `"transfer":`...), number, from, to, amount)
	return c.buf
}

func (c *composer) reserve(number uint64, o op) []byte {
	c.buf = c.transfer(append(c.buf[:0], `"reserve":`...), number, o.from, o.to, c.amount)
	return c.buf
}

func (c *composer) confirm(reservation []byte) []byte {
	b := append(append(c.buf[:0], `"confirm":{"reservation":"`...), reservation...)
	c.buf = append(b, `","key":"c"}`...)
	return c.buf
}

func (c *composer) balance(account uint32) []byte {
	b := append(append(c.buf[:0], `"balance":{"account":"`...), c.s.name(account)...)
	c.buf = append(b, `"}`...)
	return c.buf
}

// effective is what the i-th operation of a message comes to: as long as nothing has been acknowledged that could be repeated,
// a repeat is the transfer before it.
func (c *composer) effective(m *slot, i int) op {
	at := (m.at + i) % len(c.s.ops)
	o := c.s.ops[at]
	if o.kind != kindRepeat {
		return o
	}
	if m.repeat.number > 0 {
		return op{m.repeat.op.from, m.repeat.op.to, kindRepeat}
	}
	o = c.s.ops[(at+len(c.s.ops)-1)%len(c.s.ops)]
	o.kind = kindTransfer
	return o
}

// terms are the key's number and the amount of the i-th operation of a message.
func (c *composer) terms(o op, m *slot, i int) (number uint64, amount int64) {
	number = m.number + uint64(i)
	switch o.kind {
	case kindPoor:
		return number, c.poor
	case kindRepeat:
		return m.repeat.number, c.amount
	case kindAmalgamate:
		return number, m.amount
	}
	return number, c.amount
}

// batch is one message of n transfers.
func (c *composer) batch(m *slot, n int) []byte {
	b := append(c.buf[:0], `"batch":{"transfers":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		o := c.effective(m, i)
		number, amount := c.terms(o, m, i)
		b = c.transfer(b, number, o.from, o.to, amount)
	}
	c.buf = append(b, `]}`...)
	return c.buf
}
