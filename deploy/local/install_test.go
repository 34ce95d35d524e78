package local

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is one for install.sh: a PATH with the basic tools and whatever else the test
// puts there, and an empty cache.
type machine struct {
	t                 *testing.T
	bin, cache, calls string
}

func newMachine(t *testing.T) machine {
	t.Helper()
	if _, err := os.Stat("install.sh"); err != nil { // so that the test cache notices when it changes
		t.Fatal(err)
	}
	m := machine{t: t, bin: t.TempDir(), cache: t.TempDir(), calls: filepath.Join(t.TempDir(), "calls")}
	for _, tool := range []string{"bash", "sh", "sed", "id", "env", "mktemp", "tail", "rm", "mkdir", "mv", "touch"} {
		m.link(tool)
	}
	return m
}

func (m machine) link(tool string) {
	m.t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(m.bin, tool)); err != nil {
		m.t.Fatal(err)
	}
}

// has puts a command there that notes how it was called and then does what script says.
func (m machine) has(command, script string) machine {
	m.t.Helper()
	text := "#!/bin/sh\necho " + command + " \"$@\" >> " + m.calls + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(m.bin, command), []byte(text), 0o700); err != nil {
		m.t.Fatal(err)
	}
	return m
}

// install runs install.sh and returns what it said, what it called, and whether it succeeded.
func (m machine) install(args ...string) (said, called string, ok bool) {
	m.t.Helper()
	cmd := exec.Command("bash", append([]string{"install.sh"}, args...)...)
	cmd.Env = []string{"PATH=" + m.bin, "HOME=" + m.cache, "XDG_CACHE_HOME=" + m.cache}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	calls, _ := os.ReadFile(m.calls)
	return out.String(), string(calls), err == nil
}

const fakeJar = `for a in "$@"; do case $a in -DoutputDirectory=*) d=${a#*=} ;; esac; done
mkdir -p "$d" && touch "$d/kafka_2.13-` + kafkaVersion + `.jar"`

func TestInstallSaysNothingAndIsQuickWhenAllIsThere(t *testing.T) {
	began := time.Now()
	out, err := exec.Command("bash", "install.sh", "all").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	if took := time.Since(began); took > time.Second { // 5 ms on an idle machine
		t.Errorf("it took %v", took)
	}
}

func TestInstallGetsWhatIsMissing(t *testing.T) {
	m := newMachine(t).has("apt-get", "").has("sudo", `exec "$@"`)
	said, called, ok := m.install("redis")
	if !ok {
		t.Fatalf("it failed: %s", said)
	}
	update, install := strings.Index(called, " update\n"), strings.Index(called, " install --no-install-recommends redis-server\n")
	if update < 0 || install < update {
		t.Errorf("it called %q, want update, then install redis-server", called)
	}
	if !strings.Contains(said, "installing redis-server") {
		t.Errorf("it said %q", said)
	}
}

func TestInstallGetsWhatModelsAndExamplesNeed(t *testing.T) {
	m := newMachine(t).has("apt-get", "").has("sudo", `exec "$@"`).has("java", "").has("redis-server", "").has("mvn", fakeJar).has("go", fakeS3)
	m.link("chmod")
	said, called, ok := m.install("all")
	if !ok {
		t.Fatalf("it failed: %s", said)
	}
	for name, what := range map[string]string{"spin": "spin", "gcc": "gcc", "default-jdk-headless": "a JDK"} {
		if !strings.Contains(called, " install --no-install-recommends "+name+"\n") || !strings.Contains(said, "installing "+what) {
			t.Errorf("%s: it called %q and said %q", name, called, said)
		}
	}
	m.has("spin", "").has("gcc", "")
	if said, again, ok := m.install("spin", "gcc"); !ok || said != "" || again != called {
		t.Errorf("with both there: success %t; it said %q", ok, said)
	}
}

func TestInstallPutsKafkaIntoTheCacheOnce(t *testing.T) {
	m := newMachine(t).has("java", "").has("mvn", fakeJar)
	if said, called, ok := m.install("kafka"); !ok || !strings.Contains(called, "dependency:copy-dependencies") {
		t.Fatalf("it said %q and called %q", said, called)
	}
	t.Setenv("WALLETD_KAFKA_LIBS", "")
	t.Setenv("XDG_CACHE_HOME", m.cache)
	if dir, err := KafkaJars(); err != nil {
		t.Errorf("KafkaJars does not find them: %q, %v", dir, err)
	}
	if said, called, ok := m.install("kafka"); !ok || said != "" || strings.Count(called, "mvn") != 1 {
		t.Errorf("the second time it said %q and had called %q", said, called)
	}
	left, err := os.ReadDir(filepath.Join(m.cache, "walletd"))
	if err != nil || len(left) != 1 {
		t.Errorf("in the cache: %v, %v", left, err)
	}
}

const fakeS3 = `touch "$GOBIN/versitygw" && chmod +x "$GOBIN/versitygw"`

func TestInstallBuildsTheS3ServerOnce(t *testing.T) {
	m := newMachine(t).has("go", fakeS3)
	m.link("chmod")
	if said, called, ok := m.install("s3"); !ok || !strings.Contains(called, "go install github.com/versity/versitygw/cmd/versitygw@"+s3Version+"\n") {
		t.Fatalf("it said %q and called %q", said, called)
	}
	t.Setenv("XDG_CACHE_HOME", m.cache)
	if path, err := s3Binary(); err != nil {
		t.Errorf("StartS3 does not find it: %q, %v", path, err)
	}
	if said, called, ok := m.install("s3"); !ok || said != "" || strings.Count(called, "go install") != 1 {
		t.Errorf("the second time it said %q and had called %q", said, called)
	}
}

func TestInstallLeavesNothingHalfDone(t *testing.T) {
	m := newMachine(t).has("java", "").has("mvn", fakeJar+"\necho no such artifact\nexit 1")
	said, _, ok := m.install("kafka")
	if ok || !strings.Contains(said, "no such artifact") {
		t.Errorf("success %t; it said %q", ok, said)
	}
	if left, err := os.ReadDir(filepath.Join(m.cache, "walletd")); err != nil || len(left) != 0 {
		t.Errorf("in the cache: %v, %v", left, err)
	}
}

func TestInstallWithoutAptSaysWhatToInstall(t *testing.T) {
	said, _, ok := newMachine(t).install("redis")
	want := "install: redis-server is missing and there is no apt-get here: install redis-server by hand (Debian calls the package redis-server)\n"
	if ok || said != want {
		t.Errorf("success %t; it said %q, want %q", ok, said, want)
	}
}

func TestInstallRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{}, {"cassandra"}} {
		if said, _, ok := newMachine(t).install(args...); ok || strings.Count(said, "\n") != 1 {
			t.Errorf("%q: success %t; it said %q", args, ok, said)
		}
	}
}
