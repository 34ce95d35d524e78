package relay

import (
	"errors"
	"sync/atomic"
	"testing"

	"walletd/journal"
)

// shortLog is a log that knows beforehand that it is running short.
type shortLog struct {
	journal.Log
	short atomic.Pointer[error]
}

func (l *shortLog) Short() error {
	if err := l.short.Load(); err != nil {
		return *err
	}
	return nil
}

// A log that runs short is told of before it refuses anything, of every partition and though nothing is under way; what
// happened meanwhile still becomes durable.
func TestAShortageIsToldBeforehand(t *testing.T) {
	l := &shortLog{Log: newMemLog(2)}
	k := mustKeeper(t, l, 1, 'a')
	k.run()
	k.work(0, 3)
	k.awaitAll()
	if states := k.journalStates(); len(states) != 0 {
		t.Errorf("told %v of a journal that is well", states)
	}
	full := errors.New("no space left")
	l.short.Store(&full)
	k.await("the shortage is told", func() bool { return len(k.journal) == 2 && !k.journal[0] && !k.journal[1] })
	k.work(0, 2)
	k.work(1, 2)
	k.awaitAll()
	l.short.Store(nil)
	k.await("that it is over is told", func() bool { return len(k.journal) == 4 && k.journal[2] && k.journal[3] })
	k.mustStop()
	k.checkAcked(l)
}
