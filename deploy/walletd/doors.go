package walletd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"walletd/gateway"
	"walletd/gateway/push"
)

// door is a listener with its server.
type door struct {
	*http.Server
	on    net.Listener
	fresh *freshConns
}

func (d door) serve() error {
	if err := d.Serve(d.on); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", d.on.Addr(), err)
	}
	return nil
}

// openDoor puts a handler behind a listener, with bounds for whoever comes.
func openDoor(h http.Handler, on net.Listener, logger *slog.Logger) door {
	fresh := new(freshConns)
	return door{&http.Server{
		Handler:           h,
		ConnState:         fresh.watch,
		ReadHeaderTimeout: 10 * time.Second, // a client that trickles its headers holds a connection (semantics 1, row 0)
		ReadTimeout:       30 * time.Second, // and its body
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}, on, fresh}
}

// doors are the process's listeners: the gateway's, or the projector's for gateways elsewhere; and the operators'.
func (n *node) doors(r roles) []door {
	doors := []door{openDoor(n.adminHandler(), n.admin, n.logger)}
	switch {
	case r.gateway:
		doors = append(doors, openDoor(n.gateway, gateway.Listen(n.public), n.logger))
	case r.projector:
		n.links = push.NewLinkServer(localFeed{n.watch}, n.pastName())
		mux := http.NewServeMux()
		mux.Handle("/", n.reads())
		mux.Handle("GET "+push.LinkPath, n.links)
		mux.Handle("POST "+pastPath, servePast(viewPast{n.view}, n.pastName()))
		doors = append(doors, openDoor(n.tokenOnly(mux), n.public, n.logger))
	}
	return doors
}

// tokenOnly guards the projector's own listener like the gateway guards its.
func (n *node) tokenOnly(h http.Handler) http.Handler {
	return n.adminOnly(h.ServeHTTP)
}

func (n *node) stopDoors(doors []door) {
	limit := drainFor
	if log, ok := n.log.(interface{ Failure() error }); ok && log.Failure() != nil {
		limit = time.Second // nothing becomes durable any more
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if n.gateway != nil {
		n.gateway.Drain(ctx)
	}
	if n.links != nil {
		n.links.Close()
	}
	for i := len(doors) - 1; i >= 0; i-- {
		doors[i].fresh.close()
		if err := doors[i].Shutdown(ctx); err != nil {
			_ = doors[i].Close() // whoever is still there has had its time
		}
	}
	if n.lanes != nil {
		if err := n.lanes.Drain(ctx); err != nil {
			n.logger.Warn("not everything under way was answered", "err", err)
		}
	}
}
