package wire

import (
	"maps"

	"walletd/journal"
)

// Bounds of metadata (surface, "Shapes").
const (
	MetadataMax      = 50 // pairs
	MetadataKeyMax   = 64 // bytes
	MetadataValueMax = 500

	// metadataWritten bounds metadata as JSON with everything escaped that encoding/json escapes, bytes: an account's
	// details travel in one row of at most journal.RowSizeMax.
	metadataWritten = 60_000
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
	var s scanner
	f = s.parse(body, func() {
		var seen fields
		for name, ok := s.firstName(); ok; name, ok = s.nextName() {
			switch s.field(name, fID|fAsset|fOwner|fIssuance|fLimit|fMetadata, &seen) {
			case fID:
				a.ID = s.account("id")
			case fAsset:
				a.Asset = s.asset(assets)
			case fOwner:
				a.Owner = s.text("owner", 0, OwnerMax)
			case fIssuance:
				a.Issuance = s.boolean("issuance")
			case fLimit:
				a.OverdraftLimit = journal.Amount(s.integer("overdraft_limit", 0))
			case fMetadata:
				a.Metadata = s.metadata(false)
			}
		}
		s.need(seen, fAsset)
	})
	return a, f
}

// ParseAccountPatch reads the body of PATCH /v1/accounts/{id}.
func ParseAccountPatch(body []byte) (p AccountPatch, f *Fault) {
	var s scanner
	f = s.parse(body, func() {
		var seen fields
		for name, ok := s.firstName(); ok; name, ok = s.nextName() {
			switch s.field(name, fFrozen|fStatus|fLimit|fMetadata, &seen) {
			case fFrozen:
				s.frozen(&p)
			case fStatus:
				p.Closed = s.status()
			case fLimit:
				p.SetsLimit = true
				p.OverdraftLimit = journal.Amount(s.integer("overdraft_limit", 0))
			case fMetadata:
				if s.peek() == 'n' && s.literal("null") {
					p.ClearsMetadata = true
				} else {
					p.Metadata = s.metadata(true)
				}
			}
		}
	})
	return p, f
}

func (s *scanner) frozen(p *AccountPatch) {
	if !s.object("frozen") {
		return
	}
	s.path = "frozen."
	var seen fields
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		switch s.field(name, fSending|fReceiving, &seen) {
		case fSending:
			p.FrozenSending = change(s.boolean("sending"))
		case fReceiving:
			p.FrozenReceiving = change(s.boolean("receiving"))
		}
	}
	s.path = ""
}

func change(on bool) Change {
	if on {
		return On
	}
	return Off
}

func (s *scanner) status() Change {
	switch b := s.text("status", 0, anyLength); string(b) {
	case "open":
		return Off
	case "closed":
		return On
	}
	s.fail("malformed", "status", "must be open or closed")
	return Stays
}

// metadata reads an object of texts; in a patch, null deletes a key.
func (s *scanner) metadata(patch bool) (pairs []Pair) {
	if !s.object("metadata") {
		return nil
	}
	s.path = "metadata."
	sets, written := 0, 0
	for name, ok := s.firstName(); ok; name, ok = s.nextName() {
		p := Pair{Key: name}
		switch {
		case len(name) == 0 || len(name) > MetadataKeyMax:
			s.fail("malformed", shown(name), "metadata keys are 1–64 bytes")
		case s.fault == nil && has(pairs, name):
			s.fail("duplicate_field", string(name), "named twice")
		}
		if patch && s.peek() == 'n' {
			s.literal("null")
			p.Delete = true
		} else {
			p.Value = s.text(shown(name), 0, MetadataValueMax)
			sets++
		}
		written += writtenLen(p.Key) + writtenLen(p.Value) + len(`"":"",`)
		// A patch may take all old keys away and bring as many new ones.
		if sets <= MetadataMax && len(pairs) < 2*MetadataMax {
			pairs = append(pairs, p)
		} else {
			s.tooMuchMetadata("more than 50 keys")
		}
	}
	if written > metadataWritten {
		s.tooMuchMetadata("too long when written as JSON")
	}
	s.path = ""
	return pairs
}

func (s *scanner) tooMuchMetadata(detail string) {
	path := s.path
	s.path = ""
	s.fail("malformed", "metadata", detail)
	s.path = path
}

func has(pairs []Pair, key []byte) bool {
	for i := range pairs {
		if string(pairs[i].Key) == string(key) {
			return true
		}
	}
	return false
}

// writtenLen is about the length of a text as encoding/json writes it, never less.
func writtenLen[T string | []byte](text T) (n int) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c < 0x20 || c == '<' || c == '>' || c == '&':
			n += len(`\u003c`)
		case c == '"' || c == '\\':
			n += 2
		case c == 0xe2: // may begin U+2028 or U+2029
			n += len(`\u2028`) - 2
		default:
			n++
		}
	}
	return n
}

// MetadataMap is the account's metadata as it is kept; nil without any.
func (a *AccountCreate) MetadataMap() map[string]string {
	if len(a.Metadata) == 0 {
		return nil
	}
	m := make(map[string]string, len(a.Metadata))
	for _, p := range a.Metadata {
		m[string(p.Key)] = string(p.Value)
	}
	return m
}

// Flags is what the patch makes of an account's switches.
func (p *AccountPatch) Flags(old journal.Flags) journal.Flags {
	for _, c := range [...]struct {
		change Change
		flag   journal.Flags
	}{
		{p.FrozenSending, journal.FrozenSending}, {p.FrozenReceiving, journal.FrozenReceiving}, {p.Closed, journal.Closed},
	} {
		switch c.change {
		case On:
			old |= c.flag
		case Off:
			old &^= c.flag
		}
	}
	return old
}

// MergeMetadata is what the patch makes of an account's metadata, nil for none; old is not changed. More than
// MetadataMax pairs are malformed.
func (p *AccountPatch) MergeMetadata(old map[string]string) (map[string]string, *Fault) {
	if p.ClearsMetadata {
		return nil, nil
	}
	m := maps.Clone(old)
	if m == nil {
		m = make(map[string]string, len(p.Metadata))
	}
	for _, pair := range p.Metadata {
		if pair.Delete {
			delete(m, string(pair.Key))
		} else {
			m[string(pair.Key)] = string(pair.Value)
		}
	}
	written := 0
	for k, v := range m {
		written += writtenLen(k) + writtenLen(v) + len(`"":"",`)
	}
	switch {
	case len(m) > MetadataMax:
		return nil, &Fault{"malformed", "metadata", "more than 50 keys"}
	case written > metadataWritten:
		return nil, &Fault{"malformed", "metadata", "too long when written as JSON"}
	case len(m) == 0:
		return nil, nil
	}
	return m, nil
}
