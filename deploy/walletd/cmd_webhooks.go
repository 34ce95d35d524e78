package walletd

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"walletd/projector/webhooks"
)

// webhooksDir is where places and dead letters are.
func (c *Config) webhooksDir() string { return filepath.Join(c.Data, "webhooks") }

// createWebhooks makes what tells the receivers.
func (n *node) createWebhooks() (err error) {
	if len(n.cfg.webhooks) == 0 {
		return nil
	}
	n.webhooks, err = webhooks.New(webhooks.Config{Source: n.happened, Endpoints: n.cfg.webhooks, Dir: n.cfg.webhooksDir, Logger: n.logger})
	if err != nil {
		return exit(exitFailed, "%w", err)
	}
	n.registry.MustRegister(n.webhooks)
	return nil
}

// webhookProblems are what is wrong with the configuration of webhooks.
func (c *Config) webhookProblems() (errs []error) {
	seen := map[string]bool{}
	for i := range c.Webhooks {
		e := &c.Webhooks[i]
		if err := e.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("config: webhooks[%d]: %w", i, err))
		}
		if seen[e.Name] {
			errs = append(errs, fmt.Errorf("config: webhooks[%d]: the name %q is there twice", i, e.Name))
		}
		seen[e.Name] = true
	}
	return errs
}

func (a *app) webhooksCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "webhooks", Short: "the receivers of public events over HTTP (docs/webhooks.md); run it where the projector runs"}
	var path string
	one := func(use, short string, run func(ctx context.Context, c *Config, e *webhooks.Endpoint) error) *cobra.Command {
		return &cobra.Command{Use: use + " NAME -c walletd.yaml", Short: short, Args: args(1, 1), RunE: func(cmd *cobra.Command, given []string) error {
			c, err := webhookConfig(path)
			if err != nil {
				return err
			}
			names := []string{}
			for i := range c.Webhooks {
				if c.Webhooks[i].Name == given[0] {
					return run(cmd.Context(), c, &c.Webhooks[i])
				}
				names = append(names, c.Webhooks[i].Name)
			}
			return exit(exitUsage, "webhooks of %s has no %q (there are: %s)", path, given[0], strings.Join(names, ", "))
		}}
	}
	ls := &cobra.Command{Use: "ls -c walletd.yaml", Short: "list the receivers, and how they stand", Args: args(0, 0), RunE: func(*cobra.Command, []string) error {
		c, err := webhookConfig(path)
		if err != nil {
			return err
		}
		return a.listWebhooks(c)
	}}
	cmd.AddCommand(ls,
		one("dead", "list the events that were given up", a.deadWebhooks),
		one("retry", "send the events that were given up again, once each", a.retryWebhooks),
		one("test", "send a message of the type webhook.test", func(ctx context.Context, _ *Config, e *webhooks.Endpoint) error {
			if err := webhooks.Test(ctx, e); err != nil {
				return exit(exitFailed, "webhook %s: %w", e.Name, err)
			}
			fmt.Fprintf(a.out, "%s took it\n", e.URL)
			return nil
		}))
	cmd.PersistentFlags().StringVarP(&path, "config", "c", "", "walletd.yaml of a cluster")
	return cmd
}

func webhookConfig(path string) (*Config, error) {
	if path == "" {
		return nil, exit(exitUsage, "name the configuration: -c walletd.yaml")
	}
	c, _, err := loadConfig(path, nil)
	if err != nil {
		return nil, exit(exitUsage, "%w", err)
	}
	for _, err := range c.webhookProblems() {
		return nil, exit(exitUsage, "%w", err)
	}
	return &c, nil
}

func (a *app) listWebhooks(c *Config) error {
	list := []webhooks.Standing{}
	for i := range c.Webhooks {
		s, err := webhooks.Look(&c.Webhooks[i], c.webhooksDir())
		if err != nil {
			return exit(exitFailed, "%w", err)
		}
		list = append(list, s)
	}
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(map[string]any{"object": "list", "data": list})
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tURL\tSTATE\tDEAD")
	for _, s := range list {
		state := "on"
		switch {
		case s.Gone:
			state = "gone"
		case !s.Known:
			state = "not begun"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", s.Name, s.URL, state, s.Dead)
	}
	return w.Flush()
}

func (a *app) deadWebhooks(_ context.Context, c *Config, e *webhooks.Endpoint) error {
	list, err := webhooks.DeadLetters(e, c.webhooksDir())
	if err != nil {
		return exit(exitFailed, "%w", err)
	}
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(map[string]any{"object": "list", "data": list})
	}
	for _, d := range list {
		fmt.Fprintf(a.out, "%s  %s  %s\n", d.At.Format(time.RFC3339), d.ID, d.Reason)
	}
	return nil
}

func (a *app) retryWebhooks(ctx context.Context, c *Config, e *webhooks.Endpoint) error {
	sent, left, err := webhooks.Retry(ctx, e, c.webhooksDir())
	if err != nil {
		return exit(exitFailed, "webhook %s: %w; again is fine", e.Name, err)
	}
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(map[string]int{"sent": sent, "left": left})
	}
	fmt.Fprintf(a.out, "%d sent, %d left\n", sent, left)
	return nil
}
