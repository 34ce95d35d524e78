package luascripts

import (
	"embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"walletd/journal"
)

//go:embed *.lua acts/*.lua
var luaFiles embed.FS

// trainVersion is the first byte of a train.
const trainVersion = 3

// Bits of a status byte in a reply; a status is < 64.
const (
	replayedBit = 0x80 // then time_ms u56, epoch u32, seq u56, detail u56 of the key's record
	detailBit   = 0x40 // then detail u56
	statusMask  = 0x3f
)

// fieldsMax bounds the words of one redis.call: Lua's C stack holds 8,000. Even, because HSET takes pairs.
const fieldsMax = 4000

// words are the constants that the Lua files name in capitals: one vocabulary, and no slot of Lua's 200 locals spent on it.
var words = map[string]string{
	"OPENED": status(journal.Opened), "ALTERED": status(journal.Altered), "OK": status(journal.OK), "TRIED": status(journal.Tried),
	"CONFIRMED": status(journal.Confirmed), "CANCELLED": status(journal.Cancelled), "EXPIRED": status(journal.Expired),
	"DELIVERED": status(journal.Delivered), "TOMBSTONE": status(journal.Tombstone),
	"KEY_REUSED_KIND": status(journal.KeyReusedKind), "KEY_REUSED_TO": status(journal.KeyReusedTo),
	"KEY_REUSED_AMOUNT": status(journal.KeyReusedAmount), "KEY_REUSED_ASSET": status(journal.KeyReusedAsset),
	"KEY_REUSED_EXPIRES": status(journal.KeyReusedExpires), "KEY_REUSED_FINAL": status(journal.KeyReusedFinal),
	"KEY_REUSED_REFERENCE": status(journal.KeyReusedReference),
	"SAME_ACCOUNT":         status(journal.SameAccount), "ASSET_MISMATCH": status(journal.AssetMismatch), "FLAGS_CONFLICT": status(journal.FlagsConflict),
	"PAYER_NOT_FOUND": status(journal.PayerNotFound), "PAYER_CLOSED": status(journal.PayerClosed), "PAYER_FROZEN": status(journal.PayerFrozen),
	"PAYEE_NOT_FOUND": status(journal.PayeeNotFound), "PAYEE_CLOSED": status(journal.PayeeClosed), "PAYEE_FROZEN": status(journal.PayeeFrozen),
	"RESERVATION_NOT_FOUND": status(journal.ReservationNotFound), "ALREADY_CONFIRMED": status(journal.AlreadyConfirmed),
	"ALREADY_CANCELLED": status(journal.AlreadyCancelled), "RESERVATION_EXPIRED": status(journal.ReservationExpired),
	"EXCEEDS_RESERVATION": status(journal.ExceedsReservation), "INSUFFICIENT_FUNDS": status(journal.InsufficientFunds),
	"LIMIT_EXCEEDED": status(journal.LimitExceeded), "BALANCE_OVERFLOW": status(journal.BalanceOverflow),
	"CONDITION_FAILED": status(journal.ConditionFailed), "EXCEEDS_TRANSFER": status(journal.ExceedsTransfer),
	"CANCELLED_BEFORE_TRY": status(journal.CancelledBeforeTry), "ACCOUNT_EXISTS": status(journal.AccountExists),
	"ACCOUNT_NOT_EMPTY": status(journal.AccountNotEmpty), "PRECONDITION_FAILED": status(journal.PreconditionFailed),
	"ALTER_CONFLICT": status(journal.AlterConflict), "ACCOUNT_NOT_FOUND": status(journal.AccountNotFound),
	"DELIVERY_GAP": status(journal.DeliveryGap), "SUSPENSE_FULL": status(journal.SuspenseFull), "NOT_DUE": status(journal.NotDue),
	"EVICTED": status(journal.Evicted), "KEY_OLD": status(journal.KeyOld),
	"UNINITIALISED": status(journal.Uninitialised), "STALE_EPOCH": status(journal.StaleEpoch), "LEASE_OVER": status(journal.LeaseOver), "MOVING": status(journal.Moving), "MALFORMED": status(journal.Malformed),

	"OPEN": op(journal.OpOpen), "ALTER": op(journal.OpAlter), "READ": op(journal.OpRead), "CHECK": op(journal.OpCheck),
	"TRANSFER": op(journal.OpTransfer), "PAY": op(journal.OpPay), "RESERVE": op(journal.OpReserve), "CONFIRM": op(journal.OpConfirm),
	"CANCEL": op(journal.OpCancel), "EXPIRE": op(journal.OpExpire), "DELIVER": op(journal.OpDeliver), "LOOK": op(journal.OpLook),
	"EVICT": op(journal.OpEvict),

	"ISSUANCE": number(int(journal.Issuance)), "FROZEN_SENDING": number(int(journal.FrozenSending)),
	"FROZEN_RECEIVING": number(int(journal.FrozenReceiving)), "CLOSED": number(int(journal.Closed)),

	"PLAIN_SIZE": number(plainSize), "SHORT_KEY_SIZE": number(shortKeySize), "AMOUNT_MAX": number(int(journal.AmountMax)), "VERDICT_LOCAL": number(journal.VerdictLocal), "LEG_SIZE": number(journal.LegSize),
	"RESERVATION_SIZE": number(journal.ReservationSize), "NOBODY": "'" + strings.Repeat(`\0`, len(journal.Handle{})) + "'",
	"TRAIN_VERSION": number(trainVersion), "ACTS_MAX": number(ActsMax), "FIELDS_MAX": number(fieldsMax),
	"CLAIM_SIZE": number(claimSize), "WINDOW_HEAD_SIZE": number(windowHeadSize), "SLICE_SIZE": number(sliceSize),
	"SECTOR_SIZE": number(journal.FilterBlockSize / 4), "FILTER_BLOCK_SIZE": number(journal.FilterBlockSize), "OWNED_SIZE": number(ownedSize),
	"EVICTED_AT": number(partEvictedAt), "RESOLVED_AT": number(reservationResolvedAt), "PART_SIZE": number(journal.PartSize),
	"REPLAYED": number(replayedBit), "DETAIL_FOLLOWS": number(detailBit),
}

func status(s journal.Status) string { return number(int(s)) }
func op(o journal.Op) string         { return number(int(o)) }
func number(n int) string            { return strconv.Itoa(n) }

var (
	comment = regexp.MustCompile(`(?m)[ \t]*--.*$`)
	token   = regexp.MustCompile(`'[^'\n]*'|\b[A-Za-z_][A-Za-z0-9_]*\b`)
	capital = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
)

// assemble joins Lua files into one script and puts the numbers in for the words. A word that nobody knows is a bug in the
// files, which are part of the binary: it panics.
func assemble(shebang string, files ...string) string {
	var b strings.Builder
	b.WriteString(shebang + "\n")
	for _, name := range files {
		if group, ok := strings.CutPrefix(name, groupPrefix); ok {
			b.WriteString("do local group = function()\n" + assemble("", strings.Split(group, " ")...) + "end group() end\n")
			continue
		}
		text, err := luaFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		b.WriteString(spell(name, string(text)))
	}
	return b.String()
}

// A group is files within one function: Lua looks up each local that a function uses in a list of all that are in use, once
// a call of the script. Functions within a function take them from it. Half of an empty train's time went there.
const groupPrefix = "group: "

func spell(name, text string) string {
	return token.ReplaceAllStringFunc(comment.ReplaceAllString(text, ""), func(t string) string {
		if !capital.MatchString(t) || t == "KEYS" || t == "ARGV" {
			return t
		}
		n, ok := words[t]
		if !ok {
			panic(fmt.Sprintf("luascripts: %s: nobody knows the word %s", name, t))
		}
		return n
	})
}
