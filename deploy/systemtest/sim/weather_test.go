package sim

import (
	"math/rand/v2"
	"time"
)

// faults say how often something befalls a call, in thousandths.
type faults struct {
	lost    int // never done; the caller learns that nobody knows
	refused int // provably not done
	deaf    int // done, the answer is lost
	late    int // the caller gives up; it is done later
	slow    int // done later
	lazy    int // done, answered later
}

// weather is a seed's share of trouble. Seeds differ in what befalls them, not only in when: a rare fault is found sooner
// where nothing else hides it.
type weather struct {
	train, keeper, append, read, zoo, marks faults

	crash, freeze, expire, restart, flush, hang, save, cut, lonely int // of a process, its session, a shard's; in hundred-thousandths a step
	split                                                          int // appends of several records of which only some are done, thousandths
	change                                                         int // thousandths a step: from storm to calm, or back
	slowest                                                        time.Duration
	thought                                                        time.Duration // of a client between two orders, at most
}

// calm is the weather in which all heals.
var calm weather

func weatherOf(rng *rand.Rand) *weather {
	w := &weather{slowest: time.Duration(50+rng.IntN(4000)) * time.Millisecond}
	for _, f := range []*faults{&w.train, &w.keeper, &w.append, &w.read, &w.zoo, &w.marks} {
		for _, of := range []*int{&f.lost, &f.refused, &f.deaf, &f.late, &f.slow, &f.lazy} {
			*of = pick(rng, 0, 0, 0, 3, 12, 40)
		}
	}
	w.append.deaf, w.append.late = pick(rng, 0, 15, 60), pick(rng, 0, 15, 60)
	w.crash, w.freeze, w.expire = pick(rng, 0, 40, 200, 600), pick(rng, 0, 40, 200), pick(rng, 0, 40, 200, 600)
	w.restart, w.flush, w.hang = pick(rng, 0, 40, 200, 600), pick(rng, 0, 0, 0, 100), pick(rng, 0, 50, 150)
	w.thought = pick(rng, 100*time.Microsecond, 2*time.Millisecond, 50*time.Millisecond)
	w.cut, w.lonely = pick(rng, 0, 50, 150), pick(rng, 0, 0, 100)
	w.save = pick(rng, 100, 500, 2000)
	if rng.IntN(3) == 0 { // one kind of trouble, and much of it
		only := weather{slowest: w.slowest, save: w.save, thought: w.thought}
		switch rng.IntN(8) {
		case 0:
			only.restart, only.save, only.thought = 800, 4000, 100*time.Microsecond // much happens between the two
		case 1:
			only.crash, only.expire = 1000, 500
		case 2:
			only.freeze, only.hang, only.expire, only.cut = 300, 400, 100, 400
		case 3:
			only.cut = 1500
		case 4:
			only.lonely = 300
		case 5: // trains of owners that are not owners any more
			only.train.late, only.train.slow, only.slowest = 60, 60, max(w.slowest, time.Second)
			only.crash, only.expire = 300, 600
		default:
			only.append, only.read, only.split = w.append, w.read, w.split
			only.append.late, only.append.lazy, only.append.deaf = 60, 60, 60
		}
		*w = only
	}
	w.change = pick(rng, 5, 20, 1000)
	w.split = pick(rng, 0, 0, 50, 200)
	return w
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// fate is what becomes of a call.
type fate string

const (
	answered fate = "answered"
	lost     fate = "lost"
	refused  fate = "refused"
	deaf     fate = "deaf"
	late     fate = "late"
	slow     fate = "slow"
	lazy     fate = "lazy"
)

// fateOf draws what becomes of a call.
func (f *faults) fateOf(rng *rand.Rand, refusable bool) fate {
	if f == nil {
		return answered
	}
	n := rng.IntN(1000)
	for _, c := range []struct {
		of   int
		fate fate
	}{{f.lost, lost}, {f.refused, refused}, {f.deaf, deaf}, {f.late, late}, {f.slow, slow}, {f.lazy, lazy}} {
		if n < c.of {
			if c.fate == refused && !refusable {
				return lost
			}
			return c.fate
		}
		n -= c.of
	}
	return answered
}
