package protocol

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed acts.lua
var actsLua string

var actsSHA = func() string { sum := sha1.Sum([]byte(actsLua)); return hex.EncodeToString(sum[:]) }()

// op is an act; the numbers are acts.lua's.
type op uint8

const (
	opOpen op = iota + 1
	opCheck
	opPay
	opDeliver
	opLeg
	opTryPayer
	opTryPayee
	opConfirmPayer
	opConfirmPayee
	opCancelPayer
	opCancelPayee
	opPreparePayer
	opPreparePayee
	opCommitPayer
	opCommitPayee
	opAbort
	opDebit
	opCredit
	opEnd
	opRefund
	opRefuse

	opDecide // 2PC's coordinator: in the log alone
)

// Statuses that acts answer.
const (
	statusOK      = 1
	statusNoFunds = 2
	statusNoPayee = 3
	statusGap     = 4 // this and those above it are excluded by every protocol
)

const (
	rowSize   = 36
	eventSize = rowSize + 1
	rowsMax   = 1024 // in a call; a leg is a row
)

// shard is one Redis.
type shard struct {
	client *redis.Client
}

func openShard(ctx context.Context, addr string) (*shard, error) {
	s := &shard{redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, MaxRetries: -1, PoolSize: 2, DisableIdentity: true,
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10})}
	err := s.client.FlushDB(ctx).Err()
	if err == nil {
		err = s.client.ScriptLoad(ctx, actsLua).Err()
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("shard %s: %w", addr, err)
	}
	return s, nil
}

func (s *shard) close() { _ = s.client.Close() } // it was only a client

var shardKeys = []string{"accounts", "records", "delivered", "outbox"}

// run answers a status for each row.
func (s *shard) run(ctx context.Context, rows []byte) (string, error) {
	text, err := s.client.EvalSha(ctx, actsSHA, shardKeys, rows).Text()
	if err == nil && len(text) != len(rows)/rowSize {
		err = fmt.Errorf("%d answers to %d rows", len(text), len(rows)/rowSize)
	}
	if err != nil {
		return "", fmt.Errorf("run acts: %w", err)
	}
	return text, nil
}

// cpu is what this Redis has used, µs.
func (s *shard) cpu(ctx context.Context) (us float64, err error) {
	info, err := s.client.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, fmt.Errorf("read Redis's CPU: %w", err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			us += v * 1e6
		}
	}
	return us, nil
}

// standing is an account as the shard has it.
type standing struct {
	available, reserved int64
	locked              bool
}

func (s *shard) accounts(ctx context.Context) (map[string]standing, error) {
	all, err := s.client.HGetAll(ctx, "accounts").Result()
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	out := make(map[string]standing, len(all))
	for name, v := range all {
		if len(v) != 16 {
			return nil, fmt.Errorf("account of %d bytes", len(v))
		}
		out[name] = standing{int64(binary.BigEndian.Uint64([]byte(v[:8]))), int64(binary.BigEndian.Uint64([]byte(v[7:15])) & (1<<56 - 1)), v[15] != 0}
	}
	return out, nil
}

func appendRow(dst []byte, o op, id [16]byte, account [12]byte, amount int64) []byte {
	dst = append(append(append(dst, byte(o)), id[:]...), account[:]...)
	return append(dst, be56(uint64(amount))...)
}

func be56(v uint64) []byte {
	return []byte{byte(v >> 48), byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}
