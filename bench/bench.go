package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"walletd/gateway/client"
)

// Transfer runs a load against a wallet and reports. An error says that the run could not be made; a run whose money does not add
// up is reported as void.
func Transfer(ctx context.Context, cfg Config) (Report, error) {
	s, err := Open(ctx, cfg)
	if err != nil {
		return Report{}, err
	}
	defer s.Close()
	l := s.cfg.load()
	if s.cfg.WarmUp > 0 {
		warm := l
		warm.Duration, warm.Profile = s.cfg.WarmUp, false
		if _, err := s.measure(ctx, warm, "warm up"); err != nil {
			return Report{}, fmt.Errorf("run: %w", err)
		}
	}
	report, err := s.Measure(ctx, l)
	if err != nil {
		return Report{}, fmt.Errorf("run: %w", err)
	}
	audit, err := s.Audit(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	report.take(audit)
	return report, nil
}

// Session is a wallet with accounts of its own, on which any number of loads is measured, one after the other; its Audit at the
// end holds for all of them.
type Session struct {
	cfg     *Config
	people  *people
	ledger  *ledger
	before  []standing // of every account, when the first load begins
	rest    *client.REST
	admin   *client.REST // nil: no admin listener
	clients []*client.Client
	scripts map[Load]*script
	rounds  int
	acked   int64    // operations that have ended as they should
	trouble []string // of the loads: each makes the session void
	cpuErr  error
}

// Open connects to a wallet, opens accounts and funds them. cfg's load says how many connections there are at most.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Session{cfg: &cfg, scripts: map[Load]*script{}}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("prepare: %w", err)
	}
	return s, nil
}

// Close ends the connections.
func (s *Session) Close() {
	for _, c := range s.clients {
		// Nothing is under way any more, or the run has failed anyway.
		_ = c.Close()
	}
	if s.rest != nil {
		s.rest.Close()
	}
	if s.admin != nil {
		s.admin.Close()
	}
}

func (s *Session) prepare(ctx context.Context) (err error) {
	sessions := client.Config{
		URL: s.cfg.URL, Token: s.cfg.Token, InFlight: s.cfg.InFlight, FrameMessages: s.cfg.FrameMessages,
		Timeout: max(s.cfg.Settle, 30*time.Second),
		Retries: -1, // a refusal is counted, not hidden in a latency
	}
	patient := sessions
	patient.Retries = 0
	if s.rest, err = client.NewREST(patient); err != nil {
		return err
	}
	if s.cfg.Admin != "" {
		operator := patient
		operator.URL = s.cfg.Admin
		if s.admin, err = client.NewREST(operator); err != nil {
			return err
		}
	}
	if err := s.askPartitions(ctx); err != nil {
		return err
	}
	s.people = newPeople(s.cfg)
	if err := s.people.possible(s.cfg.Cross); err != nil {
		return err
	}
	if s.cfg.Workload == SmallBank {
		s.people.hireTellers(s.cfg)
	}
	for range s.cfg.Connections {
		c, err := client.Dial(ctx, sessions)
		if err != nil {
			return err
		}
		s.clients = append(s.clients, c)
	}
	s.ledger = newLedger(s.people.all())
	if len(s.cfg.Issuers) > 0 {
		s.before, err = settle(ctx, s.cfg, s.people, s.clients, make([]standing, len(s.people.accounts)))
		return err
	}
	if err := open(ctx, s.cfg, s.people, s.rest); err != nil {
		return err
	}
	if err := fund(ctx, s.cfg, s.people, s.clients); err != nil {
		return err
	}
	return s.checkFunds(ctx)
}

func (s *Session) askPartitions(ctx context.Context) error {
	if s.cfg.Partitions > 0 {
		return nil
	}
	v, err := s.admin.Version(ctx)
	if err != nil {
		return fmt.Errorf("ask for the number of partitions: %w", err)
	}
	if v.Partitions < 1 {
		return errors.New("the wallet's /version does not tell its number of partitions: give it")
	}
	s.cfg.Partitions = v.Partitions
	return s.cfg.Validate()
}

// checkFunds waits until every account has its money: version 1 is its opening, version 2 the credit.
func (s *Session) checkFunds(ctx context.Context) (err error) {
	want := slices.Repeat([]standing{{s.cfg.Prefund, 2}}, len(s.people.accounts))
	if s.before, err = settle(ctx, s.cfg, s.people, s.clients, want); err != nil {
		return err
	}
	for i, seen := range s.before {
		if seen != want[i] {
			return fmt.Errorf("account %s has %d at version %d after its funding, want %d at version 2",
				s.people.name(uint32(i)), seen.money, seen.version, s.cfg.Prefund)
		}
	}
	return nil
}

// Measure puts a load on the wallet, waits until all that it began has ended, the projection included, and reports. Whether money
// was conserved, Audit tells.
func (s *Session) Measure(ctx context.Context, l Load) (Report, error) {
	return s.measure(ctx, l, "measure")
}

func (s *Session) measure(ctx context.Context, l Load, stage string) (Report, error) {
	l.withDefaults()
	bad := s.cfg.problems(l)
	bad.add(l.Connections > s.cfg.Connections || l.InFlight > s.cfg.InFlight, "load: %d connections × %d in flight, the session has %d × %d",
		l.Connections, l.InFlight, s.cfg.Connections, s.cfg.InFlight)
	bad.add(l.Workload == SmallBank && s.cfg.Workload != SmallBank, "load: SmallBank needs a session that was opened for it")
	if err := errors.Join(bad...); err != nil {
		return Report{}, fmt.Errorf("bench load: %w", err)
	}
	script, err := s.script(l)
	if err != nil {
		return Report{}, err
	}
	if err := s.quiet(ctx); err != nil {
		return Report{}, err
	}
	s.rounds++
	load := &load{Load: l, cfg: s.cfg, round: s.rounds, script: script, ledger: s.ledger, backlog: newHistogram()}
	for i := range l.Connections {
		load.lanes = append(load.lanes, newLane(load, s.clients[i], i))
	}
	meter := s.startMeter(ctx, &l)
	if err := load.run(ctx, stage); err != nil {
		return Report{}, err
	}
	if err := s.quiet(ctx); err != nil {
		return Report{}, err
	}
	cost := meter.stop(ctx)
	s.keepTrouble(load)
	return s.report(load, cost), nil
}

// script is drawn once for loads that draw alike.
func (s *Session) script(l Load) (*script, error) {
	key := Load{Workload: l.Workload, Distribution: l.Distribution, Cross: l.Cross, Seed: l.Seed}
	if drawn := s.scripts[key]; drawn != nil {
		return drawn, nil
	}
	drawn, err := newScript(s.people, &key, s.cfg.script)
	s.scripts[key] = drawn
	return drawn, err
}

// keepTrouble keeps what makes the session void.
func (s *Session) keepTrouble(l *load) {
	for i, n := range l.lanes {
		if n.unknown > 0 {
			s.trouble = append(s.trouble, fmt.Sprintf("connection %d: %d operations of unknown outcome: %v", i, n.unknown, n.first))
		}
		if n.errors > 0 {
			s.trouble = append(s.trouble, fmt.Sprintf("connection %d: %d replies that are neither acknowledgement nor refusal: %v", i, n.errors, n.first))
		}
		for _, times := range n.total {
			s.acked += times
		}
	}
}

// shared reports whether this process is the server, too.
func (s *Session) shared() bool { return slices.Contains(s.cfg.Processes.Walletd, os.Getpid()) }

// take puts an audit's result into a report.
func (r *Report) take(a Audit) {
	r.Conserved, r.Replayed = a.Conserved, a.Replayed
	r.Reason = strings.Join(a.Reasons, "; ")
	r.Void = len(a.Reasons) > 0
}
