package push

import (
	"errors"
	"sync"
	"time"
)

// fillAgain is how long a question that was of no use is not repeated.
const fillAgain = 100 * time.Millisecond

// fillLocked has what is missing asked for. part.mu is held.
func (s *Subscription) fillLocked() {
	s.state = filling
	s.hub.filled.Add(1)
	s.hub.jobs.add(s.fill)
}

// fill pushes what was missing and makes the subscription live again, or comes again a little later.
func (s *Subscription) fill() {
	p := s.part
	p.mu.Lock()
	next, is := s.next, s.state
	p.mu.Unlock()
	if is != filling {
		return
	}
	news, err := s.ask(next - 1)
	if errors.Is(err, ErrTooMany) {
		s.cut()
		return
	}
	var text []byte
	for i := range news {
		text = s.appendPush(text, &news[i])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.state != filling {
		return
	}
	if len(news) > 0 {
		s.out.Push(text, len(news))
		s.hub.pushed.Add(uint64(len(news)))
		s.next += uint64(len(news))
		s.owed = time.Time{}
	}
	switch t := p.topics[s.handle]; {
	case t.last < s.next:
		s.state, s.owed = live, time.Time{}
	case len(news) > 0:
		s.hub.jobs.add(s.fill)
	case s.owed.IsZero():
		s.owed = time.Now()
		s.hub.jobs.later(fillAgain, s.fill)
	case time.Since(s.owed) < s.hub.cfg.GiveUp:
		s.hub.jobs.later(fillAgain, s.fill)
	default:
		s.hub.cfg.Logger.Warn("events that a subscriber is owed cannot be told; it is asked to come again", "behind version", s.next-1, "newest", t.last, "err", err)
		s.hub.cut.Add(1)
		s.out.Cut()
	}
}

func (s *Subscription) cut() {
	s.hub.cut.Add(1)
	s.out.Cut()
}

// workers bounds how many questions are asked at a time.
const workers = 8

// jobs are done by a few goroutines, which are there while there is something to do.
type jobs struct {
	mu      sync.Mutex
	waiting []func()
	running int
	ended   bool
	done    sync.WaitGroup
}

// add has a job done, unless the hub has ended.
func (j *jobs) add(job func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return
	}
	j.waiting = append(j.waiting, job)
	if j.running < workers {
		j.running++
		j.done.Add(1)
		go j.work()
	}
}

func (j *jobs) later(after time.Duration, job func()) { time.AfterFunc(after, func() { j.add(job) }) }

func (j *jobs) work() {
	defer j.done.Done()
	for {
		j.mu.Lock()
		if len(j.waiting) == 0 || j.ended {
			j.running--
			j.waiting = nil
			j.mu.Unlock()
			return
		}
		job := j.waiting[0]
		j.waiting[0] = nil
		j.waiting = j.waiting[1:]
		j.mu.Unlock()
		job()
	}
}

// Close ends the work. The sessions must have ended before: what they are still owed is forgotten.
func (h *Hub) Close() {
	h.jobs.mu.Lock()
	h.jobs.ended = true
	h.jobs.mu.Unlock()
	h.jobs.done.Wait()
}
