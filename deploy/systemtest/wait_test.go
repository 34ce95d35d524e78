package systemtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"
)

// Deadlines, not durations: how long something may take before it is a failure.
const (
	upLimit      = 60 * time.Second // a process, until it serves
	stopLimit    = 30 * time.Second // a process, from Ctrl-C until it is gone
	stopSoon     = 4 * time.Second  // a healthy wallet, from Ctrl-C until it is gone
	recoverLimit = 90 * time.Second // everything, after a fault (P17)
	drainLimit   = 60 * time.Second // channels and reservations, once the load is over (P7)
	answerLimit  = 30 * time.Second // one request of the harness itself
)

// await asks until ok answers nil, and fails the test with its last answer after the limit.
func await(t testing.TB, limit time.Duration, what string, ok func() error) {
	t.Helper()
	if err := poll(limit, ok); err != nil {
		t.Fatalf("%s: not within %v: %v", what, limit, err)
	}
}

// poll asks until ok answers nil; after the limit it returns the last answer. An errFinal ends it at once.
func poll(limit time.Duration, ok func() error) error {
	deadline := time.Now().Add(limit)
	for {
		begin := time.Now()
		err := ok()
		var final errFinal
		if err == nil || errors.As(err, &final) || time.Now().After(deadline) {
			return err
		}
		// A question that costs something is asked less often.
		<-time.After(max(10*time.Millisecond, 2*time.Since(begin)))
	}
}

// after is a condition that holds a while later: for faults that come at some moment.
func after(d time.Duration) func() error {
	due := time.Now().Add(d)
	return func() error {
		if left := time.Until(due); left > 0 {
			return fmt.Errorf("%v left", left)
		}
		return nil
	}
}

// errFinal ends a poll: it will not get better.
type errFinal struct{ error }

// rounds counts at least n rounds of faults, and goes on until the soak time is over.
func rounds(t testing.TB, n int) iter.Seq[int] {
	begin := time.Now()
	return func(yield func(int) bool) {
		for i := 0; i < n || time.Since(begin) < soak; i++ {
			if t.Failed() || !yield(i) {
				return
			}
		}
	}
}

// within is a context for one request of the harness.
func within(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
	t.Cleanup(cancel)
	return ctx
}
