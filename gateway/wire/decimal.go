package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"walletd/journal"
)

// ErrBadDecimal says that a text is no amount of its asset.
var ErrBadDecimal = errors.New("not an amount")

// ParseDecimal reads an amount as people write it, "12.50" with exponent 2 = 1250: digits, and at most exponent of them
// behind a point. The result is 0 … AmountMax; whether 0 will do is the caller's matter. Errors are ErrBadDecimal.
func ParseDecimal(text string, exponent int) (journal.Amount, error) {
	whole, fraction, point := strings.Cut(text, ".")
	switch {
	case whole == "" || (point && fraction == ""):
		return 0, fmt.Errorf("%w: %q: want digits, like 12 or 12.50", ErrBadDecimal, text)
	case len(fraction) > exponent && exponent == 0:
		return 0, fmt.Errorf("%w: %q: the asset has no decimals", ErrBadDecimal, text)
	case len(fraction) > exponent:
		return 0, fmt.Errorf("%w: %q: the asset has %d decimals", ErrBadDecimal, text, exponent)
	}
	value := uint64(0)
	for _, c := range []byte(whole + fraction + strings.Repeat("0", exponent-len(fraction))) {
		if !isDigit(c) {
			return 0, fmt.Errorf("%w: %q: want digits, like 12 or 12.50", ErrBadDecimal, text)
		}
		if value <= amountTop {
			value = value*10 + uint64(c-'0')
		}
	}
	if value > amountTop {
		return 0, fmt.Errorf("%w: %q: more than %s", ErrBadDecimal, text, FormatDecimal(journal.AmountMax, exponent))
	}
	return journal.Amount(value), nil
}

// FormatDecimal writes an amount as people read it: 1250 with exponent 2 = "12.50", −5 = "-0.05".
func FormatDecimal(a journal.Amount, exponent int) string {
	sign, value := "", uint64(a)
	if a < 0 {
		sign, value = "-", -uint64(a)
	}
	digits := strconv.FormatUint(value, 10)
	if exponent == 0 {
		return sign + digits
	}
	if missing := exponent + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - exponent
	return sign + digits[:point] + "." + digits[point:]
}
