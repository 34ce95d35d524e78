package luascripts

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// Role is what a Redis is to others.
type Role struct {
	Primary bool
	Of      string // a replica: its primary, host:port
	Linked  bool   // a replica: it has its primary's data, and gets what is new
}

// Role asks for it.
func (s *Shard) Role(ctx context.Context) (Role, error) {
	words, err := s.client.Do(ctx, "role").Slice()
	if err != nil {
		return Role{}, s.fault("ask for the role of", err)
	}
	if len(words) > 0 && words[0] == "master" {
		return Role{Primary: true}, nil
	}
	if len(words) >= 4 && words[0] == "slave" {
		host, ok := words[1].(string)
		port, isPort := words[2].(int64)
		state, isState := words[3].(string)
		if ok && isPort && isState {
			return Role{Of: net.JoinHostPort(host, strconv.FormatInt(port, 10)), Linked: state == "connected"}, nil
		}
	}
	return Role{}, s.fault("ask for the role of", fmt.Errorf("%w: role %v", ErrBadReply, words))
}

// Follow makes it a replica of the Redis at an address, whose data replaces its own; "" makes it a primary, with the data that
// it has. A replica runs no train: it was admitted none, and Redis refuses it.
func (s *Shard) Follow(ctx context.Context, primary string) error {
	host, port := "NO", "ONE"
	if primary != "" {
		var err error
		if host, port, err = net.SplitHostPort(primary); err != nil {
			return s.fault("replicate to", err)
		}
	}
	return s.fault("replicate to", s.client.ReplicaOf(ctx, host, port).Err())
}
