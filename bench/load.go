package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"walletd/gateway/client"
)

// A tag tells a completion which pair it is of and when it was meant to leave: microseconds since the start in the low bits.
const (
	tagBits = 64 - pairBits
	tagMask = 1<<tagBits - 1
)

// latencyMax is the longest latency that is told apart; a call ends within the client's timeout, far below.
const latencyMax = 10 * time.Minute

// load is one run of transfers.
type load struct {
	cfg   *Config
	w     *workload
	lanes []*lane
	start time.Time
	from  time.Duration // measured from … to, since start
	to    time.Duration
	over  atomic.Bool           // no more transfers are begun
	lost  atomic.Pointer[error] // a session has ended: no use going on

	unsent  int64                   // open loop: meant to leave before the end, and not sent
	backlog *hdrhistogram.Histogram // how long those had waited by then
}

// lane is one connection.
type lane struct {
	load   *load
	client *client.Client
	again  *poster       // closed loop: what follows a completion
	done   client.Done   // lane.complete
	under  atomic.Int64  // under way
	ended  chan struct{} // one token when nothing is under way any more and the run is over

	// Owned by complete; the client never lets its calls overlap. Read when the run has ended.
	latency   *hdrhistogram.Histogram // microseconds
	acked     []uint32                // by pair
	completed int64                   // acknowledged in the measured time
	refused   map[string]int64
	unknown   int64
	errors    int64
	first     []string // of each kind of trouble, the first
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMax.Microseconds(), 3)
}

func newLoad(cfg *Config, w *workload, clients []*client.Client) *load {
	l := &load{cfg: cfg, w: w, from: cfg.WarmUp, to: cfg.WarmUp + cfg.Duration, backlog: newHistogram()}
	for i, c := range clients {
		n := &lane{
			load: l, client: c, latency: newHistogram(), acked: make([]uint32, pairsCount),
			refused: map[string]int64{}, ended: make(chan struct{}, 1),
			again: newPoster(w, fmt.Sprintf("%s-r%d", cfg.Run, i), i*pairsCount/len(clients)),
		}
		n.done = n.complete
		l.lanes = append(l.lanes, n)
	}
	return l
}

// run sends transfers until the measured time is over and all have ended. measure is called at its beginning and its end.
func (l *load) run(ctx context.Context, measure func() error) error {
	l.start = time.Now()
	paced := make(chan struct{})
	go func() {
		defer close(paced)
		if l.cfg.Rate > 0 {
			l.pace(ctx)
		} else {
			l.fill()
		}
	}()
	err := l.wait(ctx, "warm up", 0, l.from)
	if err == nil {
		err = measure()
	}
	if err == nil {
		err = l.wait(ctx, "measure", l.from, l.to)
	}
	if err == nil {
		err = measure()
	}
	l.over.Store(true)
	<-paced
	return errors.Join(err, l.drain(ctx))
}

// wait waits until a time of the run and tells how far it is.
func (l *load) wait(ctx context.Context, stage string, from, to time.Duration) error {
	for {
		at := time.Since(l.start)
		if lost := l.lost.Load(); lost != nil {
			return fmt.Errorf("%s: a session has ended: %w", stage, *lost)
		}
		if at >= to {
			return nil
		}
		l.cfg.Progress(stage, float64(at-from)/float64(to-from))
		if err := sleep(ctx, min(to-at, 200*time.Millisecond)); err != nil {
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

// signal tells drain that nothing is under way.
func (n *lane) signal() {
	if n.under.Load() == 0 && n.load.over.Load() {
		select {
		case n.ended <- struct{}{}:
		default:
		}
	}
}

// fill begins the closed loop: every lane full. From then on a completion is followed by the next transfer.
func (l *load) fill() {
	for i, n := range l.lanes {
		p := newPoster(l.w, fmt.Sprintf("%s-f%d", l.cfg.Run, i), i*pairsCount/len(l.lanes))
		for range l.cfg.InFlight {
			n.post(p, time.Since(l.start))
		}
		n.client.Flush()
	}
}

// post sends the next transfer, which was meant to leave at a time of the run.
func (n *lane) post(p *poster, intended time.Duration) {
	command, which := p.next()
	n.under.Add(1)
	tag := uint64(which)<<tagBits | uint64(intended.Microseconds())&tagMask
	if err := n.client.Post(command, tag, n.done); err != nil {
		// The lane keeps within InFlight, so this is the end of the session.
		n.under.Add(-1)
		n.load.lost.CompareAndSwap(nil, &err)
		n.load.over.Store(true)
	}
}

// pace is the open loop: the i-th transfer is meant to leave at i/rate, whatever the wallet does. When every lane is
// full it leaves later, and its latency counts all the same from when it was meant to.
func (l *load) pace(ctx context.Context) {
	p := newPoster(l.w, l.cfg.Run+"-o", 0)
	interval := float64(time.Second) / l.cfg.Rate
	sent, turn := int64(0), 0
	for !l.over.Load() && ctx.Err() == nil {
		due := int64(float64(time.Since(l.start))/interval) + 1
		for sent < due {
			n := l.lane(&turn)
			if n == nil {
				break
			}
			room := min(due-sent, int64(l.cfg.InFlight)-n.under.Load())
			if l.cfg.FrameMessages > 0 {
				room = min(room, int64(l.cfg.FrameMessages))
			}
			for range room {
				n.post(p, time.Duration(float64(sent)*interval))
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
		if n.under.Load() < int64(l.cfg.InFlight) {
			return n
		}
	}
	return nil
}

// leftOver counts what should have left before the end: it has waited at least until then.
func (l *load) leftOver(sent int64, interval float64) {
	for ; ; sent++ {
		intended := time.Duration(float64(sent) * interval)
		if intended >= l.to {
			return
		}
		l.unsent++
		if intended >= l.from {
			record(l.backlog, l.to-intended)
		}
	}
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// Only a value out of range fails, and the bounds are ours.
	_ = h.RecordValue(min(max(d, time.Microsecond), latencyMax).Microseconds())
}

// complete hears how a transfer ended.
func (n *lane) complete(end *client.Completion) {
	l := n.load
	at := end.At.Sub(l.start)
	intended := time.Duration(end.Tag&tagMask) * time.Microsecond
	which := end.Tag >> tagBits
	payer := &l.w.accounts[l.w.pairs[which].from].handle
	switch {
	case end.Err != nil:
		n.failed(end.Err)
	case end.Result.Status != "confirmed":
		n.trouble(fmt.Sprintf("accepted with status %q", end.Result.Status))
	case end.Result.ID[0] != payer[0] || end.Result.ID[1] != payer[1] || end.Result.ID[2] != payer[2] || end.Result.ID[3] != payer[3]:
		n.trouble("reply names a transfer of another payer")
	default:
		n.acked[which]++
		if at >= l.from && at < l.to {
			n.completed++
		}
		if intended >= l.from && intended < l.to {
			record(n.latency, at-intended)
		}
	}
	n.under.Add(-1)
	if l.over.Load() {
		n.signal()
	} else if l.cfg.Rate == 0 {
		n.post(n.again, at)
	}
}

// failed counts what was not acknowledged.
func (n *lane) failed(err error) {
	if code := client.Code(err); code == "outcome_unknown" {
		n.unknown++
		n.note(err.Error())
	} else if code != "" {
		n.refused[code]++
	} else {
		n.trouble(err.Error())
	}
}

func (n *lane) trouble(what string) {
	n.errors++
	n.note(what)
}

// note keeps the first few.
func (n *lane) note(what string) {
	if len(n.first) < 3 {
		n.first = append(n.first, what)
	}
}
