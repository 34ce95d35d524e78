package systemtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"walletd/journal"
)

// fault is one kind of fault of one target: a row of the fault matrix.
type fault struct{ kind, target string }

func (f fault) String() string { return f.kind + " " + f.target }

// planned is a fault that a schedule inflicts: from a moment after the load has begun, for a time.
type planned struct {
	fault
	at, lasts time.Duration
}

func (p planned) String() string {
	return fmt.Sprintf("%6v %s for %v", p.at.Round(time.Millisecond), p.fault, p.lasts.Round(time.Millisecond))
}

// schedule is a run: what is done to a wallet by its clients, and by fate. It follows from form and seed.
type schedule struct {
	form   string
	seed   uint64
	mix    string
	funds  journal.Amount // of each account
	length time.Duration  // of the load
	window time.Duration  // key window; 0: as usual, so that no key goes
	faults []planned
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "form %s, seed %d: %v of %s, accounts of %d", s.form, s.seed, s.length.Round(time.Millisecond), s.mix, s.funds)
	if s.window > 0 {
		fmt.Fprintf(&b, ", keys go after %v", s.window)
	}
	for _, f := range s.faults {
		fmt.Fprintf(&b, "\n    %v", f)
	}
	return b.String()
}

// What accounts have in the beginning: more digits than a Lua number keeps when it is written carelessly, or so little that
// it soon does not suffice.
const (
	labFunds = 100_000_000_000_007
	labPoor  = 300
)

// mixes are what the load of a schedule may consist of.
var mixes = map[string]mix{
	"everything":   {45, 8, 8, 8, 16, 4, 4, 4},
	"transfers":    {80, 2, 10, 6, 2, 0, 0, 0},
	"reservations": {10, 2, 2, 6, 70, 2, 8, 0},
	"repeats":      {40, 5, 5, 45, 5, 0, 0, 0},
	"changes":      {30, 5, 5, 5, 5, 30, 5, 15},
}

var mixNames = []string{"everything", "transfers", "reservations", "repeats", "changes"}

// timing says how long a form's loads and faults are.
type timing struct {
	length, lasts time.Duration // about; a fault may last between a moment and this
	faultsMax     int
	window        time.Duration // that keys have in a third of the schedules
}

// newSchedule makes the schedule of a seed out of the faults that a form can inflict.
func newSchedule(form string, seed uint64, can []fault, t timing) schedule {
	chance := rand.New(rand.NewPCG(seed, uint64(len(form))))
	s := schedule{form: form, seed: seed, mix: mixNames[chance.IntN(len(mixNames))], length: t.length/2 + rand64(chance, t.length)}
	if s.funds = labFunds; chance.IntN(3) == 0 {
		s.funds = labPoor
	}
	if chance.IntN(3) == 0 { // most keys go while they are asked for again
		s.window = t.window
		s.length += 2 * t.window
	}
	begin, within := time.Duration(0), s.length*4/5
	if chance.IntN(3) == 0 { // a storm: everything within a moment
		begin, within = within/2, within/10
	}
	if deposed := only(can, func(f fault) bool { return f.kind == kindDeposed }); len(deposed) > 0 && chance.IntN(8) == 0 {
		s.plan(chance, deposed, t, begin+rand64(chance, within)/2)
		for range chance.IntN(3) { // little else, so that two shards believe to serve
			s.plan(chance, can, t, begin+rand64(chance, within))
		}
		s.sort()
		return s
	}
	moving := chance.IntN(3) == 0
	if !moving || chance.IntN(4) > 0 { // else partitions move, and nothing else happens
		for range 1 + chance.IntN(t.faultsMax) {
			s.plan(chance, can, t, begin+rand64(chance, within))
		}
	}
	if moving {
		s.planMoves(chance, can, t, begin, within)
	}
	s.sort()
	return s
}

func (s *schedule) sort() {
	slices.SortStableFunc(s.faults, func(a, b planned) int { return int(a.at - b.at) })
}

// only are those of the faults that are as wanted.
func only(can []fault, wanted func(fault) bool) (some []fault) {
	for _, f := range can {
		if wanted(f) {
			some = append(some, f)
		}
	}
	return some
}

// plan adds a fault.
func (s *schedule) plan(chance *rand.Rand, can []fault, t timing, at time.Duration) {
	f := planned{fault: can[chance.IntN(len(can))], at: at, lasts: rand64(chance, t.lasts)}
	switch {
	case f.kind == kindDeposed: // it has to be missed before anybody takes its place
		f.lasts += t.lasts * 3 / 2
	case chance.IntN(2) == 0:
		f.lasts /= 8 // half of them are hardly noticed
	}
	if !s.excludes(f.fault) {
		s.faults = append(s.faults, f)
	}
}

// planMoves adds moves of partitions; to half of them somebody who takes part in moves suffers something soon after the beginning.
func (s *schedule) planMoves(chance *rand.Rand, can []fault, t timing, begin, within time.Duration) {
	moves := only(can, fault.moves)
	parties := only(can, func(f fault) bool {
		return !f.moves() && (strings.Contains(f.target, "keeper") || strings.Contains(f.target, "redis") || strings.Contains(f.target, "walletd"))
	})
	for range 1 + chance.IntN(3) {
		at := begin + rand64(chance, within)
		s.plan(chance, moves, t, at)
		if chance.IntN(2) == 0 {
			s.plan(chance, parties, t, at+rand64(chance, t.lasts/4))
		}
	}
}

func rand64(chance *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(chance.Int64N(int64(below)))
}

// excludes: a Redis that is full and told to evict loses what it must not: two faults of the same hand, not promised.
func (s *schedule) excludes(f fault) bool {
	memory := func(kind string) bool { return kind == kindFull || kind == kindPolicy }
	return memory(f.kind) && slices.ContainsFunc(s.faults, func(p planned) bool { return memory(p.kind) })
}

// The kinds of faults. What a form can do of them, and to whom, its stand says.
const (
	kindKill    = "kill -9"              // and started again when the fault is over
	kindEmpty   = "restart empty"        // Redis: killed, and at once there again
	kindOld     = "restart old data"     // Redis: with what it had saved when the fault began
	kindFreeze  = "SIGSTOP"              // and SIGCONT
	kindScripts = "SCRIPT FLUSH"         // Redis
	kindFlush   = "FLUSHALL"             // Redis
	kindPolicy  = "eviction policy"      // Redis: allkeys-lru, and back
	kindFull    = "maxmemory hit"        // Redis: full, and not
	kindCut     = "cut"                  // a wire: all connections end
	kindSlow    = "slow"                 // a wire: every piece takes longer
	kindHalf    = "half-open"            // a wire: nothing passes, nothing ends
	kindRefuse  = "refused"              // a wire: cut, and no new connections
	kindLose    = "lost replies"         // a wire: executed, the answer is lost
	kindRival   = "rival keeper"         // a second one that believes to own the shard
	kindZombie  = "frozen, with a rival" // a keeper that goes on when another has taken over
	kindAppend  = "lost append replies"  // the journal has it, its writer is not told
	kindRefusal = "refused appends"      // the journal does not take it, and says so
	kindStall   = "stalled appends"
	kindNews    = "no news of the map" // a gateway goes on with the one that it has
	kindDeposed = "deposed, unseen"    // a keeper cannot reach its primary any more, a gateway does not hear who takes its place
	kindMove    = "move, and back"     // of a partition, to the other shard
	kindTaken   = "move, taken back"   // while it is under way, or when it is done
	kindDrain   = "drain, broken off"  // of a shard
)
