package public

import (
	"encoding/json"
	"strconv"
	"time"

	"walletd/journal"
)

// Names are the ids of accounts by their handles. Who makes events for the public gives names that are complete: an account is opened
// before anything names it.
type Names func(journal.Handle) string

// AppendJSON appends the event's body: one object, the same bytes for the same event at any time. Amounts are minor units.
func (p *Event) AppendJSON(dst []byte, names Names, assets journal.Assets) []byte {
	dst = append(append(dst, `{"type":"`...), p.Type...)
	dst = AppendString(append(dst, `","account":`...), names(p.Account))
	dst = strconv.AppendUint(append(dst, `,"version":`...), p.Version, 10)
	dst = AppendString(append(dst, `,"asset":`...), assets.Code(p.Asset))
	if p.Type == AccountChanged {
		dst = p.appendAccount(dst)
	} else {
		dst = p.appendMovement(dst, names)
	}
	dst = strconv.AppendInt(append(dst, `,"available":`...), int64(p.Available), 10)
	dst = strconv.AppendInt(append(dst, `,"reserved":`...), int64(p.Reserved), 10)
	dst = p.ID.Position.AppendText(append(dst, `,"position":"`...))
	dst = AppendTime(append(dst, `","created_at":"`...), p.TimeMS)
	return append(dst, `"}`...)
}

func (p *Event) appendMovement(dst []byte, names Names) []byte {
	name, prefix := `,"reservation":"`, journal.ReservationPrefix
	if p.Of == journal.OpTransfer || p.Of == journal.OpPay {
		name, prefix = `,"transfer":"`, journal.TransferPrefix
	}
	dst = append(p.Transfer.AppendText(append(dst, name...), prefix), '"')
	if p.Type != TransferSent && p.Type != TransferReceived {
		dst = AppendString(append(dst, `,"status":`...), p.Status.Code())
	}
	dst = strconv.AppendInt(append(dst, `,"amount":`...), int64(p.Amount), 10)
	dst = appendTextIf(dst, `,"counterparty":`, []byte(names(p.Counterparty)))
	dst = appendTextIf(dst, `,"key":`, p.Key)
	dst = appendTextIf(dst, `,"reference":`, p.Reference)
	dst = strconv.AppendInt(append(dst, `,"available_change":`...), int64(p.AvailableChange), 10)
	dst = strconv.AppendInt(append(dst, `,"reserved_change":`...), int64(p.ReservedChange), 10)
	if p.Flagged {
		dst = append(dst, `,"flagged":true`...)
	}
	return dst
}

func (p *Event) appendAccount(dst []byte) []byte {
	status := "open"
	if p.Flags.Has(journal.Closed) {
		status = "closed"
	}
	dst = append(append(append(dst, `,"status":"`...), status...), '"')
	dst = strconv.AppendBool(append(dst, `,"frozen":{"sending":`...), p.Flags.Has(journal.FrozenSending))
	dst = strconv.AppendBool(append(dst, `,"receiving":`...), p.Flags.Has(journal.FrozenReceiving))
	dst = strconv.AppendBool(append(dst, `},"issuance":`...), p.Flags.Has(journal.Issuance))
	dst = strconv.AppendInt(append(dst, `,"overdraft_limit":`...), int64(p.OverdraftLimit), 10)
	var d journal.AccountDetails
	_ = json.Unmarshal(p.Details, &d) // details that are no JSON say nothing
	dst = appendTextIf(dst, `,"owner":`, []byte(d.Owner))
	if len(d.Metadata) > 0 {
		if text, err := json.Marshal(d.Metadata); err == nil { // in order of its keys
			dst = append(append(dst, `,"metadata":`...), text...)
		}
	}
	return dst
}

// AppendTime appends RFC 3339, UTC, milliseconds.
func AppendTime(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

func appendTextIf(dst []byte, name string, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	return AppendString(append(dst, name...), string(text))
}

// AppendString appends a JSON string.
func AppendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // of a string it never fails (encoding/json)
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}
