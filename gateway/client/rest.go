package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// attemptTimeout bounds one request; a gateway answers outcome_unknown after 15 s at the latest.
const attemptTimeout = 20 * time.Second

// REST speaks the wallet's HTTP interface, for what a session does not offer (accounts, look-ups, statements) and for
// programs that make one call. With the address of the admin listener it serves operators. Safe for concurrent use.
type REST struct {
	cfg  Config
	base string
	http *http.Client
	min  Position
}

// NewREST makes a REST client. It opens no connection yet.
func NewREST(cfg Config) (*REST, error) {
	cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	base, err := addressOf(cfg.URL, "http", "")
	if err != nil {
		return nil, err
	}
	return &REST{
		cfg: cfg, base: base,
		http: &http.Client{
			// A redirect is not followed: a POST would become a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         cfg.DialContext,
				TLSClientConfig:     cfg.TLS,
				TLSHandshakeTimeout: cfg.DialTimeout,
				MaxIdleConns:        64,
				MaxIdleConnsPerHost: 64,
				IdleConnTimeout:     30 * time.Second,
				DisableCompression:  true, // costs more than it saves on the way to a wallet
				ForceAttemptHTTP2:   true,
			},
		},
	}, nil
}

// Close gives up the idle connections.
func (r *REST) Close() { r.http.CloseIdleConnections() }

// After returns a client whose projection reads wait until they reflect p (at most 2 s, then projection_behind, which
// is asked again like every refusal that passes).
func (r *REST) After(p Position) *REST {
	after := *r
	after.min = p
	return &after
}

// request is one call, however often it is sent.
type request struct {
	method, path string
	body         []byte // nil: none
	key          string // Idempotency-Key
	ifMatch      string
	once         bool // a repeat would not mean the same
	long         bool // may take as long as the caller's context
}

// replyHead is what a reply says beside its body.
type replyHead struct {
	status   int
	replayed bool
	position Position
	etag     string
}

// do sends the request until there is an answer, and decodes it. The errors are those of Client.Transfer.
func (r *REST) do(ctx context.Context, q request, into any) (replyHead, error) {
	if !printable(q.key) { // no header could carry it
		return replyHead{}, &RefusedError{Code: "malformed", Field: "key", Detail: "a key is 1–255 printable ASCII characters"}
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.cfg.Timeout)
		defer cancel()
	}
	maybe := false // an attempt without an answer may have happened
	for attempt := 0; ; attempt++ {
		head, sent, err := r.attempt(ctx, q, into)
		if err == nil {
			return head, nil
		}
		refused, isRefusal := errors.AsType[*RefusedError](err)
		open := !isRefusal && sent || isRefusal && refused.asksAgain()
		if open && q.method != http.MethodGet {
			maybe = true
		}
		again := !isRefusal || refused.asksAgain() ||
			refused.Retryable && (r.cfg.Retries == 0 || attempt < r.cfg.Retries)
		if _, unreadable := errors.AsType[*unreadableError](err); unreadable || !isRefusal && r.cfg.Retries != 0 && attempt >= r.cfg.Retries {
			again = false
		}
		wait := backoff(r.cfg, attempt)
		if isRefusal {
			wait = max(wait, refused.RetryAfter)
		}
		if again && !q.once && outlives(ctx, wait) && pause(ctx, wait) == nil {
			continue
		}
		if maybe && (!isRefusal || !refused.settles()) {
			err = &UnknownError{Key: q.key, Err: err}
		}
		return head, fmt.Errorf("%s %s: %w", q.method, q.path, err)
	}
}

// unreadableError is a complete reply that is not what it should be: asking again would bring the same.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return "read the reply: " + e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

func printable(key string) bool {
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e {
			return false
		}
	}
	return len(key) <= 255
}

// outlives reports whether ctx lasts longer than d.
func outlives(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > d
}

// attempt sends the request once. sent is false when no byte can have reached the wallet.
func (r *REST) attempt(ctx context.Context, q request, into any) (head replyHead, sent bool, err error) {
	if !q.long {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
	}
	req, err := r.build(ctx, q)
	if err != nil {
		return head, false, err
	}
	response, err := r.http.Do(req)
	if err != nil {
		op, ok := errors.AsType[*net.OpError](err)
		return head, !ok || op.Op != "dial", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyMax+1))
	if err != nil {
		return head, true, fmt.Errorf("read the reply: %w", err)
	}
	if len(body) > bodyMax {
		return head, true, fmt.Errorf("read the reply: more than %d bytes", bodyMax)
	}
	head = headOf(response)
	if response.StatusCode >= 300 || response.StatusCode == http.StatusAccepted {
		if e := decodeProblem(response, body); e != nil {
			return head, true, e
		}
		return head, true, fmt.Errorf("reply %s is no problem document", response.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return head, true, &unreadableError{err}
	}
	return head, true, nil
}

func (r *REST) build(ctx context.Context, q request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, r.base+q.path, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	// The transport must not repeat it by itself, as it does where it can rewind the body and sees an Idempotency-Key: it
	// would tell of the last attempt only (connection refused), when an earlier one may have happened.
	req.GetBody = nil
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if r.cfg.Token != "" {
		set("Authorization", "Bearer "+r.cfg.Token)
	}
	if q.body != nil {
		set("Content-Type", "application/json")
	}
	set("Accept", "application/json")
	set("Idempotency-Key", q.key)
	set("If-Match", q.ifMatch)
	if !r.min.IsZero() {
		set("Wallet-Min-Position", r.min.String())
	}
	return req, nil
}

func headOf(response *http.Response) replyHead {
	head := replyHead{
		status:   response.StatusCode,
		replayed: response.Header.Get("Idempotency-Replayed") == "true",
		etag:     response.Header.Get("ETag"),
	}
	// The header is additional; a reply without a readable one is still a reply.
	_ = head.position.UnmarshalText([]byte(response.Header.Get("Wallet-Position")))
	return head
}

// decodeProblem reads a problem document; nil when it is none.
func decodeProblem(response *http.Response, body []byte) *RefusedError {
	e := new(RefusedError)
	if err := json.Unmarshal(body, e); err != nil || e.Code == "" {
		return nil
	}
	e.HTTP = response.StatusCode
	e.Replayed = response.Header.Get("Idempotency-Replayed") == "true"
	e.RetryAfter = retryAfter(response.Header.Get("Retry-After"))
	if e.RequestID == "" {
		e.RequestID = response.Header.Get("Request-Id")
	}
	return e
}

func retryAfter(header string) time.Duration {
	if s, err := strconv.Atoi(strings.TrimSpace(header)); err == nil && s > 0 && s < 3600 {
		return time.Duration(s) * time.Second
	}
	return 0
}
