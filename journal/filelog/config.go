package filelog

import (
	"errors"
	"fmt"
	"log/slog"
)

// Bounds of a configuration.
const (
	partitionsMax   = 1024     // design section 11
	segmentBytesMin = 4 << 10  // for tests; a real one is larger
	firstSegment    = 4 << 20  // a new journal starts small and doubles up to Config.SegmentBytes
	pendingBytesMax = 32 << 20 // waiting for the log goroutine; further Appends wait
)

// Config says where the journal lies and how it is cut.
type Config struct {
	Dir          string       // the journal's own directory; made when it does not exist
	Partitions   int          // fixed for ever when the journal is made; 0 = as the journal there says
	SegmentBytes int64        // size of a segment, made ahead of its use; 0 = 64 MiB
	Logger       *slog.Logger // hears of a torn tail and of a log that stopped; nil = nobody
	FS           FS           // nil = the machine's own
}

func (c Config) withDefaults() Config {
	if c.SegmentBytes == 0 {
		c.SegmentBytes = 64 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.FS == nil {
		c.FS = osFS{}
	}
	return c
}

// validate reports every problem at once.
func (c Config) validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("no directory"))
	}
	if c.Partitions < 0 || c.Partitions > partitionsMax {
		errs = append(errs, fmt.Errorf("%d partitions, want 1 to %d", c.Partitions, partitionsMax))
	}
	if c.SegmentBytes < segmentBytesMin || c.SegmentBytes > segmentBytesMax {
		errs = append(errs, fmt.Errorf("segments of %d bytes, want %d to %d", c.SegmentBytes, segmentBytesMin, segmentBytesMax))
	}
	return errors.Join(errs...)
}
