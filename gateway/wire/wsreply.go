package wire

import (
	"strconv"

	"walletd/journal"
)

// ShortReply is a transfer's compact WebSocket reply: all that an act on the hot path has to say. It holds no pointer
// unless it is a refusal.
type ShortReply struct {
	ID       journal.ID
	Status   journal.Status
	Position journal.Position
	Problem  *Problem // instead of the others
}

// The envelopes of replies: {"id":…,"ok":…} and {"id":…,"error":…}.

func openOK(dst []byte, message uint64) []byte {
	dst = strconv.AppendUint(append(dst, `{"id":`...), message, 10)
	return append(dst, `,"ok":`...)
}

// openError leaves the id out when there is none to answer to.
func openError(dst []byte, message uint64) []byte {
	if message == 0 {
		return append(dst, `{"error":`...)
	}
	dst = strconv.AppendUint(append(dst, `{"id":`...), message, 10)
	return append(dst, `,"error":`...)
}

// AppendOKTransfer writes {"id":…,"ok":{"transfer":…,"status":…,"position":…}}.
func AppendOKTransfer(dst []byte, message uint64, id journal.ID, s journal.Status, p journal.Position) []byte {
	return append(appendShort(openOK(dst, message), id, s, p), '}')
}

func appendShort(dst []byte, id journal.ID, s journal.Status, p journal.Position) []byte {
	dst = id.AppendText(append(dst, `{"transfer":"`...), journal.TransferPrefix)
	dst = append(append(dst, `","status":"`...), s.Code()...)
	dst = p.AppendText(append(dst, `","position":"`...))
	return append(dst, `"}`...)
}

// AppendRefusal writes {"id":…,"error":{…}} of a refused act: the hot path's.
func AppendRefusal(dst []byte, message uint64, s journal.Status, detail uint64) []byte {
	p := ProblemOf(s, detail, "")
	return append(p.AppendError(openError(dst, message)), '}')
}

// AppendOKBatch writes {"id":…,"ok":{"data":[{"ok":…}|{"error":…}]}}.
func AppendOKBatch(dst []byte, message uint64, items []ShortReply) []byte {
	dst = append(openOK(dst, message), `{"data":[`...)
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		if r := &items[i]; r.Problem != nil {
			dst = r.Problem.AppendError(append(dst, `{"error":`...))
		} else {
			dst = appendShort(append(dst, `{"ok":`...), r.ID, r.Status, r.Position)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}}"...)
}

// AppendOKConnect writes {"id":…,"ok":{"session":…,"max_in_flight":…,"ping_s":…}}.
func AppendOKConnect(dst []byte, message uint64, session string, maxInFlight, pingS int) []byte {
	dst = appendText(openOK(dst, message), `{"session":`, session)
	dst = appendNumber(dst, `,"max_in_flight":`, uint64(maxInFlight))
	return append(appendNumber(dst, `,"ping_s":`, uint64(pingS)), "}}"...)
}

// AppendOKBalance writes {"id":…,"ok":balance}.
func AppendOKBalance(dst []byte, message uint64, b *BalanceReply) []byte {
	return append(AppendBalance(openOK(dst, message), b), '}')
}

// AppendOKReservation writes {"id":…,"ok":reservation}.
func AppendOKReservation(dst []byte, message uint64, r *ReservationReply) []byte {
	return append(AppendReservation(openOK(dst, message), r), '}')
}

// AppendOKSubscribe writes {"id":…,"ok":{"channel":…,"recovered":true}}; with a snapshot, which stands in for the
// events that were not recovered, {…,"recovered":false,"snapshot":balance}.
func AppendOKSubscribe(dst []byte, message uint64, channel string, snapshot *BalanceReply) []byte {
	dst = appendText(openOK(dst, message), `{"channel":`, channel)
	dst = appendBool(dst, `,"recovered":`, snapshot == nil)
	if snapshot != nil {
		dst = AppendBalance(append(dst, `,"snapshot":`...), snapshot)
	}
	return append(dst, "}}"...)
}

// AppendOKEmpty writes {"id":…,"ok":{}}: refresh.
func AppendOKEmpty(dst []byte, message uint64) []byte {
	return append(openOK(dst, message), "{}}"...)
}

// AppendErr writes {"id":…,"error":{…}}; without id when message is 0.
func AppendErr(dst []byte, message uint64, p *Problem) []byte {
	return append(p.AppendError(openError(dst, message)), '}')
}

// Ping is the server's ping and its answer to one.
const Ping = "{}"

// OpenPush begins {"push":{"channel":…,"version":…,"event":…}}; the event's body and ClosePush follow.
func OpenPush(dst []byte, channel string, version uint64) []byte {
	dst = appendText(dst, `{"push":{"channel":`, channel)
	return append(appendNumber(dst, `,"version":`, version), `,"event":`...)
}

// ClosePush ends it.
func ClosePush(dst []byte) []byte { return append(dst, "}}"...) }

// MarkReplayed marks the reply that dst ends with, {"id":…,"ok":{…}} or {"id":…,"error":{…}}, as the first outcome of its
// key, again (semantics section 1, row 5).
func MarkReplayed(dst []byte) []byte {
	return append(dst[:len(dst)-2], `,"replayed":true}}`...)
}
