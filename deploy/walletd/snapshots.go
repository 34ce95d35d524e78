package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"

	"walletd/journal"
	"walletd/projector/snapshot"
	"walletd/shardrouter/keeper"
)

// SnapshotsConfig says where snapshots are kept, when they are taken, and how many stay.
type SnapshotsConfig struct {
	Dir         string   `koanf:"dir"` // default: DATA/snapshots
	S3          S3Config `koanf:"s3"`  // in the place of dir
	At          string   `koanf:"at"`  // 15:04, UTC; "off": not by the clock
	EveryEvents uint64   `koanf:"every_events"`
	Keep        int      `koanf:"keep"`
	KeepDays    int      `koanf:"keep_days"`
}

// S3Config is an S3-compatible store. Without keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are taken.
type S3Config struct {
	Endpoint  string `koanf:"endpoint"`
	Bucket    string `koanf:"bucket"`
	Prefix    string `koanf:"prefix"`
	Region    string `koanf:"region"`
	AccessKey string `koanf:"access_key"`
	SecretKey string `koanf:"secret_key"`
}

// devSnapshots are those of a data directory.
func devSnapshots(data string) SnapshotsConfig {
	return SnapshotsConfig{Dir: filepath.Join(data, "snapshots"), At: "00:00", Keep: 3, KeepDays: 7}
}

func (c *SnapshotsConfig) schedule() snapshot.Schedule {
	if c.At == "off" {
		return snapshot.Schedule{Every: c.EveryEvents}
	}
	return snapshot.Schedule{At: c.At, Every: c.EveryEvents}
}

// problems are what is wrong with it.
func (c *SnapshotsConfig) problems() (errs []error) {
	if err := c.schedule().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("config: snapshots.at: %w, nor off", err))
	}
	if c.Keep < 1 || c.KeepDays < 0 {
		errs = append(errs, fmt.Errorf("config: snapshots.keep is %d and keep_days %d; at least 1 and 0 are possible", c.Keep, c.KeepDays))
	}
	if c.S3 != (S3Config{}) {
		if _, err := snapshot.NewS3(snapshot.S3Config(c.S3)); err != nil {
			errs = append(errs, fmt.Errorf("config: snapshots: %w", err))
		}
	}
	return errs
}

// openShelf is what there is of a wallet's snapshots; close lets go of it.
func (c *SnapshotsConfig) openShelf(wallet string, partitions int, logger *slog.Logger) (shelf *snapshot.Shelf, closeStore func(), err error) {
	shelf = &snapshot.Shelf{Wallet: wallet, Partitions: partitions, Logger: logger}
	if c.S3 == (S3Config{}) {
		shelf.Store = snapshot.NewDir(c.Dir)
		return shelf, func() {}, nil
	}
	s3, err := snapshot.NewS3(snapshot.S3Config(c.S3))
	if err != nil {
		return nil, nil, exit(exitUsage, "snapshots: %w", err)
	}
	shelf.Store = s3
	return shelf, s3.Close, nil
}

func (c *SnapshotsConfig) taking(shelf *snapshot.Shelf, by string) snapshot.Taking {
	return snapshot.Taking{Shelf: shelf, By: by, Policy: snapshot.Policy{Newest: c.Keep, Days: c.KeepDays}}
}

// createSnapshots finds the store, and makes what takes snapshots where there is a projection to take them of.
func (n *node) createSnapshots() (err error) {
	c := &n.cfg.snapshots
	if c.Dir == "" && c.S3 == (S3Config{}) {
		return nil
	}
	if n.shelf, n.closeShelf, err = c.openShelf(n.cfg.wallet, n.cfg.partitions, n.logger); err != nil || n.view == nil {
		return err
	}
	n.taker, err = snapshot.NewTaker(snapshot.TakerConfig{View: n.view, Log: n.log, Taking: c.taking(n.shelf, n.cfg.id), Schedule: c.schedule()})
	if err != nil {
		return exit(exitUsage, "%w", err)
	}
	n.registry.MustRegister(n.taker)
	return nil
}

// beginnings hands snapshots to keepers.
type beginnings struct{ *snapshot.Shelf }

// Newest implements keeper.Snapshots.
func (b beginnings) Newest(ctx context.Context, partition int) (*keeper.Beginning, error) {
	l, err := b.Shelf.Newest(ctx, partition)
	if l == nil || err != nil {
		return nil, err
	}
	begin := &keeper.Beginning{Name: "snapshot " + l.ID, Cursor: l.Header.Cursor, Last: l.Header.Last, Book: l.Book, Behind: make([]uint64, l.Header.Partitions)}
	for q, seq := range l.Behind {
		begin.Behind[q] = seq
	}
	for _, s := range l.Legs {
		begin.Legs = append(begin.Legs, keeper.Sent(s))
	}
	return begin, nil
}

// listedSnapshot is a snapshot as it is shown.
type listedSnapshot struct {
	*snapshot.Manifest
	ID      string `json:"id"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
	Events  uint64 `json:"events"`
	Size    int64  `json:"size"`
}

type snapshotList struct {
	Object string           `json:"object"`
	Store  string           `json:"store"`
	Data   []listedSnapshot `json:"data"` // newest first
}

func shown(e snapshot.Entry) listedSnapshot {
	l := listedSnapshot{Manifest: e.Manifest, ID: e.ID, OK: e.Err == nil}
	if e.Err != nil {
		l.Problem = e.Err.Error()
	}
	if e.Manifest != nil {
		l.Events, l.Size = e.Manifest.Events(), e.Manifest.Size()
	}
	return l
}

func listSnapshots(ctx context.Context, shelf *snapshot.Shelf) (*snapshotList, error) {
	all, err := shelf.List(ctx)
	if err != nil {
		return nil, err
	}
	list := &snapshotList{Object: "list", Store: shelf.Store.String(), Data: []listedSnapshot{}}
	for _, e := range all {
		list.Data = append(list.Data, shown(e))
	}
	return list, nil
}

func (n *node) adminSnapshots(w http.ResponseWriter, r *http.Request) {
	if n.shelf == nil {
		problem(w, "not_found", "this process knows no snapshots; ask one with the projector or keeper role")
		return
	}
	list, err := listSnapshots(r.Context(), n.shelf)
	if err != nil {
		problem(w, "journal_unavailable", err.Error())
		return
	}
	answer(w, http.StatusOK, list)
}

func (n *node) adminTakeSnapshot(w http.ResponseWriter, r *http.Request) {
	if n.taker == nil {
		problem(w, "not_found", "this process has no projection to take a snapshot of; ask one with the projector role")
		return
	}
	_ = n.projector.CatchUp(r.Context()) // who takes one by hand means now
	m, err := n.taker.Take(r.Context())
	switch {
	case errors.Is(err, snapshot.ErrBusy):
		problem(w, "in_progress", err.Error())
	case m == nil:
		problem(w, "journal_unavailable", err.Error())
	default:
		l := shown(snapshot.Entry{ID: m.ID, Manifest: m})
		if err != nil { // it is there; only the tidying failed
			l.Problem = err.Error()
		}
		answer(w, http.StatusCreated, l)
	}
}

// verification asks for one.
type verification struct {
	Snapshot string `json:"snapshot"` // "": all
	Deep     bool   `json:"deep"`
}

// verified is what was found out.
type verified struct {
	OK   bool               `json:"ok"`
	Deep bool               `json:"deep"`
	Data []snapshot.Verdict `json:"data"`
}

func (n *node) adminVerifySnapshots(w http.ResponseWriter, r *http.Request) {
	var ask verification
	if n.shelf == nil {
		problem(w, "not_found", "this process knows no snapshots; ask one with the projector or keeper role")
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&ask); err != nil {
		problem(w, "malformed", err.Error())
		return
	}
	v, err := verifySnapshots(r.Context(), n.shelf, n.log, ask, nil)
	if err != nil {
		problem(w, "journal_unavailable", err.Error())
		return
	}
	answer(w, http.StatusOK, v)
}

// verifySnapshots reads them, and with deep folds the log up to every cut.
func verifySnapshots(ctx context.Context, shelf *snapshot.Shelf, log journal.Log, ask verification, progress func(done, total int64)) (*verified, error) {
	all, err := shelf.List(ctx)
	if err != nil {
		return nil, err
	}
	if !ask.Deep {
		log = nil
	}
	v, found := &verified{OK: true, Deep: ask.Deep, Data: []snapshot.Verdict{}}, false
	for _, e := range all {
		if ask.Snapshot != "" && ask.Snapshot != e.ID {
			continue
		}
		found = true
		verdicts, err := shelf.Verify(ctx, e, log, progress)
		if err != nil {
			return nil, err
		}
		for _, one := range verdicts {
			v.OK = v.OK && one.OK
		}
		v.Data = append(v.Data, verdicts...)
	}
	if ask.Snapshot != "" && !found {
		v.OK, v.Data = false, []snapshot.Verdict{{Snapshot: ask.Snapshot, Partition: -1, Problem: "there is no such snapshot in " + shelf.Store.String()}}
	}
	return v, nil
}
