package client

import (
	"time"

	"walletd/journal"
)

// Position is a place in a partition's history, "3.1.42" in JSON.
type Position struct{ journal.Position }

// MarshalText writes partition.epoch.seq.
func (p Position) MarshalText() ([]byte, error) { return p.AppendText(nil), nil }

// UnmarshalText reads partition.epoch.seq; an empty text is the zero position.
func (p *Position) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*p = Position{}
		return nil
	}
	p.Position, err = journal.ParsePosition(string(text))
	return err
}

// IsZero reports whether there is no position.
func (p Position) IsZero() bool { return p.Position == journal.Position{} }

// Account is the account shape. Amounts are minor units of its asset.
type Account struct {
	ID             string            `json:"id"`
	Asset          string            `json:"asset"`
	Owner          string            `json:"owner"`
	Issuance       bool              `json:"issuance"`
	Status         string            `json:"status"` // open, closed
	Frozen         Frozen            `json:"frozen"`
	OverdraftLimit journal.Amount    `json:"overdraft_limit"`
	Available      journal.Amount    `json:"available"`
	Reserved       journal.Amount    `json:"reserved"`
	Version        uint64            `json:"version"` // rises by one with every change
	Metadata       map[string]string `json:"metadata"`
	CreatedAt      time.Time         `json:"created_at"`
}

// Frozen tells which directions an account is frozen in.
type Frozen struct {
	Sending   bool `json:"sending"`
	Receiving bool `json:"receiving"`
}

// Balance is the balance shape.
type Balance struct {
	Account   string         `json:"account"`
	Asset     string         `json:"asset"`
	Available journal.Amount `json:"available"`
	Reserved  journal.Amount `json:"reserved"`
	Version   uint64         `json:"version"`
	Position  Position       `json:"position"`
	At        *time.Time     `json:"at,omitempty"` // asked for a time
}

// TransferInfo is the transfer shape.
type TransferInfo struct {
	ID        string         `json:"id"` // tr_…; empty for a dry run
	Key       string         `json:"key"`
	From      string         `json:"from"`
	To        string         `json:"to"`
	Amount    journal.Amount `json:"amount"`
	Asset     string         `json:"asset"`
	Reference string         `json:"reference,omitempty"`
	Status    string         `json:"status"`         // confirmed, refused
	Code      string         `json:"code,omitempty"` // of a refused one
	Side      string         `json:"side,omitempty"` // of a refused one
	Reverses  string         `json:"reverses,omitempty"`
	Position  Position       `json:"position,omitzero"`
	CreatedAt time.Time      `json:"created_at,omitzero"`
	DryRun    bool           `json:"dry_run,omitempty"`
	Legs      []Leg          `json:"legs"`

	Replayed bool `json:"-"` // the first outcome of this key, again
}

// Leg is one account's part of a transfer.
type Leg struct {
	Account   string         `json:"account"`
	Direction string         `json:"direction"` // debit, credit
	Amount    journal.Amount `json:"amount"`
	Partition int            `json:"partition"`
	Phase     string         `json:"phase"` // tried, confirmed, cancelled
}

// Reservation is the reservation shape.
type Reservation struct {
	ID        string         `json:"id"` // rs_…
	Key       string         `json:"key,omitempty"`
	From      string         `json:"from"`
	To        string         `json:"to"`
	Amount    journal.Amount `json:"amount"`
	Remaining journal.Amount `json:"remaining"`
	Captured  journal.Amount `json:"captured"`
	Asset     string         `json:"asset"`
	Reference string         `json:"reference,omitempty"`
	Status    string         `json:"status"` // tried, confirmed, cancelled, expired
	Position  Position       `json:"position,omitzero"`
	CreatedAt time.Time      `json:"created_at,omitzero"`
	ExpiresAt time.Time      `json:"expires_at,omitzero"`

	Replayed bool `json:"-"` // REST: the first outcome of this key, again
}

// Entry is one line of an account's statement: one per version.
type Entry struct {
	Account         string         `json:"account"`
	Version         uint64         `json:"version"`
	Kind            string         `json:"kind"` // transfer reserve confirm cancel expire account
	Transfer        string         `json:"transfer,omitempty"`
	Reservation     string         `json:"reservation,omitempty"`
	Direction       string         `json:"direction,omitempty"` // debit, credit
	Amount          journal.Amount `json:"amount"`
	AvailableChange journal.Amount `json:"available_change"`
	ReservedChange  journal.Amount `json:"reserved_change"`
	AvailableAfter  journal.Amount `json:"available_after"`
	ReservedAfter   journal.Amount `json:"reserved_after"`
	Counterparty    string         `json:"counterparty,omitempty"`
	Reference       string         `json:"reference,omitempty"`
	CreatedAt       time.Time      `json:"created_at"`
	Position        Position       `json:"position"`
}

// List is one page. NextCursor asks for the next one.
type List[T any] struct {
	Data       []T    `json:"data"`
	HasMore    bool   `json:"has_more"`
	NextCursor string `json:"next_cursor"`

	Position Position `json:"-"` // what the projection reflects
}

// Statement is a page of entries and the balances at the ends of its period.
type Statement struct {
	List[Entry]
	Account string `json:"account"`
	Asset   string `json:"asset"`
	Opening Bound  `json:"opening"` // behind the last entry before from
	Closing Bound  `json:"closing"` // behind the last entry before to; without one, behind the newest entry of the first page
}

// Bound is a balance at an end of a period. Version 0: the account was not open yet.
type Bound struct {
	Available journal.Amount `json:"available"`
	Reserved  journal.Amount `json:"reserved"`
	Version   uint64         `json:"version"`
	At        *time.Time     `json:"at,omitempty"`
}
