package luascripts

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Why a shard did not answer. All but ErrUnknown and ErrBadReply say that nothing has happened and nothing will.
var (
	// ErrNotSent: no byte of the train left this process: no connection, none free in time, or the context was over.
	ErrNotSent = errors.New("not sent")
	// ErrOutOfMemory: Redis is at its maxmemory. A train that only releases money would have run (Train.Releases).
	ErrOutOfMemory = errors.New("shard out of memory")
	// ErrReadOnly: it is a replica, or became one.
	ErrReadOnly = errors.New("shard is read-only")
	// ErrBusy: another script runs there for too long.
	ErrBusy = errors.New("shard is busy")
	// ErrNotReady: it refuses for now: it loads its data, misses its primary or its replicas, does not know us, or admits no
	// train in this epoch.
	ErrNotReady = errors.New("shard is not ready")

	errNoLibrary = fmt.Errorf("%w: it has no library", ErrNotReady)

	// ErrUnknown: bytes may have left and no answer came. The train may have run, or may still run.
	ErrUnknown = errors.New("outcome unknown")
	// ErrBadReply: the shard answered what this build does not understand. The train has run.
	ErrBadReply = errors.New("bad reply")
)

// NothingMoved reports whether err says that the shard did not run the call and never will.
func NothingMoved(err error) bool {
	for _, e := range []error{ErrNotSent, ErrOutOfMemory, ErrReadOnly, ErrBusy, ErrNotReady} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refusals are the words with which Redis refuses a script before it starts.
var refusals = []struct {
	prefix string
	err    error
}{
	{"OOM ", ErrOutOfMemory},
	{"READONLY ", ErrReadOnly},
	{"BUSY ", ErrBusy},
	{"LOADING ", ErrNotReady},
	{"MASTERDOWN ", ErrNotReady},
	{"NOREPLICAS ", ErrNotReady},
	{"MISCONF ", ErrNotReady},
	{"NOAUTH ", ErrNotReady},
	{"NOPERM ", ErrNotReady},
	{"NOSCRIPT ", ErrNotReady},
	{"NOTREADY ", ErrNotReady}, // library.lua
	{"ERR Function not found", errNoLibrary},
}

// translate gives the client's error one of our meanings. sent: the command may have left this process.
// An error that a running script raised names its place ("script: …") and is unknown, whatever its first word is.
func translate(err error, sent bool) error {
	if err == nil {
		return nil
	}
	if !sent {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	if refused := refusal(err); refused != nil {
		return fmt.Errorf("%w: %w", refused, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// refusal is what the words say with which Redis refuses a call before it starts; nil for anything else.
func refusal(err error) error {
	var said redis.Error
	if !errors.As(err, &said) || strings.Contains(said.Error(), "script: ") {
		return nil
	}
	for _, r := range refusals {
		if strings.HasPrefix(said.Error(), r.prefix) {
			return r.err
		}
	}
	return nil
}
