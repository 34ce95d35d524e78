package journal

// Status is the outcome of an act: one byte in Lua's replies, in the journal and in key records.
// Values are frozen: they are on disk. Bits 0x40 and 0x80 are used by the packed reply (luascripts), so a status is < 64.
type Status uint8

// The order within refusals is semantics.md section 1's precedence.
const (
	None Status = 0

	// Accepted.
	OK        Status = 1 // a read, check or look: nothing changed, nothing journaled
	Opened    Status = 2
	Altered   Status = 3
	Tried     Status = 4 // reserve; also a confirm with final=false that leaves the reservation open
	Confirmed Status = 5
	Cancelled Status = 6
	Expired   Status = 7
	Delivered Status = 8
	Tombstone Status = 9 // a Cancel by payer + key before its Try: success for the caller, the late Try is refused for ever

	// The key was used with other content (semantics 1, row 4). Nothing is stored.
	KeyReusedKind      Status = 10
	KeyReusedTo        Status = 11
	KeyReusedAmount    Status = 12
	KeyReusedAsset     Status = 13
	KeyReusedExpires   Status = 14
	KeyReusedFinal     Status = 15
	KeyReusedLegs      Status = 16
	KeyReusedReference Status = 17

	// Row 6: not stored, the key stays usable.
	SameAccount   Status = 18
	AssetMismatch Status = 19
	FlagsConflict Status = 20

	// Row 7: frozen under the key, but for an unknown payer.
	PayerNotFound Status = 21
	PayerClosed   Status = 22
	PayerFrozen   Status = 23
	PayeeNotFound Status = 24
	PayeeClosed   Status = 25
	PayeeFrozen   Status = 26

	// Row 8: frozen where the reservation exists.
	ReservationNotFound Status = 27
	AlreadyConfirmed    Status = 28
	AlreadyCancelled    Status = 29
	ReservationExpired  Status = 30
	ExceedsReservation  Status = 31 // detail: what remains

	// Row 9: frozen.
	InsufficientFunds Status = 32 // detail: what is missing
	LimitExceeded     Status = 33 // detail: the limit
	BalanceOverflow   Status = 34
	ConditionFailed   Status = 35
	ExceedsTransfer   Status = 36

	// Row 10: terminal.
	CancelledBeforeTry Status = 37

	// Accounts; not stored.
	AccountExists      Status = 38
	AccountNotEmpty    Status = 39
	PreconditionFailed Status = 40 // If-Match: the account has another version
	AlterConflict      Status = 41 // another alter came between; the gateway reads again and retries
	AccountNotFound    Status = 42

	// The keeper's acts; not stored.
	DeliveryGap  Status = 43 // delivered[p] is not `from`: the reply carries the number it is
	SuspenseFull Status = 44
	NotDue       Status = 45 // an expire before its time, or of a reservation no longer open
	UnknownTry   Status = 46

	// The partition does not serve the caller; nothing moved.
	Uninitialised Status = 47 // the shard has no epoch for the partition: it came back empty
	StaleEpoch    Status = 48
	Moving        Status = 49

	// Said by Go alone: the act did not reach a shard, or nobody knows.
	ShardUnavailable   Status = 50
	JournalUnavailable Status = 51
	Overloaded         Status = 52
	Draining           Status = 53
	OutcomeUnknown     Status = 54
	Malformed          Status = 55 // a row that the script does not know; a bug

	LeaseOver Status = 56 // the shard's lease is over: nothing ran, another may own the partition by now

	// The key window (decision 11).
	Evicted          Status = 57 // accepted: the keys and resolved reservations before the cut-off are no longer in the partition
	KeyOld           Status = 58 // the partition may have evicted the id: the projection knows. Not stored, never shown to users
	ProjectionBehind Status = 59 // and the projection did not answer in time
)

// Accepted reports whether the act happened (or, for OK, answered).
func (s Status) Accepted() bool { return s >= OK && s <= Tombstone || s == Evicted }

// Frozen reports whether a keyed act (transfer, pay, reserve, confirm) that got this refusal stores it under its key
// and journals it: repeats get it again, word for word.
func (s Status) Frozen() bool {
	return s >= PayerClosed && s <= ExceedsTransfer && s != ReservationNotFound
}

// Journaled reports whether an act with this outcome has a seq and an event.
// keyed: the act is a transfer, pay, reserve or confirm; only those freeze their refusals.
func (s Status) Journaled(keyed bool) bool {
	return (s >= Opened && s <= Tombstone) || s == Evicted || (keyed && s.Frozen())
}

// Retryable reports whether provably nothing moved and the same request may succeed later (semantics 1, row 11).
func (s Status) Retryable() bool {
	return (s >= Uninitialised && s <= Draining) || s == LeaseOver || s == ProjectionBehind
}

type statusText struct{ code, side string }

// statusTexts holds the words: the same in Lua, Go, wire and docs.
var statusTexts = [64]statusText{
	None: {"none", ""}, OK: {"ok", ""}, Opened: {"opened", ""}, Altered: {"altered", ""}, Tried: {"tried", ""},
	Confirmed: {"confirmed", ""}, Cancelled: {"cancelled", ""}, Expired: {"expired", ""}, Delivered: {"delivered", ""}, Tombstone: {"tombstone", ""},
	KeyReusedKind: {"key_reused_with_different_kind", ""}, KeyReusedTo: {"key_reused_with_different_to", ""},
	KeyReusedAmount: {"key_reused_with_different_amount", ""}, KeyReusedAsset: {"key_reused_with_different_asset", ""},
	KeyReusedExpires: {"key_reused_with_different_expires_in_s", ""}, KeyReusedFinal: {"key_reused_with_different_final", ""},
	KeyReusedLegs: {"key_reused_with_different_legs", ""}, KeyReusedReference: {"key_reused_with_different_reference", ""},
	SameAccount: {"same_account", ""}, AssetMismatch: {"asset_mismatch", ""}, FlagsConflict: {"flags_conflict", ""},
	PayerNotFound: {"account_not_found", "payer"}, PayerClosed: {"account_closed", "payer"}, PayerFrozen: {"account_frozen", "payer"},
	PayeeNotFound: {"account_not_found", "payee"}, PayeeClosed: {"account_closed", "payee"}, PayeeFrozen: {"account_frozen", "payee"},
	ReservationNotFound: {"reservation_not_found", ""}, AlreadyConfirmed: {"already_confirmed", ""}, AlreadyCancelled: {"already_cancelled", ""},
	ReservationExpired: {"reservation_expired", ""}, ExceedsReservation: {"exceeds_reservation", ""},
	InsufficientFunds: {"insufficient_funds", ""}, LimitExceeded: {"limit_exceeded", ""}, BalanceOverflow: {"balance_overflow", ""},
	ConditionFailed: {"condition_failed", ""}, ExceedsTransfer: {"exceeds_transfer", ""}, CancelledBeforeTry: {"cancelled_before_try", ""},
	AccountExists: {"account_exists", ""}, AccountNotEmpty: {"account_not_empty", ""}, PreconditionFailed: {"precondition_failed", ""},
	AlterConflict: {"alter_conflict", ""}, AccountNotFound: {"account_not_found", ""},
	DeliveryGap: {"delivery_gap", ""}, SuspenseFull: {"suspense_full", ""}, NotDue: {"not_due", ""}, UnknownTry: {"unknown_try", ""},
	Uninitialised: {"shard_uninitialised", ""}, StaleEpoch: {"stale_epoch", ""}, Moving: {"partition_moving", ""},
	ShardUnavailable: {"shard_unavailable", ""}, JournalUnavailable: {"journal_unavailable", ""}, Overloaded: {"overloaded", ""},
	Draining: {"draining", ""}, OutcomeUnknown: {"outcome_unknown", ""}, Malformed: {"malformed_row", ""}, LeaseOver: {"lease_over", ""},
	Evicted: {"evicted", ""}, KeyOld: {"key_old", ""}, ProjectionBehind: {"projection_behind", ""},
}

// Code is the status's word (semantics section 1).
func (s Status) Code() string {
	if int(s) < len(statusTexts) && statusTexts[s].code != "" {
		return statusTexts[s].code
	}
	return "unknown_status"
}

// Side names the account at fault, payer or payee, where the code has one.
func (s Status) Side() string {
	if int(s) < len(statusTexts) {
		return statusTexts[s].side
	}
	return ""
}

func (s Status) String() string {
	if side := s.Side(); side != "" {
		return side + "_" + s.Code()
	}
	return s.Code()
}

// Known reports whether s is a status of this build.
func (s Status) Known() bool { return int(s) < len(statusTexts) && statusTexts[s].code != "" }
