package wire

import "walletd/journal"

// Info is everything that is said about a result code.
type Info struct {
	Code       string
	HTTP       int    // status of the REST reply
	Exit       int    // the CLI's exit code
	Retryable  bool   // the same request, with the same key, may succeed later
	RetryAfter int    // seconds; 0: no such header
	Title      string // RFC 9457 title: the same for every occurrence
	Help       string // one line for a person
}

// Exit codes of the CLI (semantics section 1).
const (
	exitOK       = 0
	exitUsage    = 2
	exitNotFound = 3
	exitRefused  = 4
	exitConflict = 5
	exitAuth     = 6
	exitRetry    = 7
	exitUnknown  = 8
)

const (
	retry   = true
	noRetry = false
)

// codes is the one table of result codes, in the order of semantics section 1: first match wins, so the order is frozen.
// REST statuses, WebSocket errors, exit codes and docs come from here.
var codes = [...]Info{
	// 0. The request did not get as far as a command.
	{"not_found", 404, exitUsage, noRetry, 0, "No such route", "The path leads nowhere; see /docs."},
	{"method_not_allowed", 405, exitUsage, noRetry, 0, "Method not allowed", "The path exists, but not with this method; see the Allow header."},
	{"unsupported_media_type", 415, exitUsage, noRetry, 0, "Unsupported media type", "Send the body as application/json."},
	{"payload_too_large", 413, exitUsage, noRetry, 0, "Payload too large", "A body or message has at most 1 MiB."},
	{"request_timeout", 408, exitUsage, noRetry, 0, "Request timeout", "The request did not arrive in time; nothing was done."},
	{"unknown_command", 400, exitUsage, noRetry, 0, "Unknown command", "The WebSocket message names a command that does not exist."},

	// 1. The command cannot be understood.
	{"malformed", 400, exitUsage, noRetry, 0, "Malformed request", "The request, or the named field, is not what the API describes."},
	{"unknown_field", 400, exitUsage, noRetry, 0, "Unknown field", "The named field does not exist; nothing is ignored silently."},
	{"duplicate_field", 400, exitUsage, noRetry, 0, "Duplicate field", "The named field is there twice."},
	{"amount_out_of_range", 400, exitUsage, noRetry, 0, "Amount out of range", "Amounts are integers of minor units from 1 to 9007199254740991."},
	{"asset_unknown", 400, exitUsage, noRetry, 0, "Asset unknown", "The wallet's configuration does not know this asset."},
	{"key_required", 400, exitUsage, noRetry, 0, "Idempotency key required", "Whatever moves money carries a key: the header Idempotency-Key or the field key."},

	// 2. Who asks.
	{"unauthenticated", 401, exitAuth, noRetry, 0, "Unauthenticated", "Send a valid token: Authorization: Bearer …, or connect with one."},
	{"token_expired", 401, exitAuth, noRetry, 0, "Token expired", "The token's time is over; get a new one."},
	{"permission_denied", 403, exitAuth, noRetry, 0, "Permission denied", "The token is valid but does not allow this."},

	// 3.
	{"in_progress", 409, exitConflict, retry, 1, "In progress", "The first request with this key still runs; ask again for its outcome."},

	// 4. The key was used for something else: the first outcome stands.
	keyReused("kind"), keyReused("to"), keyReused("amount"), keyReused("asset"),
	keyReused("expires_in_s"), keyReused("final"), keyReused("legs"), keyReused("reference"),

	// 6. Not stored.
	{"same_account", 422, exitRefused, noRetry, 0, "Same account", "Payer and payee are the same account."},
	{"asset_mismatch", 422, exitRefused, noRetry, 0, "Asset mismatch", "The accounts and the request do not have the same asset."},
	{"flags_conflict", 422, exitRefused, noRetry, 0, "Settings conflict", "The account cannot have these settings together."},

	// 7. Frozen under the key; side tells which account.
	{"account_not_found", 404, exitNotFound, noRetry, 0, "Account not found", "There is no such account; side tells which."},
	{"account_closed", 422, exitRefused, noRetry, 0, "Account closed", "The account is closed; side tells which."},
	{"account_frozen", 422, exitRefused, noRetry, 0, "Account frozen", "The account may not send, or may not receive; side tells which."},

	// 8. Reservations.
	{"reservation_not_found", 404, exitNotFound, noRetry, 0, "Reservation not found", "There is no such reservation."},
	{"already_confirmed", 409, exitConflict, noRetry, 0, "Already confirmed", "It is confirmed already, and stays so."},
	{"already_cancelled", 409, exitConflict, noRetry, 0, "Already cancelled", "It is cancelled already, and stays so."},
	{"reservation_expired", 409, exitConflict, noRetry, 0, "Reservation expired", "The reservation's time is over; its money went back."},
	{"exceeds_reservation", 422, exitRefused, noRetry, 0, "Exceeds the reservation", "The amount is more than what remains reserved; remaining tells how much that is."},

	// 9. Money.
	{"insufficient_funds", 422, exitRefused, noRetry, 0, "Insufficient funds", "The payer's available balance is too small; needed tells what is missing."},
	{"limit_exceeded", 422, exitRefused, noRetry, 0, "Limit exceeded", "The amount is above a limit of the account; limit tells which."},
	{"balance_overflow", 422, exitRefused, noRetry, 0, "Balance overflow", "The payee's balance would pass 9007199254740991."},
	{"condition_failed", 422, exitRefused, noRetry, 0, "Condition failed", "A condition of the request does not hold."},
	{"exceeds_transfer", 422, exitRefused, noRetry, 0, "Exceeds the transfer", "The amount is more than what of the transfer is not reversed yet; remaining tells how much that is."},

	// 10.
	{"cancelled_before_try", 409, exitConflict, noRetry, 0, "Cancelled before it came", "This key was cancelled before the request arrived; it never happens."},

	// Accounts.
	accountExists("id"), accountExists("asset"), accountExists("owner"),
	accountExists("issuance"), accountExists("overdraft_limit"), accountExists("metadata"),
	{"account_not_empty", 409, exitConflict, noRetry, 0, "Account not empty", "An account is closed only without balance, reservation and open leg."},
	{"precondition_failed", 412, exitConflict, noRetry, 0, "Precondition failed", "The account has another version than If-Match names."},
	{"transfer_not_found", 404, exitNotFound, noRetry, 0, "Transfer not found", "There is no such transfer."},

	// 11. Provably nothing moved.
	{"shard_unavailable", 503, exitRetry, retry, 1, "Shard unavailable", "The account's shard does not answer; nothing moved. Try again with the same key."},
	{"partition_moving", 503, exitRetry, retry, 1, "Partition moving", "The account's partition is moving to another shard; nothing moved. Try again with the same key."},
	{"journal_unavailable", 503, exitRetry, retry, 1, "Journal unavailable", "The journal does not take writes; nothing moved. Try again with the same key."},
	{"overloaded", 503, exitRetry, retry, 1, "Overloaded", "There is more to do than can be done in time; nothing moved. Try again with the same key."},
	{"draining", 503, exitRetry, retry, 1, "Draining", "This gateway is going away; nothing moved. Connect again and try with the same key."},
	{"projection_behind", 503, exitRetry, retry, 1, "Projection behind", "The read side has not reached Wallet-Min-Position yet. Try again."},
	{"rate_limited", 429, exitRetry, retry, 1, "Rate limited", "Too many requests; nothing moved. Try again later with the same key."},

	// 12. Resolves by itself.
	{"outcome_unknown", 504, exitUnknown, noRetry, 0, "Outcome unknown", "It may have happened or not; that is settled within 30 s. Look it up, or repeat it with the same key only."},
	{"processing", 202, exitUnknown, noRetry, 0, "Processing", "It is being settled; Location tells where to look."},
}

func keyReused(field string) Info {
	return Info{"key_reused_with_different_" + field, 409, exitConflict, noRetry, 0,
		"Key reused", "This key was used with another " + field + "; the first outcome stands."}
}

func accountExists(field string) Info {
	return Info{"account_exists_with_different_" + field, 409, exitConflict, noRetry, 0,
		"Account exists", "The account exists already, with another " + field + "."}
}

var byCode = func() map[string]int {
	m := make(map[string]int, len(codes))
	for i := range codes {
		m[codes[i].Code] = i
	}
	return m
}()

// Lookup finds what is said about a code; an unknown code is outcome_unknown, which promises nothing.
func Lookup(code string) Info {
	if i, ok := byCode[code]; ok {
		return codes[i]
	}
	return codes[byCode["outcome_unknown"]]
}

// Codes is the table in its frozen order.
func Codes() []Info { return append([]Info(nil), codes[:]...) }

// clientCode is the word that a client hears for a status. What concerns only the house is told as shard_unavailable:
// the act was refused before it did anything, and another try may meet a healthier shard.
func clientCode(s journal.Status) string {
	switch s {
	case journal.Uninitialised, journal.StaleEpoch, journal.LeaseOver, journal.AlterConflict,
		journal.DeliveryGap, journal.SuspenseFull, journal.NotDue, journal.UnknownTry, journal.Malformed:
		return "shard_unavailable"
	case journal.KeyOld: // the gateway asks the projection; when it cannot, nothing moved
		return "projection_behind"
	case journal.AccountExists:
		// Which field differs is for the gateway to find (AccountExistsWith); all that is known here is the id.
		return "account_exists_with_different_id"
	}
	if s == journal.None || !s.Known() {
		return "outcome_unknown"
	}
	return s.Code()
}

// statusInfo holds OfStatus's answers.
var statusInfo = func() (infos [64]Info) {
	for i := range infos {
		s := journal.Status(i)
		if s.Accepted() {
			infos[i] = Info{Code: s.Code(), HTTP: 200, Exit: exitOK, Title: s.Code()}
		} else {
			infos[i] = Lookup(clientCode(s))
		}
	}
	return infos
}()

// OfStatus is what a client is told about a shard's status: refusals that only concern the house become
// shard_unavailable. An accepted status answers its own code, HTTP 200 (201 is for the door to say), exit 0.
func OfStatus(s journal.Status) Info {
	if int(s) >= len(statusInfo) {
		s = journal.None
	}
	return statusInfo[s]
}

// AccountExistsWith is the refusal of a create whose account is there with another content of field.
func AccountExistsWith(field string) Info {
	if i, ok := byCode["account_exists_with_different_"+field]; ok {
		return codes[i]
	}
	return Lookup("account_exists_with_different_id")
}
