package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"walletd/journal"
	"walletd/projector/view"
)

// ErrNoAccount says that neither the journal nor a shard knows the account.
var ErrNoAccount = errors.New("no such account")

// WhyConfig says which balance to explain.
type WhyConfig struct {
	Log     journal.Log
	Account journal.Handle
	Assets  journal.Assets
	Live    Accounts   // nil: no shard is compared
	View    *view.View // nil: no projection is compared
	// SinceVersion, SinceMS: where the list begins, unless a difference begins earlier; 0: at the opening.
	SinceVersion uint64
	SinceMS      int64
	Limit        int // steps in the list; 0: 50
	// Progress is told how many of the log's records are read, now and then; nil: nobody.
	Progress func(done, total int64)
	// Patience is how long to wait for the journal to reach what the shard has done already; 0: 10 s.
	Patience time.Duration
}

// Explanation is why a balance is what it is: the account's versions, one by one, and what the shard and the projection have of it,
// held against the replay. Amounts are minor units.
type Explanation struct {
	Account     string             `json:"account"`
	Partition   int                `json:"partition"`
	Asset       string             `json:"asset,omitempty"`
	Begins      string             `json:"begins"`           // why the list begins where it does
	Before      *Standing          `json:"before,omitempty"` // right before the first step; none: nothing is before it
	Steps       []Step             `json:"steps"`            // oldest first
	More        int                `json:"more,omitempty"`   // steps behind the last one that are not listed
	Stands      []Standing         `json:"stands"`           // the replay first
	Differences []WhyDifference    `json:"differences"`
	Unchecked   []string           `json:"unchecked"`
	names       Names              // of accounts
	assets      journal.Assets     // names
	replayed    []line             // every version of the account, as far as remembered
	first       int                // of replayed, listed
	wanted      map[int][]*partner // by partition
}

// OK reports whether everything that could be compared agrees.
func (x *Explanation) OK() bool { return len(x.Differences) == 0 }

// Standing is an account somewhere, at a position.
type Standing struct {
	Where     string         `json:"where"` // replay, shard s1, projection
	Position  string         `json:"position"`
	Version   uint64         `json:"version"` // 0: it has no such account
	Available journal.Amount `json:"available"`
	Reserved  journal.Amount `json:"reserved"`
}

// Step is one version of the account.
type Step struct {
	Version         uint64         `json:"version"`
	Position        string         `json:"position"`
	Time            string         `json:"time"`
	Kind            string         `json:"kind"` // as an entry's: transfer, reserve, confirm, cancel, expire, account
	ID              string         `json:"id,omitempty"`
	Counterparty    string         `json:"counterparty,omitempty"`
	AvailableChange journal.Amount `json:"available_change"`
	ReservedChange  journal.Amount `json:"reserved_change"`
	Available       journal.Amount `json:"available"` // after it
	Reserved        journal.Amount `json:"reserved"`
	Phase           string         `json:"phase,omitempty"`             // of the counterparty's leg, or of the reservation
	PartnerAt       *int           `json:"partner_partition,omitempty"` // where the counterparty lives
	PartnerEvent    string         `json:"partner_event,omitempty"`     // the event there that decided, or credited, the leg
	Flagged         bool           `json:"flagged,omitempty"`
	Explains        string         `json:"explains,omitempty"` // missing, twice: what a difference says of it
}

// WhyDifference is what the shard or the projection has otherwise than the replay.
type WhyDifference struct {
	Where     string         `json:"where"`
	Available journal.Amount `json:"available"`         // have − want
	Reserved  journal.Amount `json:"reserved"`          // have − want
	Version   uint64         `json:"version,omitempty"` // the first at which they differ, as far as that can be known
	Position  string         `json:"position,omitempty"`
	What      string         `json:"what"`
	Events    []string       `json:"events,omitempty"` // positions of those whose effects sum up to the difference, at most 100
	More      int            `json:"more_events,omitempty"`
	Have      string         `json:"have,omitempty"`
	Want      string         `json:"want,omitempty"`

	from, to int    // of the lines that explain it
	how      string // missing, twice; "": nothing explains it
}

// Why explains an account's balance. Errors: ErrNoAccount; journal.ErrDamaged and others say that it could not be done.
func Why(ctx context.Context, c WhyConfig) (*Explanation, error) {
	if c.Limit == 0 {
		c.Limit = 50
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	p := c.Account.Partition(c.Log.Partitions())
	if p >= c.Log.Partitions() {
		return nil, ErrNoAccount
	}
	x := &Explanation{Partition: p, assets: c.Assets, Steps: []Step{}, Differences: []WhyDifference{}, Unchecked: []string{}, wanted: map[int][]*partner{}}
	w := &why{Explanation: x, c: &c}
	if err := w.read(ctx); err != nil {
		return nil, fmt.Errorf("why: %w", err)
	}
	if len(x.replayed) == 0 && (w.live == nil || !w.live.Found[0]) {
		return nil, ErrNoAccount
	}
	w.compareShard()
	if err := w.compareView(ctx); err != nil {
		return nil, fmt.Errorf("why: %w", err)
	}
	w.list()
	if err := w.partners(ctx); err != nil {
		return nil, fmt.Errorf("why: %w", err)
	}
	return x, nil
}

// ParseAccount reads an account as reports name it: an id, suspense:P:A, or handle:HEX.
func ParseAccount(name string) (h journal.Handle, err error) {
	var p int
	var asset journal.Asset
	if hex, ok := strings.CutPrefix(name, "handle:"); ok {
		var b []byte
		if _, err := fmt.Sscanf(hex, "%x", &b); err != nil || len(b) != len(h) {
			return h, fmt.Errorf("%q is no handle: %d bytes in hex", name, len(h))
		}
		return journal.Handle(b), nil
	}
	if n, _ := fmt.Sscanf(name, "suspense:%d:%d", &p, &asset); n == 2 && name == view.SuspenseID(p, asset) {
		return journal.SuspenseHandle(p, asset), nil
	}
	return journal.HandleOf(name), nil
}
