package settle

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"walletd/journal"
)

// Mapping says what stands where in a file. Columns are named as the header names them, or are numbers from 1.
type Mapping struct {
	Reference string `koanf:"reference"` // the column whose text is the key
	Amount    string `koanf:"amount"`
	Asset     string `koanf:"asset"` // column; "" where AssetIs says it for all lines
	AssetIs   string `koanf:"asset_is"`
	Date      string `koanf:"date"`      // column; "": days are not compared
	Direction string `koanf:"direction"` // column; "": not compared, unless Negative says it

	DateFormat string   `koanf:"date_format"` // of YYYY MM DD hh mm ss, or iso (the default: a date or RFC 3339), unix, unix_ms
	Zone       string   `koanf:"zone"`        // of dates without one, and of the days that are compared; "": UTC
	Unit       string   `koanf:"unit"`        // of amounts: decimal (the default) or minor
	Decimal    string   `koanf:"decimal"`     // the decimal sign: "." (the default) or ","
	Group      string   `koanf:"group"`       // the sign between groups of three digits; "": there is none
	Debit      []string `koanf:"debit"`       // texts in the column direction: the account pays
	Credit     []string `koanf:"credit"`      // and is paid
	Negative   string   `koanf:"negative"`    // what a negative amount means: debit or credit; "": it is malformed

	Separator string `koanf:"separator"` // ",", ";", "tab", "|"; "": what the first line has most of
	Header    bool   `koanf:"header"`    // there is a header though all columns are numbers
	Skip      int    `koanf:"skip"`      // lines before the header, or before the first row
}

// columns are the mapping's, in order of their names here.
func (m *Mapping) columns() []namedColumn {
	return []namedColumn{{"reference", m.Reference}, {"amount", m.Amount}, {"asset", m.Asset}, {"date", m.Date}, {"direction", m.Direction}}
}

type namedColumn struct{ name, column string }

// Validate reports all that is wrong with a mapping.
func (m *Mapping) Validate() error {
	var errs []error
	miss := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	miss(m.Reference == "", "reference: name the column that the transfers are matched by")
	miss(m.Amount == "", "amount: name the column of the amount")
	miss(m.Asset == "" && m.AssetIs == "", "asset: name its column, or the asset of all lines (asset_is)")
	miss(m.Asset != "" && m.AssetIs != "", "asset and asset_is: one of them is enough")
	miss(!slices.Contains([]string{"", "decimal", "minor"}, m.Unit), "unit %q: want decimal or minor", m.Unit)
	miss(!slices.Contains([]string{"", ".", ","}, m.Decimal), "decimal %q: want . or ,", m.Decimal)
	miss(len(m.Group) > 1 || m.Group != "" && (strings.ContainsAny(m.Group, "0123456789-+") || m.Group == m.decimal()), "group %q: want one sign, another than the decimal one", m.Group)
	miss(!slices.Contains([]string{"", "debit", "credit"}, m.Negative), "negative %q: want debit or credit", m.Negative)
	miss(m.Direction != "" && len(m.Debit)+len(m.Credit) == 0, "direction: say which of its texts are debit, and which credit")
	miss(m.Direction == "" && len(m.Debit)+len(m.Credit) != 0, "debit and credit are texts of the column direction: name it")
	miss(m.Direction != "" && m.Negative != "", "direction and negative: one of them is enough")
	for _, d := range m.Debit {
		miss(slices.ContainsFunc(m.Credit, func(c string) bool { return strings.EqualFold(c, d) }), "%q is debit and credit", d)
	}
	miss(m.Skip < 0, "skip: want 0 or more")
	_, err := m.separator()
	miss(err != nil, "%w", err)
	_, err = layoutOf(m.DateFormat)
	miss(err != nil, "%w", err)
	_, err = time.LoadLocation(m.Zone)
	miss(err != nil, "zone %q: %w", m.Zone, err)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("mapping: %w", err)
	}
	return nil
}

func (m *Mapping) decimal() string {
	if m.Decimal == "" {
		return "."
	}
	return m.Decimal
}

// directed reports whether a line says which way its money goes.
func (m *Mapping) directed() bool { return m.Direction != "" || m.Negative != "" }

func (m *Mapping) separator() (byte, error) {
	switch m.Separator {
	case "":
		return 0, nil
	case "tab", `\t`:
		return '\t', nil
	case ",", ";", "|", "\t":
		return m.Separator[0], nil
	}
	return 0, fmt.Errorf("separator %q: want , ; | or tab", m.Separator)
}

// ErrNoColumn says that a file has no column of a name.
var ErrNoColumn = errors.New("no such column")

// place is where each of columns() stands, from 0; −1: nowhere.
type place [5]int

const (
	atReference = iota
	atAmount
	atAsset
	atDate
	atDirection
)

// bind finds the columns in the header, or takes their numbers. header tells whether the file's first row is one.
func (m *Mapping) bind(first [][]byte) (at place, header bool, err error) {
	header = m.Header
	for _, c := range m.columns() {
		if _, err := strconv.Atoi(c.column); c.column != "" && err != nil {
			header = true
		}
	}
	for i, c := range m.columns() {
		at[i] = -1
		if c.column == "" {
			continue
		}
		if n, err := strconv.Atoi(c.column); err == nil {
			if n < 1 || n > len(first) {
				return at, header, fmt.Errorf("%s: %w: number %d; the file's first row has %d", c.name, ErrNoColumn, n, len(first))
			}
			at[i] = n - 1
			continue
		}
		if at[i] = find(first, c.column); at[i] < 0 {
			return at, header, fmt.Errorf("%s: %w: %q; the file has %s", c.name, ErrNoColumn, c.column, quoted(first))
		}
	}
	return at, header, nil
}

// find is exact first, then without regard to case and outer spaces.
func find(header [][]byte, name string) int {
	if i := slices.IndexFunc(header, func(h []byte) bool { return string(h) == name }); i >= 0 {
		return i
	}
	return slices.IndexFunc(header, func(h []byte) bool { return strings.EqualFold(strings.TrimSpace(string(h)), strings.TrimSpace(name)) })
}

// headerShown bounds the names in a message.
const headerShown = 30

func quoted(header [][]byte) string {
	var names []string
	for _, h := range header[:min(len(header), headerShown)] {
		names = append(names, strconv.Quote(string(h)))
	}
	return strings.Join(names, ", ")
}

// lineReader makes lines of rows.
type lineReader struct {
	m       *Mapping
	assets  journal.Assets
	at      place
	zone    *time.Location
	layout  string
	asset   journal.Asset // of AssetIs
	dateOf  string        // the last date that was read
	dayOf   int32
	decimal byte
	group   byte
}

func (m *Mapping) reader(assets journal.Assets) (*lineReader, error) {
	l := &lineReader{m: m, assets: assets, decimal: m.decimal()[0]}
	if m.Group != "" {
		l.group = m.Group[0]
	}
	var err error
	if l.zone, err = time.LoadLocation(m.Zone); err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	if l.layout, err = layoutOf(m.DateFormat); err != nil {
		return nil, err
	}
	if m.AssetIs != "" {
		var ok bool
		if l.asset, ok = assets.Lookup(m.AssetIs); !ok {
			return nil, fmt.Errorf("mapping: asset_is: %q is unknown to this wallet", m.AssetIs)
		}
	}
	return l, nil
}
