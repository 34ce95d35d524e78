package systemtest

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"walletd/gateway/client"
	"walletd/journal/filelog"
)

// A mistake at start-up: walletd says in one line what is wrong and what to do about it, ends, and leaves nothing running.
type mistake struct {
	name  string
	env   []string
	flags []string
	words []string // all of them stand in the line
}

// says fails the test unless a start with the mistake ends at once, with an exit code, and with one line for a person.
func (m mistake) says(t *testing.T, d *dev) {
	t.Helper()
	r := run(t, m.env, append(slices.Clone(d.args), m.flags...)...)
	text := strings.TrimSpace(r.stderr)
	if r.code == 0 || r.code < 0 {
		t.Errorf("%s: %v", m.name, r)
	}
	if lines := strings.Count(text, "\n") + 1; text == "" || lines > 1 || strings.Contains(text, "goroutine ") {
		t.Errorf("%s: %d lines on stderr, want one: %v", m.name, lines, r)
	}
	for _, word := range m.words {
		if !strings.Contains(text, word) {
			t.Errorf("%s: nothing about %q in: %s", m.name, word, text)
		}
	}
	t.Logf("%s: exit %d: %s", m.name, r.code, text)
	noneLeft(t, d.data)
}

func TestMistakesAtStart(t *testing.T) {
	d := startDev(t, 8)
	t.Run("the data directory is in use", func(t *testing.T) {
		other := &dev{wallet: d.wallet, data: d.data, args: []string{"dev", "--data", d.data, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"}}
		r := run(t, nil, other.args...)
		if r.code <= 0 || !strings.Contains(r.stderr, d.data) || !strings.Contains(r.stderr, "--data") || strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 {
			t.Errorf("a second walletd on the same directory: %v", r)
		}
		if err := answers(d.admin, "/livez"); err != nil {
			t.Errorf("the first one suffers: %v", err)
		}
		t.Logf("exit %d: %s", r.code, strings.TrimSpace(r.stderr))
	})
	d.stop()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	nowhere := t.TempDir()
	noDir := filepath.Join(nowhere, "file")
	if err := os.WriteFile(noDir, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range []mistake{
		{name: "port in use", flags: []string{"--http", taken.Addr().String()}, words: []string{taken.Addr().String(), "--http"}},
		{name: "admin port in use", flags: []string{"--admin", taken.Addr().String()}, words: []string{taken.Addr().String(), "--admin"}},
		{name: "no redis-server", env: []string{"PATH=" + nowhere}, words: []string{"redis-server", "install"}},
		{name: "other partitions", flags: []string{"--partitions", "16"}, words: []string{"partitions", "8", "16", "--data"}},
		{name: "other shards", flags: []string{"--shards", "3"}, words: []string{"shards", "2", "3"}},
		{name: "unknown flag", flags: []string{"--partition", "8"}, words: []string{"--partition", "--help"}},
		{name: "too many partitions", flags: []string{"--partitions", "5000"}, words: []string{"--partitions", "1024"}},
		{name: "a directory that is a file", flags: []string{"--data", noDir}, words: []string{noDir, "--data"}},
		{name: "unknown journal", flags: []string{"--journal", "tape"}, words: []string{"--journal", "file", "kafka"}},
	} {
		t.Run(m.name, func(t *testing.T) { m.says(t, d) })
	}
	d.start() // none of it has done harm
	d.check(new(ledger))
}

// P12: a journal that is damaged is refused, with the place; never skipped, never repaired, never half believed. Put back
// as it was, it serves again.
func TestDamagedJournalIsRefused(t *testing.T) {
	d := startDev(t, 8)
	d.fill(t)
	d.check(new(ledger))
	d.stop()
	segments, err := filepath.Glob(filepath.Join(d.data, "journal", "*.seg"))
	if err != nil || len(segments) < 3 {
		t.Fatalf("%d segments, want three, %v", len(segments), err)
	}
	slices.Sort(segments)
	first, middle, last := segments[0], segments[1], segments[len(segments)-1]
	for _, damage := range []struct {
		name string
		file string
		do   func(path string) error
		word string // in the complaint; the file's name, if nothing else
	}{
		{"a byte flipped in the first segment", first, func(p string) error { return flip(p, 3) }, ""},
		{"a byte flipped in the last segment", last, func(p string) error { return flip(p, 2) }, ""},
		{"the head of a segment overwritten", middle, func(p string) error { return overwrite(p, 0, []byte("garbage!")) }, ""},
		{"the last segment cut short", last, func(p string) error { return cut(p, 2) }, ""},
		{"the last bytes lost", last, func(p string) error { return cutBytes(p, 1) }, ""},
		{"a segment in the middle lost", middle, os.Remove, ""},
		{"the last segment lost", last, os.Remove, "the end mark stands at segment " + fmt.Sprint(len(segments))},
		{"the first segment lost", first, os.Remove, ""},
		{"a segment emptied", middle, func(p string) error { return os.Truncate(p, 0) }, ""},
	} {
		t.Run(damage.name, func(t *testing.T) {
			whole := d.copied(t)
			if err := damage.do(damage.file); err != nil {
				t.Fatal(err)
			}
			word := cmp.Or(damage.word, filepath.Base(damage.file))
			mistake{name: damage.name, words: []string{word, "damaged", "backup"}}.says(t, d)
			r := run(t, nil, "journal", "verify", "--data", d.data)
			if r.code == 0 || !strings.Contains(r.stdout+r.stderr, word) {
				t.Errorf("walletd journal verify: %v", r)
			}
			d.putBack(t, whole)
		})
	}
	d.start()
	d.check(new(ledger))
}

// After SIGKILL a torn tail is cut: what lies behind the last acknowledged frame was promised to nobody.
func TestTornTailIsCut(t *testing.T) {
	d := startDev(t, 8)
	d.fund("USD", 1_000, "payer", "payee")
	d.kill()
	path, end := d.usedBytes(t)
	// The beginning of a record that was under way when the power went.
	if err := overwrite(path, end, []byte{0xf7, 0xa3, 0x1d, 0x0e, 1, 2, 3, 4, 0, 0, 4, 0}); err != nil {
		t.Fatal(err)
	}
	d.start()
	if b := d.balance("payer"); b.Available != 1_000 {
		t.Errorf("payer has %+v", b)
	}
	d.check(new(ledger))
}

// fill makes a journal of at least three segments, the first of which has 4 MiB.
func (d *dev) fill(t *testing.T) {
	t.Helper()
	taken := map[string]bool{}
	var accounts []string
	for p := range d.partitions {
		accounts = append(accounts, d.inPartition("f", p, taken))
	}
	d.fund("USD", 1_000_000, accounts...)
	c := d.dial()
	filler := strings.Repeat("reference ", 25)
	for n := 0; ; n++ {
		batch := make([]client.Transfer, 1000)
		for i := range batch {
			batch[i] = client.Transfer{Key: fmt.Sprintf("fill/%d/%d", n, i), From: accounts[i%len(accounts)], To: accounts[(i+1+n)%len(accounts)], Amount: 1, Asset: "USD", Reference: filler}
			if batch[i].From == batch[i].To {
				batch[i].To = accounts[(i+2+n)%len(accounts)]
			}
		}
		outcomes, err := c.Batch(within(t, answerLimit), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range outcomes {
			if outcomes[i].Err != nil {
				t.Fatalf("transfer %d of batch %d: %v", i, n, outcomes[i].Err)
			}
		}
		segments, _ := filepath.Glob(filepath.Join(d.data, "journal", "*.seg"))
		if len(segments) >= 3 {
			return
		}
		if n > 200 {
			t.Fatalf("%d transfers made %d segments", n*1000, len(segments))
		}
	}
}

// copied keeps the journal as it is.
func (d *dev) copied(t *testing.T) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "journal")
	if out, err := exec.Command("cp", "-a", filepath.Join(d.data, "journal"), copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return copied
}

// putBack restores it.
func (d *dev) putBack(t *testing.T, copied string) {
	t.Helper()
	here := filepath.Join(d.data, "journal")
	if err := os.RemoveAll(here); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(here, os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
}

// usedBytes is where a segment's last record ends.
func (d *dev) usedBytes(t *testing.T) (path string, end int64) {
	t.Helper()
	log, err := filelog.OpenReadOnly(filepath.Join(d.data, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	tail := log.Tail()
	return tail.File, tail.Offset
}

// flip changes one bit in the middle of what a segment holds (1/n of it).
func flip(path string, n int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at := len(b) / n
	return overwrite(path, int64(at), []byte{b[at] ^ 0x10})
}

func overwrite(path string, at int64, b []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}

func cut(path string, n int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()/n)
}

func cutBytes(path string, n int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()-n)
}
