package walletd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"walletd/journal"
	"walletd/projector/webhooks"
)

// Config is a cluster's walletd.yaml. Every process of a cluster may read the same file.
type Config struct {
	Cluster    string              `koanf:"cluster"`
	Partitions int                 `koanf:"partitions"`
	Assets     []journal.AssetInfo `koanf:"assets"`
	Shards     []ShardConfig       `koanf:"shards"`
	Spares     []string            `koanf:"spares"` // Redis servers that any shard may take when its own have failed
	ZooKeeper  []string            `koanf:"zookeeper"`
	Kafka      []string            `koanf:"kafka"`
	Topic      string              `koanf:"topic"`
	Replicas   int                 `koanf:"replicas"` // of the topic, used by cluster init
	Keeps      []string            `koanf:"keeps"`    // shards that this process stands for; empty: all

	ID           string   `koanf:"id"`
	HTTP         string   `koanf:"http"`
	Admin        string   `koanf:"admin"`
	ProjectorURL string   `koanf:"projector_url"` // of a process with the projector role; gateways without one of their own need it
	ReadsHTTP    string   `koanf:"reads_http"`    // projector role: where gateways reach it
	Data         string   `koanf:"data"`
	Token        string   `koanf:"token"`
	Origins      []string `koanf:"origins"`
	Dev          bool     `koanf:"dev"` // accept one broker, no ACL, no token beyond loopback

	KeyWindow time.Duration `koanf:"key_window"` // how long shards remember keys; all keepers of a wallet have the same
	// ReconcileEvery is how long the projector takes to compare every live account with the journal's fold once; 0: it does not.
	ReconcileEvery time.Duration       `koanf:"reconcile_every"`
	Snapshots      SnapshotsConfig     `koanf:"snapshots"`
	Events         EventsConfig        `koanf:"events"`   // projector role
	Webhooks       []webhooks.Endpoint `koanf:"webhooks"` // projector role

	ZooKeeperAuth string `koanf:"zookeeper_auth"` // user:password of the digest ACL
}

// ShardConfig names a shard's Redis.
type ShardConfig struct {
	ID   string `koanf:"id" json:"id"`
	Addr string `koanf:"addr" json:"addr"`
	// Replicas are other Redis servers of the shard: each replicates, and can take over.
	Replicas []string `koanf:"replicas" json:"replicas,omitempty"`
}

// Bounds of the key window. A shard keeps keys in slices of a 24th of it, of a second at least.
const (
	keyWindowDefault = 72 * time.Hour
	keyWindowMin     = time.Second

	reconcileEveryDefault = time.Hour
)

// configDefaults are the values of keys that nobody sets.
var configDefaults = map[string]any{
	"cluster": "main", "partitions": 8, "topic": "wallet.journal", "replicas": 3,
	"http": "127.0.0.1:8080", "admin": "127.0.0.1:8081", "reads_http": "127.0.0.1:8082", "dev": false,
	"key_window": keyWindowDefault.String(), "reconcile_every": reconcileEveryDefault.String(),
	"events.publish": false, "events.topic": eventsTopicName,
	"snapshots.at": "00:00", "snapshots.every_events": 0, "snapshots.keep": 3, "snapshots.keep_days": 7,
}

// configKeys are all keys that may be set, as they stand in YAML, a dot before what is nested; WALLETD_<KEY> in the environment
// (with _ for the dot), --<key> as a flag.
var configKeys = []string{"cluster", "partitions", "assets", "shards", "spares", "zookeeper", "kafka", "topic", "replicas", "keeps", "id", "http", "admin",
	"projector_url", "reads_http", "data", "token", "origins", "dev", "zookeeper_auth", "key_window", "reconcile_every",
	"events.publish", "events.topic", "webhooks",
	"snapshots.dir", "snapshots.at", "snapshots.every_events", "snapshots.keep", "snapshots.keep_days",
	"snapshots.s3.endpoint", "snapshots.s3.bucket", "snapshots.s3.prefix", "snapshots.s3.region", "snapshots.s3.access_key", "snapshots.s3.secret_key"}

// secretKeys are not shown by `config show`.
var secretKeys = []string{"token", "zookeeper_auth", "snapshots.s3.secret_key"}

// Origins of a value, for `config show --origin`.
type origins map[string]string

// loadConfig reads flag > env > YAML > default. Unknown keys are errors, all of them at once.
func loadConfig(path string, flags *pflag.FlagSet) (Config, origins, error) {
	k, from := koanf.New("."), origins{}
	for key, v := range configDefaults {
		if err := k.Set(key, v); err != nil {
			return Config{}, nil, fmt.Errorf("config: default of %s: %w", key, err)
		}
		from[key] = "default"
	}
	layers := []struct {
		name string
		load func(*koanf.Koanf) error
	}{
		{"file " + path, func(l *koanf.Koanf) error {
			if path == "" {
				return nil
			}
			return l.Load(file.Provider(path), yaml.Parser())
		}},
		{"environment", func(l *koanf.Koanf) error { return l.Load(envProvider(), nil) }},
		{"flag", func(l *koanf.Koanf) error {
			if flags == nil {
				return nil
			}
			return l.Load(posflag.ProviderWithFlag(flags, ".", nil, changedFlag(flags)), nil)
		}},
	}
	var errs []error
	for _, layer := range layers {
		l := koanf.New(".")
		if err := layer.load(l); err != nil {
			return Config{}, nil, fmt.Errorf("config: %s: %w", layer.name, err)
		}
		for key, v := range l.All() {
			if !slices.Contains(configKeys, key) {
				errs = append(errs, fmt.Errorf("config: %s: unknown key %q (known: %s)", layer.name, key, strings.Join(configKeys, ", ")))
				continue
			}
			from[key] = layer.name
			if err := k.Set(key, v); err != nil {
				errs = append(errs, fmt.Errorf("config: %s: %s: %w", layer.name, key, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, nil, err
	}
	var c Config
	if err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{Tag: "koanf"}); err != nil {
		return Config{}, nil, fmt.Errorf("config: %w", err)
	}
	c.complete()
	return c, from, nil
}

// envProvider reads WALLETD_<KEY>; lists are separated by commas.
func envProvider() *env.Env {
	return env.Provider(".", env.Opt{Prefix: "WALLETD_", TransformFunc: func(k, v string) (string, any) {
		key := strings.ToLower(strings.TrimPrefix(k, "WALLETD_"))
		switch {
		case slices.Contains([]string{"server", "log", "kafka_libs"}, key): // of the commands and the test servers, not of a cluster
			return "", nil
		case isList(key):
			return key, strings.Split(v, ",")
		}
		for _, nested := range configKeys {
			if strings.ReplaceAll(nested, ".", "_") == key {
				return nested, v
			}
		}
		return key, v
	}})
}

func isList(key string) bool {
	return slices.Contains([]string{"spares", "zookeeper", "kafka", "keeps", "origins"}, key)
}

// changedFlag passes on the flags that were given and are keys: --reads-http sets reads_http.
func changedFlag(flags *pflag.FlagSet) func(*pflag.Flag) (string, any) {
	return func(f *pflag.Flag) (string, any) {
		key := strings.ReplaceAll(f.Name, "-", "_")
		if !f.Changed || !slices.Contains(configKeys, key) {
			return "", nil
		}
		return key, posflag.FlagVal(flags, f)
	}
}

func (c *Config) complete() {
	if len(c.Assets) == 0 {
		c.Assets = slices.Clone(journal.DevAssets)
	}
	if c.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "walletd"
		}
		c.ID = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if c.Data == "" {
		c.Data = filepath.Join(dataHome(), c.Cluster)
	}
	if c.Snapshots.Dir == "" {
		c.Snapshots.Dir = filepath.Join(c.Data, "snapshots")
	}
	if len(c.Keeps) == 0 {
		for _, s := range c.Shards {
			c.Keeps = append(c.Keeps, s.ID)
		}
	}
}

// dataHome is where walletd keeps data unless told otherwise: $XDG_DATA_HOME/walletd.
func dataHome() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "walletd")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "walletd-data"
	}
	return filepath.Join(home, ".local", "share", "walletd")
}

// validate reports everything that is missing for these roles, at once.
func (c *Config) validate(r roles) error {
	var errs []error
	miss := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("config: "+format, args...))
		}
	}
	miss(c.Partitions < 1 || c.Partitions > 1024, "partitions is %d; 1 to 1024 are possible", c.Partitions)
	miss(c.KeyWindow < keyWindowMin, "key_window is %v; %v at least (key_window: 72h)", c.KeyWindow, keyWindowMin)
	miss(c.ReconcileEvery < 0, "reconcile_every is %v; 0 is never (reconcile_every: 1h)", c.ReconcileEvery)
	miss(len(c.ZooKeeper) == 0, "zookeeper names no server (zookeeper: [host:2181, …])")
	miss((r.keeper || r.projector || r.init) && len(c.Kafka) == 0, "kafka names no broker (kafka: [host:9092, …])")
	miss((r.keeper || r.init) && len(c.Shards) == 0, "shards is empty (shards: [{id: s1, addr: host:6379}, …])")
	if r.keeper || r.projector {
		errs = append(errs, c.Snapshots.problems()...)
	}
	if r.projector {
		errs = append(errs, append(c.webhookProblems(), c.eventsProblems())...)
	}
	for i, s := range c.Shards {
		miss(s.ID == "" || s.Addr == "", "shards[%d] needs id and addr", i)
	}
	for addr, n := range c.redisAddrs() {
		miss(n > 1, "%s is named %d times among the shards' addr and replicas and the spares; a Redis has one place", addr, n)
	}
	for _, id := range c.Keeps {
		miss(!slices.ContainsFunc(c.Shards, func(s ShardConfig) bool { return s.ID == id }), "keeps names %q, which is no shard", id)
	}
	for i, a := range c.Assets {
		miss(a.Code == "" || a.Exponent < 0 || a.Exponent > 18, "assets[%d] needs a code and an exponent of 0 to 18", i)
	}
	miss(r.gateway && !r.projector && c.ProjectorURL == "", "projector_url is empty: a gateway without a projector of its own asks one (projector_url: http://host:8082)")
	if !c.Dev && c.Token == "" && !r.init {
		miss(r.gateway && !loopback(c.HTTP), "token is empty and http (%s) is not loopback: everyone could move money; set token, or dev: true", c.HTTP)
		miss(!loopback(c.Admin), "token is empty and admin (%s) is not loopback: everyone could see the books; set token, or dev: true", c.Admin)
		miss(r.projector && !r.gateway && !loopback(c.ReadsHTTP), "token is empty and reads_http (%s) is not loopback: everyone could read statements; set token, or dev: true", c.ReadsHTTP)
	}
	return errors.Join(errs...)
}

// redisAddrs counts how often each Redis is named.
func (c *Config) redisAddrs() map[string]int {
	named := map[string]int{}
	for _, s := range c.Shards {
		for _, addr := range s.addrs() {
			named[addr]++
		}
	}
	for _, addr := range c.Spares {
		named[addr]++
	}
	return named
}

// addrs are all that may be the shard's primary.
func (s *ShardConfig) addrs() []string { return append([]string{s.Addr}, s.Replicas...) }

// candidates are every shard's.
func (c *Config) candidates() map[string][]string {
	all := map[string][]string{}
	for _, s := range c.Shards {
		all[s.ID] = s.addrs()
	}
	return all
}

func loopback(addr string) bool {
	return strings.HasPrefix(addr, "127.") || strings.HasPrefix(addr, "localhost:") || strings.HasPrefix(addr, "[::1]:")
}

// roles says which parts a process has.
type roles struct{ gateway, keeper, projector, init bool }
