package walletd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// values are the configuration by key, secrets covered.
func (c *Config) values() map[string]any {
	v := map[string]any{"cluster": c.Cluster, "partitions": c.Partitions, "assets": c.Assets, "shards": c.Shards, "spares": c.Spares, "zookeeper": c.ZooKeeper,
		"kafka": c.Kafka, "topic": c.Topic, "replicas": c.Replicas, "keeps": c.Keeps, "id": c.ID, "http": c.HTTP, "admin": c.Admin,
		"projector_url": c.ProjectorURL, "reads_http": c.ReadsHTTP, "data": c.Data, "token": c.Token, "origins": c.Origins, "dev": c.Dev,
		"zookeeper_auth": c.ZooKeeperAuth, "key_window": c.KeyWindow.String(), "reconcile_every": c.ReconcileEvery.String()}
	v["events.publish"], v["events.topic"] = c.Events.Publish, c.Events.Topic
	hooks := []string{}
	for _, e := range c.Webhooks { // without their secrets
		hooks = append(hooks, e.Name+" "+e.URL)
	}
	v["webhooks"] = hooks
	s := &c.Snapshots
	for key, value := range map[string]any{"dir": s.Dir, "at": s.At, "every_events": s.EveryEvents, "keep": s.Keep, "keep_days": s.KeepDays, "s3.endpoint": s.S3.Endpoint,
		"s3.bucket": s.S3.Bucket, "s3.prefix": s.S3.Prefix, "s3.region": s.S3.Region, "s3.access_key": s.S3.AccessKey, "s3.secret_key": s.S3.SecretKey} {
		v["snapshots."+key] = value
	}
	for _, key := range secretKeys {
		if v[key] != "" {
			v[key] = "(set)"
		}
	}
	return v
}

func (a *app) configCmd() *cobra.Command {
	var path string
	var origin bool
	show := &cobra.Command{
		Use: "show", Short: "show the configuration as it is understood: flag > environment > file > default", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, from, err := loadConfig(path, nil)
			if err != nil {
				return exit(exitUsage, "%w", err)
			}
			values := c.values()
			if a.output == "json" {
				return json.NewEncoder(a.out).Encode(values)
			}
			w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
			for _, key := range slices.Sorted(slices.Values(configKeys)) {
				line := fmt.Sprintf("%s\t%v", key, values[key])
				if origin {
					line += "\t" + cmp.Or(from[key], "derived")
				}
				fmt.Fprintln(w, line)
			}
			return w.Flush()
		},
	}
	show.Flags().StringVarP(&path, "config", "c", "", "walletd.yaml")
	show.Flags().BoolVar(&origin, "origin", false, "say where each value comes from")
	cmd := &cobra.Command{Use: "config", Short: "look at the configuration"}
	cmd.AddCommand(show)
	return cmd
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "say which build this is", Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			version, revision := "(devel)", "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = s.Value
					}
				}
			}
			if a.output == "json" {
				return json.NewEncoder(a.out).Encode(map[string]string{"version": version, "revision": revision, "go": runtime.Version()})
			}
			fmt.Fprintf(a.out, "walletd %s (%s, %s)\n", version, revision, runtime.Version())
			return nil
		},
	}
}
