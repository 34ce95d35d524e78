package keeper

import "walletd/journal"

// recent remembers the last legs that a partition's fold decided, before it is known which of them have been delivered.
// It implements journal.Effects.
type recent struct {
	partitions int
	legs       []destined // a ring of at most recentMax
	oldest     int
	from       uint64   // every leg behind this seq is there
	floors     []uint64 // by destination, of a fold that began at a snapshot: the same, where it is higher; nil: 0
}

type destined struct {
	dest int
	leg  leg
}

// recentMax bounds the legs remembered per partition, in all some 1 MiB.
const recentMax = 1 << 14

// Changed implements journal.Effects.
func (*recent) Changed(*journal.Event, journal.Change) {}

// Leg implements journal.Effects.
func (r *recent) Leg(e *journal.Event, l journal.Leg) { r.remember(e.Seq, l) }

func (r *recent) remember(seq uint64, l journal.Leg) {
	d := destined{dest: l.Payee.Partition(r.partitions), leg: packLeg(seq, l)}
	if len(r.legs) < recentMax {
		r.legs = append(r.legs, d)
		return
	}
	r.from = r.legs[r.oldest].leg.seq
	r.legs[r.oldest] = d
	r.oldest = (r.oldest + 1) % recentMax
}

// since is the seq behind which every leg for a destination is there.
func (r *recent) since(dest int) uint64 { return max(r.from, r.floor(dest)) }

func (r *recent) floor(dest int) uint64 {
	if dest < len(r.floors) {
		return r.floors[dest]
	}
	return 0
}

// each calls fn for the legs behind from, in order.
func (r *recent) each(fn func(dest int, l leg)) {
	for i := range r.legs {
		if d := &r.legs[(r.oldest+i)%len(r.legs)]; d.leg.seq > r.from {
			fn(d.dest, d.leg)
		}
	}
}

// points are places in a partition's log from which it can be read on: copies of its cursor, oldest first. A cursor
// cannot begin in the middle of a log without the epoch and the chain there.
type points struct {
	cursors []journal.Cursor
	stride  uint64 // seqs between two
}

const (
	pointsMax   = 256
	pointStride = 4096
)

// add keeps a copy of the cursor, if it is a stride behind the last. When there are too many, every second goes.
func (p *points) add(c journal.Cursor) {
	p.stride = max(p.stride, pointStride)
	if n := len(p.cursors); n > 0 && c.Seq < p.cursors[n-1].Seq+p.stride {
		return
	}
	if len(p.cursors) == pointsMax {
		for i := range pointsMax / 2 {
			p.cursors[i] = p.cursors[2*i+1]
		}
		p.cursors = p.cursors[:pointsMax/2]
		p.stride *= 2
	}
	p.cursors = append(p.cursors, c)
}

// before is the last place from which everything behind seq can be read.
func (p *points) before(partition int, seq uint64) journal.Cursor {
	for i := len(p.cursors) - 1; i >= 0; i-- {
		if p.cursors[i].Seq <= seq {
			return p.cursors[i]
		}
	}
	return journal.Cursor{Partition: partition}
}
