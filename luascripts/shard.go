package luascripts

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says where a shard is and how long it may take. Zero durations get the defaults named here.
type Config struct {
	Addr     string // host:port
	Epoch    uint32 // that the map shows for the shard: trains run only where a keeper admitted them in it (Admit)
	Username string // "" = the default user
	Password string // "" = none

	DialTimeout  time.Duration // 1 s
	ReadTimeout  time.Duration // 2 s: a train's answer; after that its outcome is unknown
	WriteTimeout time.Duration // 2 s
	PoolTimeout  time.Duration // 1 s: the wait for a free connection
	PoolSize     int           // 64 connections at most; they are made when needed

	// KeySlice is how much time a hash of key records holds: 3 h. An empty shard gets it with its first Load and keeps it.
	KeySlice time.Duration
}

func (c Config) withDefaults() Config {
	orElse := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	orElse(&c.DialTimeout, time.Second)
	orElse(&c.ReadTimeout, 2*time.Second)
	orElse(&c.WriteTimeout, 2*time.Second)
	orElse(&c.PoolTimeout, time.Second)
	orElse(&c.KeySlice, 3*time.Hour)
	if c.PoolSize == 0 {
		c.PoolSize = 64
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		errs = append(errs, fmt.Errorf("addr %q: %w", c.Addr, err))
	}
	for _, d := range []time.Duration{c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.PoolTimeout} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("timeout %v is negative", d))
		}
	}
	if c.KeySlice < time.Second && c.KeySlice != 0 {
		errs = append(errs, fmt.Errorf("key slice %v is under a second", c.KeySlice))
	}
	if c.PoolSize < 0 {
		errs = append(errs, fmt.Errorf("pool size %d is negative", c.PoolSize))
	}
	return errors.Join(errs...)
}

// Shard is one Redis primary. Its methods may be called from several goroutines; each call answers or fails on its own.
type Shard struct {
	addr      string
	epoch     uint32
	client    *redis.Client
	keys      []any // KEYS of a train
	keySlice  time.Duration
	admission admission     // in which its trains run
	silence   time.Duration // of a subscription, after which its connection is tried
}

// Open makes a shard's client. It does not connect: Ping does. A client belongs to one epoch of the map: when the map names
// another epoch or address, open another and close this one.
func Open(c Config) (*Shard, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("open shard: %w", err)
	}
	c = c.withDefaults()
	s := &Shard{addr: c.Addr, epoch: c.Epoch, keySlice: c.KeySlice, silence: marksPing, admission: admissionIn(c.Epoch), client: redis.NewClient(&redis.Options{
		Addr:     c.Addr,
		Username: c.Username,
		Password: c.Password,
		Protocol: 2, // packed strings need nothing of RESP3

		MaxRetries:            clientRetries(),
		ContextTimeoutEnabled: true, // otherwise a deadline is ignored once the command is written
		DialTimeout:           c.DialTimeout,
		DialerRetries:         1, // the caller knows better when to try again
		ReadTimeout:           c.ReadTimeout,
		WriteTimeout:          c.WriteTimeout,
		PoolTimeout:           c.PoolTimeout,
		PoolSize:              c.PoolSize,
		MaxActiveConns:        c.PoolSize,
		PipelinePoolSize:      -1, // pipelines are rare (Load): they share the pool
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10, // a train of 256 rows in one write

		DisableIdentity:          true, // no CLIENT SETINFO: one round trip less a connection
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}
	s.keys = []any{accountsKey, detailsKey, reservationsKey, deliveredKey, partsKey, outboxKey, filterKey}
	return s, nil
}

// Addr is where the shard is, host:port.
func (s *Shard) Addr() string { return s.addr }

// Close closes the connections. Calls under way fail.
func (s *Shard) Close() error { return s.client.Close() }

// Ping asks whether the shard answers.
func (s *Shard) Ping(ctx context.Context) error {
	return s.fault("ping", s.client.Ping(ctx).Err())
}

// fault wraps an error of a call that changes nothing, or that may be repeated.
func (s *Shard) fault(doing string, err error) error {
	if err == nil {
		return nil
	}
	if refused := refusal(err); refused != nil {
		err = fmt.Errorf("%w: %w", refused, err)
	}
	return fmt.Errorf("%s shard %s: %w", doing, s.addr, err)
}

// quiet: the client logs what it also answers; errors are handled once, by whoever gets them.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }

// script is Lua that the shard keeps by its SHA-1.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// shebang: out-of-memory, read-only and no-replicas refuse the whole script before it starts.
var (
	leaseScript       = newScript(assemble("#!lua flags=allow-oom", "lease.lua"))
	fenceScript       = newScript(assemble("#!lua flags=allow-oom", "fence.lua"))
	loadScript        = newScript(assemble("#!lua", "load.lua"))
	loadFilterScript  = newScript(assemble("#!lua", "blocks.lua", "loadfilter.lua"))
	loadBeginScript   = newScript(assemble("#!lua flags=allow-oom", "newwindow.lua", "loadbegin.lua"))
	loadEndScript     = newScript(assemble("#!lua flags=allow-oom", "slices.lua", "loadend.lua"))
	unloadScript      = newScript(assemble("#!lua flags=allow-oom", "unload.lua"))
	wipeScript        = newScript(assemble("#!lua flags=allow-oom", "wipe.lua"))
	admitScript       = newScript(assemble("#!lua flags=allow-oom", "admit.lua", "admitonce.lua"))
	stopScript        = newScript(assemble("#!lua flags=allow-oom", "stop.lua"))
	freezeScript      = newScript(assemble("#!lua flags=allow-oom", "freeze.lua"))
	thawScript        = newScript(assemble("#!lua flags=allow-oom", "thaw.lua"))
	joinBeginScript   = newScript(assemble("#!lua flags=allow-oom", "newwindow.lua", "joinbegin.lua"))
	joinEndScript     = newScript(assemble("#!lua flags=allow-oom", "slices.lua", "joinend.lua"))
	eraseScript       = newScript(assemble("#!lua flags=allow-oom", "erase.lua"))
	trimScript        = newScript(assemble("#!lua flags=allow-oom", "trim.lua"))
	closeSlicesScript = newScript(assemble("#!lua flags=allow-oom", "keeps.lua", "closeslices.lua"))
	filterScript      = newScript(assemble("#!lua flags=allow-oom", "keeps.lua", "blocks.lua", "filter.lua")) // so that memory can be freed
	sealScript        = newScript(assemble("#!lua flags=allow-oom", "keeps.lua", "seal.lua"))
	dropSliceScript   = newScript(assemble("#!lua flags=allow-oom", "keeps.lua", "slices.lua", "dropslice.lua"))
	sweepScript       = newScript(assemble("#!lua flags=allow-oom", "keeps.lua", "sweep.lua"))
)

// Run sends the train and answers its outcomes, which share memory with it. ctx bounds the wait. It never loads the script: a
// shard that does not admit trains in Config.Epoch has not run it (ErrNotReady).
//
// Errors: those for which NothingMoved holds; ErrUnknown. A train that Releases runs on a Redis that is full, too.
func (s *Shard) Run(ctx context.Context, t *Train) (Reply, error) {
	if len(t.sections) == 0 {
		return newReply(t), nil
	}
	t.pack(s.epoch)
	err := s.call(ctx, t, s.admission.train, s.admission.once.sha)
	if errors.Is(err, ErrOutOfMemory) && t.Releases() {
		err = s.call(ctx, t, s.admission.release, s.admission.onceRelease.sha)
	}
	if err != nil {
		return Reply{}, fmt.Errorf("run train of %d acts on shard %s: %w", t.acts, s.addr, err)
	}
	return newReply(t), nil
}

// call calls the library's function, or the script where there is no library.
func (s *Shard) call(ctx context.Context, t *Train, function, sha string) error {
	err := s.send(ctx, t, "fcall", function)
	if errors.Is(err, errNoLibrary) {
		err = s.send(ctx, t, "evalsha", sha)
	}
	return err
}

// send sends a packed train to a function or a script by its name, with more arguments.
func (s *Shard) send(ctx context.Context, t *Train, command, name string, more ...any) error {
	t.sent = false
	args := append(t.words[:0], command, name, len(s.keys))
	args = append(append(args, s.keys...), t)
	for i := range t.sections {
		args = append(args, &t.sections[i])
	}
	args = append(args, more...)
	t.words = args
	cmd := redis.NewCmd(ctx, args...)
	_ = s.client.Process(ctx, cmd)
	text, err := cmd.Text()
	if err != nil {
		return translate(err, t.sent)
	}
	t.reply = append(t.reply[:0], text...)
	return nil
}

// runScript runs one of the keeper's scripts, which may all be repeated, and answers its packed string.
func (s *Shard) runScript(ctx context.Context, sc script, keys []string, arg any) (string, error) {
	text, err := s.client.EvalSha(ctx, sc.sha, keys, arg).Text()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		text, err = s.client.Eval(ctx, sc.text, keys, arg).Text()
	}
	return text, err
}
