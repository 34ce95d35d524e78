// Package floor is the yardstick of what a transfer must cost its Redis: the same keys and bytes that a transfer touches, by
// bare commands without scripts, in bulks. `walletd bench floor` prints it. Machines are noisy: what a wallet costs is said
// as a multiple of the floor of the same run.
//
//	cross   payee's check  HMGET payees
//	        pay            HMGET keys · HMGET payers · HSET payers · HSET keys · XADD
//	        delivery       HMGET payees · HSET payees · XADD
//	same                   HMGET keys · HMGET payers · HSET payers · HSET keys · XADD · HMGET payees · HSET payees
//
// It decides nothing, remembers nothing and checks nothing, which is the point.
package floor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"walletd/bench/rounds"
	"walletd/journal"
)

// Config says what is measured.
type Config struct {
	Addr     string // of an empty Redis that nobody else uses, host:port
	Accounts int    // in its hash
	Bulk     int    // transfers in a command
	Bulks    int    // of each kind in a round
	Rounds   int    // of which the median counts
	Seed     uint64
}

// Validate tells all that is wrong.
func (c Config) Validate() error {
	var errs []error
	for _, n := range []struct {
		name      string
		n, lo, hi int
	}{{"accounts", c.Accounts, 1, 100_000_000}, {"bulk", c.Bulk, 1, 1024}, {"bulks", c.Bulks, 1, 1 << 20}, {"rounds", c.Rounds, 1, 1000}} {
		if n.n < n.lo || n.n > n.hi {
			errs = append(errs, fmt.Errorf("%s: %d, want %d to %d", n.name, n.n, n.lo, n.hi))
		}
	}
	return errors.Join(errs...)
}

// Report is what was measured: what a transfer costs Redis, in CPU-µs.
type Report struct {
	Cross    rounds.Spread `json:"cross_redis_cpu_us"`
	Same     rounds.Spread `json:"same_redis_cpu_us"`
	Accounts int           `json:"accounts"`
	Bulk     int           `json:"bulk"`
	Rounds   int           `json:"rounds"`
}

// Bytes of a transfer's row and of a delivered leg in the outbox, with their status; what stands around them is a train's.
const (
	rowBytes = 2 + 1 + 1 + 16 + 12 + 12 + 7 + 2 + 4 + 3 + 12 + 1 // with a key and a payee of six letters each
	legBytes = journal.LegSize
	keyBytes = journal.KeyHeadSize + 12 + 7 + 2 + 4
)

const (
	accounts = "accounts"
	keys     = "keys"
	outbox   = "outbox"
)

// Bed is a Redis with accounts in it, on which rounds are measured. It is used by one goroutine at a time.
type Bed struct {
	Config
	r     *redis.Client
	dice  *rand.Rand
	entry uint64
}

// Open connects and opens the accounts.
func Open(ctx context.Context, c Config) (*Bed, error) {
	b := &Bed{Config: c, dice: rand.New(rand.NewPCG(c.Seed, 1)), r: redis.NewClient(&redis.Options{
		Addr: c.Addr, Protocol: 2, MaxRetries: -1, PoolSize: 1, ContextTimeoutEnabled: true, DisableIdentity: true, // as a shard's client
		ReadTimeout: time.Minute, WriteTimeout: time.Minute, ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
	})}
	if err := b.fill(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("fill the floor's Redis: %w", err)
	}
	return b, nil
}

// Close ends the connection.
func (b *Bed) Close() { _ = b.r.Close() } // it was only a client

// Round measures both kinds of transfer, one after the other: Redis's CPU-µs a transfer.
func (b *Bed) Round(ctx context.Context) (cross, same float64, err error) {
	if cross, err = b.measure(ctx, b.cross); err == nil {
		same, err = b.measure(ctx, b.same)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("floor: %w", err)
	}
	return cross, same, nil
}

// Run measures cross and same in turns, so that noise meets both.
func Run(ctx context.Context, c Config, progress func(share float64)) (Report, error) {
	b, err := Open(ctx, c)
	if err != nil {
		return Report{}, err
	}
	defer b.Close()
	var cross, same []float64
	for round := range c.Rounds + 1 { // the first warms up
		x, s, err := b.Round(ctx)
		if err != nil {
			return Report{}, fmt.Errorf("round %d: %w", round, err)
		}
		if round > 0 {
			cross, same = append(cross, x), append(same, s)
		}
		progress(float64(round+1) / float64(c.Rounds+1))
	}
	return Report{Cross: rounds.Of(cross), Same: rounds.Of(same), Accounts: c.Accounts, Bulk: c.Bulk, Rounds: c.Rounds}, nil
}

// fill opens the accounts.
func (b *Bed) fill(ctx context.Context) error {
	value := string(make([]byte, journal.AccountSize))
	var words []any
	for i := range b.Accounts {
		if words = append(words, handle(i), value); len(words) == 2000 || i == b.Accounts-1 {
			if err := b.r.HSet(ctx, accounts, words...).Err(); err != nil {
				return err
			}
			words = words[:0]
		}
	}
	return nil
}

func handle(i int) string {
	h := journal.HandleOf("account" + strconv.Itoa(i))
	return string(h[:])
}

// measure answers Redis's CPU-µs a transfer over a round. What the round left behind is removed outside of it.
func (b *Bed) measure(ctx context.Context, bulk func(context.Context) error) (float64, error) {
	if err := b.r.Del(ctx, outbox).Err(); err != nil {
		return 0, err
	}
	before, err := b.cpu(ctx)
	if err != nil {
		return 0, err
	}
	for range b.Bulks {
		if err := bulk(ctx); err != nil {
			return 0, err
		}
	}
	after, err := b.cpu(ctx)
	return (after - before) / float64(b.Bulks*b.Bulk), err
}

// cpu is what Redis has used, µs, user and system.
func (b *Bed) cpu(ctx context.Context) (us float64, err error) {
	info, err := b.r.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			s, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			us += s * 1e6
		}
	}
	return us, nil
}

// some are random accounts.
func (b *Bed) some() []string {
	h := make([]string, b.Bulk)
	for i := range h {
		h[i] = handle(b.dice.IntN(b.Accounts))
	}
	return h
}

// fresh are ids that nobody has used.
func (b *Bed) fresh() []string {
	ids := make([]string, b.Bulk)
	for i := range ids {
		var id [16]byte
		for j := range id {
			id[j] = byte(b.dice.Uint32())
		}
		ids[i] = string(id[:])
	}
	return ids
}

// commands are pipelined: a round trip each time that a train would make one.
func (b *Bed) commands(ctx context.Context, fn func(p redis.Pipeliner)) error {
	_, err := b.r.Pipelined(ctx, func(p redis.Pipeliner) error { fn(p); return nil })
	return err
}

func pairs(fields []string, size int) []any {
	value := string(make([]byte, size))
	words := make([]any, 0, 2*len(fields))
	for _, f := range fields {
		words = append(words, f, value)
	}
	return words
}

func (b *Bed) append(ctx context.Context, p redis.Pipeliner, size int) {
	b.entry++
	p.XAdd(ctx, &redis.XAddArgs{Stream: outbox, ID: strconv.FormatUint(b.entry, 10) + "-0", Values: []any{"e", make([]byte, size*b.Bulk)}})
}

func (b *Bed) pay(ctx context.Context, p redis.Pipeliner) {
	ids, payers := b.fresh(), b.some()
	p.HMGet(ctx, keys, ids...)
	p.HMGet(ctx, accounts, payers...)
	p.HSet(ctx, accounts, pairs(payers, journal.AccountSize)...)
	p.HSet(ctx, keys, pairs(ids, keyBytes)...)
	b.append(ctx, p, rowBytes)
}

func (b *Bed) credit(ctx context.Context, p redis.Pipeliner, payees []string) {
	p.HMGet(ctx, accounts, payees...)
	p.HSet(ctx, accounts, pairs(payees, journal.AccountSize)...)
}

func (b *Bed) cross(ctx context.Context) error {
	payees := b.some()
	err := b.commands(ctx, func(p redis.Pipeliner) { p.HMGet(ctx, accounts, payees...) })
	if err == nil {
		err = b.commands(ctx, func(p redis.Pipeliner) { b.pay(ctx, p) })
	}
	if err == nil {
		err = b.commands(ctx, func(p redis.Pipeliner) { b.credit(ctx, p, payees); b.append(ctx, p, legBytes) })
	}
	return err
}

func (b *Bed) same(ctx context.Context) error {
	return b.commands(ctx, func(p redis.Pipeliner) { b.pay(ctx, p); b.credit(ctx, p, b.some()) })
}
