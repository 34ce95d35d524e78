package gateway

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"walletd/gateway/push"
	"walletd/gateway/tcc"
	"walletd/gateway/wire"
)

// Server is a gateway: an http.Handler of the public routes. Serve it over a listener made by Listen, or sessions hand
// their rows over only after the reply of an earlier read.
type Server struct {
	cfg      Config
	tcc      *tcc.Coordinator
	desk     *desk
	names    *names
	hub      *push.Hub    // nil: nobody tells what happens
	unsent   atomic.Int64 // bytes of pushes that sessions have not been sent
	mux      *http.ServeMux
	upgrader websocket.Upgrader

	draining atomic.Bool
	mu       sync.Mutex // guards sessions
	sessions map[*session]struct{}
	ended    sync.WaitGroup // sessions' goroutines
}

// New makes a gateway, or says everything that is wrong with its configuration.
func New(cfg Config) (*Server, error) {
	cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := tcc.New(cfg.Partitions, cfg.Shards, cfg.Past)
	s := &Server{cfg: cfg, tcc: c, desk: &desk{tcc: c}, mux: http.NewServeMux(), sessions: map[*session]struct{}{}}
	s.names = newNames(s.desk)
	cfg.Metrics.past(c.PastCounts)
	if cfg.Feed != nil {
		s.hub = push.New(push.Config{Partitions: cfg.Partitions, Assets: cfg.Assets, Feed: cfg.Feed, Name: s.names.find, Logger: cfg.Logger})
		cfg.Metrics.pushes(s.hub, &s.unsent)
	}
	s.upgrader = websocket.Upgrader{
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10, WriteBufferPool: &sync.Pool{}, // most sessions write seldom
		HandshakeTimeout: cfg.ConnectTimeout, Subprotocols: []string{"wallet.v1.json"},
		CheckOrigin:       s.originAllowed,
		EnableCompression: false, // costs more than the bytes it saves on loopback and in one data centre
	}
	s.routes()
	return s, nil
}

func (s *Server) routes() {
	for pattern, h := range map[string]handler{
		"POST /v1/accounts":                  s.createAccount,
		"GET /v1/accounts/{id}":              s.getAccount,
		"PATCH /v1/accounts/{id}":            s.patchAccount,
		"GET /v1/accounts/{id}/balance":      s.getBalance,
		"POST /v1/transfers":                 s.postTransfer,
		"POST /v1/transfers/batch":           s.postBatch,
		"GET /v1/transfers/{id}":             s.getTransfer,
		"GET /v1/transfers":                  s.findTransfer,
		"POST /v1/reservations":              s.postReservation,
		"POST /v1/reservations/cancel":       s.cancelByKey,
		"POST /v1/reservations/{id}/confirm": s.confirmReservation,
		"POST /v1/reservations/{id}/cancel":  s.cancelReservation,
		"GET /v1/reservations/{id}":          s.getReservation,
		"GET /v1/reservations":               s.projected,
		streams:                              s.statement,
		"GET /version":                       s.version,
		"GET /readyz":                        s.readyz,
		"GET /errors/{code}":                 errorPage,
	} {
		s.mux.Handle(pattern, s.rest(pattern, h))
	}
	s.mux.HandleFunc("GET /v1/ws", s.serveWS)
	s.mux.Handle("/", s.rest("none", s.noRoute))
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// handler is one REST route. A problem that it returns is answered; nil means that it has answered itself.
type handler func(http.ResponseWriter, *http.Request) *wire.Problem

// rest wraps a route in what all have in common: request id, authentication, a bound in time, problem documents.
func (s *Server) rest(route string, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := requestID(r)
		w.Header().Set("Request-Id", id)
		r.Header.Del(settledHeader)
		r.Header.Del("Connection") // it could name headers that a proxy to the projection drops, as the positions that go with the former
		ctx, cancel := r.Context(), func() {}
		if route != streams { // that one takes as long as its client reads
			ctx, cancel = context.WithTimeout(ctx, s.cfg.ActTimeout)
		}
		defer cancel()
		rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK, patience: longWrite}
		p := s.authenticate(r, route)
		if p == nil && s.cfg.Token == "" && !Unmistakable(r.Host) {
			p = &wire.Problem{Code: "permission_denied", Detail: "without a token the wallet answers only as localhost or by an IP address, not as " + r.Host}
		}
		if p == nil && r.Method != http.MethodGet && r.Method != http.MethodHead && !s.originAllowed(r) {
			p = &wire.Problem{Code: "permission_denied", Detail: "a page of another origin may not change anything"}
		}
		if p == nil {
			p = h(rec, r.WithContext(ctx))
		}
		if p != nil {
			p.RequestID = id
			writeProblem(rec, p)
		}
		s.cfg.Metrics.requests.WithLabelValues(route, http.StatusText(rec.status)).Observe(time.Since(start).Seconds())
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status   int
	written  int           // bytes
	patience time.Duration // how long a part of a long answer may take
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Most answers fit into the connection's buffers, and nobody waits for them to be read. A long one is written as fast as it is read; who stops reading
// is cut, lest it holds a page, and whoever wrote it, for ever.
const (
	longAnswer = 16 << 10 // bytes
	longWrite  = 30 * time.Second
)

// Write implements http.ResponseWriter.
func (r *statusRecorder) Write(b []byte) (int, error) {
	if r.written += len(b); r.written > longAnswer {
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(r.patience)) // where there is none, nothing blocks
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func requestID(r *http.Request) string {
	if id := r.Header.Get("Request-Id"); id != "" && len(id) <= 128 && wire.ValidKey(id) {
		return id
	}
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return "req_" + hex.EncodeToString(b[:])
}

// streams is the route whose answer may be long.
const streams = "GET /v1/accounts/{id}/entries"

// open routes need no token: probes, the build's version and the pages that errors point to.
var openRoutes = []string{"GET /readyz", "GET /version", "GET /errors/{code}"}

func (s *Server) authenticate(r *http.Request, route string) *wire.Problem {
	if s.cfg.Token == "" || slices.Contains(openRoutes, route) {
		return nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !s.tokenValid(token) {
		return &wire.Problem{Code: "unauthenticated"}
	}
	return nil
}

func (s *Server) tokenValid(token string) bool {
	return s.cfg.Token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.Token)) == 1
}

// noRoute tells a wrong path from a wrong method.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) *wire.Problem {
	var allow []string
	for _, method := range []string{"GET", "POST", "PATCH", "PUT", "DELETE"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(probe); pattern != "" && pattern != "/" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		return &wire.Problem{Code: "not_found", Detail: "no route " + r.URL.Path}
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	return &wire.Problem{Code: "method_not_allowed", Detail: r.Method + " is not allowed here; allowed: " + strings.Join(allow, ", ")}
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) *wire.Problem {
	if s.draining.Load() {
		return &wire.Problem{Code: "draining"}
	}
	writeJSON(w, http.StatusOK, []byte(`{"status":"ready"}`))
	return nil
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) *wire.Problem {
	writeJSON(w, http.StatusOK, versionJSON(s.cfg.Partitions, s.cfg.Assets, s.cfg.Admin))
	return nil
}

// errorPage is where a problem's type leads: what the code means, in one line.
func errorPage(w http.ResponseWriter, r *http.Request) *wire.Problem {
	info := wire.Lookup(r.PathValue("code"))
	if info.Code != r.PathValue("code") {
		return &wire.Problem{Code: "not_found", Detail: "no such error code"}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(info.Code + ": " + info.Title + ". " + info.Help + "\n"))
	return nil
}

// originAllowed accepts requests without an Origin (no browser), from the gateway's own host, and from the allow-list.
func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(s.cfg.Origins, "*") || slices.Contains(s.cfg.Origins, origin) {
		return true
	}
	_, host, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(host, r.Host) && (s.cfg.Token != "" || Unmistakable(host))
}

// Unmistakable reports whether a host is no name that somebody else's DNS may point at us: without a token, a page that
// was rebound to this address would be the gateway's own.
func Unmistakable(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	return strings.EqualFold(name, "localhost") || net.ParseIP(name) != nil
}

// Drain refuses new sessions, lets what is under way finish for as long as ctx lasts, and ends the sessions with close
// code 1012, upon which clients reconnect elsewhere. REST requests are drained by http.Server.Shutdown.
func (s *Server) Drain(ctx context.Context) {
	s.mu.Lock()
	s.draining.Store(true) // under mu: a session is on the list, or not begun (serveWS)
	all := make([]*session, 0, len(s.sessions))
	for ss := range s.sessions {
		all = append(all, ss)
	}
	s.mu.Unlock()
	for _, ss := range all {
		ss.drain(ctx)
	}
	s.ended.Wait()
	if s.hub != nil {
		s.hub.Close()
	}
}

// Sessions is the number of open WebSocket sessions.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}
