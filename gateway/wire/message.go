package wire

import "walletd/journal"

// Command is what a WebSocket message asks for.
type Command uint8

// The commands (surface, "WebSocket").
const (
	CommandPing Command = iota // {}: also the answer to the server's
	CommandConnect
	CommandTransfer
	CommandBatch
	CommandBalance
	CommandReserve
	CommandConfirm
	CommandCancel
	CommandRefresh
	CommandSubscribe
)

func (c Command) String() string { panic("to come") }

// Token is what connect and refresh carry; empty where auth is off.
type Token struct{ Token []byte }

// Subscribe asks for every event of an account, those since a version first.
type Subscribe struct {
	Channel  []byte // account:<id>
	Account  []byte
	HasSince bool
	Since    uint64 // version
}

// Message is one command of a session, made once per connection and filled by ParseMessage again and again: its texts
// are valid until the next call. Only the part that belongs to Command is set.
type Message struct {
	ID        uint64 // 1 … 2^53−1; 0: none could be read
	Command   Command
	Connect   Token
	Refresh   Token
	Transfer  Transfer
	Batch     Batch
	Balance   Balance
	Reserve   Reserve
	Confirm   Confirm
	Cancel    Cancel
	Subscribe Subscribe
	assets    journal.Assets
}

// NewMessage makes a message of a wallet with these assets.
func NewMessage(assets journal.Assets) *Message { return &Message{assets: assets} }

// ParseMessage reads one message into m. With a fault, m.ID is the id to answer with, 0 when the text gives none.
func ParseMessage(line []byte, m *Message) *Fault { panic("to come") }

// NextLine cuts the next message off a frame; empty lines are passed over. ok is false when there is none left.
func NextLine(frame []byte) (line, rest []byte, ok bool) { panic("to come") }
