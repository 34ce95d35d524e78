package relay

import (
	"errors"
	"time"

	"walletd/journal"
)

// lookEvery is how often a relay looks whether the journal takes its frames.
const lookEvery = 100 * time.Millisecond

// errSilent says that a request to the log has not come back.
var errSilent = errors.New("the journal does not answer")

// lookAtJournal says of each partition whether the journal takes its frames, when that has changed. A frame that is just
// being sent again is no reason: leaders move, replies get lost.
func (r *Relay) lookAtJournal(now time.Time) {
	short := r.short()
	for _, l := range r.lanes {
		patience := r.cfg.UnsureFor
		if l.refused {
			patience = r.cfg.RefusedFor
		}
		cause := short
		if cause == nil && l.flight.busy && now.Sub(l.since) >= patience {
			if cause = r.cause; cause == nil {
				cause = errSilent
			}
		}
		if (cause != nil) == l.away {
			continue
		}
		l.away = cause != nil
		r.cfg.OnJournal(l.partition, !l.away, cause)
	}
}

// short asks a log that knows beforehand when it will not take much more.
func (r *Relay) short() error {
	if s, ok := r.cfg.Log.(journal.Shortage); ok {
		return s.Short()
	}
	return nil
}
