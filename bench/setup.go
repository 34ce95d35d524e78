package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"walletd/gateway/client"
)

// openers is how many accounts are opened at a time.
const openers = 32

// open opens the issuance accounts and the run's.
func open(ctx context.Context, cfg *Config, p *people, rest *client.REST) error {
	for _, id := range p.issuers {
		if _, err := rest.CreateAccount(ctx, client.AccountCreate{ID: id, Asset: cfg.Asset, Issuance: true}); err != nil {
			return fmt.Errorf("open the issuance account %s: %w", id, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	var next, opened atomic.Int64
	for range openers {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(p.accounts) {
					return nil
				}
				create := client.AccountCreate{ID: string(p.name(uint32(i))), Asset: cfg.Asset}
				if _, err := rest.CreateAccount(ctx, create); err != nil {
					return fmt.Errorf("open account %s: %w", create.ID, err)
				}
				opened.Add(1)
			}
		})
	}
	stop := watch(cfg, "open accounts", &opened, len(p.accounts))
	defer stop()
	return group.Wait()
}

// watch tells the progress now and then, until stopped.
func watch(cfg *Config, stage string, n *atomic.Int64, of int) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				cfg.Progress(stage, float64(n.Load())/float64(of))
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// rows is one command for each of n things.
type rows struct {
	n       int
	command func(dst []byte, i int) []byte
	hear    func(i int, end *client.Completion) error // its calls may overlap
}

// every spreads the rows over the connections and waits until all have ended.
func every(ctx context.Context, cfg *Config, clients []*client.Client, r rows) error {
	group, ctx := errgroup.WithContext(ctx)
	for k, c := range clients {
		group.Go(func() error { return r.post(ctx, c, k, len(clients), min(512, cfg.InFlight)) })
	}
	return group.Wait()
}

// post posts the rows k, k+step, … with at most window under way.
func (r rows) post(ctx context.Context, c *client.Client, k, step, window int) error {
	under := make(chan struct{}, window)
	trouble := make(chan error, 1)
	done := func(end *client.Completion) {
		if err := r.hear(int(end.Tag), end); err != nil {
			select {
			case trouble <- err:
			default:
			}
		}
		<-under
	}
	enter := func() error {
		select {
		case under <- struct{}{}:
			return nil
		default:
		}
		c.Flush()
		select {
		case under <- struct{}{}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var buf []byte
	for i := k; i < r.n; i += step {
		if err := enter(); err != nil {
			return err
		}
		buf = r.command(buf[:0], i)
		if err := c.Post(buf, uint64(i), done); err != nil {
			return err
		}
	}
	for range window { // all places: nothing is under way
		if err := enter(); err != nil {
			return err
		}
	}
	select {
	case err := <-trouble:
		return err
	default:
		return nil
	}
}

// fund gives every account its money, by ordinary transfers from the issuance account.
func fund(ctx context.Context, cfg *Config, p *people, clients []*client.Client) error {
	command := func(dst []byte, i int) []byte {
		return client.AppendTransfer(dst, &client.Transfer{
			Key: fmt.Sprintf("%s-fund-%d", cfg.Run, i), From: p.issuers[0], To: string(p.name(uint32(i))), Amount: cfg.Prefund, Asset: cfg.Asset,
		})
	}
	var funded atomic.Int64
	stop := watch(cfg, "fund accounts", &funded, len(p.accounts))
	defer stop()
	hear := func(i int, end *client.Completion) error {
		funded.Add(1)
		if end.Err != nil {
			return fmt.Errorf("fund account %s: %w", string(p.name(uint32(i))), end.Err)
		}
		if end.Result.Status != "confirmed" {
			return fmt.Errorf("fund account %s: status %q", string(p.name(uint32(i))), end.Result.Status)
		}
		return nil
	}
	return every(ctx, cfg, clients, rows{len(p.accounts), command, hear})
}

// look reads the standing of the accounts named by which, into all.
func look(ctx context.Context, cfg *Config, p *people, clients []*client.Client, which []int, all []standing) error {
	command := func(dst []byte, i int) []byte {
		return append(append(append(dst, `"balance":{"account":"`...), p.name(uint32(which[i]))...), `"}`...)
	}
	hear := func(i int, end *client.Completion) error {
		id := string(p.name(uint32(which[i])))
		if end.Err != nil {
			return fmt.Errorf("read balance of %s: %w", id, end.Err)
		}
		var b client.Balance
		if err := json.Unmarshal(end.Reply, &b); err != nil {
			return fmt.Errorf("read balance of %s: %w", id, err)
		}
		if b.Account != id {
			return fmt.Errorf("read balance of %s: got that of %q", id, b.Account)
		}
		all[which[i]] = standing{b.Available + b.Reserved, b.Version}
		return nil
	}
	return every(ctx, cfg, clients, rows{len(which), command, hear})
}

// settle reads all accounts until each has had as many changes as want says, because a credit arrives a moment after
// its transfer has been answered. It returns what it saw last, also when the time is over.
func settle(ctx context.Context, cfg *Config, p *people, clients []*client.Client, want []standing) ([]standing, error) {
	seen := make([]standing, len(want))
	open := make([]int, len(want))
	for i := range open {
		open[i] = i
	}
	end := time.Now().Add(cfg.Settle)
	for {
		if err := look(ctx, cfg, p, clients, open, seen); err != nil {
			return nil, err
		}
		left := open[:0]
		for _, i := range open {
			if seen[i].version < want[i].version {
				left = append(left, i)
			}
		}
		if open = left; len(open) == 0 || time.Now().After(end) {
			return seen, nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
