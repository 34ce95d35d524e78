package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencyMax is the longest latency that is told apart; a call ends within the client's timeout, far below.
const latencyMax = 10 * time.Minute

// load is one load on a session's wallet, from its first message to its last answer.
type load struct {
	Load
	cfg    *Config
	round  int // makes its keys its own
	script *script
	ledger *ledger
	lanes  []*lane
	start  time.Time
	over   atomic.Bool           // no more messages are begun
	lost   atomic.Pointer[error] // a session has ended: no use going on

	unsent  int64                   // open loop: meant to leave before the end, and not sent
	backlog *hdrhistogram.Histogram // how long those had waited by then
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMax.Microseconds(), 3)
}

// size is the number of operations in a message.
func (l *load) size() int { return max(l.Batch, 1) }

// run sends messages until the time is over and all have ended.
func (l *load) run(ctx context.Context, stage string) error {
	l.start = time.Now()
	paced := make(chan struct{})
	go func() {
		defer close(paced)
		if l.Rate > 0 {
			l.pace(ctx)
		} else {
			l.fill()
		}
	}()
	err := l.wait(ctx, stage)
	l.over.Store(true)
	<-paced
	return errors.Join(err, l.drain(ctx))
}

// wait waits until the time is over and tells how far it is.
func (l *load) wait(ctx context.Context, stage string) error {
	for {
		at := time.Since(l.start)
		if lost := l.lost.Load(); lost != nil {
			return fmt.Errorf("%s: a session has ended: %w", stage, *lost)
		}
		if at >= l.Duration {
			return nil
		}
		l.cfg.Progress(stage, float64(at)/float64(l.Duration))
		if err := sleep(ctx, min(l.Duration-at, 200*time.Millisecond)); err != nil {
			return fmt.Errorf("%s: %w", stage, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drain waits until nothing is under way. Every call ends within the client's timeout, so this does, too.
func (l *load) drain(ctx context.Context) error {
	for _, n := range l.lanes {
		n.signal()
		for n.under.Load() > 0 {
			select {
			case <-n.ended:
			case <-ctx.Done():
				return fmt.Errorf("wait for the last outcomes: %w", context.Cause(ctx))
			}
		}
	}
	return nil
}

// fill begins the closed loop: every lane full. From then on an answer is followed by the next message.
func (l *load) fill() {
	for _, n := range l.lanes {
		for range l.InFlight {
			n.begin(time.Since(l.start))
		}
		n.client.Flush()
	}
}

// pace is the open loop: the i-th operation is meant to leave at i/rate, whatever the wallet does; the operations of a batch
// leave together, with its last. When every lane is full it leaves later, and its latency counts all the same from when it was
// meant to.
func (l *load) pace(ctx context.Context) {
	interval := float64(time.Second) / l.Rate * float64(l.size())
	sent, turn := int64(0), 0
	for !l.over.Load() && ctx.Err() == nil {
		due := int64(float64(time.Since(l.start))/interval) + 1
		for sent < due {
			n := l.lane(&turn)
			if n == nil {
				break
			}
			room := min(due-sent, n.room())
			if l.cfg.FrameMessages > 0 {
				room = min(room, int64(l.cfg.FrameMessages))
			}
			for range room {
				n.begin(time.Duration(float64(sent) * interval))
				sent++
			}
			n.client.Flush()
		}
		next := time.Duration(float64(sent) * interval)
		rest(min(max(next-time.Since(l.start), paceGrain), paceMax))
	}
	l.leftOver(sent, interval)
}

// A pause of the open loop. At high rates several transfers leave together, none later than the shortest pause: a wake-up
// costs more than a transfer does. The longest bounds how late the end of the run is noticed.
const (
	paceGrain = 500 * time.Microsecond
	paceMax   = 50 * time.Millisecond
)

// rest sleeps in the kernel: the runtime's timers are a millisecond coarse when the process is idle, as long as a whole
// transfer. A signal ends it early, which does no harm.
func rest(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil)
}

// lane is the next one with room, in turn; nil when all are full.
func (l *load) lane(turn *int) *lane {
	for range l.lanes {
		n := l.lanes[*turn%len(l.lanes)]
		*turn++
		if n.room() > 0 {
			return n
		}
	}
	return nil
}

// leftOver counts what should have left before the end: it has waited at least until then.
func (l *load) leftOver(sent int64, interval float64) {
	for ; ; sent++ {
		intended := time.Duration(float64(sent) * interval)
		if intended >= l.Duration {
			return
		}
		l.unsent += int64(l.size())
		recordTimes(l.backlog, l.Duration-intended, int64(l.size()))
	}
}

func recordTimes(h *hdrhistogram.Histogram, d time.Duration, times int64) {
	// Only a value out of range fails, and the bounds are ours.
	_ = h.RecordValues(min(max(d, time.Microsecond), latencyMax).Microseconds(), times)
}
