package walletd

import (
	"net"
	"net/http"
	"sync"
)

// freshConns are a server's connections on which no request has begun. http.Server.Shutdown waits five seconds for each,
// in case one is just about to; clients open such connections ahead of their need, and every Ctrl-C would take that long.
// To close them is safe: a request that nobody has read is one that its client makes again.
type freshConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// watch is a server's ConnState.
func (f *freshConns) watch(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state != http.StateNew {
		delete(f.conns, c)
		return
	}
	if f.conns == nil {
		f.conns = map[net.Conn]struct{}{}
	}
	f.conns[c] = struct{}{}
}

func (f *freshConns) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close() // its server notices
	}
}
