package walletd

import (
	"context"
	"fmt"
	"slices"

	"walletd/bench/rival"
	"walletd/deploy/local"
	"walletd/journal/rows"
)

// rivalKind is one of those that stand behind the wallet's front.
type rivalKind struct {
	name, short string
	promises    string // in one line; docs/rivals.md says more
	start       func(ctx context.Context, o rivalServe) (*rivalParts, error)
}

// rivalParts are a rival that runs.
type rivalParts struct {
	shards   rows.Shards
	run      func(context.Context) error
	audit    func(context.Context) (accounts, transfers int64, wrong string, err error)
	server   *local.Server
	postgres bool // else it is a Redis
}

var rivalKinds = []rivalKind{
	{
		name: "postgres", short: "a micro-batching gateway on PostgreSQL", start: startPostgresRival,
		promises: "the wallet's promises for transfers: funds in order, first answers, journal, answers after a durable commit; statements only with --statements; no reservations, snapshots, pushes or replay",
	},
	{
		name: "postgres-function", short: "a PostgreSQL function and a transaction a transfer", start: startFunctionRival,
		promises: "as postgres, without its batches",
	},
	{
		name: "redis", short: "a Redis script a transfer, neither batched nor journaled", start: startRedisRival,
		promises: "less than the wallet: no journal, nothing to replay, an answer is as durable as Redis's memory",
	},
}

func startPostgresRival(ctx context.Context, o rivalServe) (*rivalParts, error) {
	p, dsn, err := startRivalDatabase(ctx, o)
	if err != nil {
		return nil, err
	}
	store := rival.NewPostgres(dsn, o.statements)
	b := rival.NewBatching(store)
	p.shards = b
	p.run = func(ctx context.Context) error { defer store.Close(); return b.Run(ctx) }
	return p, nil
}

func startFunctionRival(ctx context.Context, o rivalServe) (*rivalParts, error) {
	p, dsn, err := startRivalDatabase(ctx, o)
	if err != nil {
		return nil, err
	}
	f := rival.NewOneByOne(rival.NewFunctions(dsn, o.connections, o.statements))
	p.shards, p.run = f, f.Run
	return p, nil
}

// startRivalDatabase starts a PostgreSQL with the rival's schema.
func startRivalDatabase(ctx context.Context, o rivalServe) (*rivalParts, string, error) {
	s, err := local.StartPostgres(ctx, local.PostgresConfig{Dir: o.data, Extra: append(slices.Clone(rival.PostgresSettings), o.settings...)})
	if err != nil {
		return nil, "", exit(exitFailed, "%w", err)
	}
	dsn := rival.DSN(s.Addr, local.PostgresUser, "postgres")
	if err := rival.Install(ctx, dsn); err != nil {
		s.Stop()
		return nil, "", err
	}
	audit := func(ctx context.Context) (int64, int64, string, error) { return rival.Audit(ctx, dsn) }
	return &rivalParts{server: s, postgres: true, audit: audit}, dsn, nil
}

func startRedisRival(ctx context.Context, o rivalServe) (*rivalParts, error) {
	s, err := local.StartRedis(ctx, local.RedisConfig{Dir: o.data, Extra: []string{"--hash-max-listpack-entries", "128"}}) // Redis's own default
	if err != nil {
		return nil, exit(exitFailed, "%w", err)
	}
	one := rival.NewOneByOne(rival.NewRedis(s.Addr, o.connections))
	audit := func(ctx context.Context) (int64, int64, string, error) {
		accounts, wrong, err := rival.AuditRedis(ctx, s.Addr)
		return accounts, 0, wrong, err
	}
	return &rivalParts{shards: one, run: one.Run, server: s, audit: audit}, nil
}

func rivalNamed(name string) (rivalKind, error) {
	for _, k := range rivalKinds {
		if k.name == name {
			return k, nil
		}
	}
	return rivalKind{}, fmt.Errorf("no rival is called %q", name)
}
