package reconcile

import (
	"fmt"

	"walletd/journal"
)

// channel compares what its one end decided with what the other end credited, leg by leg, as both are replayed. It holds
// only what one end is ahead of the other.
type channel struct {
	audit    *audit
	from, to int
	decided  []decided
	groups   []group
	legs     uint64 // compared
}

type decided struct {
	at  journal.Position
	leg journal.Leg
}

// group is one deliver event.
type group struct {
	at   journal.Position
	upTo uint64
	legs []journal.Leg
}

func (c *channel) decide(e *journal.Event, l journal.Leg) {
	if c.audit.searching() {
		return
	}
	c.decided = append(c.decided, decided{e.Position, l})
}

func (c *channel) deliver(e *journal.Event, row *journal.Row) {
	if c.audit.searching() {
		return
	}
	g := group{at: e.Position, upTo: row.UpTo}
	for i := range row.LegCount {
		g.legs = append(g.legs, row.Leg(i))
	}
	c.groups = append(c.groups, g)
}

// settle compares the groups for which the payer's partition is replayed far enough.
func (c *channel) settle(seq uint64) {
	done := 0
	for done < len(c.groups) && c.groups[done].upTo <= seq {
		c.compare(&c.groups[done])
		done++
	}
	c.groups = c.groups[done:]
}

func (c *channel) compare(g *group) {
	n := 0
	for n < len(c.decided) && c.decided[n].at.Seq <= g.upTo {
		n++
	}
	want := c.decided[:n]
	c.decided = c.decided[n:]
	same := len(want) == len(g.legs)
	for i := 0; same && i < n; i++ {
		same = want[i].leg == g.legs[i]
	}
	if same {
		c.legs += uint64(n)
		return
	}
	c.explain(g, want)
}

// explain says which legs are missing, changed, or were never decided.
func (c *channel) explain(g *group, want []decided) {
	left := map[journal.Leg]int{}
	for _, l := range g.legs {
		left[l]++
	}
	var missing []decided
	for _, d := range want {
		if left[d.leg] > 0 {
			left[d.leg]--
			c.legs++
		} else {
			missing = append(missing, d)
		}
	}
	found := len(missing) > 0
	for _, d := range missing {
		have := c.replacement(left, d.leg)
		what := "a decided credit was passed over by the delivery"
		if have != "" {
			what = "a credit is not as it was decided"
		}
		c.differ(g, what, d.leg, have, fmt.Sprintf("%s, decided at %v", c.audit.leg(d.leg), d.at))
	}
	for _, l := range g.legs { // in their order, so that reports are the same every time
		if left[l] > 0 {
			left[l]--
			found = true
			c.differ(g, "a credit that was not decided, or is credited twice", l, c.audit.leg(l), "")
		}
	}
	if !found {
		c.differ(g, "credits are out of order", journal.Leg{}, "", "")
	}
}

// replacement takes the leg that stands in the place of the wanted one: of the same id.
func (c *channel) replacement(left map[journal.Leg]int, want journal.Leg) string {
	for l, n := range left {
		if n > 0 && l.ID == want.ID && l.Of == want.Of {
			left[l]--
			return c.audit.leg(l)
		}
	}
	return ""
}

func (c *channel) differ(g *group, what string, l journal.Leg, have, want string) {
	d := Difference{Where: fmt.Sprintf("channel %d→%d", c.from, c.to), What: what, Partition: c.to, Position: g.at.String(), Have: have, Want: want}
	if l != (journal.Leg{}) {
		d.Account, d.ID = c.audit.name(l.Payee), hexOf(l.ID[:])
		if _, known := c.audit.offending[l.Asset]; !known {
			c.audit.offending[l.Asset] = g.at
		}
	}
	c.audit.differ(d)
}
