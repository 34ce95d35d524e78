package wire

import (
	"bytes"

	"walletd/journal"
)

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
	CommandUnsubscribe
)

var commandNames = [...]string{"ping", "connect", "transfer", "batch", "balance", "reserve", "confirm", "cancel", "refresh", "subscribe", "unsubscribe"}

func (c Command) String() string { return commandNames[c] }

// commandOf finds the command of that name. {} is the only ping.
func commandOf(name []byte) (Command, bool) {
	if string(name) == "transfer" {
		return CommandTransfer, true
	}
	for i := CommandConnect; int(i) < len(commandNames); i++ {
		if commandNames[i] == string(name) {
			return i, true
		}
	}
	return 0, false
}

// Token is what connect and refresh carry; empty where auth is off.
type Token struct{ Token []byte }

// Subscribe asks for every event of an account, those since a version first; an unsubscribe has the channel only.
type Subscribe struct {
	Channel  []byte // account:<id>
	Account  []byte
	HasSince bool
	Since    uint64 // version
}

// TokenMax bounds a token, bytes.
const TokenMax = 16 << 10

// ChannelPrefix begins every channel's name; the account's id follows.
const ChannelPrefix = "account:"

// itemsKeep bounds the items that a Message keeps for the next batch: a Message lives as long as its connection.
const itemsKeep = 128

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

	assets journal.Assets
	scan   scanner
}

// NewMessage makes a message of a wallet with these assets.
func NewMessage(assets journal.Assets) *Message { return &Message{assets: assets} }

// ParseMessage reads one message into m. With a fault, m.ID is the id to answer with, 0 when the text gives none.
func ParseMessage(line []byte, m *Message) *Fault {
	m.ID, m.Command = 0, CommandPing
	if len(line) > BodyMax {
		return &Fault{"payload_too_large", "", "more than 1 MiB"}
	}
	if cap(m.Batch.Items) > itemsKeep {
		m.Batch.Items = nil
	}
	s := &m.scan
	s.reset(line)
	if s.document() {
		m.read(s)
	}
	f := s.result()
	if s.syntax != "" {
		m.ID = 0 // what an unparsable text seems to say is not to be trusted
	}
	return f
}

func (m *Message) read(s *scanner) {
	hasID, twice, hasCommand := false, false, false
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		if string(name) == "id" {
			if twice = hasID; twice {
				s.fail("duplicate_field", "id", "named twice")
				s.skip()
				continue
			}
			hasID = true
			m.ID = s.integer("id", 1)
			continue
		}
		c, known := commandOf(name)
		switch {
		case !known:
			s.fail("unknown_command", shown(name), "")
			s.skip()
			hasCommand = true
		case hasCommand && c == m.Command:
			s.fail("duplicate_field", c.String(), "named twice")
			s.skip()
		case hasCommand:
			s.fail("malformed", c.String(), "one message has one command")
			s.skip()
		default:
			hasCommand, m.Command = true, c
			if s.object(c.String()) {
				m.command(s)
			}
		}
	}
	switch {
	case twice:
		m.ID = 0 // which of the two would the client look for?
	case !hasID && hasCommand:
		s.fail("malformed", "id", "missing")
	case hasID && !hasCommand:
		s.fail("malformed", "", "no command")
	}
}

// command reads the object of m.Command.
func (m *Message) command(s *scanner) {
	switch m.Command {
	case CommandTransfer:
		s.need(s.transfer(&m.Transfer, m.assets), transferNeeds)
	case CommandBatch:
		s.batch(&m.Batch, m.assets)
	case CommandReserve:
		s.need(s.reserve(&m.Reserve, m.assets), reserveNeeds)
	case CommandConfirm:
		seen, unheardOf := s.confirm(&m.Confirm, confirmFields|fReservation)
		s.need(seen, fReservation|fKey)
		s.unheardOf(unheardOf)
	case CommandCancel:
		m.cancel(s)
	case CommandBalance:
		m.balance(s)
	case CommandSubscribe:
		m.subscribe(s, fChannel|fSince)
	case CommandUnsubscribe:
		m.subscribe(s, fChannel)
	case CommandConnect:
		s.token(&m.Connect, 0)
	case CommandRefresh:
		s.token(&m.Refresh, fToken)
	case CommandPing:
	}
}

// unheardOf answers a reservation that cannot be an id like one that nobody knows, as the REST paths do.
func (s *scanner) unheardOf(is bool) {
	if is {
		s.fail("reservation_not_found", "reservation", "")
	}
}

// cancel reads a cancel by id, or by payer and key, but not by both.
func (m *Message) cancel(s *scanner) {
	seen, unheardOf := s.cancel(&m.Cancel, fReservation|fFrom|fKey)
	byKey := seen & (fFrom | fKey)
	switch {
	case seen&fReservation == 0 && byKey == 0:
		s.fail("malformed", "reservation", "missing: reservation, or from and key")
	case seen&fReservation == 0:
		m.Cancel.ByKey = true
		s.need(seen, fFrom|fKey)
	case byKey != 0:
		s.fail("malformed", byKey.name(), "either reservation, or from and key")
	default:
		s.unheardOf(unheardOf)
	}
}

func (m *Message) balance(s *scanner) {
	m.Balance = Balance{}
	var seen fields
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		if s.field(name, fAccount, &seen) == fAccount {
			m.Balance.Account = s.account("account")
		}
	}
	s.need(seen, fAccount)
}

func (m *Message) subscribe(s *scanner, allowed fields) {
	m.Subscribe = Subscribe{}
	var seen fields
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		switch s.field(name, allowed, &seen) {
		case fChannel:
			m.Subscribe.Channel, m.Subscribe.Account = s.channel()
		case fSince:
			m.Subscribe.Since, m.Subscribe.HasSince = s.since()
		}
	}
	s.need(seen, fChannel)
}

func (s *scanner) channel() (channel, account []byte) {
	channel = s.text("channel", 0, anyLength)
	if channel == nil {
		return nil, nil
	}
	account, ok := bytes.CutPrefix(channel, []byte(ChannelPrefix))
	if !ok || !ValidAccount(account) {
		s.fail("malformed", "channel", "channels are account:<id>")
	}
	return channel, account
}

func (s *scanner) since() (version uint64, ok bool) {
	if !s.object("since") {
		return 0, false
	}
	s.path = "since."
	var seen fields
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		if s.field(name, fVersion, &seen) == fVersion {
			version = s.integer("version", 0)
		}
	}
	s.need(seen, fVersion)
	s.path = ""
	return version, true
}

func (s *scanner) token(t *Token, needs fields) {
	*t = Token{}
	var seen fields
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		if s.field(name, fToken, &seen) == fToken {
			t.Token = s.text("token", 0, TokenMax)
		}
	}
	s.need(seen, needs)
}

// NextLine cuts the next message off a frame; empty lines are passed over. ok is false when there is none left.
func NextLine(frame []byte) (line, rest []byte, ok bool) {
	for len(frame) > 0 {
		line, frame = frame, nil
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line, frame = line[:i], line[i+1:]
		}
		if len(bytes.Trim(line, " \t\r")) > 0 {
			return line, frame, true
		}
	}
	return nil, nil, false
}
