package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"
)

// registerEvery is how often a gateway looks after its node.
const registerEvery = time.Second

// Register keeps gateways/<id> in place, with data for operators to read, until
// ctx ends, and takes it away then. It comes back by itself after the session has
// changed. The node tells who is there; nothing depends on it. Returning because
// ctx ended is no error. Errors: ErrInvalid, ErrNoAuth, ErrNoNode (the cluster has
// not been initialised), ErrClosed.
func (z *ZooKeeper) Register(ctx context.Context, id string, data []byte) error {
	if !validName(id, nameBytesMax) {
		return fmt.Errorf("register gateway: %w id %q", ErrInvalid, id)
	}
	path := z.paths.gateway(id)
	defer z.unregister(path)
	for {
		err := z.registered(ctx, path, data)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, ErrUnavailable):
			return fmt.Errorf("register gateway %s: %w", id, err)
		}
		z.conn.sleep(ctx, registerEvery)
	}
}

// registered looks whether the node is ours and makes it when there is none. One
// of another session is left alone: it is our own old one, which expires, or that
// of another gateway by the same name.
func (z *ZooKeeper) registered(ctx context.Context, path string, data []byte) error {
	_, err := z.conn.exists(ctx, path)
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	_, err = z.conn.create(ctx, path, data, zk.FlagEphemeral)
	if errors.Is(err, ErrNodeExists) {
		return nil
	}
	return err
}

// unregister removes the node if it is ours; without an answer it ends with the
// session.
func (z *ZooKeeper) unregister(path string) {
	ctx, cancel := context.WithTimeout(context.Background(), z.conn.cfg.CallTimeout)
	defer cancel()
	if owner, err := z.conn.exists(ctx, path); err == nil && owner == z.conn.SessionID() {
		_ = z.conn.remove(ctx, path)
	}
}

// Gateways lists the ids that are registered, sorted.
func (z *ZooKeeper) Gateways(ctx context.Context) ([]string, error) {
	ids, err := z.conn.children(ctx, z.paths.gateways())
	if err != nil {
		return nil, fmt.Errorf("list gateways: %w", err)
	}
	slices.Sort(ids)
	return ids, nil
}
