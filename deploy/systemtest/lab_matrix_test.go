package systemtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cell is a row of the fault matrix: how many runs met the fault, and how many of those failed.
type cell struct {
	Form     string `json:"form"`
	Kind     string `json:"fault"`
	Target   string `json:"target"`
	Runs     int    `json:"runs"`
	Failures int    `json:"failures"`
}

// formCount is how many runs a form had.
type formCount struct {
	Form     string   `json:"form"`
	Runs     int      `json:"runs"`
	Failures int      `json:"failures"`
	Seconds  float64  `json:"seconds"` // of all runs, one after the other
	Seeds    []uint64 `json:"failed_seeds,omitempty"`
}

// matrix counts faults. Runs of several forms add up in one file.
type matrix struct {
	path string

	mu    sync.Mutex
	Date  string      `json:"date"`
	Forms []formCount `json:"forms"`
	Cells []cell      `json:"cells"`
}

func newMatrix(path string) *matrix {
	m := &matrix{path: path}
	if b, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(b, m) // another's file is written anew
	}
	return m
}

// failuresMax ends the laboratory: what fails so often is known by then.
const failuresMax = 20

func (m *matrix) enough() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, f := range m.Forms {
		n += f.Failures
	}
	return n >= failuresMax
}

// note counts a run, and tells of one that failed how to repeat it.
func (m *matrix) note(t testing.TB, o outcomeOf) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.Forms, func(f formCount) bool { return f.Form == o.form })
	if i < 0 {
		i = len(m.Forms)
		m.Forms = append(m.Forms, formCount{Form: o.form})
	}
	failed := 0
	if o.failure != "" {
		failed = 1
		m.Forms[i].Seeds = append(m.Forms[i].Seeds, o.seed)
		t.Errorf("%v\n%s\nits data is %s; replay it with: make faults FORM=%s SEED=%d", o.schedule, o.failure, o.data, o.form, o.seed)
	} else {
		t.Logf("form %s, seed %d: %v, %d faults: well", o.form, o.seed, o.took.Round(time.Millisecond), len(o.faults))
	}
	m.Forms[i].Runs++
	m.Forms[i].Failures += failed
	m.Forms[i].Seconds += o.took.Seconds()
	met := map[fault]bool{}
	for _, f := range o.faults {
		f.target = strings.TrimRight(f.target, "-0123456789")
		if !met[f.fault] {
			met[f.fault] = true
			c := m.cell(o.form, f.fault)
			c.Runs++
			c.Failures += failed
		}
	}
}

func (m *matrix) cell(form string, f fault) *cell {
	for i := range m.Cells {
		if c := &m.Cells[i]; c.Form == form && c.Kind == f.kind && c.Target == f.target {
			return c
		}
	}
	m.Cells = append(m.Cells, cell{Form: form, Kind: f.kind, Target: f.target})
	return &m.Cells[len(m.Cells)-1]
}

// write writes the matrix as JSON, and as a table beside it.
func (m *matrix) write(t testing.TB) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.SortFunc(m.Cells, func(a, b cell) int {
		return strings.Compare(a.Target+a.Kind+a.Form, b.Target+b.Kind+b.Form)
	})
	if m.path == "" {
		return
	}
	m.Date = time.Now().UTC().Format("2006-01-02")
	b, err := json.MarshalIndent(m, "", "  ")
	err = errors.Join(err, os.WriteFile(m.path, append(b, '\n'), fs.FileMode(0o644)))
	if err = errors.Join(err, os.WriteFile(m.path+".md", []byte(m.markdown()), 0o644)); err != nil {
		t.Error(err)
	}
}

// markdown is the table: a row per fault and target, a column per form.
func (m *matrix) markdown() string {
	var b strings.Builder
	fmt.Fprint(&b, "| fault | target |")
	for _, f := range m.Forms {
		fmt.Fprintf(&b, " %s: runs (failed) |", f.Form)
	}
	fmt.Fprint(&b, "\n|---|---|", strings.Repeat("---|", len(m.Forms)), "\n")
	for i, c := range m.Cells {
		if i > 0 && m.Cells[i-1].Kind == c.Kind && m.Cells[i-1].Target == c.Target {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s |", c.Kind, c.Target)
		for _, f := range m.Forms {
			n := slices.IndexFunc(m.Cells, func(x cell) bool { return x.Form == f.Form && x.Kind == c.Kind && x.Target == c.Target })
			if n < 0 {
				fmt.Fprint(&b, " – |")
			} else {
				fmt.Fprintf(&b, " %d (%d) |", m.Cells[n].Runs, m.Cells[n].Failures)
			}
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprint(&b, "| **runs** | |")
	for _, f := range m.Forms {
		fmt.Fprintf(&b, " **%d (%d)** |", f.Runs, f.Failures)
	}
	return b.String() + "\n"
}
