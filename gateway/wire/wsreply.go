package wire

import "walletd/journal"

// ShortReply is a transfer's compact WebSocket reply: all that an act on the hot path has to say. It holds no pointer
// unless it is a refusal.
type ShortReply struct {
	ID       journal.ID
	Status   journal.Status
	Position journal.Position
	Problem  *Problem // instead of the others
}

// AppendOKTransfer writes {"id":…,"ok":{"transfer":…,"status":…,"position":…}}.
func AppendOKTransfer(dst []byte, message uint64, id journal.ID, s journal.Status, p journal.Position) []byte {
	panic("to come")
}

// AppendRefusal writes {"id":…,"error":{…}} of a refused act without building a Problem: the hot path's.
func AppendRefusal(dst []byte, message uint64, s journal.Status, detail uint64) []byte {
	panic("to come")
}

// AppendOKBatch writes {"id":…,"ok":{"data":[{"ok":…}|{"error":…}]}}.
func AppendOKBatch(dst []byte, message uint64, items []ShortReply) []byte { panic("to come") }

// AppendOKConnect writes {"id":…,"ok":{"session":…,"max_in_flight":…,"ping_s":…}}.
func AppendOKConnect(dst []byte, message uint64, session string, maxInFlight, pingS int) []byte {
	panic("to come")
}

// AppendOKBalance writes {"id":…,"ok":balance}.
func AppendOKBalance(dst []byte, message uint64, b *BalanceReply) []byte { panic("to come") }

// AppendOKReservation writes {"id":…,"ok":reservation}.
func AppendOKReservation(dst []byte, message uint64, r *ReservationReply) []byte { panic("to come") }

// AppendOKSubscribe writes {"id":…,"ok":{"channel":…,"recovered":…}}, with the snapshot where events were not recovered.
func AppendOKSubscribe(dst []byte, message uint64, channel string, snapshot *BalanceReply) []byte {
	panic("to come")
}

// AppendOKEmpty writes {"id":…,"ok":{}}: refresh.
func AppendOKEmpty(dst []byte, message uint64) []byte { panic("to come") }

// AppendErr writes {"id":…,"error":{…}}; without id when message is 0.
func AppendErr(dst []byte, message uint64, p *Problem) []byte { panic("to come") }

// Ping is the server's ping and its answer to one.
const Ping = "{}"

// Event is what happened to an account, as it is pushed.
type Event struct {
	Type         string         // transfer.sent, transfer.received, reservation.tried, .confirmed, .cancelled, .expired, account.changed
	Transfer     journal.ID     // zero: left out
	Reservation  journal.ID     // zero: left out
	Amount       journal.Amount // 0: left out
	Available    journal.Amount
	Reserved     journal.Amount
	Counterparty string // left out when empty
	Position     journal.Position
	CreatedMS    int64
}

// AppendPush writes {"push":{"channel":…,"version":…,"event":{…}}}.
func AppendPush(dst []byte, channel string, version uint64, e *Event) []byte { panic("to come") }
