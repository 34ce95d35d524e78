package luascripts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrSettings says that a Redis is set up so that money could be lost, or every act would be slow.
var ErrSettings = errors.New("unfit settings")

// ErrEviction is the one among ErrSettings by which a shard that serves may have lost money already. The others make it slow,
// or waste its disk: what it would come back with is not served (admit.go).
var ErrEviction = fmt.Errorf("%w: Redis may evict", ErrSettings)

// CheckSettings reads the settings that a shard depends on and names every one that is wrong, with the fix (ErrSettings,
// ErrEviction).
func (s *Shard) CheckSettings(ctx context.Context) error {
	info, err := s.client.Info(ctx, "server").Result()
	if err != nil {
		return s.fault("check the settings of", err)
	}
	errs := []error{checkVersion(info)}
	for _, want := range []struct {
		name, value, why string
		is               error
	}{
		{"maxmemory-policy", "noeviction", "an evicted account is lost money", ErrEviction},
		{"hash-max-listpack-entries", "0", "a small hash is scanned from end to end by every act", ErrSettings},
		{"save", "", "the journal is the truth: an older state that comes back is only in the way", ErrSettings},
		{"appendonly", "no", "the journal is the truth: an older state that comes back is only in the way", ErrSettings},
	} {
		got, err := s.client.ConfigGet(ctx, want.name).Result()
		if err != nil {
			return s.fault("check the settings of", err)
		}
		if got[want.name] != want.value {
			errs = append(errs, fmt.Errorf("%w: %s is %q, must be %q (%s): CONFIG SET %s %s, and the same in redis.conf",
				want.is, want.name, got[want.name], want.value, want.why, want.name, want.value))
		}
	}
	return s.fault("check the settings of", errors.Join(errs...))
}

// Evicted is how many keys this Redis has dropped for want of memory since it was started, or since somebody reset its
// figures: what is missing in the shard cannot be seen otherwise.
func (s *Shard) Evicted(ctx context.Context) (uint64, error) {
	info, err := s.client.Info(ctx, "stats").Result()
	if err != nil {
		return 0, s.fault("ask for evictions of", err)
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "evicted_keys:"); ok {
			return strconv.ParseUint(n, 10, 64)
		}
	}
	return 0, s.fault("ask for evictions of", fmt.Errorf("%w: the server does not tell them", ErrBadReply))
}

func checkVersion(info string) error {
	for line := range strings.Lines(info) {
		version, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:")
		if !ok {
			continue
		}
		major, _, _ := strings.Cut(version, ".")
		if n, err := strconv.Atoi(major); err != nil || n < 7 {
			return fmt.Errorf("%w: Redis %s, must be 7.0 or newer (scripts with flags): upgrade it", ErrSettings, version)
		}
		return nil
	}
	return fmt.Errorf("%w: the server does not tell its version", ErrSettings)
}
