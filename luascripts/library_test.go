package luascripts

import (
	"errors"
	"strings"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
)

// admittedShard is a client of epoch 1 of a shard that admits trains in it, and whose library has run one.
func admittedShard(t *testing.T, addr string) *Shard {
	t.Helper()
	s := clientIn(t, addr, 1)
	book := journal.NewBook(0, 1)
	book.Epoch = 1
	must(t, s.Load(t.Context(), book))
	must(t, s.Admit(t.Context(), 1, forever))
	must(t, openNext(t, s))
	return s
}

// openNext opens an account that is not there yet.
func openNext(t *testing.T, s *Shard) error {
	t.Helper()
	parts, err := s.Parts(t.Context())
	must(t, err)
	var tr Train
	tr.Section(0, 1)
	tr.Add((&journal.Row{Op: journal.OpOpen, Account: account(time.Now().String()), Text: []byte("{}")}).Append(nil))
	outcomes, err := runTrain(t, s, &tr)
	if err == nil && (outcomes[0].Status != journal.Opened || outcomes[0].Position.Seq != parts[0].Seq+1) {
		t.Fatalf("%v at %v, behind %+v", outcomes[0].Status, outcomes[0].Position, parts[0])
	}
	return err
}

func anotherBuild() library {
	return newLibrary(strings.Replace(libraryText, "'RELEASE'", "", 1) + "-- another build")
}

// resynced gives a shard what a copy of it has, which was made before its last train: its token, too.
func resynced(t *testing.T, server *local.Server, s *Shard, load string) *Shard {
	t.Helper()
	ctx := t.Context()
	r := clientIn(t, local.Redis(t).Addr, 1)
	linked := func(s *Shard) func() bool {
		return func() bool { role, err := s.Role(ctx); return err == nil && role.Linked }
	}
	must(t, r.Follow(ctx, server.Addr))
	waitFor(t, linked(r))
	must(t, r.Follow(ctx, ""))
	must(t, openNext(t, s))
	token := s.client.HGet(ctx, partsKey, admittedField).Val()
	must(t, s.client.ConfigSet(ctx, "repl-diskless-load", load).Err())
	must(t, s.Follow(ctx, r.Addr()))
	waitFor(t, linked(s))
	must(t, s.Follow(ctx, ""))
	parts, err := s.Parts(ctx)
	must(t, err)
	if got := s.client.HGet(ctx, partsKey, admittedField).Val(); got != token || token == "" || parts[0].Seq != 1 {
		t.Fatalf("it has the token %q, before %q, and is at %+v", got, token, parts[0])
	}
	return s
}

// Whatever a Redis comes back with, library, data and lease, no train runs in it before an admission that this process has
// seen and this data shows.
func TestAdmissionDiesWithProcessAndData(t *testing.T) {
	for what, lose := range map[string]func(t *testing.T, server *local.Server, s *Shard) *Shard{
		"started again with all it had": func(t *testing.T, server *local.Server, s *Shard) *Shard {
			must(t, s.client.Save(t.Context()).Err())
			server.Kill()
			must(t, server.Restart(t.Context()))
			return s
		},
		"a replica that was promoted": func(t *testing.T, server *local.Server, s *Shard) *Shard {
			r := clientIn(t, local.Redis(t).Addr, 1)
			must(t, r.Follow(t.Context(), server.Addr))
			waitFor(t, func() bool { role, err := r.Role(t.Context()); return err == nil && role.Linked })
			if err := openNext(t, r); !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrNotReady) {
				t.Errorf("on a replica: %v", err)
			}
			must(t, r.Follow(t.Context(), ""))
			return r
		},
		"other data in the same process": func(t *testing.T, _ *local.Server, s *Shard) *Shard {
			must(t, s.client.HSet(t.Context(), partsKey, admittedField, "of before").Err())
			return s
		},
		"no data of its own": func(t *testing.T, _ *local.Server, s *Shard) *Shard {
			must(t, s.client.HDel(t.Context(), partsKey, admittedField).Err())
			return s
		},
		"a copy's data in the same process": func(t *testing.T, server *local.Server, s *Shard) *Shard {
			return resynced(t, server, s, "disabled")
		},
		"a copy's data in the same process, which it has loaded beside its own": func(t *testing.T, server *local.Server, s *Shard) *Shard {
			return resynced(t, server, s, "swapdb")
		},
		"its library loaded by somebody": func(t *testing.T, _ *local.Server, s *Shard) *Shard {
			must(t, s.client.Do(t.Context(), "function", "load", "replace", s.admission.library.text).Err())
			return s
		},
		"its library gone": func(t *testing.T, _ *local.Server, s *Shard) *Shard {
			must(t, s.client.Do(t.Context(), "function", "flush", "sync").Err())
			return s
		},
		"stopped by another build": func(t *testing.T, server *local.Server, s *Shard) *Shard {
			other := clientIn(t, server.Addr, 1)
			other.admission.library = anotherBuild()
			if _, err := other.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			return s
		},
		"admitted to another build": func(t *testing.T, server *local.Server, s *Shard) *Shard {
			must(t, s.client.Do(t.Context(), "function", "load", anotherBuild().text).Err())
			must(t, s.client.Do(t.Context(), "fcall", anotherBuild().admit, 1, partsKey, epochWord(1),
				appendU56(nil, forever), "its token").Err())
			return s
		},
	} {
		t.Run(what, func(t *testing.T) {
			server := local.Redis(t)
			s := lose(t, server, admittedShard(t, server.Addr))
			if err := openNext(t, s); !errors.Is(err, ErrNotReady) || !NothingMoved(err) {
				t.Errorf("a train: %v", err)
			}
			if look, err := s.Look(t.Context(), 1); err != nil || look.Admitted {
				t.Errorf("%+v, %v", look, err)
			}
			must(t, s.Admit(t.Context(), 1, forever))
			must(t, openNext(t, s))
			if look, err := s.Look(t.Context(), 1); err != nil || !look.Admitted {
				t.Errorf("admitted again: %+v, %v", look, err)
			}
		})
	}
}

// A full Redis that has no library of this build runs trains as scripts, under the same rules, until it is admitted with room.
func TestAdmitWithoutRoomForTheLibrary(t *testing.T) {
	b := newTeller(t)
	b.read(`open A -> opened`)
	must(t, b.s.client.Do(t.Context(), "function", "flush", "sync").Err())
	b.set("maxmemory", "1")
	if _, err := b.s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Run(t.Context(), b.train("open B")); !errors.Is(err, ErrNotReady) {
		t.Errorf("stopped: %v", err)
	}
	must(t, b.s.Admit(t.Context(), 0, forever))
	b.read(`deliver 0 5 A 7 -> delivered`)
	if _, err := b.s.Run(t.Context(), b.train("open B")); !errors.Is(err, ErrOutOfMemory) {
		t.Errorf("a row that needs memory: %v", err)
	}
	if look, err := b.s.Look(t.Context(), 0); err != nil || !look.Admitted {
		t.Errorf("%+v, %v", look, err)
	}
	b.set("maxmemory", "0")
	b.read(`open B -> opened`)
	must(t, b.s.client.Do(t.Context(), "function", "load", b.s.admission.library.text).Err()) // by a keeper that was overtaken
	if _, err := b.s.Run(t.Context(), b.train("open C")); !errors.Is(err, ErrNotReady) {
		t.Errorf("a library that was told nothing: %v", err)
	}
	if look, err := b.s.Look(t.Context(), 0); err != nil || look.Admitted {
		t.Errorf("a library that was told nothing: %+v, %v", look, err)
	}
	if was, err := b.s.Stop(t.Context(), 0); err != nil || !was {
		t.Error(was, err)
	}
	if _, err := b.s.Run(t.Context(), b.train("open C")); !errors.Is(err, ErrNotReady) {
		t.Errorf("stopped again: %v", err)
	}
	must(t, b.s.Admit(t.Context(), 0, forever))
	b.read(`open C -> opened`)
	names := b.s.client.Do(t.Context(), "function", "list").String()
	if !strings.Contains(names, b.s.admission.library.name) {
		t.Errorf("with room it has %s", names)
	}
}
