package shardrouter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
)

// NodeBytesMax is what a node may hold, exclusive. ZooKeeper drops the connection
// of a client that writes 1 MiB; far below, a map of 1,024 partitions fits.
const NodeBytesMax = 64 << 10

const (
	shardIDBytesMax = 32
	nameBytesMax    = 64
	stateBytesMax   = 32
	addrBytesMax    = 255
	replicasMax     = 16
	sparesMax       = 256
)

// Validate tells everything that is wrong with the map at once, as ErrInvalid:
// 1 to 1,024 partitions, each naming a known shard; shards that are stored under
// their own id, with addresses of the form host:port.
func (m *Map) Validate() error {
	var faults []error
	report := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if m.fault != nil {
		faults = append(faults, m.fault)
	}
	if m.Version < 1 {
		report("version %d, the first is 1", m.Version)
	}
	if n := len(m.Partitions); n < 1 || n > PartitionsMax {
		report("%d partitions, 1 to %d are possible", n, PartitionsMax)
	}
	unknown := map[string]bool{} // a shard that is missing is reported once, not once a partition
	for p, owner := range m.Partitions {
		if _, known := m.Shards[owner.Shard]; !known && !unknown[owner.Shard] {
			unknown[owner.Shard] = true
			report("partition %d names the unknown shard %q", p, owner.Shard)
		}
	}
	for id, s := range m.Shards {
		if id != s.ID {
			report("shard %q stands under the id %q", s.ID, id)
		}
		if err := s.validate(); err != nil {
			report("shard %q: %w", id, err)
		}
	}
	for _, addr := range m.Spares {
		switch {
		case !validAddr(addr):
			report("spare %q is not host:port", addr)
		case m.Has(addr):
			report("spare %q is a shard's", addr)
		}
	}
	if len(m.Spares) > sparesMax {
		report("%d spares, at most %d are possible", len(m.Spares), sparesMax)
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w map: %w", ErrInvalid, errors.Join(faults...))
	}
	return nil
}

func (s Shard) validate() error {
	if !validName(s.ID, shardIDBytesMax) {
		return fmt.Errorf("an id has 1 to %d of A-Z a-z 0-9 . _ -, first a letter or digit", shardIDBytesMax)
	}
	if s.Primary != "" && !validAddr(s.Primary) {
		return fmt.Errorf("primary %q is not host:port", s.Primary)
	}
	if len(s.Replicas) > replicasMax {
		return fmt.Errorf("%d replicas, at most %d are possible", len(s.Replicas), replicasMax)
	}
	for _, r := range s.Replicas {
		if !validAddr(r) {
			return fmt.Errorf("replica %q is not host:port", r)
		}
	}
	if !validState(s.State) {
		return fmt.Errorf("state %q is not a word of 1 to %d of a-z and _", s.State, stateBytesMax)
	}
	return nil
}

// Encode gives the map's JSON, one form for one map, less than NodeBytesMax long.
// A map that is not valid has none.
func (m *Map) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode map: %w", err)
	}
	canonical := m.clone()
	for id, s := range canonical.Shards {
		canonical.Shards[id] = s.canonical()
	}
	return encodeNode("map", canonical)
}

// DecodeMap reads what Encode wrote and nothing else: unknown, repeated or
// misspelt fields, missing ones, trailing bytes and maps that are not valid are
// refused as ErrInvalid. Only white space between the tokens is free.
func DecodeMap(data []byte) (*Map, error) {
	m := new(Map)
	if err := decodeNode("map", data, m); err != nil {
		return nil, err
	}
	again, err := m.Encode()
	if err != nil {
		return nil, fmt.Errorf("decode map: %w", err)
	}
	if err := sameForm("map", data, again); err != nil {
		return nil, err
	}
	return m, nil
}

// canonical gives no replicas their one form, [].
func (s Shard) canonical() Shard {
	if s.Replicas == nil {
		s.Replicas = []string{}
	}
	return s
}

func encodeNode(what string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	if len(data) >= NodeBytesMax {
		return nil, fmt.Errorf("encode %s: %w: %d bytes, a node holds less than %d", what, ErrInvalid, len(data), NodeBytesMax)
	}
	return data, nil
}

func decodeNode(what string, data []byte, v any) error {
	if len(data) >= NodeBytesMax {
		return fmt.Errorf("decode %s: %w: %d bytes, a node holds less than %d", what, ErrInvalid, len(data), NodeBytesMax)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode %s: %w: %w", what, ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("decode %s: %w: something follows the value", what, ErrInvalid)
	}
	return nil
}

// sameForm closes the gaps of encoding/json, which takes a field twice or in
// another case and does not miss one: what was read must be what we would write.
func sameForm(what string, read, written []byte) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, read); err != nil {
		return fmt.Errorf("decode %s: %w: %w", what, ErrInvalid, err)
	}
	if !bytes.Equal(compact.Bytes(), written) {
		return fmt.Errorf("decode %s: %w: not in the form that this program writes (a field repeated, missing, misspelt or out of order)", what, ErrInvalid)
	}
	return nil
}

// validName: what a cluster, a shard or a gateway may be called, so that it is
// one step of a znode path and never "." or "..".
func validName(s string, most int) bool {
	if len(s) < 1 || len(s) > most {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

func validState(s string) bool {
	return len(s) >= 1 && len(s) <= stateBytesMax &&
		!slices.ContainsFunc([]byte(s), func(c byte) bool { return c != '_' && (c < 'a' || c > 'z') })
}

func validAddr(s string) bool {
	if len(s) > addrBytesMax || slices.ContainsFunc([]byte(s), func(c byte) bool { return c <= ' ' || c > '~' }) {
		return false
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
