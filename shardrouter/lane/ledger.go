package lane

import "sync/atomic"

// ledger counts a lane's rows on their way, so that what is held is bounded and a drain knows when all is answered.
type ledger struct {
	open *open
	max  int64         // held rows
	wake chan struct{} // told when there is room again

	held atomic.Int64
}

// full reports whether so much is held that no further train may leave.
func (l *ledger) full() bool { return l.held.Load() >= l.max }

func (l *ledger) hold(n int) { l.held.Add(int64(n)) }

// release counts held rows that have been answered.
func (l *ledger) release(n int) {
	after := l.held.Add(-int64(n))
	if after < l.max && after+int64(n) >= l.max {
		signal(l.wake)
	}
	l.open.done(n)
}

// open counts rows that have been taken and not been answered.
type open struct {
	rows atomic.Int64
	none chan struct{} // told whenever it falls to zero
}

func (o *open) done(n int) {
	if o.rows.Add(-int64(n)) == 0 {
		signal(o.none)
	}
}

// signal wakes whoever waits on c, a channel with room for one; it never blocks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
