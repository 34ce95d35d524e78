package walletd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func yamlFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "walletd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const goodYAML = `
cluster: prod
partitions: 16
zookeeper: [zk1:2181, zk2:2181]
kafka: [k1:9092]
http: 127.0.0.1:1
shards:
  - {id: s1, addr: "r1:6379", replicas: ["r2:6379"]}
spares: ["r3:6379", "r4:6379"]
`

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	t.Setenv("WALLETD_ADMIN", "127.0.0.1:2")
	t.Setenv("WALLETD_KAFKA", "a:1,b:2")
	t.Setenv("WALLETD_LOG", "debug") // the command's own, no key of a cluster
	flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
	flags.String("http", "", "")
	flags.String("reads-http", "", "")
	if err := flags.Parse([]string{"--http", "127.0.0.1:3"}); err != nil {
		t.Fatal(err)
	}
	c, from, err := loadConfig(yamlFile(t, goodYAML), flags)
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP != "127.0.0.1:3" || from["http"] != "flag" {
		t.Errorf("http is %s from %s", c.HTTP, from["http"])
	}
	if c.Admin != "127.0.0.1:2" || len(c.Kafka) != 2 || from["kafka"] != "environment" {
		t.Errorf("admin is %s, kafka %v from %s", c.Admin, c.Kafka, from["kafka"])
	}
	if c.Partitions != 16 || len(c.ZooKeeper) != 2 || c.Shards[0].Addr != "r1:6379" || len(c.Shards[0].Replicas) != 1 || len(c.Spares) != 2 || !strings.HasPrefix(from["partitions"], "file ") {
		t.Errorf("%+v from %s", c, from["partitions"])
	}
	if c.ReadsHTTP != "127.0.0.1:8082" || from["reads_http"] != "default" || len(c.Keeps) != 1 {
		t.Errorf("reads_http is %s from %s, keeps %v", c.ReadsHTTP, from["reads_http"], c.Keeps)
	}
}

func TestUnknownKeysAreErrors(t *testing.T) {
	t.Setenv("WALLETD_HTPP", "x")
	_, _, err := loadConfig(yamlFile(t, goodYAML+"partitons: 4\n"), nil)
	if err == nil || !strings.Contains(err.Error(), `"partitons"`) || !strings.Contains(err.Error(), `"htpp"`) {
		t.Errorf("misspelt keys were taken: %v", err)
	}
	if _, _, err := loadConfig(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestValidateTellsEverythingAtOnce(t *testing.T) {
	c, _, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.HTTP, c.Keeps = "0.0.0.0:80", []string{"s9"}
	err = c.validate(allRoles)
	for _, want := range []string{"zookeeper names no server", "kafka names no broker", "shards is empty", `"s9"`, "token is empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if err := c.validate(roles{gateway: true}); err == nil || !strings.Contains(err.Error(), "projector_url") {
		t.Errorf("a gateway without a projector: %v", err)
	}
}

// run is one command; what it says and its exit code.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestMisuseIsOneLineWithTheFix(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"an unknown command", []string{"frobnicate"}, exitUsage, "unknown command"},
		{"an unknown flag", []string{"balance", "alice", "--bogus"}, exitUsage, "--help"},
		{"too few arguments", []string{"transfer", "a", "b"}, exitUsage, "transfer FROM TO AMOUNT ASSET"},
		{"an unknown output", []string{"version", "-o", "xml"}, exitUsage, "table, json or csv"},
		{"no wallet there", []string{"balance", "alice", "--server", "http://127.0.0.1:1"}, exitRetry, "walletd dev"},
		{"no journal named", []string{"journal", "verify"}, exitUsage, "--data DIR"},
		{"a directory without a wallet", []string{"journal", "verify", "--data", t.TempDir()}, exitUsage, "no data directory"},
		{"too many partitions", []string{"dev", "--partitions", "5000"}, exitUsage, "1 to 1024"},
		{"open to the world without a token", []string{"dev", "--http", "0.0.0.0:0"}, exitUsage, "WALLETD_TOKEN"},
		{"both id and key", []string{"cancel", "rs_x", "--from", "alice"}, exitUsage, "--from and --key"},
		{"no yaml", []string{"cluster", "init"}, exitUsage, "zookeeper names no server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := run(t, c.args...)
			if code != c.code || !strings.Contains(errs, c.says) || out != "" {
				t.Errorf("exit %d, said %q, printed %q; want exit %d and %q", code, errs, out, c.code, c.says)
			}
		})
	}
}

func TestConfigShowNamesOrigins(t *testing.T) {
	t.Setenv("WALLETD_TOKEN", "hush-hush")
	code, out, errs := run(t, "config", "show", "-c", yamlFile(t, goodYAML), "--origin")
	if code != 0 || !strings.Contains(out, "environment") || !strings.Contains(out, "default") || strings.Contains(out, "hush-hush") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestSnapshotKeys(t *testing.T) {
	t.Setenv("WALLETD_SNAPSHOTS_S3_SECRET_KEY", "hush-hush")
	t.Setenv("WALLETD_SNAPSHOTS_KEEP", "5")
	yaml := goodYAML + `
data: /data
snapshots:
  at: "03:30"
  every_events: 1000000
  s3: {endpoint: "https://s3.example.com", bucket: b, access_key: a}
`
	c, from, err := loadConfig(yamlFile(t, yaml), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Snapshots
	if s.At != "03:30" || s.EveryEvents != 1_000_000 || s.Keep != 5 || s.KeepDays != 7 || s.S3.Bucket != "b" || s.S3.SecretKey != "hush-hush" || s.Dir != "/data/snapshots" || len(s.problems()) != 0 {
		t.Errorf("%+v: %v", s, s.problems())
	}
	if from["snapshots.keep"] != "environment" || !strings.HasPrefix(from["snapshots.at"], "file ") || from["snapshots.keep_days"] != "default" {
		t.Errorf("%v", from)
	}
	if _, out, _ := run(t, "config", "show", "-c", yamlFile(t, yaml)); strings.Contains(out, "hush") || !strings.Contains(out, "https://s3.example.com") {
		t.Error(out)
	}
	if _, _, err := loadConfig(yamlFile(t, goodYAML+"snapshots: {dri: x}\n"), nil); err == nil || !strings.Contains(err.Error(), `"snapshots.dri"`) {
		t.Error(err)
	}
	for _, wrong := range []string{"at: noon", "keep: 0", "keep_days: -1", "s3: {bucket: b}", "s3: {endpoint: x, bucket: b}"} {
		c, _, err := loadConfig(yamlFile(t, goodYAML+"snapshots: {"+wrong+"}\n"), nil)
		must(t, err)
		if err := c.validate(roles{projector: true}); err == nil || !strings.Contains(err.Error(), "snapshots") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
