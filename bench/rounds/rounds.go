// Package rounds sums up what rounds of a measurement have shown: the median, and the range beside it, since machines are noisy.
package rounds

import (
	"fmt"
	"slices"
)

// Spread is a figure over the rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Of takes the median and the range; of an even number of figures, the upper of the middle two; of none, zeros.
func Of(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	return Spread{sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1]}
}

// Fixed is "median (min–max)" with so many digits behind the point.
func (s Spread) Fixed(digits int) string {
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}

// String is the same with four digits that count.
func (s Spread) String() string { return fmt.Sprintf("%.4g (%.4g–%.4g)", s.Median, s.Min, s.Max) }
