package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// session is one connection.
type session struct {
	conn   *websocket.Conn
	window int           // acts that the gateway lets be under way
	ping   time.Duration // how often the gateway says {}
	pinged bool          // a {} came with the reply to connect
	ended  chan struct{} // closed when the reader has gone
}

// connectReply is the gateway's answer to connect.
type connectReply struct {
	Session     string `json:"session"`
	MaxInFlight int    `json:"max_in_flight"`
	PingS       int    `json:"ping_s"`
}

// connect dials, upgrades and introduces itself. It returns *RefusedError, *EndedError or an error of the network.
func (c *Client) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	dialer := websocket.Dialer{
		NetDialContext:   c.cfg.DialContext,
		TLSClientConfig:  c.cfg.TLS,
		HandshakeTimeout: c.cfg.DialTimeout,
		Subprotocols:     []string{subprotocol},
		ReadBufferSize:   64 << 10, // one read of the kernel for a frame full of replies
		WriteBufferSize:  64 << 10, // longer frames leave in fragments
		Proxy:            http.ProxyFromEnvironment,
	}
	conn, response, err := dialer.DialContext(ctx, c.address, nil)
	if response != nil {
		defer response.Body.Close() // in memory, says the library
	}
	if err != nil {
		if response != nil && errors.Is(err, websocket.ErrBadHandshake) {
			return nil, upgradeRefused(response)
		}
		return nil, err
	}
	// The context also bounds what follows the upgrade.
	stop := context.AfterFunc(ctx, func() { drop(conn) })
	s, err := introduce(conn, c.bearer())
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		drop(conn)
		return nil, translate(err)
	}
	return s, nil
}

func (c *Client) bearer() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// upgradeRefused reads why the wallet did not become a WebSocket.
func upgradeRefused(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("upgrade refused: %s: %w", response.Status, err)
	}
	if e := decodeProblem(response, body); e != nil {
		return e
	}
	return fmt.Errorf("upgrade refused: %s", response.Status)
}

// introduce sends connect and reads its reply.
func introduce(conn *websocket.Conn, token string) (*session, error) {
	conn.SetReadLimit(readMax)
	if conn.Subprotocol() != subprotocol {
		return nil, fmt.Errorf("the gateway does not speak %s", subprotocol)
	}
	hello := []byte(`"connect":{}`)
	if token != "" {
		hello = append(appendText([]byte(`"connect":{"token":`), token), '}')
	}
	if err := conn.WriteMessage(websocket.TextMessage, appendMessage(nil, 1, hello)); err != nil {
		return nil, err
	}
	s := &session{conn: conn, ended: make(chan struct{})}
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		for _, r := range scanFrame(nil, frame) {
			switch {
			case r.kind == replyPing:
				s.pinged = true
			case r.kind == replyRefused && r.id <= 1:
				return nil, r.refusal
			case r.kind == replyOK && r.id == 1:
				return s, s.welcome(r.raw)
			}
		}
	}
}

func (s *session) welcome(raw []byte) error {
	var w connectReply
	if err := json.Unmarshal(raw, &w); err != nil {
		return fmt.Errorf("read the reply to connect: %w", err)
	}
	s.window = inFlightMax
	if w.MaxInFlight > 0 {
		s.window = w.MaxInFlight
	}
	s.ping = time.Duration(w.PingS) * time.Second
	return nil
}

// leave closes the connection, politely if that takes no time.
func (s *session) leave() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	// A connection that does not take it is closed all the same.
	_ = s.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(100*time.Millisecond))
	drop(s.conn)
}

// drop closes a connection at once. That it cannot be closed any more is no news.
func drop(conn *websocket.Conn) { _ = conn.Close() }

// read hands every frame on until the connection is gone, and says why.
func (c *Client) read(s *session) error {
	var (
		frame   bytes.Buffer
		replies []reply
		ends    []ending
	)
	for {
		_, r, err := s.conn.NextReader()
		if err != nil {
			return translate(err)
		}
		if frame.Cap() > 1<<20 {
			frame = bytes.Buffer{}
		}
		frame.Reset()
		if _, err := frame.ReadFrom(r); err != nil {
			return translate(err)
		}
		replies = scanFrame(replies[:0], frame.Bytes())
		ends = c.settle(replies, ends, time.Now())
		clear(replies)
	}
}

// write sends what waits, one frame after the other, until the session ends: while a frame is on its way the next collects.
func (c *Client) write(s *session) {
	var frame []byte
	for {
		if frame = c.nextFrame(s, frame[:0]); len(frame) == 0 {
			select {
			case <-c.wake:
				continue
			case <-s.ended:
				return
			}
		}
		// The write's own error tells the same, and the reader tells why.
		_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := s.conn.WriteMessage(websocket.TextMessage, frame); err != nil {
			drop(s.conn)
			<-s.ended
			return
		}
	}
}

// nextFrame cuts the next frame; an empty one means: sleep until woken.
func (c *Client) nextFrame(s *session, frame []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != s {
		return frame
	}
	for ; c.pingDue > 0; c.pingDue-- {
		if len(frame) > 0 {
			frame = append(frame, '\n')
		}
		frame = append(frame, '{', '}')
	}
	if len(c.extra) > 0 {
		if len(frame) > 0 {
			frame = append(frame, '\n')
		}
		frame = append(frame, c.extra...)
		c.extra = nil
	}
	before := c.table.inFlight
	frame = c.table.cut(frame, c.cfg.FrameMessages)
	if before == 0 && c.table.inFlight > 0 {
		c.heard = c.now // silence counts from the first command that waits
	}
	c.idle = len(frame) == 0
	return frame
}

// translate turns a close code into what it means for the caller; other errors stay.
func translate(err error) error {
	closed, ok := errors.AsType[*websocket.CloseError](err)
	if !ok {
		return err
	}
	switch code := closed.Code; {
	case code >= 4500,
		code == websocket.CloseProtocolError, code == websocket.CloseUnsupportedData,
		code == websocket.CloseInvalidFramePayloadData, code == websocket.ClosePolicyViolation,
		code == websocket.CloseMessageTooBig, code == websocket.CloseMandatoryExtension:
		// The same bytes would be answered the same way after a reconnect.
		return &EndedError{code, closed.Text}
	default:
		return errors.New("connection closed by the gateway: code " + strconv.Itoa(code) + " " + closed.Text)
	}
}

// terminal reports whether connecting again would not help.
func terminal(err error) bool {
	if _, ok := errors.AsType[*EndedError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*RefusedError](err); ok {
		return !e.Retryable
	}
	return false
}
