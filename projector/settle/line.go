package settle

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"walletd/journal"
)

// NoDay is the day of what has none.
const NoDay = -1 << 31

// Directions, as the account sees them.
const (
	Undirected = uint8(iota)
	Debit
	Credit
)

// DirectionText is a direction's word.
func DirectionText(d uint8) string { return [...]string{"", "debit", "credit"}[d] }

// Record is what both sides have.
type Record struct {
	Key       string
	Amount    journal.Amount
	Asset     journal.Asset
	Direction uint8
	Day       int32 // since 1970, in the mapping's zone; NoDay
}

// Line is a row of the file.
type Line struct {
	Record
	Number int    // of its first line, from 1
	Column int    // of a malformed one: the field at fault, from 1
	Wrong  string // why it is malformed, "" if it is not
}

// line reads one row; what is wrong with it is said in it.
func (l *lineReader) line(fields [][]byte, number int) Line {
	x := Line{Record: Record{Day: NoDay, Asset: l.asset}, Number: number}
	for i, c := range l.m.columns() {
		if l.at[i] < 0 {
			continue
		}
		if l.at[i] >= len(fields) {
			x.Column, x.Wrong = l.at[i]+1, fmt.Sprintf("%s: the row has %d columns", c.name, len(fields))
			return x
		}
	}
	// An amount's exponent is its asset's: that one is read first.
	for _, i := range [...]int{atReference, atAsset, atAmount, atDate, atDirection} {
		if l.at[i] < 0 {
			continue
		}
		if err := l.read(i, &x, fields[l.at[i]]); err != nil {
			x.Column, x.Wrong = l.at[i]+1, l.m.columns()[i].name+": "+err.Error()
			return x
		}
	}
	return x
}

func (l *lineReader) read(part int, x *Line, text []byte) error {
	switch part {
	case atReference:
		return readKey(x, text)
	case atAsset:
		return l.readAsset(x, text)
	case atAmount:
		return l.readAmount(x, text)
	case atDate:
		return l.readDate(x, text)
	}
	return l.readDirection(x, text)
}

func readKey(x *Line, text []byte) error {
	if x.Key = string(bytes.TrimSpace(text)); x.Key == "" {
		return fmt.Errorf("it is empty")
	}
	return nil
}

func (l *lineReader) readAsset(x *Line, text []byte) error {
	code := bytes.TrimSpace(text)
	for i := range l.assets {
		if string(code) == l.assets[i].Code {
			x.Asset = journal.Asset(i)
			return nil
		}
	}
	return fmt.Errorf("%s is unknown to this wallet", show(text))
}

func (l *lineReader) readAmount(x *Line, text []byte) error {
	digits := bytes.TrimSpace(text)
	negative := false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		negative, digits = digits[0] == '-', digits[1:]
	}
	exponent := 0
	if l.m.Unit != "minor" {
		exponent = l.assets[x.Asset].Exponent
	}
	amount, err := l.amount(digits, exponent)
	if err != nil {
		return fmt.Errorf("%s: %w", show(text), err)
	}
	x.Amount = amount
	switch {
	case l.m.Negative == "" && negative:
		return fmt.Errorf("%s: it is negative; say what that means (negative: debit or credit)", show(text))
	case l.m.Negative != "" && negative == (l.m.Negative == "debit"):
		x.Direction = Debit
	case l.m.Negative != "":
		x.Direction = Credit
	}
	return nil
}

// amount reads digits with a decimal sign and groups of three; the exponent is the asset's.
func (l *lineReader) amount(text []byte, exponent int) (journal.Amount, error) {
	whole, fraction, point := bytes.Cut(text, []byte{l.decimal})
	var value uint64
	digits := 0
	take := func(c byte) error {
		if c < '0' || c > '9' {
			return fmt.Errorf("want digits, like %s", l.example(exponent))
		}
		digits++
		if value = value*10 + uint64(c-'0'); value > uint64(journal.AmountMax) {
			return fmt.Errorf("more than %d minor units", journal.AmountMax)
		}
		return nil
	}
	for i, c := range whole {
		if c == l.group && l.group != 0 && i > 0 && (len(whole)-i)%4 == 0 {
			continue
		}
		if err := take(c); err != nil {
			return 0, err
		}
	}
	switch {
	case l.group != 0 && bytes.IndexByte(whole, l.group) >= 0 && (bytes.IndexByte(whole, l.group) > 3 || digits != len(whole)-(len(whole)-1)/4):
		return 0, fmt.Errorf("the groups are not of three digits")
	case digits == 0 || point && len(fraction) == 0:
		return 0, fmt.Errorf("want digits, like %s", l.example(exponent))
	}
	for len(fraction) > exponent && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	if len(fraction) > exponent {
		return 0, fmt.Errorf("the asset has %d decimals", exponent)
	}
	for i := range exponent {
		c := byte('0')
		if i < len(fraction) {
			c = fraction[i]
		}
		if err := take(c); err != nil {
			return 0, err
		}
	}
	if value == 0 {
		return 0, fmt.Errorf("it is 0")
	}
	return journal.Amount(value), nil
}

func (l *lineReader) example(exponent int) string {
	if exponent == 0 {
		return "12"
	}
	return "12" + string(l.decimal) + strings.Repeat("5", exponent)
}

func (l *lineReader) readDirection(x *Line, text []byte) error {
	word := string(bytes.TrimSpace(text))
	for _, d := range l.m.Debit {
		if strings.EqualFold(d, word) {
			x.Direction = Debit
			return nil
		}
	}
	for _, c := range l.m.Credit {
		if strings.EqualFold(c, word) {
			x.Direction = Credit
			return nil
		}
	}
	return fmt.Errorf("%s is none of the texts for debit and credit", show(text))
}

func (l *lineReader) readDate(x *Line, text []byte) error {
	if string(text) == l.dateOf && l.dateOf != "" { // files come in order of days
		x.Day = l.dayOf
		return nil
	}
	t, err := l.time(string(bytes.TrimSpace(text)))
	if err != nil {
		return fmt.Errorf("%s: %w", show(text), err)
	}
	l.dateOf, l.dayOf = string(text), dayOf(t.In(l.zone))
	x.Day = l.dayOf
	return nil
}

func (l *lineReader) time(text string) (time.Time, error) {
	switch l.m.DateFormat {
	case "", "iso":
		for _, layout := range [...]string{time.DateOnly, time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
			if t, err := time.ParseInLocation(layout, text, l.zone); err == nil {
				return t, nil
			}
		}
		return time.Time{}, fmt.Errorf("want 2026-11-20 or 2026-11-20T08:00:00Z; another format is named by date_format")
	case "unix", "unix_ms":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > 1<<44 {
			return time.Time{}, fmt.Errorf("want a number of seconds or milliseconds since 1970")
		}
		if l.m.DateFormat == "unix" {
			n *= 1000
		}
		return time.UnixMilli(n), nil
	}
	t, err := time.ParseInLocation(l.layout, text, l.zone)
	if err != nil {
		return t, fmt.Errorf("want %s", l.m.DateFormat)
	}
	return t, nil
}

// layoutOf is Go's layout of a format in YYYY MM DD hh mm ss.
func layoutOf(format string) (string, error) {
	switch format {
	case "", "iso", "unix", "unix_ms":
		return "", nil
	}
	layout := strings.NewReplacer("YYYY", "2006", "YY", "06", "MM", "01", "DD", "02", "hh", "15", "mm", "04", "ss", "05").Replace(format)
	for _, part := range []string{"06", "01", "02"} {
		if !strings.Contains(layout, part) {
			return "", fmt.Errorf("date_format %q: want YYYY, MM and DD (and hh, mm, ss), or iso, unix, unix_ms", format)
		}
	}
	return layout, nil
}

// dayOf is the number of a time's calendar day since 1970.
func dayOf(t time.Time) int32 {
	return int32(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86_400)
}

// DayText is the day as a date, "" of NoDay.
func DayText(day int32) string {
	if day == NoDay {
		return ""
	}
	return time.Unix(int64(day)*86_400, 0).UTC().Format(time.DateOnly)
}

// shownMax bounds what is shown of a field.
const shownMax = 40

func show(text []byte) string {
	if len(text) > shownMax {
		return strconv.Quote(string(text[:shownMax])) + "…"
	}
	return strconv.Quote(string(text))
}
