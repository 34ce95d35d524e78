package luascripts

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Mark is a partition's watermark: the journal is durable up to seq.
type Mark struct {
	Partition int
	Epoch     uint32
	Seq       uint64
	Away      bool // the journal does not take the partition's events: what is to be journaled should not run
}

const markSize = 2 + 4 + 7 + 1

// ErrBadMarks says that a message on the marks channel is none.
var ErrBadMarks = errors.New("bad marks")

func appendMarks(dst []byte, marks []Mark) []byte {
	for _, m := range marks {
		dst = binary.BigEndian.AppendUint16(dst, uint16(m.Partition))
		dst = appendU56(binary.BigEndian.AppendUint32(dst, m.Epoch), m.Seq)
		away := byte(0)
		if m.Away {
			away = 1
		}
		dst = append(dst, away)
	}
	return dst
}

func parseMarks(dst []Mark, b []byte) ([]Mark, error) {
	if len(b)%markSize != 0 {
		return dst, fmt.Errorf("%w: %d bytes", ErrBadMarks, len(b))
	}
	for ; len(b) > 0; b = b[markSize:] {
		if b[markSize-1] > 1 {
			return dst, fmt.Errorf("%w: ends with %#x", ErrBadMarks, b[markSize-1])
		}
		dst = append(dst, Mark{int(binary.BigEndian.Uint16(b)), binary.BigEndian.Uint32(b[2:]), u56(b[6:]), b[markSize-1] == 1})
	}
	return dst, nil
}

// PublishMarks tells everyone who listens at the shard how far the journal is durable, and answers how many that are. Nobody is
// told later: a publisher that is idle repeats its last marks now and then, for those who were away.
func (s *Shard) PublishMarks(ctx context.Context, marks []Mark) (heard int64, err error) {
	heard, err = s.client.Publish(ctx, marksChannel, appendMarks(nil, marks)).Result()
	return heard, s.fault("publish marks to", err)
}

const (
	marksPing  = time.Second            // silence after which the connection is tried
	marksAgain = 100 * time.Millisecond // between two attempts to connect
)

// SubscribeMarks calls fn with the marks that are published, on the caller's goroutine, until ctx ends, and answers its
// error. A lost connection is made again; marks published meanwhile are missed. fn must not keep the slice.
func (s *Shard) SubscribeMarks(ctx context.Context, fn func([]Mark)) error {
	for {
		if err := s.listen(ctx, fn); errors.Is(err, ErrBadMarks) {
			return s.fault("subscribe to the marks of", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(marksAgain):
		}
	}
}

// listen is one connection's worth of marks. One that is silent is asked, and left when it stays so.
func (s *Shard) listen(ctx context.Context, fn func([]Mark)) error {
	sub := s.client.Subscribe(ctx, marksChannel)
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // ends a Receive that waits
	defer func() {
		stop()
		_ = sub.Close()
	}()
	var marks []Mark
	asked := false
	for {
		message, err := sub.ReceiveTimeout(ctx, s.silence)
		var slow net.Error
		switch {
		case err == nil:
			asked = false
		case asked || !errors.As(err, &slow) || !slow.Timeout():
			return err
		default:
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return err
			}
		}
		if m, ok := message.(*redis.Message); ok {
			if marks, err = parseMarks(marks[:0], []byte(m.Payload)); err != nil {
				return err
			}
			fn(marks)
		}
	}
}
