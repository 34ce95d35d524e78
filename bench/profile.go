package bench

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Component is a part of walletd's process, and what it uses of the process's CPU.
type Component struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`  // 0 … 1
	US    float64 `json:"cpu_us"` // an operation
}

// componentOf says to which component a package belongs; the longest prefix counts. Those that are not named belong to whoever
// calls them.
var componentOf = map[string]string{
	"walletd/gateway":               "gateway",
	"walletd/shardrouter/lane":      "lanes",
	"walletd/shardrouter/keeper":    "keeper",
	"walletd/journal/relay":         "keeper",
	"walletd/journal/filelog":       "journal",
	"walletd/journal/kafkalog":      "journal",
	"walletd/projector":             "projector",
	"github.com/cockroachdb/pebble": "projector's store",
	"net/http":                      "gateway",
}

// Components of stacks in which no package is named.
const (
	garbage   = "garbage collection"
	scheduler = "scheduler"
	elsewhere = "other"
)

// profile asks walletd for what its CPU is used for while a load runs. What it answers is waited for.
func (s *Session) profile(ctx context.Context, l *Load) (wait func() ([]Component, error)) {
	if !l.Profile || s.admin == nil {
		return func() ([]Component, error) { return nil, nil }
	}
	type result struct {
		shares []Component
		err    error
	}
	done := make(chan result, 1)
	go func() {
		raw, err := s.getAdmin(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(l.Duration.Seconds()))))
		if err != nil {
			done <- result{nil, err}
			return
		}
		shares, err := componentsOf(raw)
		done <- result{shares, err}
	}()
	return func() ([]Component, error) { r := <-done; return r.shares, r.err }
}

// componentsOf sums up a CPU profile (github.com/google/pprof, profile.proto) by component, the largest first.
func componentsOf(raw []byte) ([]Component, error) {
	p, err := readProfile(raw)
	if err != nil {
		return nil, fmt.Errorf("read the CPU profile: %w", err)
	}
	sums, total := map[string]int64{}, int64(0)
	for _, sample := range p.samples {
		sums[p.component(sample.locations)] += sample.count
		total += sample.count
	}
	var all []Component
	for name, n := range sums {
		all = append(all, Component{Name: name, Share: float64(n) / float64(max(total, 1))})
	}
	slices.SortFunc(all, func(a, b Component) int { return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}

// component is that of a stack, innermost location first.
func (p *cpuProfile) component(stack []uint64) string {
	fallback := elsewhere
	for _, location := range stack {
		for _, function := range p.locations[location] {
			name := p.text(p.functions[function])
			if c := named(name); c != "" {
				return c
			}
			switch {
			case strings.HasPrefix(name, "runtime.gcBgMarkWorker"), strings.HasPrefix(name, "runtime.bgsweep"), strings.HasPrefix(name, "runtime.bgscavenge"):
				fallback = garbage
			case strings.HasPrefix(name, "runtime.mcall"), strings.HasPrefix(name, "runtime.mstart"):
				fallback = scheduler
			}
		}
	}
	return fallback
}

// named is the component of a function's package, "" where it belongs to its caller.
func named(function string) (component string) {
	longest := 0
	for prefix, c := range componentOf {
		if rest, ok := strings.CutPrefix(function, prefix); ok && len(prefix) > longest && rest != "" && (rest[0] == '.' || rest[0] == '/') {
			longest, component = len(prefix), c
		}
	}
	return component
}

// cpuProfile is as much of a profile as is needed.
type cpuProfile struct {
	samples   []cpuSample
	locations map[uint64][]uint64 // -> functions, innermost first
	functions map[uint64]uint64   // -> index of its name
	texts     []string
}

type cpuSample struct {
	locations []uint64
	count     int64
}

func (p *cpuProfile) text(i uint64) string {
	if i < uint64(len(p.texts)) {
		return p.texts[i]
	}
	return ""
}

// profileMax bounds a profile's size once unpacked.
const profileMax = 64 << 20

// readProfile reads profile.proto: sample 2 (location_id 1, value 2), location 4 (id 1, line 4 (function_id 1)), function 5 (id 1,
// name 2), string_table 6.
func readProfile(raw []byte) (*cpuProfile, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(unzip, profileMax))
	if err != nil {
		return nil, err
	}
	p := &cpuProfile{locations: map[uint64][]uint64{}, functions: map[uint64]uint64{}}
	err = fields(text, func(number protowire.Number, v uint64, b []byte) error {
		switch number {
		case 2:
			return p.sample(b)
		case 4:
			return p.location(b)
		case 5:
			return p.function(b)
		case 6:
			p.texts = append(p.texts, string(b))
		}
		return nil
	})
	return p, err
}

func (p *cpuProfile) sample(b []byte) error {
	var s cpuSample
	first := true
	err := fields(b, func(number protowire.Number, v uint64, packed []byte) error {
		return numbers(v, packed, func(v uint64) {
			switch {
			case number == 1:
				s.locations = append(s.locations, v)
			case number == 2 && first: // the number of samples; behind it their nanoseconds
				s.count, first = int64(v), false
			}
		})
	})
	p.samples = append(p.samples, s)
	return err
}

func (p *cpuProfile) location(b []byte) error {
	var id uint64
	var functions []uint64
	err := fields(b, func(number protowire.Number, v uint64, line []byte) error {
		switch number {
		case 1:
			id = v
		case 4:
			return fields(line, func(number protowire.Number, v uint64, _ []byte) error {
				if number == 1 {
					functions = append(functions, v)
				}
				return nil
			})
		}
		return nil
	})
	p.locations[id] = functions
	return err
}

func (p *cpuProfile) function(b []byte) error {
	var id, name uint64
	err := fields(b, func(number protowire.Number, v uint64, _ []byte) error {
		switch number {
		case 1:
			id = v
		case 2:
			name = v
		}
		return nil
	})
	p.functions[id] = name
	return err
}

// fields calls fn for every field of a message: v of a number, b of bytes.
func fields(b []byte, fn func(number protowire.Number, v uint64, b []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := fn(number, v, bytes); err != nil {
			return err
		}
	}
	return nil
}

// numbers calls fn for one number, or for packed ones.
func numbers(v uint64, packed []byte, fn func(v uint64)) error {
	if packed == nil {
		fn(v)
		return nil
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return errors.New("packed numbers are cut off")
		}
		fn(v)
		packed = packed[n:]
	}
	return nil
}
