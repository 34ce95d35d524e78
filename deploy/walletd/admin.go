package walletd

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"walletd/gateway"
	"walletd/gateway/wire"
)

// adminHandler serves the operators' listener: probes and metrics without a token, /admin/v1 with it.
func (n *node) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", n.adminReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"admin": "http://" + n.admin.Addr().String(), "partitions": n.cfg.partitions, "assets": n.cfg.assets})
	})
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /admin/v1/partitions":                     n.adminPartitions,
		"GET /admin/v1/partitions/{partition}":         n.adminPartition,
		"POST /admin/v1/partitions/{partition}/move":   n.adminMove,
		"DELETE /admin/v1/partitions/{partition}/move": n.adminAbort,
		"GET /admin/v1/shards":                         n.adminShards,
		"GET /admin/v1/lag":                            n.adminLag,
		"POST /admin/v1/reconciliations":               n.adminReconcile,
		"GET /admin/v1/reconciliations":                n.adminReconciliations,
		"GET /admin/v1/accounts/{account}/why":         n.adminWhy,
		"GET /admin/v1/events":                         n.adminEvents,
		"GET /admin/v1/snapshots":                      n.adminSnapshots,
		"POST /admin/v1/snapshots":                     n.adminTakeSnapshot,
		"POST /admin/v1/snapshots/verifications":       n.adminVerifySnapshots,
		"POST /admin/v1/drills/shard-loss":             n.adminShardLoss,
		"GET /debug/pprof/":                            pprof.Index,
		"GET /debug/pprof/profile":                     pprof.Profile,
	} {
		mux.HandleFunc(pattern, n.adminOnly(h))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, "not_found", "no route "+r.URL.Path+" on the operators' listener")
	})
	return mux
}

// adminOnly lets in who has the token; where there is none, everyone but a browser that somebody else's page has sent.
func (n *node) adminOnly(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if n.cfg.token == "" {
			if why := sentByAPage(r); why != "" {
				problem(w, "permission_denied", why)
				return
			}
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if n.cfg.token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(n.cfg.token)) != 1 {
			problem(w, "unauthenticated", "")
			return
		}
		h(w, r)
	}
}

// sentByAPage says why a request without a token may be a page's of another origin, like the gateway does: one that names another host, or
// one whose own name was bound to this machine's loopback. Beyond loopback hosts have names of their own.
func sentByAPage(r *http.Request) string {
	if origin := r.Header.Get("Origin"); origin != "" {
		if _, host, _ := strings.Cut(origin, "://"); !strings.EqualFold(host, r.Host) {
			return "a page of another origin may not ask here"
		}
	}
	at, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if at != nil && at.IP.IsLoopback() && !gateway.Unmistakable(r.Host) {
		return "without a token this answers on loopback only as localhost or by an IP address, not as " + r.Host
	}
	return ""
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone is not our fault
}

func problem(w http.ResponseWriter, code, detail string) {
	p := wire.Problem{Code: code, Detail: detail}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.HTTP())
	_, _ = w.Write(append(p.AppendJSON(nil), '\n'))
}

func (n *node) adminReady(w http.ResponseWriter, _ *http.Request) {
	if serving, down := n.serving(); serving < n.cfg.partitions {
		state := map[string]any{"status": "not ready", "partitions_serving": serving, "partitions": n.cfg.partitions}
		if len(down) > 0 {
			state["shards_down"] = down
		}
		answer(w, http.StatusServiceUnavailable, state)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (n *node) adminLag(w http.ResponseWriter, r *http.Request) {
	if n.projector == nil {
		problem(w, "not_found", "this process has no projector")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	lag, err := n.projector.Lag(ctx)
	if err != nil {
		problem(w, "projection_behind", err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]any{"object": "list", "data": lag})
}
