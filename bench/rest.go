package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// REST, one transfer a request: what the wallet costs beside a handler that does nothing, asked the same by the same client.

// restBodyMax bounds an answer.
const restBodyMax = 64 << 10

// Nothing answers every request as if it were a transfer, and does nothing: the yardstick of MeasureREST.
func Nothing() http.Handler {
	const answer = `{"object":"transfer","id":"tr_00000000000000000000000000","key":"k-00000000","from":"bench-00000000-000000","to":"bench-00000000-000000","amount":1,"asset":"USD","status":"confirmed",` +
		`"position":"0.1.1","created_at":"2026-01-01T00:00:00Z","legs":[{"account":"bench-00000000-000000","direction":"debit","amount":1,"partition":0,"phase":"confirmed"},` +
		`{"account":"bench-00000000-000000","direction":"credit","amount":1,"partition":1,"phase":"tried"}]}` + "\n"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the client is gone
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, answer)
	})
}

// MeasureREST is Measure over REST: one transfer a request, one request under way on each of l.Connections connections, as fast as
// they are answered. Of l, Distribution, Cross, Connections, Duration and Seed count.
func (s *Session) MeasureREST(ctx context.Context, l Load) (Report, error) {
	return s.measureREST(ctx, l, s.cfg.URL, s.cfg.Processes, true)
}

// MeasureNothing asks a server of Nothing the same. Its process is counted as walletd's.
func (s *Session) MeasureNothing(ctx context.Context, l Load, base string, pid int) (Report, error) {
	return s.measureREST(ctx, l, base, Processes{Walletd: []int{pid}}, false)
}

func (s *Session) measureREST(ctx context.Context, l Load, base string, processes Processes, wallet bool) (Report, error) {
	l.Workload, l.Batch, l.Rate, l.InFlight = Transfers, 0, 0, 1
	l.withDefaults()
	if err := errors.Join(s.cfg.problems(l)...); err != nil {
		return Report{}, fmt.Errorf("bench load: %w", err)
	}
	script, err := s.script(l)
	if err != nil {
		return Report{}, err
	}
	target, err := url.Parse(base)
	if err != nil || target.Scheme != "http" {
		return Report{}, fmt.Errorf("bench rest: %q is no address like http://host:port", base)
	}
	if err := s.quiet(ctx); err != nil {
		return Report{}, err
	}
	s.rounds++
	load := &load{Load: l, cfg: s.cfg, round: s.rounds, script: script, ledger: s.ledger, backlog: newHistogram()}
	before, err := readCPU(&processes)
	if err != nil {
		return Report{}, err
	}
	if err := load.overREST(ctx, target.Host, wallet); err != nil {
		return Report{}, err
	}
	if err := s.quiet(ctx); err != nil {
		return Report{}, err
	}
	after, err := readCPU(&processes)
	s.keepTrouble(load)
	r := s.report(load, metered{before: before, after: after, err: err})
	r.Workload, r.ClientIsServer, r.Processes = "REST "+r.Workload, false, processes
	return r, nil
}

// overREST runs one goroutine a connection.
func (l *load) overREST(ctx context.Context, host string, wallet bool) error {
	l.start = time.Now()
	var wg sync.WaitGroup
	errs := make([]error, l.Connections)
	for i := range l.Connections {
		n := newLane(l, nil, i)
		l.lanes = append(l.lanes, n)
		wg.Go(func() {
			errs[i] = n.overREST(ctx, host, wallet)
		})
	}
	err := l.wait(ctx, "measure")
	l.over.Store(true)
	wg.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		err = errors.Join(err, errs[i]) // the others will be the same
	}
	return err
}

// overREST asks one thing after the other.
func (n *lane) overREST(ctx context.Context, host string, wallet bool) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", host)
	if err != nil {
		return fmt.Errorf("bench rest: %w", err)
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	var body []byte
	for !n.load.over.Load() {
		begin := time.Since(n.load.start)
		m := &slot{at: n.at, number: n.number + 1, intended: begin}
		n.at, n.number = (n.at+1)%len(n.load.script.ops), n.number+1
		o := n.composer.effective(m, 0)
		if err := conn.SetDeadline(time.Now().Add(n.load.cfg.Settle)); err != nil {
			return fmt.Errorf("bench rest: %w", err)
		}
		if _, err := conn.Write(n.composer.request(host, n.load.cfg.Token, m.number, o)); err != nil {
			return fmt.Errorf("bench rest: %w", err)
		}
		var status int
		if status, body, err = readAnswer(in, body); err != nil {
			n.unknown++
			return fmt.Errorf("bench rest: read the answer: %w", err)
		}
		if n.answered(o, status, body, wallet) {
			n.count(o, m, time.Since(n.load.start), 1)
		}
	}
	return nil
}

// answered holds an answer against what was asked.
func (n *lane) answered(o op, status int, body []byte, wallet bool) bool {
	if status != http.StatusCreated {
		if code := textField(body, `"code":"`); len(code) > 0 && string(code) != "outcome_unknown" && status != http.StatusGatewayTimeout {
			n.refused[string(code)]++
		} else {
			n.trouble(fmt.Sprintf("answered %d: %s", status, body))
		}
		return false
	}
	if !wallet {
		return true
	}
	if from, s := textField(body, `"from":"`), textField(body, `"status":"`); !bytes.Equal(from, n.load.script.name(o.from)) || string(s) != "confirmed" {
		n.trouble(fmt.Sprintf("answered %s", body))
		return false
	}
	n.load.ledger.move(o.from, o.to, n.composer.amount)
	if n.load.script.crosses(o) {
		n.cross++
	}
	return true
}

// request is a whole HTTP request.
func (c *composer) request(host, token string, number uint64, o op) []byte {
	b := append(append(c.buf[:0], "POST /v1/transfers HTTP/1.1\r\nHost: "...), host...)
	if token != "" {
		b = append(append(b, "\r\nAuthorization: Bearer "...), token...)
	}
	b = append(b, "\r\nContent-Type: application/json\r\nIdempotency-Key: "...)
	b = strconv.AppendUint(append(b, c.head[len(`{"key":"`):]...), number, 10)
	size := len(`{"from":"","to":"","amount":`) + 2*c.s.nameLen + len(strconv.AppendInt(nil, c.amount, 10)) + len(c.tail)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(size), 10)
	b = append(append(b, "\r\n\r\n{\"from\":\""...), c.s.name(o.from)...)
	b = append(append(b, `","to":"`...), c.s.name(o.to)...)
	b = strconv.AppendInt(append(b, `","amount":`...), c.amount, 10)
	c.buf = append(b, c.tail...)
	return c.buf
}

var lengthHeader = []byte("content-length:")

// readAnswer reads one response into body, which is used again.
func readAnswer(in *bufio.Reader, body []byte) (status int, _ []byte, err error) {
	size := -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, body, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
				return 0, body, fmt.Errorf("%q is no status line", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, body, fmt.Errorf("%q is no status line", line)
			}
		case len(line) == 0:
			if size < 0 || size > restBodyMax {
				return 0, body, errors.New("the answer does not tell its length, or too large a one")
			}
			body = slices.Grow(body[:0], size)[:size]
			_, err := io.ReadFull(in, body)
			return status, body, err
		case len(line) > len(lengthHeader) && bytes.EqualFold(line[:len(lengthHeader)], lengthHeader):
			if size, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthHeader):]))); err != nil {
				return 0, body, fmt.Errorf("%q is no length", line)
			}
		}
	}
}
