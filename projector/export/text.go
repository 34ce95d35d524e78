package export

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"walletd/journal"
)

// Columns are those of every format, in order (docs/export.md).
var Columns = []string{"position", "leg", "time", "transfer", "key", "kind", "account", "part", "direction", "asset", "amount",
	"balance_after", "counterparty", "reference", "status"}

// textBytes is how much is collected before it is written.
const textBytes = 256 << 10

// text collects lines.
type text struct {
	to     io.Writer
	assets journal.Assets
	buf    []byte
}

func (t *text) line(b []byte) error {
	t.buf = append(b, '\n')
	if len(t.buf) < textBytes {
		return nil
	}
	return t.flush()
}

func (t *text) flush() error {
	_, err := t.to.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

func (t *text) finish(*Summary) error { return t.flush() }

// csvText is RFC 4180 with a header, and lines that end in \n.
type csvText struct{ text }

func newCSV(to io.Writer, assets journal.Assets) *csvText {
	return &csvText{text{to: to, assets: assets, buf: []byte(strings.Join(Columns, ",") + "\n")}}
}

func (t *csvText) write(l *leg) error {
	b := append(append(t.buf, l.event.position...), ',')
	b = append(strconv.AppendInt(b, int64(l.number), 10), ',')
	for _, field := range [...]string{l.event.time, l.id, l.event.key, l.kind, l.account, l.part, l.direction(), t.assets.Code(l.asset)} {
		b = append(appendField(b, field), ',')
	}
	b = append(strconv.AppendInt(b, int64(l.amount), 10), ',')
	if l.part != InFlight {
		b = strconv.AppendInt(b, int64(l.balance), 10)
	}
	b = append(appendField(append(b, ','), l.counterparty), ',')
	b = append(appendField(b, l.event.refer), ',')
	return t.line(append(b, l.event.status...))
}

func appendField(b []byte, field string) []byte {
	if !strings.ContainsAny(field, ",\"\r\n") && !strings.HasPrefix(field, " ") {
		return append(b, field...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(field, `"`, `""`)...)
	return append(b, '"')
}

// jsonLines is one object a line, its fields in the order of Columns. balance_after is null of a channel; texts may be "".
type jsonLines struct{ text }

func newJSONLines(to io.Writer, assets journal.Assets) *jsonLines {
	return &jsonLines{text{to: to, assets: assets}}
}

func (t *jsonLines) write(l *leg) error {
	b := append(append(t.buf, `{"position":"`...), l.event.position...)
	b = strconv.AppendInt(append(b, `","leg":`...), int64(l.number), 10)
	b = append(append(b, `,"time":"`...), l.event.time...)
	b = append(append(b, `","transfer":"`...), l.id...)
	b = appendString(append(b, `","key":`...), l.event.key)
	b = append(append(b, `,"kind":"`...), l.kind...)
	b = appendString(append(b, `","account":`...), l.account)
	b = append(append(b, `,"part":"`...), l.part...)
	b = append(append(b, `","direction":"`...), l.direction()...)
	b = appendString(append(b, `","asset":`...), t.assets.Code(l.asset))
	b = strconv.AppendInt(append(b, `,"amount":`...), int64(l.amount), 10)
	b = append(b, `,"balance_after":`...)
	if l.part == InFlight {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, int64(l.balance), 10)
	}
	b = appendString(append(b, `,"counterparty":`...), l.counterparty)
	b = appendString(append(b, `,"reference":`...), l.event.refer)
	b = append(append(b, `,"status":"`...), l.event.status...)
	return t.line(append(b, `"}`...))
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // of a string it never fails (encoding/json)
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
