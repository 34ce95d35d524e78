package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Figures below or above which the machine gets a warning.
const (
	spaceWarnBytes = 2 << 30
	spaceFailBytes = 256 << 20 // a segment, the next one, and the projection's
	fsyncWarn      = 20 * time.Millisecond
	fsyncTries     = 9
	filesWarn      = 4096
	skewWarn       = time.Second
)

// machine looks at this machine, and at the data directory, if there is one.
func (d *doctor) machine(data string) {
	d.fileLimit()
	d.clock()
	if data == "" {
		return
	}
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		d.warn("data directory", "the first start makes it", "%s is not there yet", data)
		return
	}
	d.space(data)
	d.fsync(data)
}

func (d *doctor) fileLimit() {
	const remedy = "raise it: ulimit -n 65536, LimitNOFILE= in systemd"
	var limit syscall.Rlimit
	switch err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); {
	case err != nil:
		d.warn("open files", "", "the limit cannot be told: %v", err)
	case limit.Cur < filesWarn:
		d.warn("open files", remedy, "at most %d: every client is one", limit.Cur)
	default:
		d.ok("open files", "at most %d", limit.Cur)
	}
}

func (d *doctor) space(data string) {
	const remedy = "make room: the journal only grows, and a full disk refuses writes until there is some"
	var fs syscall.Statfs_t
	if err := syscall.Statfs(data, &fs); err != nil {
		d.fail("disk space", "name another directory", "%s: %v", data, err)
		return
	}
	free := uint64(fs.Bavail) * uint64(fs.Bsize) //nolint:gosec,unconvert // never negative; the types differ between systems
	switch {
	case free < spaceFailBytes:
		d.fail("disk space", remedy, "%d MiB free in %s", free>>20, data)
	case free < spaceWarnBytes:
		d.warn("disk space", remedy, "%d MiB free in %s", free>>20, data)
	default:
		d.ok("disk space", "%d MiB free in %s", free>>20, data)
	}
}

// fsync measures what an answer waits for where the journal is in files: a write and an fsync of a page.
func (d *doctor) fsync(data string) {
	const remedy = "use a local SSD: every answer waits for an fsync"
	f, err := os.CreateTemp(data, ".doctor-*")
	if err != nil {
		d.fail("data directory", "give it to the user that walletd runs as", "%s cannot be written: %v", data, err)
		return
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }() // it was for this look alone
	took := make([]time.Duration, fsyncTries)
	page := make([]byte, 4<<10)
	for i := range took {
		begin := time.Now()
		_, err := f.WriteAt(page, int64(i)*int64(len(page)))
		if err = errors.Join(err, f.Sync()); err != nil {
			d.fail("data directory", "see to the disk", "%s does not keep what is written: %v", data, err)
			return
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	median := took[len(took)/2]
	if median > fsyncWarn {
		d.warn("fsync", remedy, "%v for a page in %s", median.Round(10*time.Microsecond), data)
		return
	}
	d.ok("fsync", "%v for a page in %s", median.Round(10*time.Microsecond), data)
}

// listeners looks whether the addresses are free, or a walletd's.
func (d *doctor) listeners(ctx context.Context, addrs map[string]string) {
	for _, key := range []string{"http", "admin"} {
		check, addr := "listener "+key, addrs[key]
		l, err := net.Listen("tcp", addr)
		switch {
		case err == nil:
			_ = l.Close()
			d.ok(check, "%s is free", addr)
		case isWalletd(ctx, addr):
			d.ok(check, "%s is a walletd's", addr)
		default:
			d.fail(check, "stop what uses it, or set "+key+" to another address", "%v", err)
		}
	}
}

// isWalletd asks for what only a walletd answers.
func isWalletd(ctx context.Context, addr string) bool {
	var v struct{ Partitions int }
	return getJSON(ctx, "http://"+addr+"/version", &v) == nil && v.Partitions > 0 || getJSON(ctx, "http://"+addr+"/readyz", &struct {
		Status *string `json:"status"`
	}{}) == nil
}

func getJSON(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, doctorLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// process looks at a running walletd from outside.
func (d *doctor) process(ctx context.Context, server string) {
	var version struct {
		Admin string
	}
	if err := getJSON(ctx, server+"/version", &version); err != nil {
		d.fail("walletd", "start it (walletd dev), or name it with --server URL, its directory with --data, its configuration with -c", "%s does not answer: %v", server, err)
		return
	}
	d.ok("walletd", "%s answers", server)
	var ready struct {
		Status  string
		Serving int      `json:"partitions_serving"`
		All     int      `json:"partitions"`
		Down    []string `json:"shards_down"`
	}
	switch err := getJSON(ctx, version.Admin+"/readyz", &ready); {
	case err != nil:
		d.warn("operators' listener", "ask it on its own machine", "%s does not answer: %v", version.Admin, err)
	case ready.Status != "ready":
		d.fail("partitions", "look at the keepers' logs, and at their shards with -c or --data",
			"%d of %d are served, shards down: %s", ready.Serving, ready.All, strings.Join(ready.Down, " "))
	default:
		d.ok("partitions", "all are served")
	}
}
