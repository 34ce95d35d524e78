package wire

import "walletd/journal"

// AccountReply is the account shape.
type AccountReply struct {
	ID        string
	Owner     string
	Asset     string // code
	Metadata  map[string]string
	State     journal.Account // flags, limit, balances, version
	CreatedMS int64
}

// BalanceReply is the balance shape.
type BalanceReply struct {
	Account   string
	Asset     string
	Available journal.Amount
	Reserved  journal.Amount
	Version   uint64
	Position  journal.Position
	AtMS      int64 // asked with ?at=; 0: left out
}

// LegReply is one account's part of a transfer.
type LegReply struct {
	Account   string
	Direction string // debit, credit
	Amount    journal.Amount
	Partition int
	Phase     string // tried, confirmed, cancelled
}

// TransferReply is the transfer shape.
type TransferReply struct {
	ID        journal.ID
	Key       string
	From, To  string
	Amount    journal.Amount
	Asset     string
	Reference string // left out when empty
	Status    string // confirmed, refused
	Code      string // of a refused one
	Side      string // of a refused one: payer, payee, or empty
	Reverses  journal.ID
	Position  journal.Position // left out without an epoch (a dry run)
	CreatedMS int64
	DryRun    bool
	Legs      []LegReply
}

// ReservationReply is the reservation shape.
type ReservationReply struct {
	ID        journal.ID
	Key       string // left out when empty: not known
	From, To  string // To is "" until it is named
	Amount    journal.Amount
	Remaining journal.Amount
	Captured  journal.Amount
	Asset     string
	Reference string
	Status    string // tried, confirmed, cancelled, expired
	Position  journal.Position
	CreatedMS int64 // 0: left out (a tombstone)
	ExpiresMS int64 // 0: left out (a tombstone)
}

// EntryReply is one line of a statement.
type EntryReply struct {
	Account         string
	Version         uint64
	Kind            string     // transfer reserve confirm cancel expire account
	Transfer        journal.ID // zero: left out
	Reservation     journal.ID // zero: left out
	Direction       string     // debit, credit; left out when empty
	Amount          journal.Amount
	AvailableChange journal.Amount
	ReservedChange  journal.Amount
	AvailableAfter  journal.Amount
	ReservedAfter   journal.Amount
	Counterparty    string // left out when empty
	Reference       string // left out when empty
	CreatedMS       int64
	Position        journal.Position
}

// AppendAccount writes the account shape; position is not part of it.
func AppendAccount(dst []byte, a *AccountReply) []byte { panic("to come") }

// AppendBalance writes the balance shape.
func AppendBalance(dst []byte, b *BalanceReply) []byte { panic("to come") }

// AppendTransfer writes the transfer shape.
func AppendTransfer(dst []byte, t *TransferReply) []byte { panic("to come") }

// AppendReservation writes the reservation shape.
func AppendReservation(dst []byte, r *ReservationReply) []byte { panic("to come") }

// AppendEntry writes the entry shape.
func AppendEntry(dst []byte, e *EntryReply) []byte { panic("to come") }

// AppendList writes a list object of items, each written by appendItem (AppendTransfer, AppendEntry, …). next is "" when there is no more.
func AppendList[T any](dst []byte, items []T, appendItem func([]byte, *T) []byte, next string) []byte {
	panic("to come")
}

// BatchReply is one result of a batch: a transfer, or a problem.
type BatchReply struct {
	Transfer *TransferReply
	Problem  *Problem
}

// AppendBatchItem writes a batch's item for REST: the transfer shape or {"error":problem}. For AppendList.
func AppendBatchItem(dst []byte, b *BatchReply) []byte { panic("to come") }

// AppendString writes s as a JSON string; what is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte { panic("to come") }

// AppendTime writes milliseconds since 1970 as an RFC 3339 string in UTC, quoted.
func AppendTime(dst []byte, ms int64) []byte { panic("to come") }
