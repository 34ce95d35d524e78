package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"walletd/gateway/client"
)

// Transfer runs transfers against a wallet and reports. An error says that the run could not be made; a run whose money
// does not add up is reported as void.
func Transfer(ctx context.Context, cfg Config) (Report, error) {
	cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	r := &run{cfg: &cfg}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		return Report{}, fmt.Errorf("prepare: %w", err)
	}
	if err := r.measure(ctx); err != nil {
		return Report{}, fmt.Errorf("run: %w", err)
	}
	cfg.Progress("verify", 0)
	verdict, err := r.verify(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	cfg.Progress("verify", 1)
	return r.report(verdict), nil
}

// run is one run, stage by stage.
type run struct {
	cfg     *Config
	w       *workload
	rest    *client.REST
	admin   *client.REST // nil: no admin listener
	clients []*client.Client
	before  []standing // of every account, when the load begins
	load    *load
	cpu     []cpuTimes // at the beginning and the end of the measured time
	cpuErr  error
}

func (r *run) close() {
	for _, c := range r.clients {
		// Nothing is under way any more, or the run has failed anyway.
		_ = c.Close()
	}
	if r.rest != nil {
		r.rest.Close()
	}
	if r.admin != nil {
		r.admin.Close()
	}
}

// prepare connects, opens the accounts and funds them.
func (r *run) prepare(ctx context.Context) (err error) {
	sessions := client.Config{
		URL: r.cfg.URL, Token: r.cfg.Token, InFlight: r.cfg.InFlight, FrameMessages: r.cfg.FrameMessages,
		Timeout: max(r.cfg.Settle, 30*time.Second),
		Retries: -1, // a refusal is counted, not hidden in a latency
	}
	patient := sessions
	patient.Retries = 0
	if r.rest, err = client.NewREST(patient); err != nil {
		return err
	}
	if r.cfg.Admin != "" {
		operator := patient
		operator.URL = r.cfg.Admin
		if r.admin, err = client.NewREST(operator); err != nil {
			return err
		}
	}
	if err := r.askPartitions(ctx); err != nil {
		return err
	}
	if r.w, err = newWorkload(r.cfg); err != nil {
		return err
	}
	for range r.cfg.Connections {
		c, err := client.Dial(ctx, sessions)
		if err != nil {
			return err
		}
		r.clients = append(r.clients, c)
	}
	if err := open(ctx, r.cfg, r.w, r.rest); err != nil {
		return err
	}
	if err := fund(ctx, r.cfg, r.w, r.clients); err != nil {
		return err
	}
	return r.checkFunds(ctx)
}

func (r *run) askPartitions(ctx context.Context) error {
	if r.cfg.Partitions > 0 {
		return nil
	}
	v, err := r.admin.Version(ctx)
	if err != nil {
		return fmt.Errorf("ask for the number of partitions: %w", err)
	}
	if v.Partitions < 1 {
		return errors.New("the wallet's /version does not tell its number of partitions: give it")
	}
	r.cfg.Partitions = v.Partitions
	return r.cfg.Validate()
}

// checkFunds waits until every account has its money: version 1 is its opening, version 2 the credit.
func (r *run) checkFunds(ctx context.Context) (err error) {
	want := slices.Repeat([]standing{{r.cfg.Prefund, 2}}, len(r.w.accounts))
	if r.before, err = settle(ctx, r.cfg, r.w, r.clients, want); err != nil {
		return err
	}
	for i, seen := range r.before {
		if seen != want[i] {
			return fmt.Errorf("account %s has %d at version %d after its funding, want %d at version 2",
				r.w.accounts[i].id, seen.money, seen.version, r.cfg.Prefund)
		}
	}
	return nil
}

// measure runs the load and reads CPU times at both ends of the measured time.
func (r *run) measure(ctx context.Context) error {
	r.load = newLoad(r.cfg, r.w, r.clients)
	return r.load.run(ctx, func() error {
		t, err := readCPU(&r.cfg.Processes)
		r.cpu = append(r.cpu, t)
		r.cpuErr = errors.Join(r.cpuErr, err)
		return nil
	})
}

// shared reports whether this process is the server, too.
func (r *run) shared() bool { return slices.Contains(r.cfg.Processes.Walletd, os.Getpid()) }
