package relay

// reframe sends what a failed frame had again with what has come since, as if it were not there, which is a planted bug.
func (r *Relay) reframe(l *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &l.flight.frame
	again := chunk{firstSeq: f.FirstSeq, count: f.Count, payload: append([]byte(nil), f.Payload...)}
	if len(l.chunks) > 0 {
		again.count += l.chunks[0].count
		again.payload = append(again.payload, l.chunks[0].payload...)
		l.chunks = l.chunks[1:]
	}
	l.chunks = append([]chunk{again}, l.chunks...)
	l.flight.busy = false
}
