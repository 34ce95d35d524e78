package shardrouter

import (
	"context"
	"errors"
	"fmt"
)

// Presence is who has a session with ZooKeeper in a cluster's name.
type Presence struct {
	Gateways []string
	Keepers  map[string]int // by shard: those that stand for it, the one that leads included
}

// ReadPresence answers who is there, for operators. Errors: ErrInvalid (the name), ErrNoNode, ErrUnavailable.
func ReadPresence(ctx context.Context, conn *Conn, cluster string) (Presence, error) {
	p, err := pathsOf(cluster)
	if err != nil {
		return Presence{}, err
	}
	who := Presence{Keepers: map[string]int{}}
	if who.Gateways, err = conn.children(ctx, p.gateways()); err != nil {
		return who, fmt.Errorf("read the gateways of cluster %s: %w", cluster, err)
	}
	shards, err := conn.children(ctx, p.keepers())
	if err != nil {
		return who, fmt.Errorf("read the keepers of cluster %s: %w", cluster, err)
	}
	for _, shard := range shards {
		standing, err := conn.children(ctx, p.keeper(shard))
		if err != nil && !errors.Is(err, ErrNoNode) {
			return who, fmt.Errorf("read the keepers of shard %s: %w", shard, err)
		}
		who.Keepers[shard] = len(standing)
	}
	return who, nil
}

// ReadMap answers the cluster's map as it is now, for operators.
func ReadMap(ctx context.Context, conn *Conn, cluster string) (*Map, error) {
	z, err := NewZooKeeper(conn, cluster)
	if err != nil {
		return nil, err
	}
	m, _, err := z.readMap(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the map of cluster %s: %w", cluster, err)
	}
	return m, nil
}

// SavedMap reads the map in what a Static was given to persist, for operators. Errors: ErrInvalid.
func SavedMap(state []byte) (*Map, error) {
	s := &Static{persist: func([]byte) error { return nil }, moves: map[int]Move{}}
	if err := s.load(state); err != nil {
		return nil, fmt.Errorf("saved map: %w", err)
	}
	return s.Current(), nil
}
