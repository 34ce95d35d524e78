package goals

import "slices"

// Stat is a figure over the rounds.
type Stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// statOf takes the median and the range; of an even number of figures, the upper of the middle two.
func statOf(figures []float64) Stat {
	if len(figures) == 0 {
		return Stat{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	return Stat{sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1]}
}

// over divides round by round.
func over(figures, by []float64) []float64 {
	ratios := make([]float64, min(len(figures), len(by)))
	for i := range ratios {
		if by[i] > 0 {
			ratios[i] = figures[i] / by[i]
		}
	}
	return ratios
}
