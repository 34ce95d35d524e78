package wire

import "walletd/journal"

// Bounds of metadata (surface, "Shapes").
const (
	MetadataMax      = 50 // pairs
	MetadataKeyMax   = 64 // bytes
	MetadataValueMax = 500
)

// Pair is one entry of metadata.
type Pair struct {
	Key, Value []byte
	Delete     bool // in a patch: null
}

// AccountCreate asks for an account.
type AccountCreate struct {
	ID             []byte // empty: the gateway chooses
	Asset          journal.Asset
	Owner          []byte
	Issuance       bool
	OverdraftLimit journal.Amount
	Metadata       []Pair
}

// Change is what a patch says about a switch.
type Change int8

// A switch that a patch does not name stays.
const (
	Stays Change = iota
	On
	Off
)

// AccountPatch is a merge patch of an account (RFC 7396): what is not named stays.
type AccountPatch struct {
	FrozenSending   Change
	FrozenReceiving Change
	Closed          Change // status closed: On, open: Off
	SetsLimit       bool
	OverdraftLimit  journal.Amount // when SetsLimit
	ClearsMetadata  bool           // metadata: null
	Metadata        []Pair
}

// ParseAccountCreate reads the body of POST /v1/accounts.
func ParseAccountCreate(body []byte, assets journal.Assets) (a AccountCreate, f *Fault) {
	panic("to come")
}

// ParseAccountPatch reads the body of PATCH /v1/accounts/{id}.
func ParseAccountPatch(body []byte) (p AccountPatch, f *Fault) { panic("to come") }

// MetadataMap is the account's metadata as it is kept; nil without any.
func (a *AccountCreate) MetadataMap() map[string]string { panic("to come") }

// Flags is what the patch makes of an account's switches.
func (p *AccountPatch) Flags(old journal.Flags) journal.Flags { panic("to come") }

// MergeMetadata is what the patch makes of an account's metadata; old is not changed. More than MetadataMax pairs are malformed.
func (p *AccountPatch) MergeMetadata(old map[string]string) (map[string]string, *Fault) {
	panic("to come")
}
