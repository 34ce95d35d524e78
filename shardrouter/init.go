package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// Init creates a cluster's nodes, or completes what an interrupted Init left, or
// finds all there and changes nothing. The configuration comes last: a cluster
// that has one has everything. cfg.CreatedAt may be zero, which is now.
//
// Errors: *MismatchError when the cluster exists with another configuration,
// ErrInvalid, ErrWorldWritable (see CheckACL), ErrNoAuth (/wallet or the cluster
// belongs to another credential), ErrUnavailable (repeat).
func Init(ctx context.Context, conn *Conn, cluster string, cfg Config, initial *Map) error {
	if err := initialise(ctx, conn, cluster, cfg, initial); err != nil {
		return fmt.Errorf("initialise cluster %s: %w", cluster, err)
	}
	return nil
}

func initialise(ctx context.Context, conn *Conn, cluster string, cfg Config, initial *Map) error {
	p, err := pathsOf(cluster)
	if err != nil {
		return err
	}
	if cfg.CreatedAt.IsZero() {
		cfg.CreatedAt = time.Now().UTC().Truncate(time.Second)
	}
	config, err := cfg.Encode()
	if err != nil {
		return err
	}
	if cfg.Hash != HashV1 {
		return fmt.Errorf("%w: hash %q, this program knows only %q", ErrInvalid, cfg.Hash, HashV1)
	}
	first, err := initial.Encode()
	if err != nil {
		return err
	}
	if n := len(initial.Partitions); n != cfg.Partitions {
		return fmt.Errorf("%w: the initial map has %d partitions, the config %d", ErrInvalid, n, cfg.Partitions)
	}
	// Before anything is written, and again at the end, where another Init may
	// have been faster.
	if err := checkConfig(ctx, conn, p, cfg); !errors.Is(err, ErrNoNode) {
		return errors.Join(err, checkACL(ctx, conn, p))
	}
	for _, dir := range p.dirs() {
		if err := conn.ensure(ctx, dir, nil); err != nil {
			return err
		}
	}
	if err := seed(ctx, conn, p, initial, first); err != nil {
		return err
	}
	if err := conn.ensure(ctx, p.config(), config); err != nil {
		return err
	}
	return errors.Join(checkConfig(ctx, conn, p, cfg), checkACL(ctx, conn, p))
}

// seed creates the epoch counter, the map and a record for each of its shards.
func seed(ctx context.Context, conn *Conn, p paths, initial *Map, first []byte) error {
	count, err := encodeNode("epoch counter", counter{})
	if err != nil {
		return err
	}
	if err := conn.ensure(ctx, p.shards(), count); err != nil {
		return err
	}
	if err := conn.ensure(ctx, p.clusterMap(), first); err != nil {
		return err
	}
	n, err := conn.get(ctx, p.clusterMap())
	if err != nil {
		return err
	}
	m, err := DecodeMap(n.data) // ours, or that of an Init before or beside us
	if err != nil {
		return err
	}
	if has, wants := len(m.Partitions), len(initial.Partitions); has != wants {
		return &MismatchError{Field: "partitions", Has: fmt.Sprint(has), Wants: fmt.Sprint(wants)}
	}
	for id, s := range m.Shards {
		data, err := encodeNode("shard", s.canonical())
		if err != nil {
			return err
		}
		if err := conn.ensure(ctx, p.shard(id), data); err != nil {
			return err
		}
	}
	return nil
}

func checkConfig(ctx context.Context, conn *Conn, p paths, wants Config) error {
	has, err := readConfig(ctx, conn, p)
	if err != nil {
		return err
	}
	return has.Check(wants)
}

// ReadConfig returns what the cluster was created with. A start compares it with
// what it is told (Config.Check). Errors: *MismatchError (a hash that this program
// does not know), ErrNoNode (not initialised), ErrInvalid, ErrNoAuth, ErrUnavailable.
func ReadConfig(ctx context.Context, conn *Conn, cluster string) (Config, error) {
	p, err := pathsOf(cluster)
	if err == nil {
		var c Config
		if c, err = readConfig(ctx, conn, p); err == nil {
			return c, nil
		}
	}
	return Config{}, fmt.Errorf("read config of cluster %s: %w", cluster, err)
}

func readConfig(ctx context.Context, conn *Conn, p paths) (Config, error) {
	n, err := conn.get(ctx, p.config())
	if err != nil {
		return Config{}, err
	}
	c, err := DecodeConfig(n.data)
	if err == nil && c.Hash != HashV1 {
		err = &MismatchError{Field: "hash", Has: c.Hash, Wants: HashV1}
	}
	return c, err
}

// CheckACL refuses a cluster whose nodes anybody may change, except in dev. Every
// node is looked at, because none inherits: the chroot, what Init made, and the
// shards. Errors: ErrWorldWritable naming the first such node, ErrNoNode,
// ErrUnavailable.
func CheckACL(ctx context.Context, conn *Conn, cluster string) error {
	p, err := pathsOf(cluster)
	if err == nil {
		err = checkACL(ctx, conn, p)
	}
	if err != nil {
		return fmt.Errorf("check access lists of cluster %s: %w", cluster, err)
	}
	return nil
}

func checkACL(ctx context.Context, conn *Conn, p paths) error {
	if conn.cfg.Dev {
		return nil
	}
	nodes := []string{p.root, p.config(), p.clusterMap(), p.shards(), p.keepers(), p.gateways(), p.moves()}
	for _, parent := range []string{p.shards(), p.keepers(), p.moves()} {
		names, err := conn.children(ctx, parent)
		if err != nil {
			return err
		}
		for _, name := range names {
			nodes = append(nodes, parent+"/"+name)
		}
	}
	for _, path := range nodes {
		acl, err := conn.accessList(ctx, path)
		switch {
		case errors.Is(err, ErrNoNode): // a move that has ended meanwhile
			continue
		case err != nil:
			return err
		case worldWritable(acl):
			return fmt.Errorf("%w: %s; give it to the wallet's credential, or start with dev", ErrWorldWritable, path)
		}
	}
	return nil
}

// worldWritable: reading is all that everybody may be allowed.
func worldWritable(acl []zk.ACL) bool {
	for _, a := range acl {
		if a.Scheme == "world" && a.Perms&^zk.PermRead != 0 {
			return true
		}
	}
	return false
}
