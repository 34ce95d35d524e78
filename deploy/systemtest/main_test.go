package systemtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"walletd/deploy/local"
)

// soakSeconds is how long a scenario with faults goes on repeating them; every fault happens once in any case.
const soakSeconds = 0

// Names of the environment variables that this package reads.
const (
	soakVar = "WALLETD_SOAK_SECONDS"
	seedVar = "WALLETD_SYSTEMTEST_SEED"
)

// Of this test process; set by TestMain.
var (
	binary  string        // walletd, built once
	soak    time.Duration // soakSeconds, or as the environment says
	runSeed uint64
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "walletd-systemtest-")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(dir)
	defer local.StopShared()
	if err := readEnvironment(); err != nil {
		return failed(err)
	}
	binary = filepath.Join(dir, "walletd")
	build := exec.Command("go", "build", "-o", binary, "walletd")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return failed(fmt.Errorf("build walletd: %w", err))
	}
	return m.Run()
}

func readEnvironment() error {
	seconds, err := uintOr(soakVar, soakSeconds)
	if err != nil {
		return err
	}
	soak = time.Duration(seconds) * time.Second
	runSeed, err = uintOr(seedVar, uint64(time.Now().UnixNano()))
	return err
}

func uintOr(name string, otherwise uint64) (uint64, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s is %q, want a number", name, text)
	}
	return n, nil
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "systemtest:", err)
	return 1
}

// dice are the choices of one test, or of one worker of it; a failure tells how to repeat them.
func dice(t testing.TB, n uint64) *rand.Rand {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() && n == 0 {
			t.Logf("repeat this run's choices with %s=%d", seedVar, runSeed)
		}
	})
	return rand.New(rand.NewPCG(runSeed, n))
}
