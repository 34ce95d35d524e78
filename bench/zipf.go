package bench

import (
	"math"
	"math/rand/v2"
)

// zipfExponent is YCSB's: the n-th most busy account is drawn 1/n^0.99 as often as the first.
const zipfExponent = 0.99

// zipf draws ranks from 0 by rejection-inversion (W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from
// monotone discrete distributions", 1996), which works for exponents below 1, too, and needs no table: math/rand's
// generator wants more than 1. The exponent must not be 1.
type zipf struct {
	r            *rand.Rand
	n            float64
	s            float64
	hx1, hn, cut float64
}

func newZipf(r *rand.Rand, s float64, n int) *zipf {
	z := &zipf{r: r, n: float64(n), s: s}
	z.hx1 = z.integral(1.5) - 1
	z.hn = z.integral(z.n + 0.5)
	z.cut = 2 - z.inverse(z.integral(2.5)-z.density(2))
	return z
}

// density is x^-s, integral its antiderivative, inverse the inverse of that.
func (z *zipf) density(x float64) float64  { return math.Pow(x, -z.s) }
func (z *zipf) integral(x float64) float64 { return (math.Pow(x, 1-z.s) - 1) / (1 - z.s) }
func (z *zipf) inverse(y float64) float64 {
	return math.Pow(max(1+y*(1-z.s), 0), 1/(1-z.s))
}

// draw is a rank: 0 the most frequent, n-1 the least.
func (z *zipf) draw() int {
	for {
		u := z.hn + z.r.Float64()*(z.hx1-z.hn)
		x := z.inverse(u)
		k := min(max(math.Floor(x+0.5), 1), z.n)
		if k-x <= z.cut || u >= z.integral(k+0.5)-z.density(k) {
			return int(k) - 1
		}
	}
}
