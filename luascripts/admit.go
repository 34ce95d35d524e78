package luascripts

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Trains are fenced by something that dies with the Redis process, and by something that dies with its data. They are functions of
// a library that stays in the process, and which runs none until a keeper admits them: it tells the library a token, and writes
// the same token to the parts. A Redis that was started again and a replica that was promoted may have the library, but no
// token in it; one that got other data has another token there, or none. So whatever data it came back with, it runs no train
// until a keeper has compared or rebuilt it and admitted trains in an epoch of its own. A train names the epoch, as the token does.
//
// That an epoch began in this process (its mark) and which keeper's scripts may run is the script cache's to know, which Redis 7
// neither saves nor replicates. What is asked and done together goes over one connection, so in one process; not as a
// transaction, which a full Redis refuses.
//
// A full Redis refuses a library, too: where it has none of this build yet, trains run as scripts of their own until the next
// admission (once.lua). Their text names the epoch, clients send the SHA and never the text, and only a keeper loads them: SCRIPT
// LOAD, not EVAL, because newer Redis evicts what EVAL has cached.

// trainFiles are in the order in which they need one another. A function may use 60 names from outside: two groups.
var trainFiles = []string{
	"state.lua", "answers.lua", "window.lua", "slices.lua", "reservations.lua", "suspense.lua",
	groupPrefix + "acts/open.lua acts/alter.lua acts/read.lua acts/check.lua acts/transfer.lua acts/pay.lua",
	groupPrefix + "acts/reserve.lua acts/confirm.lua acts/cancel.lua acts/expire.lua acts/look.lua",
	"acts/deliver.lua", "acts/evict.lua",
	"arrive.lua", "read.lua", "readkeys.lua", "decide.lua", "write.lua", "train.lua",
}

var (
	onceText = assemble("", slices.Concat(trainFiles, []string{"once.lua"})...)
	// Where a library is loaded it does not see what functions see: the train is built when it runs first.
	libraryText = "local function build()\n" + assemble("", trainFiles...) + "return train\nend\n" + assemble("", "admit.lua", "library.lua")
)

// library is the train's functions, as Redis keeps them under its name. Another build's has another name.
type library struct {
	text                                    string
	name                                    string
	train, release, admit, admitted, forget string
}

func newLibrary(text string) library {
	sum := sha1.Sum([]byte(text))
	name := fmt.Sprintf("%s%x", libraryPrefix, sum[:8])
	return library{
		text: "#!lua name=" + name + "\n" + strings.ReplaceAll(text, "NAME_", name+"_"), name: name,
		train: name + "_train", release: name + "_release", admit: name + "_admit", admitted: name + "_admitted", forget: name + "_forget",
	}
}

const libraryPrefix = "walletd_"

// admission is what runs trains in one epoch: the library, or the train as scripts, for all rows and for those that only release
// money. mark only says that the epoch began in this process: partitions that joined later have epochs of their own, which no
// train names.
type admission struct {
	library
	once, onceRelease, mark script
}

func admissionIn(epoch uint32) admission {
	text := fmt.Sprintf("\n-- epoch %d", epoch) + plant(onceText)
	return admission{
		library: newLibrary(strings.Replace(plant(libraryText), "'RELEASE'", releaseFlags(), 1)),
		once:    newScript("#!lua" + text), onceRelease: newScript("#!lua flags=" + strings.Trim(releaseFlags(), "'") + text), mark: markOf(epoch),
	}
}

// recordsForm is the form of what trains leave in the outbox: a shard that ran another build's trains is rebuilt.
const recordsForm = 2

func markOf(epoch uint32) script {
	return newScript(fmt.Sprintf("#!lua\n-- epoch %d, form %d\nreturn %d", epoch, recordsForm, epoch))
}

// Admit lets trains run that clients send in this epoch (Config.Epoch), until then in the shard's clock, ms since 1970, whatever
// lease was there: Lease makes that longer. A keeper calls it when the shard is as the log says and the partitions are in its epoch, before the map shows
// that epoch, and never again: a shard that has lost the admission (Look) has lost more.
// ErrOvertaken: a keeper of a higher epoch has admitted trains.
func (s *Shard) Admit(ctx context.Context, epoch uint32, untilMS int64) error {
	a := admissionIn(epoch)
	until := appendU56(nil, uint64(untilMS))
	var load, admit *redis.Cmd
	var mark *redis.StringCmd
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each error is looked at below
		load = p.Do(ctx, "function", "load", a.library.text) // an error, too, when it is there already
		mark = p.ScriptLoad(ctx, a.mark.text)
		admit = p.Do(ctx, "fcall", a.admit, 1, partsKey, epochWord(epoch), until, rand.Text())
		return nil
	})
	err := errors.Join(mark.Err(), admit.Err())
	switch {
	case err == nil:
		if err = overtaken(admit.Int()); err == nil {
			s.dropLibraries(ctx, a.library.name)
		}
	case redis.HasErrorPrefix(load.Err(), "OOM") && errors.Is(refusal(admit.Err()), errNoLibrary):
		err = s.admitOnce(ctx, a, epoch, until)
	case errors.Is(refusal(admit.Err()), errNoLibrary):
		err = errors.Join(err, load.Err())
	}
	return s.fault("admit trains to", err)
}

// dropLibraries removes those of other builds. They are admitted nothing any more and only take room: an error is not worth one.
func (s *Shard) dropLibraries(ctx context.Context, but string) {
	libraries, err := s.client.FunctionList(ctx, redis.FunctionListQuery{LibraryNamePattern: libraryPrefix + "*"}).Result()
	for _, l := range libraries {
		if err == nil && l.Name != but {
			err = s.client.FunctionDelete(ctx, l.Name).Err()
		}
	}
}

// admitOnce admits trains to a shard that has no room for the library.
func (s *Shard) admitOnce(ctx context.Context, a admission, epoch uint32, until []byte) error {
	var first *redis.Cmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, sc := range []script{a.once, a.onceRelease, a.mark} {
			p.ScriptLoad(ctx, sc.text)
		}
		first = p.Eval(ctx, admitScript.text, []string{partsKey}, epochWord(epoch), until)
		return nil
	})
	if err == nil {
		err = overtaken(first.Int())
	}
	return err
}

// Stop lets no train run any more, of any epoch, until Admit. It answers whether all the given epochs, of partitions, were
// admitted until then (Admit, Loading.Serve, Thaw): if so, the Redis process is the one in which those epochs began, with all that they did.
func (s *Shard) Stop(ctx context.Context, epochs ...uint32) (admitted bool, err error) {
	var exist *redis.BoolSliceCmd
	var flush, stop *redis.Cmd
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each error is looked at below
		exist = marksOf(ctx, p, epochs)
		flush = p.Do(ctx, "script", "flush", "sync")
		stop = p.Eval(ctx, stopScript.text, []string{partsKey})
		p.Do(ctx, "fcall", s.admission.forget, 0) // only where this build has a library there; the parts tell them all
		return nil
	})
	err = flush.Err()
	if err == nil && !redis.HasErrorPrefix(stop.Err(), "READONLY") { // a replica runs no train, and its primary's parts become its own
		err = stop.Err()
	}
	if err == nil && exist != nil {
		err = exist.Err()
	}
	if err != nil {
		return false, s.fault("stop trains to", err)
	}
	return all(exist), nil
}

// Look is what a keeper sees of the shard that it serves.
type Look struct {
	Parts    map[int]Part
	Keeper   uint32 // the epoch of the keeper that admitted trains last; 0: the shard knows of none
	Admitted bool   // trains of the epoch may run
	Primary  bool   // it is no replica
}

// Look looks at a shard that is served in an epoch.
func (s *Shard) Look(ctx context.Context, epoch uint32) (l Look, err error) {
	var parts *redis.MapStringStringCmd
	var exist *redis.BoolSliceCmd
	var role, runs *redis.Cmd
	a := admissionIn(epoch)
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		parts, exist = p.HGetAll(ctx, partsKey), p.ScriptExists(ctx, a.mark.sha, a.once.sha, a.onceRelease.sha)
		role, runs = p.Do(ctx, "role"), p.Do(ctx, "fcall", a.admitted, 1, partsKey, epochWord(epoch))
		return nil
	})
	if errors.Is(refusal(runs.Err()), errNoLibrary) {
		err = errors.Join(parts.Err(), exist.Err(), role.Err())
	}
	if err != nil {
		return l, s.fault("look at", err)
	}
	if l.Parts, err = parseParts(parts.Val()); err != nil {
		return l, s.fault("look at", err)
	}
	if keeper := parts.Val()[keeperField]; len(keeper) == len(epochWord(0)) {
		l.Keeper = binary.BigEndian.Uint32([]byte(keeper))
	}
	words, err := role.Slice()
	if err != nil || len(words) == 0 {
		return l, s.fault("look at", fmt.Errorf("%w: role %v: %w", ErrBadReply, words, err))
	}
	by, _ := runs.Int()                                     // an error is none
	loaded := !errors.Is(refusal(runs.Err()), errNoLibrary) // trains ask it first, whoever loaded it
	l.Admitted = exist.Val()[0] && (by == 1 || !loaded && exist.Val()[1] && exist.Val()[2])
	l.Primary = words[0] == "master"
	return l, nil
}

// marksOf asks for the marks of epochs; of no epoch, for none.
func marksOf(ctx context.Context, p redis.Pipeliner, epochs []uint32) *redis.BoolSliceCmd {
	if len(epochs) == 0 {
		return nil
	}
	var shas []string
	for _, e := range epochs {
		shas = append(shas, markOf(e).sha)
	}
	return p.ScriptExists(ctx, shas...)
}

func all(exist *redis.BoolSliceCmd) bool {
	if exist == nil {
		return false
	}
	for _, is := range exist.Val() {
		if !is {
			return false
		}
	}
	return true
}
