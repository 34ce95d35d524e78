package journal

import (
	"slices"
)

// SetKey implements State, as the methods below do.
func (m *Memory) SetKey(id ID, k KeyRecord) {
	k.Content = m.contents.keep(k.Content)
	m.Keys[id] = k
	m.keyTimes.add(id, k.TimeMS)
}

func (m *Memory) SetReservation(id ID, r Reservation) {
	m.Reservations[id] = r
	if r.Status != Tried {
		m.resTimes.add(id, r.ResolvedMS)
	}
}

func (m *Memory) Evict(beforeMS int64) {
	m.remember()
	for _, id := range m.keyTimes.before(beforeMS) {
		m.Filter.Add(id)
		delete(m.Keys, id)
	}
	for _, id := range m.resTimes.before(beforeMS) {
		delete(m.Reservations, id)
	}
}

// remember puts records that were written into the maps by other hands into the timelines.
func (m *Memory) remember() {
	if m.keyTimes.len() != len(m.Keys) {
		m.keyTimes = timeline{}
		for id, k := range m.Keys {
			m.keyTimes.add(id, k.TimeMS)
		}
	}
	resolved := 0
	for _, r := range m.Reservations {
		if r.Status != Tried {
			resolved++
		}
	}
	if m.resTimes.len() != resolved {
		m.resTimes = timeline{}
		for id, r := range m.Reservations {
			if r.Status != Tried {
				m.resTimes.add(id, r.ResolvedMS)
			}
		}
	}
}

// timeline is ids by time. A partition's time never goes back, so they come in order, and what is old is in front.
type timeline struct {
	ids      []timed
	first    int // ids before it are gone
	unsorted bool
}

type timed struct {
	id ID
	ms int64
}

func (l *timeline) len() int { return len(l.ids) - l.first }

func (l *timeline) add(id ID, ms int64) {
	if n := len(l.ids); n > l.first && l.ids[n-1].ms > ms {
		l.unsorted = true
	}
	l.ids = append(l.ids, timed{id, ms})
}

// before takes out what is older than ms.
func (l *timeline) before(ms int64) (ids []ID) {
	if l.unsorted {
		l.ids, l.first, l.unsorted = l.ids[l.first:], 0, false
		slices.SortFunc(l.ids, func(a, b timed) int { return int(a.ms - b.ms) })
	}
	for l.first < len(l.ids) && l.ids[l.first].ms < ms {
		ids = append(ids, l.ids[l.first].id)
		l.first++
	}
	if l.first > len(l.ids)/2 {
		l.ids, l.first = append([]timed(nil), l.ids[l.first:]...), 0
	}
	return ids
}

// contents keeps the contents of key records, which come in order of time and go in that order, too: many share one piece of
// memory, which is given back when the last of them has gone.
type contents struct{ room []byte }

const contentsRoom = 16 << 10

func (c *contents) keep(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if cap(c.room)-len(c.room) < len(b) {
		c.room = make([]byte, 0, max(contentsRoom, len(b)))
	}
	start := len(c.room)
	c.room = append(c.room, b...)
	return c.room[start:len(c.room):len(c.room)]
}
