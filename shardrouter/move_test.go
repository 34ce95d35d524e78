package shardrouter

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

// movesOf are the implementations that must behave alike.
func movesOf(t *testing.T) map[string]interface {
	Moves
	Store
	Source
} {
	t.Helper()
	type all interface {
		Moves
		Store
		Source
	}
	out := map[string]interface {
		Moves
		Store
		Source
	}{}
	for name, open := range storesOf(t) {
		out[name] = open().(all)
	}
	return out
}

var someHash = strings.Repeat("0a", 32)

// TestMoveFromBeginningToEnd: asked for once, changed by compare-and-set, seen by those who watch, ended together with the map.
func TestMoveFromBeginningToEnd(t *testing.T) {
	for name, s := range movesOf(t) {
		t.Run(name, func(t *testing.T) {
			ctx := within(t, 30*time.Second)
			watched := make(chan map[int]Move, 100)
			watching, stop := context.WithCancel(ctx)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				s.WatchMoves(watching, func(m map[int]Move) { watched <- m })
			}()
			defer func() { stop(); <-ended }()
			see := func(want map[int]Move) {
				t.Helper()
				for {
					select {
					case got := <-watched:
						if maps.Equal(got, want) {
							return
						}
					case <-ctx.Done():
						t.Fatalf("%v was never seen", want)
					}
				}
			}
			for what, c := range map[string]struct {
				partition int
				to        string
				want      error
			}{
				"no such partition": {99, "s2", ErrInvalid},
				"no such shard":     {0, "s9", ErrUnknownShard},
				"there already":     {0, "s1", ErrThere},
			} {
				if err := RequestMove(ctx, s, c.partition, c.to); !errors.Is(err, c.want) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := AbortMove(ctx, s, 0); !errors.Is(err, ErrNoMove) {
				t.Errorf("nothing to take back: %v", err)
			}
			for range 2 { // again is fine
				if err := RequestMove(ctx, s, 0, "s2"); err != nil {
					t.Fatal(err)
				}
			}
			m := Move{Partition: 0, From: "s1", To: "s2", State: MoveCopying}
			see(map[int]Move{0: m})
			frozen := m
			frozen.State, frozen.Epoch, frozen.Seq, frozen.Chain = MoveFrozen, 4, 17, someHash
			change := func(next Move) error {
				return s.ChangeMove(ctx, 0, func(_ *Map, now *Move) (*Move, error) {
					if now == nil || *now != m {
						return nil, ErrMoveChanged
					}
					return &next, nil
				})
			}
			if err := change(frozen); err != nil {
				t.Fatal(err)
			}
			if err := change(frozen); !errors.Is(err, ErrMoveChanged) {
				t.Errorf("changed what had changed: %v", err)
			}
			see(map[int]Move{0: frozen})
			there := func(old *Map) (*Map, error) { return old.WithPartitions("s2", 9, 0), nil }
			if err := s.EndMove(ctx, m, there); !errors.Is(err, ErrMoveChanged) {
				t.Errorf("ended another move: %v", err)
			}
			for range 2 { // again after a lost reply
				if err := s.EndMove(ctx, frozen, there); err != nil {
					t.Fatal(err)
				}
			}
			see(map[int]Move{})
			if p := s.Current().Partitions[0]; p != (Partition{"s2", 9}) {
				t.Errorf("the map shows %+v", p)
			}
			if all, err := s.Moves(ctx); err != nil || len(all) != 0 {
				t.Errorf("left are %v, %v", all, err)
			}
		})
	}
}

// TestMoveTakenBack: what is taken back cannot be ended, one that failed gives way, one under way does not.
func TestMoveTakenBack(t *testing.T) {
	for name, s := range movesOf(t) {
		t.Run(name, func(t *testing.T) {
			ctx := within(t, 30*time.Second)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(RequestMove(ctx, s, 1, "s1"))
			all, err := s.Moves(ctx)
			must(err)
			m := all[1]
			must(AbortMove(ctx, s, 1))
			before := s.Current()
			if err := s.EndMove(ctx, m, func(old *Map) (*Map, error) { return old.WithPartitions("s1", 9, 1), nil }); !errors.Is(err, ErrMoveChanged) {
				t.Errorf("ended what was taken back: %v", err)
			}
			if now := s.Current(); before != nil && now.Partitions[1] != before.Partitions[1] {
				t.Errorf("the map shows %+v", now.Partitions[1])
			}
			must(RequestMove(ctx, s, 1, "s1"))
			must(s.ChangeMove(ctx, 1, func(_ *Map, now *Move) (*Move, error) { return now.Failed("the digests differ"), nil }))
			must(RequestMove(ctx, s, 1, "s1")) // in its place
			if all, err := s.Moves(ctx); err != nil || all[1].State != MoveCopying || all[1].Reason != "" {
				t.Errorf("%+v, %v", all, err)
			}
			must(s.Publish(ctx, func(old *Map) (*Map, error) { return old.WithShard(Shard{ID: "s3", State: StateNew}), nil }))
			if err := RequestMove(ctx, s, 1, "s3"); !errors.Is(err, ErrMoving) {
				t.Errorf("two at once: %v", err)
			}
		})
	}
}

// TestMovesSurviveARestart of a wallet in one process.
func TestMovesSurviveARestart(t *testing.T) {
	var saved []byte
	open := func() *Static {
		return newStatic(t, StaticConfig{Saved: saved, Persist: func(b []byte) error { saved = b; return nil }})
	}
	s := open()
	if err := RequestMove(t.Context(), s, 2, "s2"); err != nil {
		t.Fatal(err)
	}
	want, _ := s.Moves(t.Context())
	if got, err := open().Moves(t.Context()); err != nil || !maps.Equal(got, want) || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for what, change := range map[string][2]string{
		"a partition that does not exist": {`"partition":2`, `"partition":77`},
		"a state that nobody knows":       {`"state":"copying"`, `"state":"flying"`},
	} {
		bad := strings.Replace(string(saved), change[0], change[1], 1)
		if _, err := NewStatic(StaticConfig{Initial: s.Current(), Saved: []byte(bad)}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzDecodeMove(f *testing.F) {
	for _, m := range []Move{
		{Partition: 3, From: "s1", To: "s2", State: MoveCopying, Copied: 4, Of: 9},
		{Partition: 0, From: "s1", To: "s2", State: MoveFrozen, Epoch: 4, Seq: 7, Chain: someHash, Digest: someHash},
		{Partition: 1, From: "s2", To: "s1", State: MoveFailed, Reason: "why"},
	} {
		data, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeMove(data)
		if err != nil {
			if m != (Move{}) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("refused with %v, %v", m, err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeMove(again); err != nil || back != m {
			t.Fatalf("%s comes back as %+v, %v", again, back, err)
		}
	})
}
