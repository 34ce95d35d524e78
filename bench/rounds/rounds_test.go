package rounds

import "testing"

func TestSpreads(t *testing.T) {
	figures := []float64{5, 1, 30, 2}
	s := Of(figures)
	if s != (Spread{5, 1, 30}) || figures[0] != 5 {
		t.Errorf("%+v of %v", s, figures)
	}
	if s := Of([]float64{3, 1, 2}); s != (Spread{2, 1, 3}) {
		t.Errorf("%+v", s)
	}
	if s := Of(nil); s != (Spread{}) {
		t.Errorf("of nothing: %+v", s)
	}
	if f, g := s.Fixed(2), (Spread{12345.6, 0.012345, 1e6}).String(); f != "5.00 (1.00–30.00)" || g != "1.235e+04 (0.01235–1e+06)" {
		t.Errorf("%s, %s", f, g)
	}
}
