package models

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Bounds of one search. The largest model needs a tenth of each.
const (
	memoryMB = 4096
	depth    = 1_000_000
	timeout  = 5 * time.Minute // bounds a hang; the largest takes some seconds
)

// model is a file, and what must break it.
type model struct {
	file      string
	twins     []string // definitions that leave a rule out
	witnesses []string // definitions that deny a good end
	longer    []string // definitions of a larger search, when there is time for it
}

var all = []model{
	{file: "output_commit.pml", witnesses: []string{"WITNESS"}, longer: []string{"CRASHES=6"},
		twins: []string{"WITHOUT_RULE ONLY=1", "WITHOUT_RULE ONLY=2", "WITHOUT_RULE ONLY=3"}},
	{file: "channel.pml", witnesses: []string{"WITNESS"}, longer: []string{"CRASHES=2"},
		twins: []string{"WITHOUT_COMPARE", "UNDURABLE", "SETTLED_EARLY", "FORGETFUL"}},
	{file: "several_payers.pml", witnesses: []string{"WITNESS=1", "WITNESS=2"}, longer: []string{"ARRIVALS=3"},
		twins: []string{"WITHOUT_TOMBSTONE", "LAST_WINS", "CONFIRM_EARLY", "WITHOUT_RESOLUTION", "SELF_CANCEL", "FUNDS_IN_CONFIRM", "CREDIT_IN_TRY"}},
	{file: "fencing.pml", witnesses: []string{"WITNESS=1", "WITNESS=2"}, longer: []string{"LEN=6"},
		twins: []string{"WITHOUT_RULE_1", "WITHOUT_EPOCH", "WITHOUT_SEQ", "LAST_STARTED", "WITHOUT_RULE_3", "UNKNOWN_IS_DONE"}},
	{file: "lease.pml", witnesses: []string{"WITNESS=1", "WITNESS=2"}, longer: []string{"L=4 END=16"},
		twins: []string{"WITHOUT_WAIT", "WITHOUT_PROOF", "TIME_AFTER_PROOF", "LEASE_FROM_SET", "WAIT_FROM_SEND", "WITHOUT_CHECK"}},
}

// TestModels explores every model whole, and finds the fault in every twin.
func TestModels(t *testing.T) {
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: run deploy/local/install.sh all (%v)", tool, err)
		}
	}
	for _, m := range all {
		t.Run(strings.TrimSuffix(m.file, ".pml"), func(t *testing.T) {
			t.Parallel()
			holds(t, m.file, "")
			if os.Getenv("WALLETD_SOAK_SECONDS") != "" {
				for _, defs := range m.longer {
					holds(t, m.file, defs)
				}
			}
			for _, defs := range slices.Concat(m.twins, m.witnesses) {
				breaks(t, m.file, defs)
			}
		})
	}
}

// TestEveryModelIsExplored: a model that nobody runs proves nothing.
func TestEveryModelIsExplored(t *testing.T) {
	files, err := filepath.Glob("*.pml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(m model) bool { return m.file == file })
		if i < 0 {
			t.Errorf("%s is not among the models of this test", file)
			continue
		}
		for _, define := range regexp.MustCompile(`#if(?:n?def) ([A-Z_0-9]+)`).FindAllStringSubmatch(string(text), -1) {
			known := slices.ContainsFunc(slices.Concat(all[i].twins, all[i].witnesses, all[i].longer), func(defs string) bool {
				return slices.ContainsFunc(strings.Fields(defs), func(d string) bool { d, _, _ = strings.Cut(d, "="); return d == define[1] })
			})
			if !known {
				t.Errorf("%s: nobody tries %s", file, define[1])
			}
		}
	}
}

// TestSearchThatDoesNotEndFails shows that a bound that is met is seen.
func TestSearchThatDoesNotEndFails(t *testing.T) {
	out := search(t, "channel.pml", "", 50, "-O0")
	if err := out.whole(); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("a search of 50 steps is whole: %v", err)
	}
}

// holds: every state is explored, and none is wrong.
func holds(t *testing.T, file, defs string) {
	t.Helper()
	out := search(t, file, defs, depth, "-O2")
	if err := out.whole(); err != nil {
		t.Errorf("%s %s: %v\n%s", file, defs, err, out.text)
		return
	}
	if out.errors != 0 || out.states < 100 {
		t.Errorf("%s %s: %d errors in %d states\n%s", file, defs, out.errors, out.states, out.text)
		return
	}
	t.Logf("%s %s: holds in all of %d states (%v)", file, defs, out.states, out.took)
}

// breaks: an assertion is violated. Anything else that stops a search is a fault of the model.
func breaks(t *testing.T, file, defs string) {
	t.Helper()
	out := search(t, file, defs, depth, "-O0") // it ends soon: building takes longer than searching
	if out.errors == 0 || !strings.Contains(out.text, "assertion violated") || strings.Contains(out.text, "invalid array index") {
		t.Errorf("%s %s: nothing breaks\n%s", file, defs, out.text)
		return
	}
	t.Logf("%s %s: breaks, %s", file, defs, violated.FindString(out.text))
}

// outcome is what a search printed.
type outcome struct {
	text   string
	errors int
	states int64
	took   time.Duration
}

var (
	errorsLine = regexp.MustCompile(`errors: (\d+)`)
	violated   = regexp.MustCompile(`assertion violated.*`)
	statesLine = regexp.MustCompile(`(?m)^\s*(\d+) states, stored`)
)

// whole reports why a search has not seen every state, nil when it has.
func (o outcome) whole() error {
	switch {
	case strings.Contains(o.text, "max search depth too small"):
		return errors.New("the search depth is too small")
	case strings.Contains(o.text, "Search not completed"), strings.Contains(o.text, "out of memory"), strings.Contains(o.text, "reached -DMEMLIM"):
		return errors.New("the search was not completed")
	case !statesLine.MatchString(o.text) || !errorsLine.MatchString(o.text):
		return errors.New("the search said nothing")
	}
	return nil
}

// search builds the explorer of a model and runs it, in a directory of its own.
func search(t *testing.T, file, defs string, depth int, optimise string) (o outcome) {
	t.Helper()
	source, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(source); err != nil { // so that the test cache notices when it changes
		t.Fatal(err)
	}
	dir := t.TempDir()
	spin := []string{"-a"}
	for _, d := range strings.Fields(defs) {
		spin = append(spin, "-D"+d)
	}
	must(t, dir, "spin", append(spin, source)...)
	must(t, dir, "gcc", optimise, "-w", "-DSAFETY", fmt.Sprintf("-DMEMLIM=%d", memoryMB), "-o", "pan", "pan.c")
	began := time.Now()
	o.text = run(t, dir, "./pan", fmt.Sprintf("-m%d", depth))
	o.took = time.Since(began).Round(10 * time.Millisecond)
	if m := errorsLine.FindStringSubmatch(o.text); m != nil {
		o.errors, _ = strconv.Atoi(m[1])
	}
	if m := statesLine.FindStringSubmatch(o.text); m != nil {
		o.states, _ = strconv.ParseInt(m[1], 10, 64)
	}
	return o
}

func must(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	if out := run(t, dir, name, args...); strings.Contains(out, "Error") || strings.Contains(out, "error:") {
		t.Fatalf("%s %q: %s", name, args, out)
	}
}

// run answers what a command printed. One that finds errors in a model exits with 0, as does one that does not.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %q did not end within %v", name, args, timeout)
	}
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && name == "./pan") {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
