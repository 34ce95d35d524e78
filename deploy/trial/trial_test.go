package trial

import (
	"strings"
	"testing"
)

func TestTrialsFailAlone(t *testing.T) {
	var order []string
	failure := Run(t, func(t testing.TB) {
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() { order = append(order, "last"); t.Fatal("in a cleanup") })
		t.Log("seen")
		t.Errorf("fault %d", 1)
		t.Fatalf("fault %d", 2)
		order = append(order, "behind the end")
	})
	if failure != "fault 1\nfault 2\nin a cleanup\nseen" {
		t.Errorf("it says %q", failure)
	}
	if got := strings.Join(order, " "); got != "last first" {
		t.Errorf("cleanups ran %q", got)
	}
	if failure := Run(t, func(t testing.TB) { t.Log("all is well") }); failure != "" {
		t.Errorf("a trial that went well says %q", failure)
	}
}
