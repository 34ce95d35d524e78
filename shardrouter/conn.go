package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	// heartbeatEvery is how often a running connection asks for an answer, so that
	// the last one is never older than healthyFor while ZooKeeper is there.
	heartbeatEvery = 250 * time.Millisecond
	healthyFor     = time.Second
	// watchdogTimeouts session timeouts without an answer, and the connection is
	// replaced: the library can wedge one for ever (its failed re-sending of a
	// credential, for one).
	watchdogTimeouts = 3
	// callsMax bounds the calls under way, those that hang included.
	callsMax = 64

	defaultSessionTimeout = 4 * time.Second
	defaultCallTimeout    = 2 * time.Second
	sessionTimeoutMin     = 400 * time.Millisecond
	sessionTimeoutMax     = 60 * time.Second
)

// ConnConfig says how ZooKeeper is reached.
type ConnConfig struct {
	// Servers are host:port. Names are resolved anew by every connection that the
	// watchdog makes.
	Servers []string
	// SessionTimeout is how long ZooKeeper keeps a silent session, and with it the
	// place of a leader; 0 = 4 s. Servers bound it to 2 … 20 of their ticks.
	SessionTimeout time.Duration
	// CallTimeout bounds every single call; 0 = 2 s.
	CallTimeout time.Duration
	// User and Password are the digest credential that owns the cluster's nodes.
	// Without one everybody may change them, which only Dev allows.
	User, Password string
	Dev            bool
	// Log may be nil.
	Log *slog.Logger

	// For tests that forge faults: dial replaces the dialler, lose says of each
	// call whether its request or its reply gets lost.
	dial zk.Dialer
	lose func() loss
}

type loss int

const (
	loseNothing loss = iota
	loseRequest
	loseReply
)

func (c *ConnConfig) validate() error {
	var faults []error
	report := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.Servers) == 0 {
		report("no servers")
	}
	for _, s := range c.Servers {
		if !validAddr(s) {
			report("server %q is not host:port", s)
		}
	}
	if c.SessionTimeout < sessionTimeoutMin || c.SessionTimeout > sessionTimeoutMax {
		report("session timeout %s, %s to %s are possible", c.SessionTimeout, sessionTimeoutMin, sessionTimeoutMax)
	}
	if c.CallTimeout <= 0 || c.CallTimeout > c.SessionTimeout {
		report("call timeout %s, more than 0 and at most the session timeout are possible", c.CallTimeout)
	}
	if (c.User == "") != (c.Password == "") {
		report("a credential needs both user and password")
	}
	if c.User == "" && !c.Dev {
		report("no credential: anybody could change the cluster's nodes (only dev may do without)")
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w zookeeper configuration: %w", ErrInvalid, errors.Join(faults...))
	}
	return nil
}

// Conn is a connection to ZooKeeper that outlives the library's: every call has
// a deadline, and a wedged connection is replaced. Sessions may change at any
// time; what hangs on one compares SessionID. Calls may be made from any
// goroutine. The heartbeat and the watchdog run in ZooKeeper.Run.
type Conn struct {
	cfg   ConnConfig
	log   *slog.Logger
	start time.Time     // origin of the two clocks below, monotonic
	slots chan struct{} // one for each call under way

	lastGood atomic.Int64  // when the last call that was answered was sent, ns since start; 0 = none
	renewals atomic.Uint64 // connections that the watchdog or a leader replaced

	mu      sync.Mutex
	cur     *handle
	changed chan struct{} // closed and replaced at every event of a session
	closed  chan struct{} // closed by Close
	tasks   sync.WaitGroup
}

// Dial begins to connect and returns at once; the first call waits for the
// session. Errors: ErrInvalid (the configuration), ErrUnavailable (no name could
// be resolved).
func Dial(cfg ConnConfig) (*Conn, error) {
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = defaultSessionTimeout
	}
	if cfg.CallTimeout == 0 {
		cfg.CallTimeout = min(defaultCallTimeout, cfg.SessionTimeout)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{
		cfg: cfg, log: cfg.Log, start: time.Now(),
		slots:   make(chan struct{}, callsMax),
		changed: make(chan struct{}),
		closed:  make(chan struct{}),
	}
	h, err := c.open()
	if err != nil {
		return nil, fmt.Errorf("dial zookeeper: %w", err)
	}
	c.mu.Lock()
	c.cur = h
	c.mu.Unlock()
	return c, nil
}

// SessionID identifies the present session, 0 when there is none. When it
// changes, all watches and ephemeral nodes of the old one are lost.
func (c *Conn) SessionID() int64 { return c.handle().zk.SessionID() }

// Health returns nil when ZooKeeper has answered within the last second in a
// session, else what is missing. It is meaningful while ZooKeeper.Run runs.
func (c *Conn) Health() error {
	if state := c.handle().zk.State(); state != zk.StateHasSession {
		return fmt.Errorf("%w: no session (%s)", ErrUnavailable, state)
	}
	last := c.lastGood.Load()
	if last == 0 {
		return fmt.Errorf("%w: no answer yet", ErrUnavailable)
	}
	if age := c.now() - time.Duration(last); age >= healthyFor {
		return fmt.Errorf("%w: last answer %s ago", ErrUnavailable, age.Round(time.Millisecond))
	}
	return nil
}

// Close ends the session, so that its ephemeral nodes vanish at once where
// ZooKeeper can be reached, and waits for everything that Conn started.
func (c *Conn) Close() {
	c.mu.Lock()
	if c.isClosed() {
		c.mu.Unlock()
		return
	}
	close(c.closed)
	h := c.cur
	c.mu.Unlock()
	c.notify()
	h.close()
	c.tasks.Wait()
}

// run sends heartbeats and watches over the connection until ctx ends.
func (c *Conn) run(ctx context.Context) error {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	patience := watchdogTimeouts * c.cfg.SessionTimeout
	since := c.now() // of the connection now watched
	for {
		h := c.handle()
		// Any answer will do; the root needs no permission to be seen.
		_, _ = c.exists(ctx, "/")
		quiet := c.now() - max(since, time.Duration(c.lastGood.Load()))
		if quiet > patience && ctx.Err() == nil {
			c.log.Warn("zookeeper connection replaced", "quiet", quiet.Round(time.Millisecond))
			if err := c.renew(h); err != nil {
				c.log.Warn("zookeeper connection not replaced", "error", err)
			}
			since = c.now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case <-c.closed:
			return fmt.Errorf("zookeeper: %w", ErrClosed)
		}
	}
}

// renew replaces a connection by a new one, unless somebody else has done so
// meanwhile. The old session, and with it every ephemeral node and leadership,
// ends: at once where the server answers, else when it expires.
func (c *Conn) renew(old *handle) error {
	if c.handle() != old {
		return nil
	}
	h, err := c.open()
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.isClosed() {
		c.mu.Unlock()
		h.close()
		return fmt.Errorf("renew connection: %w", ErrClosed)
	}
	if c.cur != old {
		c.mu.Unlock()
		h.close()
		return nil
	}
	c.cur = h
	c.tasks.Add(1) // under mu, so never after Close has begun to wait
	c.mu.Unlock()
	c.renewals.Add(1)
	c.notify()
	go func() { // the library may need seconds to let go of a dead server
		defer c.tasks.Done()
		old.close()
	}()
	return nil
}

// task counts a goroutine that Close waits for; false when Conn is closed.
func (c *Conn) task() (done func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed() {
		return nil, false
	}
	c.tasks.Add(1)
	return c.tasks.Done, true
}

func (c *Conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func (c *Conn) now() time.Duration { return time.Since(c.start) }

func (c *Conn) handle() *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cur
}

// events returns a channel that is closed at the next event of any session.
func (c *Conn) events() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// notify wakes all who wait for a change of the session. The library calls it
// from its own goroutine, so it never blocks.
func (c *Conn) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// usable waits for a connection with a session and an accepted credential.
// Nothing is ever queued in the library before that: it would be sent whenever
// the server comes back, long after its caller has given up.
func (c *Conn) usable(ctx context.Context) (*handle, error) {
	for {
		changed := c.events()
		h := c.handle()
		if c.isClosed() {
			return nil, ErrClosed
		}
		select {
		case <-h.authed:
			if h.zk.State() == zk.StateHasSession {
				return h, nil
			}
		default:
		}
		select {
		case <-changed: // by Close, too
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: no session: %w", ErrUnavailable, ctx.Err())
		}
	}
}

// acl is what every node is created with: nodes inherit nothing.
func (c *Conn) acl() []zk.ACL {
	if c.cfg.User == "" {
		return zk.WorldACL(zk.PermAll)
	}
	return zk.DigestACL(zk.PermAll, c.cfg.User, c.cfg.Password)
}

// sleep waits for d, or less when ctx ends or the session changes.
func (c *Conn) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	changed := c.events()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
}

func (c *Conn) servers() []string { return slices.Clone(c.cfg.Servers) }
