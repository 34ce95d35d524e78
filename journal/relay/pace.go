package relay

import "time"

// pace decides how long a loaded relay collects before it sends (design section 7): a frame costs its broker 100–200 µs
// whatever is in it, so few and full ones are cheap, and waiting costs those who wait.
//
//   - An idle relay sends at once: nothing was collected while the last request flew.
//   - A few events are no load: those who sent them wait for us, and nobody else comes.
//   - Under load the wait doubles with every request, up to its bound; full frames end it early, and so does silence: in
//     a closed circle everybody may be waiting for us.
type pace struct {
	max    time.Duration // of wait
	target int           // bytes of a full frame
	wait   time.Duration

	// the wait under way
	until  time.Time
	looked int // bytes collected at the last look
}

const (
	paceFirst = 250 * time.Microsecond // first wait of a relay that gets loaded
	paceLoad  = 64                     // events collected during a request that are a load
	paceLooks = 4                      // looks in a wait, whether anything still comes
)

// collected is what waits to be sent.
type collected struct {
	lanes, events, bytes int
}

func (p *pace) full(c collected) bool { return c.bytes >= p.target*c.lanes }

// landed sets the wait after a request, by what was collected meanwhile.
func (p *pace) landed(c collected) {
	switch {
	case c.events == 0:
		p.wait = 0
	case c.events < paceLoad:
		p.wait /= 2
		if p.wait < paceFirst {
			p.wait = 0
		}
	case !p.full(c):
		p.wait = min(p.max, max(paceFirst, 2*p.wait))
	}
}

// begin starts a wait; 0 = send now.
func (p *pace) begin(now time.Time, c collected) time.Duration {
	if p.wait <= 0 || p.full(c) {
		return 0
	}
	p.until, p.looked = now.Add(p.wait), c.bytes
	return p.wait / paceLooks
}

// look tells how long to go on waiting; 0 = send now.
func (p *pace) look(now time.Time, c collected) time.Duration {
	if p.full(c) || c.bytes == p.looked || !now.Before(p.until) {
		return 0
	}
	p.looked = c.bytes
	return min(p.wait/paceLooks, p.until.Sub(now))
}
