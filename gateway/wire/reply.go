package wire

import (
	"maps"
	"slices"

	"walletd/journal"
)

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

// AppendAccount writes the account shape.
func AppendAccount(dst []byte, a *AccountReply) []byte {
	flags := a.State.Flags
	dst = appendText(dst, `{"object":"account","id":`, a.ID)
	dst = appendText(dst, `,"asset":`, a.Asset)
	dst = appendText(dst, `,"owner":`, a.Owner)
	dst = appendBool(dst, `,"issuance":`, flags.Has(journal.Issuance))
	status := "open"
	if flags.Has(journal.Closed) {
		status = "closed"
	}
	dst = appendText(dst, `,"status":`, status)
	dst = appendBool(dst, `,"frozen":{"sending":`, flags.Has(journal.FrozenSending))
	dst = appendBool(dst, `,"receiving":`, flags.Has(journal.FrozenReceiving))
	dst = appendAmount(dst, `},"overdraft_limit":`, a.State.OverdraftLimit)
	dst = appendAmount(dst, `,"available":`, a.State.Available)
	dst = appendAmount(dst, `,"reserved":`, a.State.Reserved)
	dst = appendNumber(dst, `,"version":`, a.State.Version)
	dst = appendMetadata(append(dst, `,"metadata":`...), a.Metadata)
	return append(appendTime(dst, `,"created_at":`, a.CreatedMS), '}')
}

// appendMetadata writes pairs in the order of their keys, so that equal accounts read equal.
func appendMetadata(dst []byte, m map[string]string) []byte {
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(append(AppendString(dst, key), ':'), m[key])
	}
	return append(dst, '}')
}

// AppendBalance writes the balance shape.
func AppendBalance(dst []byte, b *BalanceReply) []byte {
	dst = appendText(dst, `{"object":"balance","account":`, b.Account)
	dst = appendText(dst, `,"asset":`, b.Asset)
	dst = appendAmount(dst, `,"available":`, b.Available)
	dst = appendAmount(dst, `,"reserved":`, b.Reserved)
	dst = appendNumber(dst, `,"version":`, b.Version)
	dst = appendPosition(dst, `,"position":`, b.Position)
	if b.AtMS != 0 {
		dst = appendTime(dst, `,"at":`, b.AtMS)
	}
	return append(dst, '}')
}

// AppendTransfer writes the transfer shape.
func AppendTransfer(dst []byte, t *TransferReply) []byte {
	dst = appendID(dst, `{"object":"transfer","id":`, journal.TransferPrefix, t.ID)
	dst = appendText(dst, `,"key":`, t.Key)
	dst = appendText(dst, `,"from":`, t.From)
	dst = appendText(dst, `,"to":`, t.To)
	dst = appendAmount(dst, `,"amount":`, t.Amount)
	dst = appendText(dst, `,"asset":`, t.Asset)
	dst = appendTextIf(dst, `,"reference":`, t.Reference)
	dst = appendText(dst, `,"status":`, t.Status)
	dst = appendTextIf(dst, `,"code":`, t.Code)
	dst = appendTextIf(dst, `,"side":`, t.Side)
	dst = appendIDIf(dst, `,"reverses":`, journal.TransferPrefix, t.Reverses)
	if t.DryRun {
		dst = append(dst, `,"dry_run":true`...)
	}
	dst = appendPositionIf(dst, `,"position":`, t.Position)
	dst = appendTime(dst, `,"created_at":`, t.CreatedMS)
	dst = append(dst, `,"legs":[`...)
	for i := range t.Legs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLeg(dst, &t.Legs[i])
	}
	return append(dst, "]}"...)
}

func appendLeg(dst []byte, l *LegReply) []byte {
	dst = appendText(dst, `{"account":`, l.Account)
	dst = appendText(dst, `,"direction":`, l.Direction)
	dst = appendAmount(dst, `,"amount":`, l.Amount)
	dst = appendNumber(dst, `,"partition":`, uint64(l.Partition))
	return append(appendText(dst, `,"phase":`, l.Phase), '}')
}

// AppendReservation writes the reservation shape.
func AppendReservation(dst []byte, r *ReservationReply) []byte {
	dst = appendID(dst, `{"object":"reservation","id":`, journal.ReservationPrefix, r.ID)
	dst = appendTextIf(dst, `,"key":`, r.Key)
	dst = appendText(dst, `,"from":`, r.From)
	dst = appendText(dst, `,"to":`, r.To)
	dst = appendAmount(dst, `,"amount":`, r.Amount)
	dst = appendAmount(dst, `,"remaining":`, r.Remaining)
	dst = appendAmount(dst, `,"captured":`, r.Captured)
	dst = appendText(dst, `,"asset":`, r.Asset)
	dst = appendTextIf(dst, `,"reference":`, r.Reference)
	dst = appendText(dst, `,"status":`, r.Status)
	dst = appendPositionIf(dst, `,"position":`, r.Position)
	if r.CreatedMS != 0 {
		dst = appendTime(dst, `,"created_at":`, r.CreatedMS)
	}
	if r.ExpiresMS != 0 {
		dst = appendTime(dst, `,"expires_at":`, r.ExpiresMS)
	}
	return append(dst, '}')
}

// AppendEntry writes the entry shape.
func AppendEntry(dst []byte, e *EntryReply) []byte {
	dst = appendText(dst, `{"object":"entry","account":`, e.Account)
	dst = appendNumber(dst, `,"version":`, e.Version)
	dst = appendText(dst, `,"kind":`, e.Kind)
	dst = appendIDIf(dst, `,"transfer":`, journal.TransferPrefix, e.Transfer)
	dst = appendIDIf(dst, `,"reservation":`, journal.ReservationPrefix, e.Reservation)
	dst = appendTextIf(dst, `,"direction":`, e.Direction)
	dst = appendAmount(dst, `,"amount":`, e.Amount)
	dst = appendAmount(dst, `,"available_change":`, e.AvailableChange)
	dst = appendAmount(dst, `,"reserved_change":`, e.ReservedChange)
	dst = appendAmount(dst, `,"available_after":`, e.AvailableAfter)
	dst = appendAmount(dst, `,"reserved_after":`, e.ReservedAfter)
	dst = appendTextIf(dst, `,"counterparty":`, e.Counterparty)
	dst = appendTextIf(dst, `,"reference":`, e.Reference)
	dst = appendTime(dst, `,"created_at":`, e.CreatedMS)
	return append(appendPosition(dst, `,"position":`, e.Position), '}')
}

// AppendList writes a list object of items, each written by appendItem (AppendTransfer, AppendEntry, …).
// next is the cursor of what follows, "" when nothing does.
func AppendList[T any](dst []byte, items []T, appendItem func([]byte, *T) []byte, next string) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendItem(dst, &items[i])
	}
	dst = appendBool(dst, `],"has_more":`, next != "")
	return append(appendText(dst, `,"next_cursor":`, next), '}')
}

// StatementReply is what a page of a statement says beside its entries: the balances at the ends of its period.
type StatementReply struct {
	Account, Asset   string
	Opening, Closing BoundReply
}

// BoundReply is the balance at an end of a period. Version 0: the account was not open yet.
type BoundReply struct {
	Available, Reserved journal.Amount
	Version             uint64
	AtMS                int64 // the bound; 0: left out, there is none
}

// AppendStatement writes a list object of entries, with the balances at the ends of its period.
func AppendStatement(dst []byte, items []EntryReply, next string, s *StatementReply) []byte {
	dst = AppendList(dst, items, AppendEntry, next)
	dst = appendText(dst[:len(dst)-1], `,"account":`, s.Account)
	dst = appendText(dst, `,"asset":`, s.Asset)
	dst = appendBound(append(dst, `,"opening":{`...), &s.Opening)
	dst = appendBound(append(dst, `,"closing":{`...), &s.Closing)
	return append(dst, '}')
}

// AppendBound writes a balance at an end of a period as an object of its own: opening_balance, closing_balance.
func AppendBound(dst []byte, object string, s *StatementReply, b *BoundReply) []byte {
	dst = appendText(dst, `{"object":`, object)
	dst = appendText(dst, `,"account":`, s.Account)
	dst = appendText(dst, `,"asset":`, s.Asset)
	return appendBound(append(dst, ','), b)
}

func appendBound(dst []byte, b *BoundReply) []byte {
	dst = appendAmount(dst, `"available":`, b.Available)
	dst = appendAmount(dst, `,"reserved":`, b.Reserved)
	dst = appendNumber(dst, `,"version":`, b.Version)
	if b.AtMS != 0 {
		dst = appendTime(dst, `,"at":`, b.AtMS)
	}
	return append(dst, '}')
}

// BatchReply is one result of a batch: a transfer, or a problem.
type BatchReply struct {
	Transfer *TransferReply
	Problem  *Problem
}

// AppendBatchItem writes a batch's item for REST: the transfer shape or {"error":problem}. For AppendList.
func AppendBatchItem(dst []byte, b *BatchReply) []byte {
	if b.Problem != nil {
		return append(b.Problem.AppendJSON(append(dst, `{"error":`...)), '}')
	}
	return AppendTransfer(dst, b.Transfer)
}
