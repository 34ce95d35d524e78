package wire

import (
	"strconv"
	"time"
	"unicode/utf8"

	"walletd/journal"
)

// The small change of replies: each writes before, the comma and name that stand before a value, and the value.

func appendText(dst []byte, before, s string) []byte {
	return AppendString(append(dst, before...), s)
}

func appendTextIf(dst []byte, before, s string) []byte {
	if s == "" {
		return dst
	}
	return appendText(dst, before, s)
}

func appendAmount(dst []byte, before string, a journal.Amount) []byte {
	return strconv.AppendInt(append(dst, before...), int64(a), 10)
}

func appendNumber(dst []byte, before string, n uint64) []byte {
	return strconv.AppendUint(append(dst, before...), n, 10)
}

func appendBool(dst []byte, before string, b bool) []byte {
	return strconv.AppendBool(append(dst, before...), b)
}

func appendTime(dst []byte, before string, ms int64) []byte {
	return AppendTime(append(dst, before...), ms)
}

func appendID(dst []byte, before, prefix string, id journal.ID) []byte {
	return append(id.AppendText(append(append(dst, before...), '"'), prefix), '"')
}

func appendIDIf(dst []byte, before, prefix string, id journal.ID) []byte {
	if id == (journal.ID{}) {
		return dst
	}
	return appendID(dst, before, prefix, id)
}

func appendPosition(dst []byte, before string, p journal.Position) []byte {
	return append(p.AppendText(append(append(dst, before...), '"')), '"')
}

// appendPositionIf leaves out a position without an epoch: epochs begin at 1.
func appendPositionIf(dst []byte, before string, p journal.Position) []byte {
	if p.Epoch == 0 {
		return dst
	}
	return appendPosition(dst, before, p)
}

// AppendTime writes milliseconds since 1970 as a quoted RFC 3339 time in UTC with milliseconds.
func AppendTime(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`)
}

const hexDigits = "0123456789abcdef"

// AppendString writes s as a JSON string; what is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	copied := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[copied:i]...), "\ufffd"...)
				copied = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[copied:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		copied = i
	}
	return append(append(dst, s[copied:]...), '"')
}
