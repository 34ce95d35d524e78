package local

import (
	"fmt"
	"strings"
)

// ErrMissing says that a server is not installed here and what to do about it.
type ErrMissing struct {
	Server string // what is missing, as its users call it: "redis-server"
	Fix    string // an imperative sentence: "run `make deps` or `apt-get install redis-server`"
}

// Error is one line: "redis-server is not installed: run `make deps` or …".
func (e ErrMissing) Error() string {
	return e.Server + " is not installed: " + e.Fix
}

// ErrPortInUse says that another process listens where a server was to listen.
type ErrPortInUse struct {
	Server string // the server that was to start: "redis"
	Addr   string // "127.0.0.1:port"
}

// Error is one line that names the port.
func (e ErrPortInUse) Error() string {
	port := e.Addr[strings.LastIndexByte(e.Addr, ':')+1:]
	return fmt.Sprintf("%s cannot listen on port %s (%s): it is in use, choose another or 0 for any that is free",
		e.Server, port, e.Addr)
}
