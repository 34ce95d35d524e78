package goals

import (
	"strings"
	"testing"
)

// Flat is what grows by no more than a tenth beside the floor of the same round, however dear the machine was meanwhile.
func TestFlatIsBesideTheFloor(t *testing.T) {
	first := &point{Variant: Variant{Value: "1"}, cost: []float64{10, 20, 30}, floors: []float64{1, 2, 3}}
	same := &point{Variant: Variant{Value: "2"}, cost: []float64{21, 42, 10.5}, floors: []float64{2, 4, 1}}   // 10.5 times
	grown := &point{Variant: Variant{Value: "3"}, cost: []float64{24, 48, 12}, floors: []float64{2, 4, 1}}    // 12 times
	cheaper := &point{Variant: Variant{Value: "4"}, cost: []float64{16, 32, 8}, floors: []float64{2, 4, 1.0}} // 8 times
	if a := axisOf("x", []*point{first, same, cheaper}); !a.Flat {
		t.Errorf("%+v is not flat", a)
	}
	a := axisOf("x", []*point{first, same, grown})
	if a.Flat || a.Lines[2].Change < 0.199 || a.Lines[2].Change > 0.201 || a.Lines[0].Change != 0 {
		t.Errorf("%+v", a)
	}
	var out strings.Builder
	if a.WriteTable(&out); !strings.Contains(out.String(), "NOT flat") || !strings.Contains(out.String(), "+20 %") {
		t.Errorf("%s", out.String())
	}
	a.Void, a.Reason = true, "money is not conserved"
	out.Reset()
	if a.WriteTable(&out); !strings.Contains(out.String(), "VOID: money is not conserved") {
		t.Errorf("%s", out.String())
	}
}
