package shardrouter

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/google/uuid"
)

// recheckEvery is how often a candidate looks at the queue besides its watch.
const recheckEvery = time.Second

// Leadership is a won election. It serves liveness only: see the package comment.
type Leadership struct {
	lost   chan struct{}
	done   chan struct{} // closed when all of it has been cleared away
	resign context.CancelFunc

	certain func() bool // nil: always, until it is lost

	mu  sync.Mutex
	why error // guarded by mu; set before lost is closed
}

// NewLeadership makes a leadership for an Election of another kind. resigned is closed by Resign, which then waits until
// end is called; end closes Lost, if it is not closed yet, and tells why.
func NewLeadership() (l *Leadership, resigned <-chan struct{}, end func(why error)) {
	l, tenure := newLeadership()
	var once sync.Once
	return l, tenure.Done(), func(why error) {
		l.end(why)
		once.Do(func() { close(l.done) })
	}
}

// newLeadership returns a leadership and a context that ends when it is resigned.
func newLeadership() (*Leadership, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	return &Leadership{lost: make(chan struct{}), done: make(chan struct{}), resign: cancel}, ctx
}

// Lost is closed when the leadership is over: the session is gone or another one,
// or the election node has vanished. It never comes back. While ZooKeeper is away
// nobody knows; Certain tells.
func (l *Leadership) Lost() <-chan struct{} { return l.lost }

// Certain reports whether nobody else can lead now. It ends a session timeout after
// ZooKeeper was heard last, and comes back when ZooKeeper does and still has our
// session.
func (l *Leadership) Certain() bool {
	select {
	case <-l.lost:
		return false
	default:
		return l.certain == nil || l.certain()
	}
}

// Err tells why Lost was closed: ErrSessionLost (somebody else may lead by now),
// ErrResigned, ErrClosed. Nil while it lasts.
func (l *Leadership) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// Resign gives the leadership up, so that the next candidate need not wait for
// the session to expire. It returns when the election node is gone, or after a
// session timeout at most; then the session is ended instead.
func (l *Leadership) Resign() {
	l.resign()
	<-l.done
}

// end closes Lost, once.
func (l *Leadership) end(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why = why
		close(l.lost)
	}
}

// candidate is one attempt: a node of our own in the queue of a shard.
//
// The node's name begins with a random token (a "protected" node), so that it can
// be found when the answer to its creation was lost. A node of ours that nobody
// looks after would lead for ever, so withdraw does not rest before it is gone.
type candidate struct {
	conn  *Conn
	dir   string
	token string // with the prefix and the separator

	node    string       // full path
	owner   int64        // the session that owns it
	certain atomic.Int64 // by the connection's clock, ns: until then nobody else can lead
	handle  *handle      // on which the node was made, or on an older one that is closed
}

// Elect implements Election: the lowest sequence number leads. Errors: ctx's,
// ErrInvalid, ErrNoAuth, ErrNoNode (the cluster has not been initialised),
// ErrClosed. A ZooKeeper that is away is waited for.
func (z *ZooKeeper) Elect(ctx context.Context, shard, me string) (*Leadership, error) {
	if !validName(shard, shardIDBytesMax) {
		return nil, fmt.Errorf("elect: %w shard id %q", ErrInvalid, shard)
	}
	for {
		l, err := z.stand(ctx, shard, me)
		switch {
		case err == nil:
			return l, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("elect keeper of shard %s: %w", shard, ctx.Err())
		case errors.Is(err, ErrUnavailable), errors.Is(err, ErrSessionLost):
			z.conn.log.Debug("candidacy begins again", "shard", shard, "error", err)
			z.conn.sleep(ctx, heartbeatEvery)
		default:
			return nil, fmt.Errorf("elect keeper of shard %s: %w", shard, err)
		}
	}
}

// stand queues up once, in one session, until it leads or fails.
func (z *ZooKeeper) stand(ctx context.Context, shard, me string) (*Leadership, error) {
	dir := z.paths.keeper(shard)
	if err := z.conn.ensure(ctx, dir, nil); err != nil {
		return nil, err
	}
	token := uuid.New()
	c := &candidate{conn: z.conn, dir: dir, token: "_c_" + hex.EncodeToString(token[:]) + "-"}
	done, ok := z.conn.task()
	if !ok {
		return nil, ErrClosed
	}
	err := c.enter(ctx, me)
	if err == nil {
		err = c.queue(ctx)
	}
	if err != nil {
		defer done()
		c.withdraw()
		return nil, err
	}
	z.conn.log.Info("elected", "shard", shard, "as", me)
	l, tenure := newLeadership()
	l.certain = func() bool { return c.left() > 0 }
	go func() {
		defer done()
		defer close(l.done)
		defer l.resign()
		why := c.hold(tenure)
		l.end(why)
		z.conn.log.Info("leadership ended", "shard", shard, "as", me, "reason", why)
		c.withdraw()
	}()
	return l, nil
}

// enter makes the node. Whether it exists after an error is unknown.
func (c *candidate) enter(ctx context.Context, me string) error {
	node, err := c.conn.create(ctx, c.dir+"/"+c.token, []byte(me), zk.FlagEphemeral|zk.FlagSequence)
	c.handle = c.conn.handle()
	if err != nil {
		return err
	}
	// The session in which the call ended up, which is not always the one in
	// which it began.
	owner, err := c.conn.exists(ctx, node)
	if err != nil {
		return err
	}
	c.node, c.owner = node, owner
	return nil
}

// queue waits until no node with a lower number is left. Only the next lower one
// is watched, so that a leader's end wakes one candidate. A ZooKeeper that is away
// costs us our place only when it ends the session.
func (c *candidate) queue(ctx context.Context) error {
	var watched string
	var gone fired
	for {
		ahead, err := c.ahead(ctx)
		switch {
		case errors.Is(err, ErrUnavailable) && ctx.Err() == nil && c.alive():
			c.conn.sleep(ctx, heartbeatEvery)
			continue
		case err != nil:
			return err
		case ahead == "":
			return c.confirm(ctx)
		}
		if ahead != watched {
			_, gone, err = c.conn.getW(ctx, c.dir+"/"+ahead)
			switch {
			case errors.Is(err, ErrNoNode), errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
				watched = ""
				continue
			case err != nil:
				return err
			}
			watched = ahead
		}
		if err := c.wait(ctx, gone); err != nil {
			return err
		}
		select {
		case <-gone:
			watched = ""
		default:
		}
	}
}

// wait returns when the watch may have something to tell: it has fired (the
// closed channel stays readable), the session has changed, or time has passed.
func (c *candidate) wait(ctx context.Context, gone fired) error {
	changed := c.conn.events()
	t := time.NewTimer(recheckEvery)
	defer t.Stop()
	select {
	case <-gone:
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// ahead returns the node right before ours, "" when we are the first, and
// ErrSessionLost when ours is gone.
func (c *candidate) ahead(ctx context.Context) (string, error) {
	names, err := c.conn.children(ctx, c.dir)
	if err != nil {
		return "", err
	}
	ahead, ok := place(names, strings.TrimPrefix(c.node, c.dir+"/"))
	if !ok {
		return "", fmt.Errorf("%w: the election node has vanished", ErrSessionLost)
	}
	return ahead, nil
}

// place finds the node right before ours in the queue, "" when we are the first;
// false when ours is not there.
func place(names []string, ours string) (ahead string, ok bool) {
	mine, ok := sequence(ours)
	if !ok || !slices.Contains(names, ours) {
		return "", false
	}
	best := int64(-1)
	for _, name := range names {
		if n, ok := sequence(name); ok && n < mine && n > best {
			ahead, best = name, n
		}
	}
	return ahead, true
}

// sequence is the number that ZooKeeper appends to a sequential node's name.
func sequence(name string) (int64, bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 64)
	return n, err == nil && n >= 0
}

// confirm makes sure that the node that won belongs to the session of now.
func (c *candidate) confirm(ctx context.Context) error {
	sent := c.conn.now()
	owner, err := c.conn.exists(ctx, c.node)
	switch {
	case errors.Is(err, ErrNoNode):
		return fmt.Errorf("%w: the election node has vanished", ErrSessionLost)
	case err != nil:
		return err
	case owner != c.owner || !c.alive():
		return fmt.Errorf("%w: the election node belongs to an older one", ErrSessionLost)
	}
	c.seen(sent)
	return nil
}

// seen notes that a look at the node, sent then, found it ours. ZooKeeper keeps a
// session for a timeout after the last that it heard of it, which was no earlier.
func (c *candidate) seen(sent time.Duration) {
	c.certain.Store(int64(sent + c.conn.cfg.SessionTimeout))
}

// left is how long it is certain that nobody else leads.
func (c *candidate) left() time.Duration { return time.Duration(c.certain.Load()) - c.conn.now() }

// alive tells whether the session that owns our node is still the connection's.
func (c *candidate) alive() bool { return c.owner != 0 && c.conn.SessionID() == c.owner }

// hold looks after the node until the leadership ends, and tells why it did. A
// ZooKeeper that is away ends none: whether the session is still there is for it to
// say when it is back.
func (c *candidate) hold(tenure context.Context) error {
	for {
		changed := c.conn.events()
		sent := c.conn.now()
		ctx, done := context.WithTimeout(tenure, c.conn.cfg.SessionTimeout)
		owner, err := c.conn.exists(ctx, c.node)
		done()
		switch {
		case tenure.Err() != nil:
			return ErrResigned
		case errors.Is(err, ErrClosed):
			return ErrClosed
		case err == nil && owner == c.owner:
			c.seen(sent)
		case err == nil, errors.Is(err, ErrNoNode), !c.alive():
			return ErrSessionLost
		}
		t := time.NewTimer(heartbeatEvery)
		select {
		case <-t.C:
		case <-changed:
		case <-tenure.Done():
		}
		t.Stop()
	}
}

// withdraw removes every node with our token. What cannot be removed within a
// session timeout ends with its session.
func (c *candidate) withdraw() {
	ctx, cancel := context.WithTimeout(context.Background(), c.conn.cfg.SessionTimeout)
	defer cancel()
	for {
		err := c.remove(ctx)
		switch {
		case err == nil, errors.Is(err, ErrClosed):
			return
		case ctx.Err() != nil:
			c.conn.log.Warn("election node not removed, its session is ended", "node", c.dir, "error", err)
			if err := c.conn.renew(c.handle); err != nil && !errors.Is(err, ErrClosed) {
				c.conn.log.Error("session not ended, its election node stays until it expires", "node", c.dir, "error", err)
			}
			return
		}
		c.conn.sleep(ctx, heartbeatEvery)
	}
}

// remove deletes what a list shows of ours. Calls of one session take effect in
// the order in which they were made, so after sync the list shows a node whose
// creation was never answered, too.
func (c *candidate) remove(ctx context.Context) error {
	if err := c.conn.sync(ctx, c.dir); err != nil {
		return err
	}
	names, err := c.conn.children(ctx, c.dir)
	if errors.Is(err, ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, c.token) {
			continue
		}
		if err := c.conn.remove(ctx, c.dir+"/"+name); err != nil && !errors.Is(err, ErrNoNode) {
			return err
		}
	}
	return nil
}
