package shardrouter

import (
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"
)

// Faults of this package. They are wrapped with the operation: compare with
// errors.Is.
var (
	// ErrInvalid: a map, a configuration or a name that breaks its own rules.
	ErrInvalid = errors.New("invalid")
	// ErrNoNode: the znode does not exist; for the map and the configuration this
	// means that the cluster has not been initialised.
	ErrNoNode = errors.New("node does not exist")
	// ErrNodeExists: the znode exists already.
	ErrNodeExists = errors.New("node exists already")
	// ErrVersion: somebody else was faster, the compare-and-set did nothing.
	ErrVersion = errors.New("version has changed")
	// ErrNoAuth: the credential does not allow it.
	ErrNoAuth = errors.New("not authorised")
	// ErrUnavailable: no answer from ZooKeeper in time. After a write the outcome is
	// unknown: it may have happened, or happen yet. Every write of this package can
	// be repeated.
	ErrUnavailable = errors.New("zookeeper unavailable")
	// ErrClosed: the connection has been closed by its owner.
	ErrClosed = errors.New("connection closed")
	// ErrDeposed: the map shows a higher epoch than the one published with. The
	// keeper has been replaced and steps down.
	ErrDeposed = errors.New("deposed")
	// ErrUnknownShard: the map has no such shard.
	ErrUnknownShard = errors.New("unknown shard")
	// ErrMismatch: the cluster was created with another configuration.
	ErrMismatch = errors.New("configuration differs from the cluster's")
	// ErrWorldWritable: anybody may change the cluster's nodes.
	ErrWorldWritable = errors.New("writable by the world")

	// ErrSessionLost: the session, or the election node in it, is gone.
	ErrSessionLost = errors.New("session lost")
	// ErrResigned: the leader gave it up himself.
	ErrResigned = errors.New("resigned")
)

// translate turns an error of the client library into one of ours. What is left
// as it is are faults of the program (an invalid path, say).
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, zk.ErrNoNode):
		return ErrNoNode
	case errors.Is(err, zk.ErrNodeExists):
		return ErrNodeExists
	case errors.Is(err, zk.ErrBadVersion):
		return ErrVersion
	case errors.Is(err, zk.ErrNoAuth):
		return ErrNoAuth
	case errors.Is(err, zk.ErrInvalidPath), errors.Is(err, zk.ErrInvalidACL), errors.Is(err, zk.ErrInvalidFlags),
		errors.Is(err, zk.ErrBadArguments), errors.Is(err, zk.ErrNotEmpty), errors.Is(err, zk.ErrNoChildrenForEphemerals):
		return err
	default:
		// Closed and moved connections, expired sessions, socket errors, codes that
		// the library does not know: whether the call took effect is unknown. Only the
		// text is kept, foreign errors end here.
		return fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
}

// answered tells whether a translated error is an answer of a living server.
func answered(err error) bool {
	return err == nil || errors.Is(err, ErrNoNode) || errors.Is(err, ErrNodeExists) ||
		errors.Is(err, ErrVersion) || errors.Is(err, ErrNoAuth)
}
