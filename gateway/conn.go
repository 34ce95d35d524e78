package gateway

import (
	"net"
)

// Listen wraps a listener so that a WebSocket session can act just before its connection's next read blocks: one read
// system call becomes one hand-over of everything that was in it (hotpath 2).
func Listen(l net.Listener) net.Listener { return hookListener{l} }

type hookListener struct{ net.Listener }

func (l hookListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &hookConn{Conn: c}, nil
}

type hookConn struct {
	net.Conn
	beforeRead func() // owned by the goroutine that reads
}

func (c *hookConn) Read(p []byte) (int, error) {
	if c.beforeRead != nil {
		c.beforeRead()
	}
	return c.Conn.Read(p)
}

// CloseWrite lets net/http end a connection cleanly, as it does with a plain TCP connection.
func (c *hookConn) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return nil
}
