package systemtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"walletd/luascripts"
	"walletd/shardrouter"
)

// Moves of partitions are events of schedules like faults, alone and together with them.

func (f fault) moves() bool { return f.kind == kindMove || f.kind == kindTaken || f.kind == kindDrain }

// moves are the moves of a stand, asked for in the background: a schedule does not wait for whoever answers late.
type moves struct {
	request  func(ctx context.Context, partition int, to string) error
	takeBack func(ctx context.Context, partition int) error
	at       func() (*placement, error)

	mu    sync.Mutex // guards ended
	ended bool
	under sync.WaitGroup
}

// moveAsked bounds asking for a move, again and again.
const moveAsked = 3 * time.Second

// placement is who serves what by the map, and what is on its way.
type placement struct {
	shards     map[string]string // id to primary
	partitions []shardrouter.Partition
	moves      map[int]shardrouter.Move // those that are not done
}

// background runs fn, which must end soon after its context does.
func (m *moves) background(fn func(ctx context.Context)) (cancel context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended {
		m.under.Go(func() { fn(ctx) })
	}
	return cancel
}

// end waits for what is under way; nothing begins any more.
func (m *moves) end() {
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	m.under.Wait()
}

// to asks for a move until it is asked for: another may be under way, or nobody answers.
func (m *moves) to(ctx context.Context, partition int, to string) {
	ctx, cancel := context.WithTimeout(ctx, moveAsked)
	defer cancel()
	_ = poll(moveAsked, func() error {
		err := m.request(ctx, partition, to)
		if errors.Is(err, shardrouter.ErrThere) || ctx.Err() != nil {
			return nil
		}
		return err
	})
}

// elsewhere moves a partition to the other shard and tells where it was.
func (m *moves) elsewhere(ctx context.Context, partition int) (was string) {
	at, err := m.at()
	if err != nil {
		return ""
	}
	was = at.partitions[partition].Shard
	for id := range at.shards {
		if id != was {
			m.to(ctx, partition, id)
		}
	}
	return was
}

// faults are the moves of single partitions. Without m they have names only.
func (m *moves) faults(partitions int) map[fault]func() func() {
	all := map[fault]func() func(){}
	for p := range partitions {
		target := fmt.Sprintf("partition-%d", p)
		all[fault{kindMove, target}] = func() func() {
			was := make(chan string, 1)
			m.background(func(ctx context.Context) { was <- m.elsewhere(ctx, p) })
			return func() {
				m.background(func(ctx context.Context) { m.to(ctx, p, <-was) })
			}
		}
		all[fault{kindTaken, target}] = func() func() {
			m.background(func(ctx context.Context) { m.elsewhere(ctx, p) })
			return func() {
				m.background(func(ctx context.Context) {
					ctx, cancel := context.WithTimeout(ctx, moveAsked)
					defer cancel()
					_ = m.takeBack(ctx, p) // there may be none
				})
			}
		}
	}
	return all
}

// drain moves all partitions of a shard away, one after the other, until it is broken off.
func (m *moves) drain(shard string) (breakOff func()) {
	return m.background(func(ctx context.Context) {
		for ctx.Err() == nil {
			at, err := m.at()
			next := -1
			if err == nil {
				next = slices.IndexFunc(at.partitions, func(p shardrouter.Partition) bool { return p.Shard == shard })
			}
			if next < 0 {
				return
			}
			if _, under := at.moves[next]; !under {
				m.elsewhere(ctx, next)
			}
			_ = poll(moveAsked, after(20*time.Millisecond))
		}
	})
}

// movesEnd waits until nothing is on its way any more: every move is done or was given up, and each partition is served where
// the map says, in the epoch that it says, and nowhere else.
func (w *wallet) movesEnd(s *schedule) {
	w.t.Helper()
	var at *placement
	await(w.t, recoverLimit, "every move ends, and the map is as the shards are", func() (err error) {
		if at, err = w.places(); err != nil {
			return err
		}
		for p, m := range at.moves {
			if m.State != shardrouter.MoveFailed {
				return fmt.Errorf("partition %d is on its way from %s to %s: %s", p, m.From, m.To, m.State)
			}
		}
		return at.served()
	})
	for p, m := range at.moves {
		if s.movesMayFail() {
			w.t.Logf("the move of partition %d was given up: %s", p, m.Reason)
		} else {
			w.t.Errorf("the move of partition %d was given up: %s", p, m.Reason)
		}
	}
}

// movesMayFail: one of the faults takes from a shard what it had, so that it is not what its journal says, and a move finds it out; or
// it leaves no room for a partition.
func (s *schedule) movesMayFail() bool {
	return slices.ContainsFunc(s.faults, func(f planned) bool {
		return slices.Contains([]string{kindKill, kindEmpty, kindOld, kindFlush, kindPolicy, kindFull}, f.kind)
	})
}

// served reports where the shards are not as the map says.
func (at *placement) served() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	for id, primary := range at.shards {
		shard, err := luascripts.Open(luascripts.Config{Addr: primary})
		if err != nil {
			return err
		}
		parts, err := shard.Parts(ctx)
		if err = errors.Join(err, shard.Close()); err != nil {
			return err
		}
		for p, owner := range at.partitions {
			part, there := parts[p]
			switch mine := owner.Shard == id; {
			case there != mine:
				return fmt.Errorf("partition %d is shard %s's, it is served by shard %s: %t", p, owner.Shard, id, there)
			case mine && part.Epoch != owner.Epoch:
				return fmt.Errorf("partition %d is in epoch %d, by the map in %d", p, part.Epoch, owner.Epoch)
			}
		}
	}
	return nil
}

// places asks whoever knows.
func (w *wallet) places() (*placement, error) {
	if w.placed != nil {
		return w.placed()
	}
	return w.placedBy([]string{w.admin})
}

// placedBy asks operators' listeners until one answers.
func (w *wallet) placedBy(admins []string) (*placement, error) {
	var errs []error
	for _, admin := range admins {
		at, err := askPlacement(admin)
		if err == nil {
			return at, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func askPlacement(admin string) (*placement, error) {
	ctx, cancel := context.WithTimeout(context.Background(), moveAsked)
	defer cancel()
	var partitions struct {
		Data []struct {
			Partition int
			Shard     string
			Epoch     uint32
			Move      *struct{ To, State, Reason string }
		}
	}
	var shards struct {
		Data []struct{ ID, Primary string }
	}
	if err := errors.Join(operate(ctx, admin, "GET", "/admin/v1/partitions", nil, &partitions), operate(ctx, admin, "GET", "/admin/v1/shards", nil, &shards)); err != nil {
		return nil, err
	}
	at := &placement{shards: map[string]string{}, moves: map[int]shardrouter.Move{}}
	for _, s := range shards.Data {
		at.shards[s.ID] = s.Primary
	}
	for _, p := range partitions.Data {
		at.partitions = append(at.partitions, shardrouter.Partition{Shard: p.Shard, Epoch: p.Epoch})
		if m := p.Move; m != nil {
			at.moves[p.Partition] = shardrouter.Move{Partition: p.Partition, From: p.Shard, To: m.To, State: m.State, Reason: m.Reason}
		}
	}
	return at, nil
}

// operate makes a request to an operators' listener.
func operate(ctx context.Context, admin, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+admin+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if b, err = io.ReadAll(reply.Body); err != nil {
		return err
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %w", method, path, errors.New(answer{status: reply.StatusCode, body: b}.String()))
	}
	return json.Unmarshal(b, into)
}

// movesAt are the moves of a wallet that is reached by operators' listeners.
func (w *wallet) movesAt(admins func() []string) *moves {
	ask := func(ctx context.Context, method string, partition int, body any) error {
		var errs []error
		for _, admin := range admins() {
			one, cancel := context.WithTimeout(ctx, moveAsked/3)
			var v any
			err := operate(one, admin, method, fmt.Sprintf("/admin/v1/partitions/%d/move", partition), body, &v)
			cancel()
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	return &moves{
		request: func(ctx context.Context, partition int, to string) error {
			at, err := w.placedBy(admins())
			if err == nil && at.partitions[partition].Shard == to {
				return shardrouter.ErrThere
			}
			return cmp.Or(err, ask(ctx, http.MethodPost, partition, map[string]string{"to": to}))
		},
		takeBack: func(ctx context.Context, partition int) error { return ask(ctx, http.MethodDelete, partition, nil) },
		at:       func() (*placement, error) { return w.placedBy(admins()) },
	}
}

// drain is `walletd shard drain`, until it is killed.
func (w *wallet) drain(shard int) (breakOff func()) {
	p := launch(w.t, "walletd shard drain", nil, append([]string{"shard", "drain", shardID(shard)}, w.operators()...)...)
	return p.kill
}

// request, takeBack and placed are those of the form in process.
func (f *inprocess) request(ctx context.Context, partition int, to string) error {
	return shardrouter.RequestMove(ctx, f.router, partition, to)
}

func (f *inprocess) takeBack(ctx context.Context, partition int) error {
	return shardrouter.AbortMove(ctx, f.router, partition)
}

func (f *inprocess) placed() (*placement, error) {
	under, err := f.router.Moves(context.Background())
	m := f.router.Current()
	at := &placement{shards: map[string]string{}, partitions: m.Partitions, moves: under}
	for id, s := range m.Shards {
		at.shards[id] = s.Primary
	}
	return at, err
}
