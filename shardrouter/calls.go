package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// node is a znode's data and what identifies that state of it.
type node struct {
	data    []byte
	version int32 // for compare-and-set
	session int64 // of an ephemeral node's owner, else 0
}

// fired is a watch: it yields once, when the node has changed or when the
// session that it belonged to is over.
type fired = <-chan zk.Event

// call runs one call of the library in a goroutine of its own and waits for it no
// longer than the call timeout. A call that hangs keeps its slot until the
// watchdog closes the connection under it.
func call[T any](ctx context.Context, c *Conn, op, path string, fn func(*zk.Conn) (T, error)) (T, error) {
	v, err := attempt(ctx, c, fn)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("zookeeper: %s %s: %w", op, path, err)
	}
	return v, nil
}

func attempt[T any](ctx context.Context, c *Conn, fn func(*zk.Conn) (T, error)) (T, error) {
	var zero T
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	h, err := c.usable(ctx)
	if err != nil {
		return zero, err
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return zero, fmt.Errorf("%w: too many calls hang: %w", ErrUnavailable, ctx.Err())
	}
	done, ok := c.task()
	if !ok {
		<-c.slots
		return zero, ErrClosed
	}
	type outcome struct {
		value T
		err   error
	}
	reply := make(chan outcome, 1) // the goroutine never waits for a caller that has left
	sent := c.now()
	go func() {
		defer done()
		defer func() { <-c.slots }()
		v, err := suffer(c.cfg.lose, h.zk, fn)
		reply <- outcome{v, translate(err)}
	}()
	select {
	case r := <-reply:
		if answered(r.err) {
			c.noteAnswer(sent)
		}
		return r.value, r.err
	case <-ctx.Done():
		return zero, fmt.Errorf("%w: no answer: %w", ErrUnavailable, ctx.Err())
	}
}

// suffer makes the call, and the faults that a test asks for.
func suffer[T any](lose func() loss, z *zk.Conn, fn func(*zk.Conn) (T, error)) (T, error) {
	if lose == nil {
		return fn(z)
	}
	var zero T
	switch lose() {
	case loseRequest:
		return zero, zk.ErrConnectionClosed
	case loseReply:
		_, _ = fn(z)
		return zero, zk.ErrConnectionClosed
	case loseNothing:
	}
	return fn(z)
}

// noteAnswer keeps the time at which the latest answered call was *sent*: the
// session was alive at the server after that, and no later moment is certain.
func (c *Conn) noteAnswer(sent time.Duration) {
	for {
		old := c.lastGood.Load()
		if int64(sent) <= old || c.lastGood.CompareAndSwap(old, int64(sent)) {
			return
		}
	}
}

func (c *Conn) get(ctx context.Context, path string) (node, error) {
	return call(ctx, c, "get", path, func(z *zk.Conn) (node, error) {
		data, stat, err := z.Get(path)
		return nodeOf(data, stat, err)
	})
}

// getW also sets a watch on what it returns. Every call adds one that stays in the
// library until the node changes, so it is called only when the last has fired or
// has proved lost.
func (c *Conn) getW(ctx context.Context, path string) (node, fired, error) {
	type watched struct {
		node
		fired
	}
	w, err := call(ctx, c, "get and watch", path, func(z *zk.Conn) (watched, error) {
		data, stat, ch, err := z.GetW(path)
		n, err := nodeOf(data, stat, err)
		return watched{n, ch}, err
	})
	return w.node, w.fired, err
}

func nodeOf(data []byte, stat *zk.Stat, err error) (node, error) {
	if err != nil {
		return node{}, err
	}
	return node{data: data, version: stat.Version, session: stat.EphemeralOwner}, nil
}

// exists returns the session that owns the node (0 when it is not ephemeral), or
// ErrNoNode.
func (c *Conn) exists(ctx context.Context, path string) (session int64, err error) {
	return call(ctx, c, "look at", path, func(z *zk.Conn) (int64, error) {
		there, stat, err := z.Exists(path)
		return ownerOf(there, stat, err)
	})
}

func ownerOf(there bool, stat *zk.Stat, err error) (int64, error) {
	switch {
	case err != nil:
		return 0, err
	case !there:
		return 0, zk.ErrNoNode
	}
	return stat.EphemeralOwner, nil
}

func (c *Conn) children(ctx context.Context, path string) ([]string, error) {
	return call(ctx, c, "list", path, func(z *zk.Conn) ([]string, error) {
		names, _, err := z.Children(path)
		return names, err
	})
}

// sync lets the server that we talk to catch up with the leader: a list after it
// shows everything that had been committed before.
func (c *Conn) sync(ctx context.Context, path string) error {
	_, err := call(ctx, c, "sync", path, func(z *zk.Conn) (string, error) { return z.Sync(path) })
	return err
}

// create makes a node with the cluster's access list. flags are the library's.
func (c *Conn) create(ctx context.Context, path string, data []byte, flags int32) (string, error) {
	if err := fits(data); err != nil {
		return "", fmt.Errorf("zookeeper: create %s: %w", path, err)
	}
	return call(ctx, c, "create", path, func(z *zk.Conn) (string, error) {
		return z.Create(path, data, flags, c.acl())
	})
}

// ensure makes a node unless it exists.
func (c *Conn) ensure(ctx context.Context, path string, data []byte) error {
	_, err := c.create(ctx, path, data, zk.FlagPersistent)
	if errors.Is(err, ErrNodeExists) {
		return nil
	}
	return err
}

func (c *Conn) remove(ctx context.Context, path string) error {
	_, err := call(ctx, c, "delete", path, func(z *zk.Conn) (struct{}, error) {
		return struct{}{}, z.Delete(path, -1)
	})
	return err
}

// write is one step of a transaction: a node to be made, or one whose data is to
// be replaced if its version is still that; or to be removed, or only checked.
type write struct {
	path    string
	data    []byte
	create  bool
	remove  bool
	check   bool
	version int32
}

// transact does all writes or none. ErrVersion and ErrNodeExists mean none.
func (c *Conn) transact(ctx context.Context, writes ...write) error {
	ops := make([]any, 0, len(writes))
	total := 0
	for _, w := range writes {
		total += len(w.data)
		switch {
		case w.create:
			ops = append(ops, &zk.CreateRequest{Path: w.path, Data: w.data, Acl: c.acl(), Flags: zk.FlagPersistent})
		case w.remove:
			ops = append(ops, &zk.DeleteRequest{Path: w.path, Version: w.version})
		case w.check:
			ops = append(ops, &zk.CheckVersionRequest{Path: w.path, Version: w.version})
		default:
			ops = append(ops, &zk.SetDataRequest{Path: w.path, Data: w.data, Version: w.version})
		}
	}
	path := writes[0].path
	if total >= transactBytesMax {
		return fmt.Errorf("zookeeper: write %s: %w: %d bytes in one transaction", path, ErrInvalid, total)
	}
	for _, w := range writes {
		if err := fits(w.data); err != nil {
			return fmt.Errorf("zookeeper: write %s: %w", w.path, err)
		}
	}
	_, err := call(ctx, c, "write", path, func(z *zk.Conn) (struct{}, error) {
		_, err := z.Multi(ops...)
		return struct{}{}, err
	})
	return err
}

// transactBytesMax keeps a transaction far below the 1 MiB at which the server
// drops the connection.
const transactBytesMax = 512 << 10

func fits(data []byte) error {
	if len(data) >= NodeBytesMax {
		return fmt.Errorf("%w: %d bytes, a node holds less than %d", ErrInvalid, len(data), NodeBytesMax)
	}
	return nil
}

func (c *Conn) accessList(ctx context.Context, path string) ([]zk.ACL, error) {
	return call(ctx, c, "read access list of", path, func(z *zk.Conn) ([]zk.ACL, error) {
		acl, _, err := z.GetACL(path)
		return acl, err
	})
}
