package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"
)

// Bounds that are not the caller's to choose.
const (
	inFlightMax  = 1 << 16  // slots: a message id carries the slot in its low 16 bits
	frameMax     = 1 << 20  // bytes of a frame that is sent (surface, "WebSocket")
	readMax      = 16 << 20 // bytes of a frame that is read: a gateway joins all that waits for a session into one
	batchMax     = 1000     // transfers in one batch
	bodyMax      = 8 << 20  // bytes of a REST reply
	subprotocol  = "wallet.v1.json"
	socketPath   = "/v1/ws"
	writeTimeout = 10 * time.Second // of one frame
	tick         = 25 * time.Millisecond
)

// Config says where the wallet is and how it is to be used. Only URL is needed.
type Config struct {
	// URL is the wallet's address: http://host:port, or ws://host:port/v1/ws (https, wss).
	URL string
	// Token proves who asks; empty where auth is off. It travels in the first message and in headers, never in the URL.
	Token string

	// InFlight bounds the commands that wait for a reply, queued ones included: 1 … 65,536, default 1,024. The gateway's
	// own window, told at connect, bounds how many of them are sent.
	InFlight int
	// FrameMessages bounds the messages joined into one frame; 0: all that waits, up to 1 MiB.
	FrameMessages int

	// Timeout bounds calls whose context has no deadline, and Go and Post: default 30 s.
	Timeout time.Duration
	// Retries is how often a refusal that promises a later success (overloaded, partition_moving, …) is asked again,
	// with the same key: 0 until the call's deadline, negative never. An unknown outcome is always asked again.
	Retries int
	// BackoffMin and BackoffMax bound the jittered wait before a retry or a reconnect: 25 ms, 2 s.
	BackoffMin, BackoffMax time.Duration
	// DialTimeout bounds one attempt to connect, handshake included: default 5 s.
	DialTimeout time.Duration
	// Silence is how long a connection may say nothing while commands wait before it is given up: default 5 s.
	// Half-way through, the client asks with a ping.
	Silence time.Duration

	TLS    *tls.Config  // for wss and https; nil: the system's roots
	Logger *slog.Logger // lost connections and reconnects; nil: says nothing

	// DialContext replaces the TCP dialler; nil: net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

func (c *Config) withDefaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Timeout, 30*time.Second)
	set(&c.BackoffMin, 25*time.Millisecond)
	set(&c.BackoffMax, 2*time.Second)
	set(&c.DialTimeout, 5*time.Second)
	set(&c.Silence, 5*time.Second)
	if c.InFlight == 0 {
		c.InFlight = 1024
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.DialContext == nil {
		c.DialContext = (&net.Dialer{}).DialContext
	}
}

// validate reports every problem at once.
func (c *Config) validate() error {
	var errs []error
	bad := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, errors.New(what))
		}
	}
	if _, err := addressOf(c.URL, "ws", socketPath); err != nil {
		errs = append(errs, err)
	}
	bad(c.InFlight < 1 || c.InFlight > inFlightMax, "InFlight must be 1 to 65536")
	bad(c.FrameMessages < 0, "FrameMessages must not be negative")
	bad(c.Timeout < 0, "Timeout must not be negative")
	bad(c.BackoffMin < 0 || c.BackoffMax < c.BackoffMin, "BackoffMin and BackoffMax must be in order and not negative")
	bad(c.DialTimeout < 0, "DialTimeout must not be negative")
	bad(c.Silence < 0, "Silence must not be negative")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("client config: %w", err)
	}
	return nil
}

// addressOf turns the configured address into one of the scheme, http or ws (with s where the address has it), and path.
func addressOf(address, scheme, path string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("URL: %w", err)
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = scheme
	case "https", "wss":
		u.Scheme = scheme + "s"
	default:
		return "", fmt.Errorf("URL %q: want http://host:port or ws://host:port%s", address, socketPath)
	}
	if u.Host == "" {
		return "", fmt.Errorf("URL %q: no host", address)
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), socketPath) + path
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return u.String(), nil
}
