package rival

import (
	"context"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"walletd/journal"
	"walletd/journal/rows"
)

//go:embed transfer.lua
var transferLua string

// Redis is the naive rival: one script a transfer, no batching, no journal. It promises less than the others: a Redis that
// is lost takes every balance with it, and an answer says only that memory has changed.
type Redis struct {
	client   *redis.Client
	transfer *redis.Script
	seq      *atomic.Uint64 // of answers: there is no journal to number
}

// NewRedis are callers on one client with the library's own pool, retries off: a transfer that is sent twice by itself would
// be answered, correctly, as a repeat.
func NewRedis(addr string, n int) (callers []Caller) {
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	shared := &Redis{client, redis.NewScript(transferLua), new(atomic.Uint64)}
	for range n - 1 {
		callers = append(callers, sharing{shared})
	}
	return append(callers, shared)
}

// sharing leaves the client open.
type sharing struct{ *Redis }

func (sharing) Close() {}

// Close closes the client; callers that share it must have ended, which OneByOne sees to when it stops.
func (r *Redis) Close() { _ = r.client.Close() }

func accountKey(h journal.Handle) string { return "account:" + hex.EncodeToString(h[:]) }

// Call implements Caller.
func (r *Redis) Call(ctx context.Context, row *journal.Row, out *rows.Outcome) {
	var err error
	switch row.Op {
	case journal.OpTransfer:
		err = r.move(ctx, row, out)
	case journal.OpOpen:
		err = r.open(ctx, row, out)
	case journal.OpRead:
		err = r.read(ctx, row, out)
	default: // stays Malformed
	}
	if err != nil {
		out.Status = journal.OutcomeUnknown
	}
}

func (r *Redis) move(ctx context.Context, row *journal.Row, out *rows.Outcome) error {
	keys := []string{accountKey(row.Account), accountKey(row.To), "key:" + string(row.ID[:])}
	answer, err := r.transfer.Run(ctx, r.client, keys, int64(row.Amount), int(row.Asset), journal.RefSum(row.Reference),
		hex.EncodeToString(row.To[:]), time.Now().UnixMilli()).Slice()
	if err != nil {
		return err
	}
	status, _ := answer[0].(int64)
	detail, err1 := strconv.ParseUint(fmt.Sprint(answer[1]), 10, 64)
	at, err2 := strconv.ParseInt(fmt.Sprint(answer[2]), 10, 64)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("answer %v", answer)
	}
	out.Status, out.Replayed, out.Detail, out.TimeMS = journal.Status(status&^replayed), status&replayed != 0, detail, at
	out.Position = journal.Position{Epoch: 1, Seq: r.seq.Add(1)}
	return nil
}

func (r *Redis) open(ctx context.Context, row *journal.Row, out *rows.Outcome) error {
	least := -int64(row.OverdraftLimit)
	if row.Flags.Has(journal.Issuance) {
		least = -int64(journal.AmountMax)
	}
	key := accountKey(row.Account)
	now := time.Now().UnixMilli()
	fresh, err := r.client.HSetNX(ctx, key, "created_ms", now).Result()
	if err != nil {
		return err
	}
	out.Status, out.TimeMS = journal.AccountExists, now
	if !fresh {
		return nil
	}
	out.Status = journal.Opened
	return r.client.HSet(ctx, key, "available", 0, "version", 1, "least", least, "overdraft_limit", int64(row.OverdraftLimit),
		"asset", int(row.Asset), "flags", int(row.Flags), "details", row.Text).Err()
}

func (r *Redis) read(ctx context.Context, row *journal.Row, out *rows.Outcome) error {
	v, err := r.client.HGetAll(ctx, accountKey(row.Account)).Result()
	if err != nil {
		return err
	}
	if v["asset"] == "" {
		out.Status = journal.AccountNotFound
		return nil
	}
	number := func(name string) int64 {
		n, numberErr := strconv.ParseInt(v[name], 10, 64)
		if numberErr != nil {
			err = fmt.Errorf("field %s: %w", name, numberErr)
		}
		return n
	}
	a := journal.Account{Available: journal.Amount(number("available")), Version: uint64(number("version")),
		OverdraftLimit: journal.Amount(number("overdraft_limit")), Asset: journal.Asset(number("asset")), Flags: journal.Flags(number("flags"))}
	out.Status, out.Record = journal.OK, a.Append(nil)
	if row.Details {
		at := number("created_ms")
		out.Record = append(out.Record, byte(at>>48), byte(at>>40), byte(at>>32), byte(at>>24), byte(at>>16), byte(at>>8), byte(at))
		out.Record = append(out.Record, v["details"]...)
	}
	return err
}

// AuditRedis sums up all balances by asset; wrong names the first that is not 0. There is no journal to hold them against.
func AuditRedis(ctx context.Context, addr string) (accounts int64, wrong string, err error) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = client.Close() }() // it was only a reader
	sums := map[string]int64{}
	scan := client.Scan(ctx, 0, "account:*", 1000).Iterator()
	seen := map[string]bool{}
	for scan.Next(ctx) {
		if seen[scan.Val()] {
			continue
		}
		seen[scan.Val()] = true
		v, err := client.HMGet(ctx, scan.Val(), "asset", "available").Result()
		if err != nil {
			return 0, "", fmt.Errorf("audit: %w", err)
		}
		n, err := strconv.ParseInt(fmt.Sprint(v[1]), 10, 64)
		if err != nil {
			return 0, "", fmt.Errorf("audit %s: %w", scan.Val(), err)
		}
		sums[fmt.Sprint(v[0])] += n
	}
	for asset, sum := range sums {
		if sum != 0 {
			wrong = fmt.Sprintf("asset %s sums up to %d", asset, sum)
		}
	}
	if err := scan.Err(); err != nil {
		return 0, "", fmt.Errorf("audit: %w", err)
	}
	return int64(len(seen)), wrong, nil
}
