// Package trial runs a test's body as an experiment: that it fails is a result, not the end of the test. Fault
// laboratories count failing runs with it, and the tests of planted bugs ask for them.
//
//	failure := trial.Run(t, func(t testing.TB) { … })     "" when it went well, else everything that it said
//
// It refuses to hide what is no failure: a panic ends the test, and so does a goroutine that outlives the trial and panics.
package trial

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Run runs body to its end, with its cleanups, and returns what it complained of, then what it logged; "" when it has
// not failed.
func Run(t testing.TB, body func(t testing.TB)) string {
	r := &recorder{TB: t}
	ended := make(chan struct{})
	go func() { // Fatal ends the goroutine that calls it
		defer close(ended)
		defer r.clean()
		body(r)
	}()
	<-ended
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failed {
		return ""
	}
	return strings.Join(append(r.faults, r.logs...), "\n")
}

const linesMax = 2000 // of one trial

// recorder is the testing.TB of a trial: what fails in it fails nothing else.
type recorder struct {
	testing.TB // of the test around it: names, directories, its context

	mu           sync.Mutex // guards what follows
	failed       bool
	faults, logs []string
	cleanups     []func()
}

func (r *recorder) clean() {
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		last := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		done := make(chan struct{})
		go func() { // a cleanup may call Fatal, too
			defer close(done)
			last()
		}()
		<-done
	}
}

func (r *recorder) note(to *[]string, failed bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	if len(*to) < linesMax {
		*to = append(*to, text)
	}
}

// Cleanup implements testing.TB.
func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

// Failed implements testing.TB.
func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Fail implements testing.TB.
func (r *recorder) Fail() { r.note(&r.faults, true, "failed") }

// FailNow implements testing.TB.
func (r *recorder) FailNow() {
	r.note(&r.faults, true, "failed")
	runtime.Goexit()
}

// Error implements testing.TB.
func (r *recorder) Error(args ...any) {
	r.note(&r.faults, true, strings.TrimSpace(fmt.Sprintln(args...)))
}

// Errorf implements testing.TB.
func (r *recorder) Errorf(format string, args ...any) {
	r.note(&r.faults, true, fmt.Sprintf(format, args...))
}

// Fatal implements testing.TB.
func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

// Fatalf implements testing.TB.
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// Log implements testing.TB.
func (r *recorder) Log(args ...any) { r.note(&r.logs, false, strings.TrimSpace(fmt.Sprintln(args...))) }

// Logf implements testing.TB.
func (r *recorder) Logf(format string, args ...any) {
	r.note(&r.logs, false, fmt.Sprintf(format, args...))
}
