package export

import (
	"math/big"
	"math/bits"
)

// Sum is a sum of amounts that cannot overflow: 2^74 of the largest. It is 0 as its zero value, and comparable.
type Sum struct {
	high int64
	low  uint64
}

// Add adds n.
func (s *Sum) Add(n int64) {
	low, carry := bits.Add64(s.low, uint64(n), 0)
	s.high, s.low = s.high+n>>63+int64(carry), low
}

func (s Sum) String() string {
	n := new(big.Int).Lsh(big.NewInt(s.high), 64)
	return n.Add(n, new(big.Int).SetUint64(s.low)).String()
}

// MarshalJSON writes an integer.
func (s Sum) MarshalJSON() ([]byte, error) { return []byte(s.String()), nil }
