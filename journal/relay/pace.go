package relay

import "time"

const (
	frameTarget = 64 << 10             // a frame costs its broker the same whatever is in it (design section 7)
	frameSmall  = 4 << 10              // below this, waiting gains nothing
	waitMax     = 3 * time.Millisecond // and never when idle
)

// pace decides how long the next append waits for fuller frames: not at all when the relay was idle, and then the longer
// the more the last append carried, up to 3 ms.
type pace struct {
	last int // bytes of the last append; 0 after an idle moment
}

func (p *pace) idle()          { p.last = 0 }
func (p *pace) sent(bytes int) { p.last = bytes }

func (p *pace) wait() time.Duration {
	if p.last < frameSmall {
		return 0
	}
	return min(waitMax, waitMax*time.Duration(p.last)/frameTarget)
}
