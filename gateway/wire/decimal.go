package wire

import "walletd/journal"

// ParseDecimal reads an amount as people write it, "12.50" with exponent 2 = 1250: digits, and at most exponent of them
// behind a point. The result is 0 … AmountMax; whether 0 will do is the caller's matter.
func ParseDecimal(text string, exponent int) (journal.Amount, error) { panic("to come") }

// FormatDecimal writes an amount as people read it: 1250 with exponent 2 = "12.50".
func FormatDecimal(a journal.Amount, exponent int) string { panic("to come") }
