package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/projector/snapshot"
	"walletd/shardrouter"
	"walletd/shardrouter/keeper"
)

// watching lets drills hear what the keepers of this process tell.
type watching struct {
	mu  sync.Mutex
	ear func(shard string, p keeper.Progress) // nil: nobody listens
}

func (w *watching) told(shard string, p keeper.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ear != nil {
		w.ear(shard, p)
	}
}

// listen takes the ear, until it is given back by listen(nil). False: another drill has it.
func (w *watching) listen(ear func(string, keeper.Progress)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ear != nil && ear != nil {
		return false
	}
	w.ear = ear
	return true
}

// drillOrder asks for a drill.
type drillOrder struct {
	Shard  string `json:"shard"`
	Wallet string `json:"wallet"` // outside dev: the wallet's own name, so that nobody drills another one than he meant
}

// drillReport is what became of it. Times are milliseconds from the loss on.
type drillReport struct {
	OK         bool             `json:"ok"`
	Wallet     string           `json:"wallet"`
	Shard      string           `json:"shard"`
	DetectedMS float64          `json:"detected_ms"` // the keeper has begun another reign
	FoldedMS   float64          `json:"folded_ms"`   // it has read snapshots and log
	LoadedMS   float64          `json:"loaded_ms"`   // the shard is loaded, the map shows it
	ServingMS  float64          `json:"serving_ms"`  // every partition has answered a read
	Partitions []drillPartition `json:"partitions"`
}

// drillPartition is a partition before and after.
type drillPartition struct {
	Partition    int    `json:"partition"`
	Accounts     int    `json:"accounts"`
	SeqBefore    uint64 `json:"seq_before"`
	SeqAfter     uint64 `json:"seq_after"`
	DigestBefore string `json:"digest_before"`
	DigestAfter  string `json:"digest_after"`
	Snapshot     string `json:"snapshot,omitempty"` // that its fold began at; "": the log's first record
	OK           bool   `json:"ok"`
	Problem      string `json:"problem,omitempty"`
}

// drillLimit bounds a drill.
const drillLimit = 10 * time.Minute

func (n *node) adminShardLoss(w http.ResponseWriter, r *http.Request) {
	var o drillOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&o); err != nil {
		problem(w, "malformed", err.Error())
		return
	}
	switch {
	case !slices.Contains(n.cfg.keeps, o.Shard) || len(n.keepers) == 0:
		problem(w, "not_found", fmt.Sprintf("this process does not stand for a shard %q; it does for %v", o.Shard, n.cfg.keeps))
		return
	case !n.cfg.dev && o.Wallet != n.cfg.wallet:
		problem(w, "permission_denied", fmt.Sprintf("a drill takes the shard's accounts away for a while; name the cluster (--yes-i-mean-it %s) to consent", n.cfg.wallet))
		return
	case !n.leads(o.Shard): // another process would bring it back, and tell us nothing
		problem(w, "shard_unavailable", fmt.Sprintf("this process does not lead shard %s at the moment; ask the one that does", o.Shard))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), drillLimit)
	defer cancel()
	d := &drill{node: n, shard: o.Shard, heard: make(chan struct{}, 1), times: map[keeper.State]time.Time{}, from: map[int]string{}}
	if !n.watching.listen(d.hear) {
		problem(w, "in_progress", "another drill is under way")
		return
	}
	defer n.watching.listen(nil)
	n.logger.Warn("drill: a shard is about to be emptied", "shard", o.Shard)
	report, err := d.run(ctx)
	if err != nil {
		problem(w, "shard_unavailable", "the drill did not come to its end: "+err.Error())
		return
	}
	answer(w, http.StatusOK, report)
}

// leads reports whether a keeper of this process serves the shard.
func (n *node) leads(shard string) bool {
	return slices.ContainsFunc(n.keepers, func(k *keeper.Keeper) bool {
		s := k.Stats()
		return s.Shard == shard && s.State == keeper.Serving
	})
}

// drill is one loss of a shard.
type drill struct {
	*node
	shard string
	heard chan struct{}

	mu    sync.Mutex // guards what follows
	lost  time.Time
	times map[keeper.State]time.Time // first heard since the loss
	from  map[int]string
}

// hear notes when the keeper comes to which state.
func (d *drill) hear(shard string, p keeper.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if shard != d.shard || d.lost.IsZero() {
		return
	}
	if p.From != "" {
		d.from[p.Partition] = p.From
	}
	state := p.State
	if state == keeper.Resting {
		state = keeper.Claiming // either way it has noticed
	}
	if _, heard := d.times[state]; !heard {
		d.times[state] = time.Now()
	}
	select {
	case d.heard <- struct{}{}:
	default:
	}
}

func (d *drill) run(ctx context.Context) (*drillReport, error) {
	before, err := d.still(ctx)
	if err != nil {
		return nil, fmt.Errorf("before: %w", err)
	}
	s, err := luascripts.Open(luascripts.Config{Addr: d.home().Primary})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	d.mu.Lock()
	d.lost = time.Now()
	d.mu.Unlock()
	if err := s.Flush(ctx); err != nil {
		return nil, err
	}
	if err := d.untilServed(ctx); err != nil {
		return nil, err
	}
	if err := d.probe(ctx); err != nil {
		return nil, err
	}
	served := time.Now()
	after, err := d.still(ctx)
	if err != nil {
		return nil, fmt.Errorf("after: %w", err)
	}
	return d.report(ctx, before, after, served)
}

func (d *drill) home() shardrouter.Shard { return d.source.Current().Shards[d.shard] }

func (d *drill) partitions() []int { return d.source.Current().PartitionsOf(d.shard) }

// still dumps the shard at a moment when nothing happens in it.
func (d *drill) still(ctx context.Context) (map[int]*journal.Book, error) {
	var at map[int]luascripts.Part
	for range 50 {
		s, err := luascripts.Open(luascripts.Config{Addr: d.home().Primary, ReadTimeout: 10 * time.Second})
		if err != nil {
			return nil, err
		}
		if at, err = s.Parts(ctx); err == nil {
			var books map[int]*journal.Book
			if books, err = s.Dump(ctx, d.cfg.partitions); err == nil && d.untouched(ctx, s, at) {
				_ = s.Close()
				return books, nil
			}
		}
		_ = s.Close()
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, errors.New("the shard is busy, no two looks at it were the same; drill when it is quiet")
}

func (d *drill) untouched(ctx context.Context, s *luascripts.Shard, before map[int]luascripts.Part) bool {
	after, err := s.Parts(ctx)
	if err != nil || len(after) != len(before) {
		return false
	}
	for _, p := range d.partitions() {
		if after[p].Seq != before[p].Seq || after[p].Epoch != before[p].Epoch {
			return false
		}
	}
	return true
}

// untilServed waits until the keeper serves again, in another reign than the one that lost the shard.
func (d *drill) untilServed(ctx context.Context) error {
	for {
		d.mu.Lock()
		_, claimed := d.times[keeper.Claiming]
		_, served := d.times[keeper.Serving]
		damaged := !d.times[keeper.Damaged].IsZero()
		d.mu.Unlock()
		switch {
		case claimed && served:
			return nil
		case damaged:
			return errors.New("the keeper has found the journal damaged; the shard is not served")
		}
		select {
		case <-d.heard:
		case <-ctx.Done():
			return fmt.Errorf("the shard is not served again: %w", ctx.Err())
		}
	}
}

// probe waits until every partition of the shard has answered a read, the way a client's go.
func (d *drill) probe(ctx context.Context) error {
	for _, p := range d.partitions() {
		for {
			sink := make(answers, 1)
			stage := rows.NewStage(d.cfg.partitions)
			stage.Add(p, &journal.Row{Op: journal.OpRead}, sink, 0)
			d.lanes.Submit(stage)
			var status journal.Status
			select {
			case status = <-sink:
			case <-ctx.Done():
				return fmt.Errorf("partition %d does not answer: %w", p, ctx.Err())
			}
			if !status.Retryable() && status != journal.OutcomeUnknown {
				break
			}
			time.Sleep(time.Millisecond) // it is asked again
		}
	}
	return nil
}

// answers is a rows.Sink for one row.
type answers chan journal.Status

// Settle implements rows.Sink.
func (a answers) Settle(outs []rows.Outcome) { a <- outs[0].Status }

func (d *drill) report(ctx context.Context, before, after map[int]*journal.Book, served time.Time) (*drillReport, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	since := func(at time.Time) float64 { return math.Round(float64(at.Sub(d.lost).Microseconds())) / 1000 }
	r := &drillReport{OK: true, Wallet: d.cfg.wallet, Shard: d.shard, DetectedMS: since(d.times[keeper.Claiming]), FoldedMS: since(d.times[keeper.Comparing]),
		LoadedMS: since(d.times[keeper.Serving]), ServingMS: since(served), Partitions: []drillPartition{}}
	for _, p := range d.partitions() {
		one := drillPartition{Partition: p, Snapshot: d.from[p]}
		if err := d.compare(ctx, before[p], after[p], &one); err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
		one.OK = one.Problem == ""
		r.OK = r.OK && one.OK
		r.Partitions = append(r.Partitions, one)
	}
	return r, nil
}

// compare holds a partition before the loss against after it: directly where nothing has happened since, else each against
// the journal at its own seq.
func (d *drill) compare(ctx context.Context, before, after *journal.Book, one *drillPartition) error {
	if before == nil || after == nil {
		one.Problem = "the shard has no record of the partition"
		return nil
	}
	was, is := before.Digest(), after.Digest()
	one.SeqBefore, one.SeqAfter, one.Accounts = before.Seq, after.Seq, len(after.State.(*journal.Memory).Accounts)
	one.DigestBefore, one.DigestAfter = fmt.Sprintf("%x", was), fmt.Sprintf("%x", is)
	if before.Seq == after.Seq {
		if was != is {
			one.Problem = "another state than before, at the same seq"
		}
		return nil
	}
	for _, b := range []*journal.Book{before, after} {
		f, err := snapshot.Fold(ctx, snapshot.FoldConfig{Log: d.log, Partition: b.Partition, UntilSeq: b.Seq})
		if err != nil {
			return err
		}
		if want := f.Book.Digest(); want != b.Digest() {
			one.Problem = fmt.Sprintf("at seq %d the journal gives the digest %x", b.Seq, want)
		}
	}
	return nil
}
