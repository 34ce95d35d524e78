package systemtest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Names of the laboratory's environment variables (make faults).
const (
	runsVar     = "WALLETD_FAULTS_RUNS"
	faultsForm  = "WALLETD_FAULTS_FORM"
	seedOfVar   = "WALLETD_FAULTS_SEED"
	faultsOut   = "WALLETD_FAULTS_OUT"
	faultsStop  = "WALLETD_FAULTS_SECONDS"
	usualRuns   = 12 // of the in-process form, where nobody says
	keptDirName = "walletd-faults"
)

// TestFaultSchedules runs seeded schedules of faults, and after each one the oracle.
func TestFaultSchedules(t *testing.T) {
	formName := os.Getenv(faultsForm)
	if formName == "" {
		formName = "inprocess"
	}
	f := newForm(t, formName)
	runs, err := uintOr(runsVar, usualRuns)
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := uintOr(faultsStop, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	first := uint64(1)
	if os.Getenv(seedOfVar) != "" {
		runs = 1
	}
	if first, err = uintOr(seedOfVar, first); err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp(os.Getenv("WALLETD_FAULTS_DIR"), keptDirName+"-")
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Duration(seconds) * time.Second)
	m := newMatrix(os.Getenv(faultsOut))
	seeds := make(chan uint64)
	var slots sync.WaitGroup
	for n := range f.slots {
		slots.Go(func() {
			for seed := range seeds {
				m.note(t, oneRun(t, f, formName, seed, n, root))
				m.write(t) // whatever becomes of the next run
			}
		})
	}
	for seed := first; seed < first+runs && time.Now().Before(deadline) && !m.enough(); seed++ {
		seeds <- seed
	}
	close(seeds)
	slots.Wait()
	_ = os.Remove(root) // it stays where a failed run has left its data
}

// oneRun makes the run of a seed; what failed keeps its data.
func oneRun(t *testing.T, f *form, name string, seed uint64, slot int, root string) outcomeOf {
	keep := filepath.Join(root, fmt.Sprintf("%s-%d", name, seed))
	o := runSchedule(t, f, newSchedule(name, seed, f.can(), f.timing), slot, keep)
	if o.failure == "" {
		_ = os.RemoveAll(keep)
	}
	return o
}

func newForm(t *testing.T, name string) *form {
	switch name {
	case "inprocess":
		return newInprocess(t, 6, false)
	case "kafka":
		return newInprocess(t, 2, true)
	case "dev":
		return newDevForm()
	case "cluster":
		return newClusterForm(t)
	}
	t.Fatalf("%s=%s: want inprocess, kafka, dev or cluster", faultsForm, name)
	return nil
}
