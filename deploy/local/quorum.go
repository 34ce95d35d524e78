package local

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

func checkQuorum(n int) error {
	if n < 1 || n > 9 {
		return fmt.Errorf("a quorum of %d: it must be 1 to 9", n)
	}
	return nil
}

// threePorts draws three free ports.
func threePorts() (a, b, c int, err error) {
	var ports [3]int
	for i := range ports {
		if ports[i], err = FreePort(); err != nil {
			return 0, 0, 0, err
		}
	}
	return ports[0], ports[1], ports[2], nil
}

// startAll starts the n nodes of a quorum side by side (none serves before most of them
// run). On an error those that came up are killed.
func startAll(ctx context.Context, n int, start func(ctx context.Context, i int) (*Server, error)) ([]*Server, error) {
	servers := make([]*Server, n)
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() (err error) {
			servers[i], err = start(ctx, i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		killAll(servers)
		return nil, err
	}
	return servers, nil
}

func killAll(servers []*Server) {
	for _, s := range servers {
		if s != nil {
			s.Kill()
		}
	}
}
