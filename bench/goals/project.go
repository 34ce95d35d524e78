package goals

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"walletd/bench"
)

// Sizes are what a projection stands on: measured on this machine, for each transfer unless said otherwise.
type Sizes struct {
	CPU          bench.CPU         `json:"cpu_us_per_transfer"`
	Components   []bench.Component `json:"walletd_components"`
	JournalBytes float64           `json:"journal_bytes"`
	KeyBytes     float64           `json:"key_bytes"`     // of Redis, for a key record
	AccountBytes float64           `json:"account_bytes"` // of Redis, for an account
	MessageBytes float64           `json:"message_bytes"` // from the client
	Cross        float64           `json:"cross"`
	Kafka        bool              `json:"kafka"` // a broker took part
}

// Wanted is what is asked for.
type Wanted struct {
	TPS         float64       `json:"transfers_per_s"`
	Accounts    float64       `json:"accounts"`
	KeyWindow   time.Duration `json:"key_window"`
	Utilisation float64       `json:"utilisation"` // how busy a core may be
	Copies      float64       `json:"copies"`      // of the journal
}

// Projection is what a load would need. It is an extrapolation: nothing of this size was run.
type Projection struct {
	Wanted     Wanted  `json:"wanted"`
	Sizes      Sizes   `json:"measured"`
	Shards     int     `json:"shards"`
	Partitions int     `json:"partitions"`
	Rows       []Need  `json:"needs"`
	Cores      float64 `json:"cores"`
}

// Need is one line.
type Need struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	From  string  `json:"from"`
}

// What is not measured, and is assumed.
const (
	replyBytes         = 110.0 // {"id":…,"ok":{"transfer":"tr_…","status":"confirmed","position":"…"}}
	partitionsPerShard = 4
	copiesFactor       = 4.0 // of a broker's CPU at three copies against one (servers measured on the same cores)
	partitionsMax      = 1024
)

// Validate tells all that is wrong.
func (w Wanted) Validate() error {
	switch {
	case !(w.TPS > 0 && w.TPS <= 1e9):
		return fmt.Errorf("tps: %v, want more than 0", w.TPS)
	case !(w.Utilisation > 0 && w.Utilisation <= 1):
		return fmt.Errorf("utilisation: %v, want more than 0, at most 1", w.Utilisation)
	case w.Accounts < 0 || w.KeyWindow < 0 || w.Copies < 1:
		return fmt.Errorf("accounts %v, key window %v, copies %v: want 0, 0, 1 at least", w.Accounts, w.KeyWindow, w.Copies)
	}
	return nil
}

// Project multiplies.
func Project(w Wanted, s Sizes) Projection {
	cores := func(us float64) float64 { return w.TPS * us / 1e6 / w.Utilisation }
	p := Projection{Wanted: w, Sizes: s}
	need := func(what string, v float64, unit, from string) { p.Rows = append(p.Rows, Need{what, v, unit, from}) }
	core := func(what string, us float64, from string) {
		p.Cores += cores(us)
		need(what, cores(us), "cores", fmt.Sprintf("%.2f CPU-µs a transfer%s", us, from))
	}
	p.Shards = max(1, int(math.Ceil(cores(s.CPU.Redis))))
	p.Partitions = min(partitionsPerShard*p.Shards, partitionsMax)
	need("Redis shards", float64(p.Shards), "", fmt.Sprintf("one thread each, %.2f CPU-µs a transfer", s.CPU.Redis))
	need("partitions", float64(p.Partitions), "", fmt.Sprintf("%d a shard, at most %d", partitionsPerShard, partitionsMax))
	core("Redis", s.CPU.Redis, "")
	core("walletd: gateways, keepers, projectors", s.CPU.Walletd, "")
	for _, c := range s.Components {
		need("  of these "+c.Name, cores(c.US), "cores", fmt.Sprintf("%.0f %%", 100*c.Share))
	}
	if s.Kafka {
		factor := 1.0
		if w.Copies > 1 {
			factor = copiesFactor
		}
		core("Kafka", s.CPU.Kafka*factor, fmt.Sprintf(" (%.2f at one broker × %.0f for %.0f copies)", s.CPU.Kafka, factor, w.Copies))
	}
	need("cores together", p.Cores, "cores", fmt.Sprintf("at %.0f %% of each", 100*w.Utilisation))
	const mb, gb = 1e6, 1e9
	need("network, clients", w.TPS*(s.MessageBytes+replyBytes)/mb, "MB/s", fmt.Sprintf("%.0f bytes a transfer, and about %.0f back", s.MessageBytes, replyBytes))
	need("network, shards", w.TPS*2*s.JournalBytes/mb, "MB/s", "rows out and outcomes back, about twice what is journaled")
	need("network, journal", w.TPS*s.JournalBytes*(w.Copies+1)/mb, "MB/s", fmt.Sprintf("%.0f bytes a transfer, %.0f copies and one reader", s.JournalBytes, w.Copies))
	need("journal a day", w.TPS*s.JournalBytes*w.Copies*86400/gb, "GB", "before compression")
	need("memory, accounts", w.Accounts*s.AccountBytes/gb, "GB", fmt.Sprintf("%.0f accounts of %.0f bytes, a replica as much again", w.Accounts, s.AccountBytes))
	need("memory, keys", w.TPS*w.KeyWindow.Seconds()*s.KeyBytes/gb, "GB", fmt.Sprintf("a window of %v, %.0f bytes a key, a replica as much again", w.KeyWindow, s.KeyBytes))
	return p
}

// Table is the projection for people.
func (p *Projection) Table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "EXTRAPOLATION to %.0f transfers a second, %.0f %% of them across partitions: CPU and sizes measured on this machine, multiplied. Nothing of this size was run.\n\n",
		p.Wanted.TPS, 100*p.Sizes.Cross)
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, n := range p.Rows {
		digits := 0
		if n.Value < 100 && n.Unit != "" {
			digits = 1
		}
		fmt.Fprintf(t, "%s\t%.*f %s\t%s\n", n.What, digits, n.Value, n.Unit, n.From)
	}
	if !p.Sizes.Kafka {
		fmt.Fprintf(t, "Kafka\tnot measured\tthe journal was a file: --kafka\n")
	}
	_ = t.Flush() // into memory
	return out.String()
}
