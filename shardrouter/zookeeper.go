package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// rereadEvery is how often the map is read besides watches: a watch that could
// not be set again after a reconnection is only logged by the library.
const rereadEvery = 2 * time.Second

// ZooKeeper is the Source, Store and Election of a cluster in ZooKeeper. One
// belongs to one Conn.
type ZooKeeper struct {
	cell
	conn  *Conn
	paths paths

	refused atomic.Pointer[error] // why the map node was not taken, nil while all is well
}

// NewZooKeeper returns the router of a cluster. Current stays nil until Run has
// read the first map. Errors: ErrInvalid (the name).
func NewZooKeeper(conn *Conn, cluster string) (*ZooKeeper, error) {
	p, err := pathsOf(cluster)
	if err != nil {
		return nil, err
	}
	return &ZooKeeper{conn: conn, paths: p}, nil
}

// Run follows the map, sends heartbeats and watches over the connection until ctx
// ends, which is no error. A ZooKeeper that is away is no reason to return: the
// last map stays.
func (z *ZooKeeper) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return z.conn.run(ctx) })
	g.Go(func() error { z.follow(ctx); return nil })
	return g.Wait()
}

// Health returns nil when there is a map and ZooKeeper has answered in a session
// within the last second. Without health the last map is still the best there is:
// requests go on.
func (z *ZooKeeper) Health() error {
	if err := z.conn.Health(); err != nil {
		return err
	}
	if why := z.refused.Load(); why != nil {
		return *why
	}
	if z.Current() == nil {
		return fmt.Errorf("%w: no map yet", ErrUnavailable)
	}
	return nil
}

// follower is what follow knows about its watch.
type follower struct {
	watch   fired // nil when it has fired, was lost or was never set
	session int64 // in which it was set
}

func (z *ZooKeeper) follow(ctx context.Context) {
	var f follower
	for ctx.Err() == nil {
		changed := z.conn.events() // before the reading, so that no event falls between
		err := z.read(ctx, &f)
		z.note(ctx, err)
		pause := rereadEvery
		switch {
		case err != nil:
			pause = heartbeatEvery
		case f.watch == nil: // it failed to tell, see read
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-f.watch:
			f.watch = nil
		case <-changed: // of session or server: the watch may be lost
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// read takes the map as it is now. A new watch is set only together with reading
// the data that it watches, and only when there is none in this session.
func (z *ZooKeeper) read(ctx context.Context, f *follower) error {
	path := z.paths.clusterMap()
	before := z.version()
	var n node
	var err error
	armed := f.watch != nil && f.session == z.conn.SessionID()
	if armed {
		n, err = z.conn.get(ctx, path)
	} else {
		f.watch = nil
		n, f.watch, err = z.conn.getW(ctx, path)
		f.session = z.conn.SessionID()
	}
	if err != nil {
		return err
	}
	m, err := z.decode(n)
	if err == nil && m.Version < before {
		// A server that lags behind: let it catch up.
		if err := z.conn.sync(ctx, path); err != nil {
			return err
		}
		if n, err = z.conn.get(ctx, path); err != nil {
			return err
		}
		m, err = z.decode(n)
	}
	if err != nil {
		return err
	}
	if z.advance(m) {
		z.conn.log.Info("map", "version", m.Version)
		if armed {
			f.watch = nil // it should have told, so it is set anew at once
		}
		return nil
	}
	if cur := z.Current(); m.Version < before || (m.Version == cur.Version && !m.Equal(cur)) {
		return fmt.Errorf("map node refused, the last map stays: %w: version %d does not follow version %d", ErrInvalid, m.Version, cur.Version)
	}
	return nil
}

func (z *ZooKeeper) decode(n node) (*Map, error) {
	m, err := DecodeMap(n.data)
	if err != nil {
		return nil, fmt.Errorf("map node refused, the last map stays: %w", err)
	}
	return m, nil
}

func (z *ZooKeeper) version() int32 {
	if m := z.Current(); m != nil {
		return m.Version
	}
	return 0
}

// note keeps why the map could not be taken and logs each new reason once.
func (z *ZooKeeper) note(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, ErrClosed) {
		return
	}
	old := z.refused.Load()
	if err == nil {
		z.refused.Store(nil)
		if old != nil {
			z.conn.log.Info("map is read again")
		}
		return
	}
	z.refused.Store(&err)
	if old == nil || (*old).Error() != err.Error() {
		z.conn.log.Warn("map cannot be read", "error", err)
	}
}
