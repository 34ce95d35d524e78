package webhooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"walletd/journal/public"
	"walletd/projector/events"
)

// Endpoint is one receiver.
type Endpoint struct {
	Name    string   `koanf:"name"`
	URL     string   `koanf:"url"`
	Secrets []string `koanf:"secrets"` // the first is the present one; the others are signed with, too, while receivers change
	// Types and Accounts choose events; empty: all. An account with * at its end is a prefix.
	Types    []string `koanf:"types"`
	Accounts []string `koanf:"accounts"`
	// AllowPrivate permits http and addresses that are not public.
	AllowPrivate bool `koanf:"allow_private"`
}

// Validate reports every problem at once.
func (e *Endpoint) Validate() error {
	var errs []error
	if e.Name == "" || strings.Trim(e.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		errs = append(errs, fmt.Errorf("name %q: want some of a–z, 0–9 and -", e.Name))
	}
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		errs = append(errs, fmt.Errorf("url %q: want https://host/path", e.URL))
	case u.Scheme == "http" && !e.AllowPrivate:
		errs = append(errs, fmt.Errorf("url %q: want https; http is for receivers of one's own (allow_private: true)", e.URL))
	}
	if len(e.Secrets) == 0 {
		errs = append(errs, errors.New("secrets: at least one"))
	}
	if _, err := e.keys(); err != nil {
		errs = append(errs, err)
	}
	for _, t := range e.Types {
		if !slices.Contains(public.Types, public.Type(t)) {
			errs = append(errs, fmt.Errorf("types: %q, want some of %v", t, public.Types))
		}
	}
	return errors.Join(errs...)
}

func (e *Endpoint) keys() (keys [][]byte, err error) {
	for i, s := range e.Secrets {
		key, err := ParseSecret(s)
		if err != nil {
			return nil, fmt.Errorf("secrets[%d]: %w", i, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (e *Endpoint) wants(i *events.Item) bool {
	return (len(e.Types) == 0 || slices.Contains(e.Types, string(i.Type))) && (len(e.Accounts) == 0 || slices.ContainsFunc(e.Accounts, func(a string) bool {
		prefix, ok := strings.CutSuffix(a, "*")
		return a == i.Account || ok && strings.HasPrefix(i.Account, prefix)
	}))
}

// Bounds of a delivery.
const (
	answerWithin = 15 * time.Second
	answerMax    = 4 << 10 // bytes of an answer that are read: they are of no interest
)

// errPrivate says that a name leads where no receiver should be.
var errPrivate = errors.New("the address is not public: set allow_private: true for a receiver of one's own")

// errGone says that the receiver wants no more.
var errGone = errors.New("410 Gone")

// public addresses only: asked of the address itself, when the connection is made.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return fmt.Errorf("%v: %w", ip, errPrivate)
	}
	return nil
}

// reserved are ranges that the standard library does not know: shared and benchmark addresses, 0/8, 240/4, the site-local of old, and IPv4 within IPv6.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0:0/96"), netip.MustParsePrefix("2001::/32"),
}

// newClient is an endpoint's own: no proxy, no redirects, few connections.
func (e *Endpoint) newClient(timeout time.Duration) *http.Client {
	d := &net.Dialer{Timeout: 5 * time.Second}
	if !e.AllowPrivate {
		d.Control = publicOnly
	}
	return &http.Client{
		Timeout:       timeout, // the whole of it, the answer's body included
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: d.DialContext, MaxConnsPerHost: 8, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true},
	}
}

// MessageID is an event's id as a webhook's: without full stops, which delimit what is signed.
func MessageID(id public.ID) string { return "evt_" + strings.ReplaceAll(id.String(), ".", "-") }

// Payload is what is sent of an event.
func Payload(i *events.Item) []byte {
	b := append([]byte(`{"type":"`), i.Type...)
	b = public.AppendTime(append(b, `","timestamp":"`...), i.TimeMS)
	return append(append(append(b, `","data":`...), i.Body...), '}')
}

// post sends a message once. Nil: 2xx in time.
func (e *Endpoint) post(ctx context.Context, client *http.Client, keys [][]byte, id string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	now := time.Now().Unix()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "walletd-webhooks")
	r.Header.Set(HeaderID, id)
	r.Header.Set(HeaderTimestamp, strconv.FormatInt(now, 10))
	r.Header.Set(HeaderSignature, Sign(keys, id, now, body))
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, answerMax)) // so that the connection serves again
	switch code := answer.StatusCode; {
	case code == http.StatusGone:
		return errGone
	case code < 200 || code > 299:
		return fmt.Errorf("answered %s", answer.Status)
	}
	return err
}
