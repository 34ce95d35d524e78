package reconcile

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"walletd/journal"
)

// Report is what an audit found. It has JSON and text (Text); both are the same for the same input.
type Report struct {
	Partitions  []PartitionReport `json:"partitions"`
	Assets      []AssetReport     `json:"assets"` // empty when not all partitions were read
	Channels    ChannelsReport    `json:"channels"`
	Differences []Difference      `json:"differences"`
	More        int               `json:"more_differences,omitempty"` // found, but not listed
	Unchecked   []string          `json:"unchecked"`                  // what could not be decided, and why
}

// OK reports whether everything that was asked for was checked and agrees.
func (r *Report) OK() bool { return len(r.Differences) == 0 && r.More == 0 && len(r.Unchecked) == 0 }

// PartitionReport is a partition at the cut.
type PartitionReport struct {
	Partition int                       `json:"partition"`
	Records   int64                     `json:"records"` // of the log, read
	Epoch     uint32                    `json:"epoch"`   // the highest started
	Seq       uint64                    `json:"seq"`     // of the last event; events have no gaps, so also their number
	TimeMS    int64                     `json:"time_ms"` // of the last event
	Accounts  int                       `json:"accounts"`
	Chain     string                    `json:"chain"`  // SHA-256 over all frames that count, hex
	Digest    string                    `json:"digest"` // of the state, hex
	Dropped   map[journal.Verdict]int64 `json:"dropped,omitempty"`
	Snapshot  string                    `json:"snapshot,omitempty"` // at which the replay began; "": at the first record
	Compared  []string                  `json:"compared,omitempty"` // what the replay was held against
}

// AssetReport is promise P1 for one asset, in minor units.
type AssetReport struct {
	Asset    string `json:"asset"`
	Accounts int64  `json:"accounts"`  // available + reserved of all accounts
	InFlight int64  `json:"in_flight"` // decided and not yet credited
	Error    int64  `json:"error"`     // their sum: 0, or money was created or lost
}

// ChannelsReport counts what the pairwise audit compared.
type ChannelsReport struct {
	Channels int    `json:"channels"` // that carried something
	Legs     uint64 `json:"legs"`     // credited and compared with what was decided
	InFlight uint64 `json:"in_flight_legs"`
}

// Difference is something that is not as the journal says, or a journal that is not as it must be.
type Difference struct {
	Where     string `json:"where"` // journal, conservation, channel p→q, shard s, projection
	What      string `json:"what"`
	Partition int    `json:"partition"`
	Account   string `json:"account,omitempty"`  // its id, or handle:… where no id is known
	ID        string `json:"id,omitempty"`       // of a transfer or reservation, in hex
	Position  string `json:"position,omitempty"` // the first offending event; none: no event explains it
	Offset    *int64 `json:"offset,omitempty"`   // of the log's record, where one is at fault
	Have      string `json:"have,omitempty"`
	Want      string `json:"want,omitempty"`
}

func (d *Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, partition %d", d.Where, d.Partition)
	if d.Position != "" {
		fmt.Fprintf(&b, ", event %s", d.Position)
	}
	if d.Offset != nil {
		fmt.Fprintf(&b, ", record %d", *d.Offset)
	}
	if d.Account != "" {
		fmt.Fprintf(&b, ", account %s", d.Account)
	}
	if d.ID != "" {
		fmt.Fprintf(&b, ", id %s", d.ID)
	}
	fmt.Fprintf(&b, ": %s", d.What)
	if d.Have != "" || d.Want != "" {
		fmt.Fprintf(&b, "\n    have %s\n    want %s", orNone(d.Have), orNone(d.Want))
	}
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// Text renders the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	for i := range r.Partitions {
		r.Partitions[i].text(&b)
	}
	for _, a := range r.Assets {
		fmt.Fprintf(&b, "%s: accounts %d + in flight %d = %d\n", a.Asset, a.Accounts, a.InFlight, a.Error)
	}
	fmt.Fprintf(&b, "channels: %d, %d legs credited as decided, %d in flight\n", r.Channels.Channels, r.Channels.Legs, r.Channels.InFlight)
	for i := range r.Differences {
		fmt.Fprintf(&b, "DIFFERENCE %s\n", r.Differences[i].String())
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "and %d more differences\n", r.More)
	}
	for _, u := range r.Unchecked {
		fmt.Fprintf(&b, "UNCHECKED %s\n", u)
	}
	if r.OK() {
		b.WriteString("no difference\n")
	}
	return b.String()
}

func (p *PartitionReport) text(b *strings.Builder) {
	fmt.Fprintf(b, "partition %d: %d records, epoch %d, seq %d, %d accounts, digest %.16s", p.Partition, p.Records, p.Epoch, p.Seq, p.Accounts, p.Digest)
	for _, why := range []journal.Verdict{journal.DropStaleEpoch, journal.DropDuplicate} {
		if n := p.Dropped[why]; n > 0 {
			fmt.Fprintf(b, ", %d dropped (%s)", n, why)
		}
	}
	for _, c := range p.Compared {
		fmt.Fprintf(b, ", = %s", c)
	}
	b.WriteString("\n")
}

// less orders differences: the journal's own first, then by place.
func less(a, b Difference) int {
	rank := func(d *Difference) int {
		return slices.IndexFunc([]string{"journal", "conservation", "channel", "shard", "projection"}, func(w string) bool { return strings.HasPrefix(d.Where, w) })
	}
	if n := rank(&a) - rank(&b); n != 0 {
		return n
	}
	if n := strings.Compare(a.Where, b.Where); n != 0 {
		return n
	}
	if n := a.Partition - b.Partition; n != 0 {
		return n
	}
	pa, errA := journal.ParsePosition(a.Position)
	pb, errB := journal.ParsePosition(b.Position)
	if errA == nil && errB == nil && pa.Seq != pb.Seq {
		if pa.Seq < pb.Seq {
			return -1
		}
		return 1
	}
	return strings.Compare(a.String(), b.String())
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
