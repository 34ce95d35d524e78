package bench

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
)

// quietMax bounds how long a wallet may take to end what a load has begun.
const quietMax = 2 * time.Minute

// quiet waits until the wallet has nothing left to do for what it has acknowledged: all legs are delivered and settled, and the
// projection has folded the journal to its end. Only then has a load cost what it costs. Wallets that do not tell are not asked.
func (s *Session) quiet(ctx context.Context) error {
	if s.admin == nil {
		return nil
	}
	end := time.Now().Add(quietMax)
	for still := 0; still < 2; { // what is delivered is journaled, and then folded
		left, err := s.left(ctx)
		if err != nil {
			if errors.Is(err, errNoRoute) {
				return nil
			}
			return fmt.Errorf("wait until the wallet is quiet: %w", err)
		}
		if still++; left > 0 {
			still = 0
		}
		if left > 0 && time.Now().After(end) {
			return fmt.Errorf("the wallet is not quiet %v after a load: %d records or legs are left", quietMax, left)
		}
		if err := sleep(ctx, quietGrain); err != nil {
			return err
		}
	}
	return nil
}

const quietGrain = 10 * time.Millisecond

// left is the number of journal records that are not folded and of legs that are not settled.
func (s *Session) left(ctx context.Context) (int64, error) {
	var lag struct {
		Data []struct {
			Records int64  `json:"records"`
			Stopped string `json:"stopped"`
		} `json:"data"`
	}
	text, err := s.getAdmin(ctx, "/admin/v1/lag")
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(text, &lag); err != nil {
		return 0, fmt.Errorf("GET /admin/v1/lag: %w", err)
	}
	var left int64
	for _, p := range lag.Data {
		if p.Stopped != "" {
			return 0, errors.New("the projection has stopped: " + p.Stopped)
		}
		left += p.Records
	}
	if left > 0 {
		return left, nil
	}
	if text, err = s.getAdmin(ctx, "/metrics"); err != nil {
		return 0, err
	}
	return int64(sumOf(text, "wallet_keeper_channel_legs")), nil
}

// errNoRoute says that a wallet does not tell something.
var errNoRoute = errors.New("no such route")

// getAdmin reads from the admin listener.
func (s *Session) getAdmin(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.Admin+path, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if s.cfg.Token != "" {
		request.Header.Set("Authorization", "Bearer "+s.cfg.Token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err == nil && response.StatusCode == http.StatusNotFound:
		err = errNoRoute
	case err == nil && response.StatusCode != http.StatusOK:
		err = errors.New(response.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	return body, nil
}

// sumOf adds up a metric over its labels.
func sumOf(text []byte, name string) (sum float64) {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok || len(rest) == 0 || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		if i := bytes.LastIndexByte(rest, ' '); i >= 0 {
			if v, err := strconv.ParseFloat(string(bytes.TrimSpace(rest[i+1:])), 64); err == nil {
				sum += v
			}
		}
	}
	return sum
}
