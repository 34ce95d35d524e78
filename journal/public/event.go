package public

import (
	"errors"
	"strconv"
	"strings"

	"walletd/journal"
)

// Type is what an event is called everywhere.
type Type string

// The types (surface, "WebSocket").
const (
	TransferSent         Type = "transfer.sent"
	TransferReceived     Type = "transfer.received" // also what a confirmed reservation brings its payee
	ReservationTried     Type = "reservation.tried"
	ReservationConfirmed Type = "reservation.confirmed"
	ReservationCancelled Type = "reservation.cancelled"
	ReservationExpired   Type = "reservation.expired"
	AccountChanged       Type = "account.changed" // opened, or altered: version 1 is the opening
)

// Types are all of them.
var Types = []Type{TransferSent, TransferReceived, ReservationTried, ReservationConfirmed, ReservationCancelled, ReservationExpired, AccountChanged}

// ID names an event for ever: the position of its journal event, and which of that one's changes it is, from 1. "3.1.42-1" in text.
// In a partition they are in order of seq, then number.
type ID struct {
	journal.Position
	Number int
}

// String is the id as everybody sees it.
func (id ID) String() string { return string(id.AppendText(nil)) }

// AppendText appends the id's text.
func (id ID) AppendText(dst []byte) []byte {
	return strconv.AppendInt(append(id.Position.AppendText(dst), '-'), int64(id.Number), 10)
}

// Before reports whether the event comes before another one of its partition.
func (id ID) Before(o ID) bool { return id.Seq < o.Seq || id.Seq == o.Seq && id.Number < o.Number }

// ErrBadID says that a text is no event's id.
var ErrBadID = errors.New("no id of an event: want partition.epoch.seq-number")

// ParseID reads an id.
func ParseID(text string) (id ID, err error) {
	at, number, _ := strings.Cut(text, "-")
	if id.Position, err = journal.ParsePosition(at); err != nil {
		return ID{}, ErrBadID
	}
	if id.Number, err = strconv.Atoi(number); err != nil || id.Number < 1 || id.String() != text {
		return ID{}, ErrBadID
	}
	return id, nil
}

// Event is one version of one account. It shares memory with the journal event.
type Event struct {
	ID     ID
	Type   Type
	TimeMS int64

	Account journal.Handle
	Version uint64
	Asset   journal.Asset

	Available, Reserved             journal.Amount // behind the event
	AvailableChange, ReservedChange journal.Amount

	// Of what moves money.
	Of           journal.Op // for a delivered credit the act that decided it
	Transfer     journal.ID // or reservation
	Amount       journal.Amount
	Counterparty journal.Handle // zeros: none, or not named yet
	Status       journal.Status // of reservation.*: tried: it stays open
	Key          []byte         // the payer's events only
	Reference    []byte         // the payer's events only
	Flagged      bool           // a credit to an account that was closed meanwhile, or to a suspense account

	// Of account.changed.
	Flags          journal.Flags
	OverdraftLimit journal.Amount
	Details        []byte // journal.AccountDetails as JSON
}

// Of makes the public event of what a journal event did to one account: the number-th of its changes, from 1. Of the change it needs all
// but Before's and After's flags, status seq and limit.
func Of(e *journal.Event, r *journal.Row, number int, c *journal.Change) Event {
	p := Event{ID: ID{e.Position, number}, TimeMS: e.TimeMS, Account: c.Account, Version: c.After.Version, Asset: c.After.Asset,
		Available: c.After.Available, Reserved: c.After.Reserved,
		AvailableChange: c.After.Available - c.Before.Available, ReservedChange: c.After.Reserved - c.Before.Reserved,
		Of: c.Of, Transfer: c.ID, Amount: c.Amount, Counterparty: c.Other, Status: e.Status, Flagged: c.Flagged}
	p.Type = p.typeOf()
	switch {
	case p.Type == AccountChanged:
		p.Flags, p.OverdraftLimit, p.Details = r.Flags, r.OverdraftLimit, r.Text
	case p.Type != TransferReceived:
		p.Key, p.Reference = r.Key, r.Reference
	}
	return p
}

func (p *Event) typeOf() Type {
	switch p.Of {
	case journal.OpReserve:
		return ReservationTried
	case journal.OpConfirm:
		if p.ReservedChange != 0 {
			return ReservationConfirmed
		}
		return TransferReceived
	case journal.OpCancel:
		return ReservationCancelled
	case journal.OpExpire:
		return ReservationExpired
	case journal.OpTransfer, journal.OpPay:
		if p.AvailableChange < 0 {
			return TransferSent
		}
		return TransferReceived
	}
	return AccountChanged
}
