package wire

// skip passes over any value, checking its syntax. It keeps no stack but one bit a level, so depth costs nothing.
func (s *scanner) skip() {
	mark := len(s.scratch)
	defer func() { s.scratch = s.scratch[:mark] }()
	var objects uint64 // bit 0: the innermost open level is an object; bit 1: the one around it; …
	open := 0
	for {
		switch c := s.peek(); c {
		case '{', '[':
			if s.depth+open == DepthMax {
				s.bad("nested too deeply")
				return
			}
			s.i++
			open++
			objects <<= 1
			if c == '{' {
				objects |= 1
			}
			if s.enter(c == '{') {
				continue
			}
			objects >>= 1
			open--
		default:
			if !s.scalar(c) {
				return
			}
		}
		for open > 0 && !s.more(objects&1 == 1) {
			objects >>= 1
			open--
		}
		if open == 0 || s.syntax != "" {
			return
		}
	}
}

// enter stands behind an opening bracket and reports whether a value follows.
func (s *scanner) enter(object bool) bool {
	switch c := s.peek(); {
	case object && c == '}', !object && c == ']':
		s.i++
		return false
	case object:
		_, ok := s.name()
		return ok
	}
	return true
}

// more stands behind a value and reports whether another follows on the same level.
func (s *scanner) more(object bool) bool {
	switch c := s.peek(); {
	case c == ',':
		s.i++
		if object {
			_, ok := s.name()
			return ok
		}
		return true
	case object && c == '}', !object && c == ']':
		s.i++
	default:
		s.bad("no , or closing bracket after a value")
	}
	return false
}

// scalar passes over the string, number or word that starts with c.
func (s *scanner) scalar(c byte) (ok bool) {
	switch {
	case c == '"':
		_, ok = s.str()
	case c == '-' || isDigit(c):
		_, ok = s.number()
	case c == 't':
		ok = s.literal("true")
	case c == 'f':
		ok = s.literal("false")
	case c == 'n':
		ok = s.literal("null")
	default:
		s.bad("no value")
	}
	return ok
}
