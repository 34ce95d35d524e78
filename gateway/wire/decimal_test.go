package wire

import (
	"errors"
	"strings"
	"testing"

	"walletd/journal"
)

func TestParseDecimal(t *testing.T) {
	for _, c := range []struct {
		text     string
		exponent int
		want     journal.Amount // -1: not an amount
	}{
		{"12.50", 2, 1250}, {"12.5", 2, 1250}, {"12", 2, 1200}, {"0.01", 2, 1}, {"0", 2, 0}, {"0.00", 2, 0}, {"007.10", 2, 710},
		{"1250", 0, 1250}, {"1", 8, 100_000_000}, {"0.00000001", 8, 1}, {"21000000.00000000", 8, 2_100_000_000_000_000},
		{"90071992547409.91", 2, journal.AmountMax}, {"9007199254740991", 0, journal.AmountMax}, {"90071992.54740991", 8, journal.AmountMax},
		{"90071992547409.92", 2, -1}, {"9007199254740992", 0, -1}, {"9007199254740991", 2, -1}, {"18446744073709551617", 0, -1}, {strings.Repeat("9", 10_000), 0, -1},
		{"12.505", 2, -1}, {"12.500", 2, -1}, {"12.5", 0, -1}, {"12.0", 0, -1},
		{"", 2, -1}, {".", 2, -1}, {".5", 2, -1}, {"5.", 2, -1}, {"5.", 0, -1}, {"-5", 2, -1}, {"+5", 2, -1}, {"1,000.00", 2, -1}, {"1 000", 2, -1},
		{"1e3", 2, -1}, {"0x10", 2, -1}, {"1_000", 2, -1}, {"1.2.3", 3, -1}, {" 5", 2, -1}, {"5\n", 2, -1}, {"٥", 2, -1}, {"NaN", 2, -1}, {"1.-1", 2, -1},
	} {
		got, err := ParseDecimal(c.text, c.exponent)
		switch {
		case c.want < 0 && !errors.Is(err, ErrBadDecimal):
			t.Errorf("%.40q with %d decimals: %d, %v; want ErrBadDecimal", c.text, c.exponent, got, err)
		case c.want >= 0 && (err != nil || got != c.want):
			t.Errorf("%q with %d decimals: %d, %v; want %d", c.text, c.exponent, got, err, c.want)
		}
	}
}

func TestFormatDecimal(t *testing.T) {
	for _, c := range []struct {
		amount   journal.Amount
		exponent int
		want     string
	}{
		{1250, 2, "12.50"}, {5, 2, "0.05"}, {0, 2, "0.00"}, {100, 2, "1.00"}, {-5, 2, "-0.05"}, {-1250, 2, "-12.50"}, {1250, 0, "1250"}, {0, 0, "0"}, {-1, 0, "-1"},
		{1, 8, "0.00000001"}, {journal.AmountMax, 2, "90071992547409.91"}, {-journal.AmountMax, 8, "-90071992.54740991"},
	} {
		if got := FormatDecimal(c.amount, c.exponent); got != c.want {
			t.Errorf("%d with %d decimals: %s, want %s", c.amount, c.exponent, got, c.want)
		}
	}
}
