package walletd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"walletd/gateway/client"
	"walletd/journal/filelog"
)

// failing is the machine's disk, whose segments fail as they are told.
type failing struct {
	filelog.FS
	sync  atomic.Bool // fdatasync of a segment fails
	write atomic.Bool // so does a write
}

func (f *failing) OpenFile(name string, flag int) (filelog.File, error) {
	file, err := f.FS.OpenFile(name, flag)
	if err != nil || !strings.HasSuffix(name, ".seg") && !strings.HasSuffix(name, "next.tmp") {
		return file, err
	}
	return failingFile{file, f}, nil
}

type failingFile struct {
	filelog.File
	fs *failing
}

func (f failingFile) Datasync() error {
	if f.fs.sync.Load() {
		return syscall.EIO
	}
	return f.File.Datasync()
}

func (f failingFile) WriteAt(b []byte, at int64) (int, error) {
	if f.fs.write.Load() {
		n, _ := f.File.WriteAt(b[:len(b)/2], at)
		return n, syscall.EIO
	}
	return f.File.WriteAt(b, at)
}

// running is a `walletd dev` in this process.
type running struct {
	url   string
	ended chan error
	stop  context.CancelFunc
}

func runDev(t *testing.T, data string, fs filelog.FS) *running {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	ctx, stop := context.WithCancel(context.Background())
	r := &running{ended: make(chan error, 1), stop: stop}
	var out syncBuffer
	a := &app{out: &out, err: &out, journalFS: fs}
	go func() {
		root := a.root()
		root.SetArgs([]string{"dev", "--data", data, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--partitions", "2", "--shards", "1", "--ready-file", ready})
		r.ended <- root.ExecuteContext(ctx)
	}()
	deadline := time.Now().Add(time.Minute)
	for {
		b, err := os.ReadFile(ready)
		var info readyInfo
		if err == nil && json.Unmarshal(b, &info) == nil {
			r.url = info.HTTP
			return r
		}
		select {
		case err := <-r.ended:
			t.Fatalf("dev ended: %v\n%s", err, out.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("dev is not ready\n%s", out.String())
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A disk that fails a write or an fdatasync of the journal ends the process with a word about what to do. What was under way
// is not acknowledged; the next process finds out what became of it, and its key has one effect.
func TestADiskThatFailsEndsTheProcess(t *testing.T) {
	for name, arm := range map[string]func(*failing){
		"fdatasync": func(f *failing) { f.sync.Store(true) },
		"write":     func(f *failing) { f.write.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			disk := &failing{FS: filelog.Disk()}
			r := runDev(t, data, disk)
			ask := func(url string, limit time.Duration, key string) (client.TransferInfo, error) {
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				defer cancel()
				rest, err := client.NewREST(client.Config{URL: url})
				must(t, err)
				defer rest.Close()
				return rest.Transfer(ctx, client.Transfer{Key: key, From: "alice", To: "bob", Amount: 100, Asset: "USD"})
			}
			_, err := ask(r.url, time.Minute, "before")
			must(t, err)
			arm(disk)
			if info, err := ask(r.url, 3*time.Second, "doubtful"); err == nil {
				t.Errorf("acknowledged on a disk that fails: %+v", info)
			}
			select {
			case err = <-r.ended:
			case <-time.After(time.Minute):
				t.Fatal("the process goes on without a journal")
			}
			var ends *exitError
			if !errors.As(err, &ends) || ends.code != exitFailed || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "start walletd again") {
				t.Errorf("it ended with %v", err)
			}

			r = runDev(t, data, nil)
			for range 2 {
				if _, err := ask(r.url, time.Minute, "doubtful"); err != nil {
					t.Errorf("asked again: %v", err)
				}
			}
			rest, err := client.NewREST(client.Config{URL: r.url})
			must(t, err)
			defer rest.Close()
			balance := func(account string) int64 {
				b, err := rest.Balance(t.Context(), account)
				must(t, err)
				return int64(b.Available)
			}
			for deadline := time.Now().Add(30 * time.Second); balance("alice")+balance("bob")+balance("bank") != 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) { // a credit may be on its way
					t.Fatalf("alice has %d, bob %d, the bank %d: no sum of 0", balance("alice"), balance("bob"), balance("bank"))
				}
			}
			if paid := 100_000 - balance("alice"); paid != 200 {
				t.Errorf("alice paid %d under two keys of 100", paid)
			}
			r.stop()
			if err := <-r.ended; err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
}
