package luascripts

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Health is what a Redis tells of itself.
type Health struct {
	Version  string
	Role     string // master, slave
	Replicas int    // connected
	Used     uint64 // bytes
	Max      uint64 // maxmemory, bytes; 0 = no bound
}

// roomMin is more than loading takes at a time, its buffers included, bytes.
const roomMin = 8 << 20

// room reports, as ErrOutOfMemory, that less than a tenth of the memory is left.
func (s *Shard) room(ctx context.Context) error {
	h, err := s.Health(ctx)
	if err == nil && h.Max > 0 && h.Used+max(h.Max/10, roomMin) > h.Max {
		err = fmt.Errorf("%w: %d of %d bytes are used", ErrOutOfMemory, h.Used, h.Max)
	}
	return err
}

// Health asks a Redis how it is, for operators: CheckSettings says what must be otherwise.
func (s *Shard) Health(ctx context.Context) (h Health, err error) {
	info, err := s.client.Info(ctx).Result()
	if err != nil {
		return h, s.fault("ask for the health of", err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			h.Version = value
		case "role":
			h.Role = value
		case "connected_slaves":
			h.Replicas, _ = strconv.Atoi(value) // a figure for people: what cannot be read is 0
		case "used_memory":
			h.Used, _ = strconv.ParseUint(value, 10, 64)
		case "maxmemory":
			h.Max, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return h, nil
}
