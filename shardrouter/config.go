package shardrouter

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// HashV1 names the function from an account id to its partition: the account's
// handle, from the SHA-256 of its id, modulo the number of partitions (design.md
// section 5).
const HashV1 = "sha256/handle-v1"

const (
	assetsMax         = 256
	assetExponentMax  = 18
	assetCodeBytesMin = 2
	assetCodeBytesMax = 12
)

// Config is what a cluster was created with, and keeps for ever: the node config.
// Partitions and Hash decide where every account's history is; an asset's
// exponent decides what its amounts mean. The order of Assets is kept as it was
// given at creation: whoever numbers assets takes it from here.
type Config struct {
	Partitions int       `json:"partitions"`
	Hash       string    `json:"hash"`
	Assets     []Asset   `json:"assets"`
	CreatedAt  time.Time `json:"created_at"`
}

// Asset is a currency code (2 to 12 of A-Z 0-9) and the number of decimal places
// of its minor unit.
type Asset struct {
	Code     string `json:"code"`
	Exponent int    `json:"exponent"`
}

// MismatchError tells in which field a cluster's configuration differs from the
// one that a start wants. It is ErrMismatch.
type MismatchError struct {
	Field      string // as in the node: partitions, hash or assets
	Has, Wants string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%v: field %s: the cluster has %s, this start wants %s; it is fixed for ever when a cluster is created",
		ErrMismatch, e.Field, e.Has, e.Wants)
}

// Is makes errors.Is(err, ErrMismatch) true.
func (e *MismatchError) Is(target error) bool { return target == ErrMismatch }

// Check compares a cluster's configuration with the one that a start wants; the
// order of assets and the time of creation do not matter. Error: *MismatchError.
func (c Config) Check(wants Config) error {
	if c.Partitions != wants.Partitions {
		return &MismatchError{Field: "partitions", Has: fmt.Sprint(c.Partitions), Wants: fmt.Sprint(wants.Partitions)}
	}
	if c.Hash != wants.Hash {
		return &MismatchError{Field: "hash", Has: c.Hash, Wants: wants.Hash}
	}
	if has, want := sorted(c.Assets), sorted(wants.Assets); !slices.Equal(has, want) {
		return &MismatchError{Field: "assets", Has: fmt.Sprint(has), Wants: fmt.Sprint(want)}
	}
	return nil
}

// Validate tells everything that is wrong at once, as ErrInvalid.
func (c Config) Validate() error {
	var faults []error
	report := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Partitions < 1 || c.Partitions > PartitionsMax {
		report("%d partitions, 1 to %d are possible", c.Partitions, PartitionsMax)
	}
	if len(c.Hash) < 1 || len(c.Hash) > nameBytesMax || slices.ContainsFunc([]byte(c.Hash), func(b byte) bool { return b <= ' ' || b > '~' }) {
		report("hash %q is not a word of 1 to %d printable characters", c.Hash, nameBytesMax)
	}
	if len(c.Assets) < 1 || len(c.Assets) > assetsMax {
		report("%d assets, 1 to %d are possible", len(c.Assets), assetsMax)
	}
	seen := make(map[string]bool, len(c.Assets))
	for _, a := range c.Assets {
		if !validAssetCode(a.Code) {
			report("asset %q: a code has %d to %d of A-Z 0-9", a.Code, assetCodeBytesMin, assetCodeBytesMax)
		}
		if a.Exponent < 0 || a.Exponent > assetExponentMax {
			report("asset %q: exponent %d, 0 to %d are possible", a.Code, a.Exponent, assetExponentMax)
		}
		if seen[a.Code] {
			report("asset %q is there twice", a.Code)
		}
		seen[a.Code] = true
	}
	if c.CreatedAt.IsZero() {
		report("no created_at")
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w config: %w", ErrInvalid, errors.Join(faults...))
	}
	return nil
}

// Encode gives the configuration's JSON.
func (c Config) Encode() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	c.CreatedAt = c.CreatedAt.UTC()
	return encodeNode("config", c)
}

// DecodeConfig reads what Encode wrote and nothing else, as DecodeMap does.
func DecodeConfig(data []byte) (Config, error) {
	var c Config
	if err := decodeNode("config", data, &c); err != nil {
		return Config{}, err
	}
	again, err := c.Encode()
	if err != nil {
		return Config{}, fmt.Errorf("decode config: %w", err)
	}
	if err := sameForm("config", data, again); err != nil {
		return Config{}, err
	}
	return c, nil
}

func sorted(assets []Asset) []Asset {
	s := slices.Clone(assets)
	slices.SortFunc(s, func(a, b Asset) int {
		switch {
		case a.Code < b.Code:
			return -1
		case a.Code > b.Code:
			return 1
		}
		return a.Exponent - b.Exponent
	})
	return s
}

func validAssetCode(s string) bool {
	return len(s) >= assetCodeBytesMin && len(s) <= assetCodeBytesMax &&
		!slices.ContainsFunc([]byte(s), func(c byte) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') })
}
