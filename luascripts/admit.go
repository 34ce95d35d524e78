package luascripts

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Trains are fenced by something that dies with the Redis process: its script cache. The text of the train's scripts names an
// epoch, a client sends their SHA and never the text, and only a keeper loads them, once, before the map shows its epoch. So
// a Redis that was started again, a replica that was promoted, or one whose scripts somebody flushed runs no train, whatever
// data it came back with, until a keeper has compared or rebuilt it and admitted trains in an epoch of its own.
//
// What is asked and done together goes over one connection, so in one process; not as a transaction, which a full Redis refuses.
// SCRIPT LOAD, not EVAL: newer Redis evicts what EVAL has cached. Redis 7 neither saves nor replicates scripts.

// trainFiles are in the order in which they need one another. A function may use 60 names from outside: two groups.
var trainFiles = []string{
	"state.lua", "answers.lua", "window.lua", "slices.lua", "reservations.lua", "suspense.lua",
	groupPrefix + "acts/open.lua acts/alter.lua acts/read.lua acts/check.lua acts/transfer.lua acts/pay.lua",
	groupPrefix + "acts/reserve.lua acts/confirm.lua acts/cancel.lua acts/expire.lua acts/look.lua",
	"acts/deliver.lua", "acts/evict.lua",
	"train.lua",
}

var trainText = assemble("", trainFiles...)

// admission is what runs trains in one epoch: for all of them, and for those that only release money.
// mark only says that the epoch began in this process: partitions that joined later have epochs of their own, which no train names.
type admission struct{ train, release, mark script }

func admissionIn(epoch uint32) admission {
	text := fmt.Sprintf("\n-- epoch %d", epoch) + plant(trainText)
	return admission{newScript("#!lua" + text), newScript("#!lua" + releaseFlags() + text), markOf(epoch)}
}

func markOf(epoch uint32) script {
	return newScript(fmt.Sprintf("#!lua\n-- epoch %d\nreturn %d", epoch, epoch))
}

// Admit lets trains run that clients send in this epoch (Config.Epoch), until then in the shard's clock, ms since 1970, whatever
// lease was there: Lease makes that longer. A keeper calls it when the shard is as the log says and the partitions are in its epoch, before the map shows
// that epoch, and never again: a shard that has lost the scripts (Look) has lost more.
// ErrOvertaken: a keeper of a higher epoch has admitted trains.
func (s *Shard) Admit(ctx context.Context, epoch uint32, untilMS int64) error {
	a := admissionIn(epoch)
	var first *redis.Cmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ScriptLoad(ctx, a.train.text)
		p.ScriptLoad(ctx, a.release.text)
		p.ScriptLoad(ctx, a.mark.text)
		first = p.Eval(ctx, admitScript.text, []string{partsKey}, epochWord(epoch), appendU56(nil, uint64(untilMS)))
		return nil
	})
	if err == nil {
		err = overtaken(first.Int())
	}
	return s.fault("admit trains to", err)
}

// Stop lets no train run any more, of any epoch, until Admit. It answers whether all the given epochs, of partitions, were
// admitted until then (Admit, Loading.Serve, Thaw): if so, the Redis process is the one in which those epochs began, with all that they did.
func (s *Shard) Stop(ctx context.Context, epochs ...uint32) (admitted bool, err error) {
	var exist *redis.BoolSliceCmd
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		exist = marksOf(ctx, p, epochs)
		p.Do(ctx, "script", "flush", "sync")
		return nil
	})
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
	var role *redis.Cmd
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		parts, exist, role = p.HGetAll(ctx, partsKey), p.ScriptExists(ctx, shasOf(epoch)...), p.Do(ctx, "role")
		return nil
	})
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
	l.Admitted, l.Primary = all(exist), words[0] == "master"
	return l, nil
}

// shasOf are those of an epoch's scripts.
func shasOf(epoch uint32) []string {
	a := admissionIn(epoch)
	return []string{a.train.sha, a.release.sha, a.mark.sha}
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
