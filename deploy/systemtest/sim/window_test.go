package sim

import (
	"context"
	"errors"

	"walletd/journal"
	"walletd/luascripts"
)

// Keys are kept for ever here (keeper.Config.KeyWindow): nobody asks for what follows.
var errNoWindow = errors.New("no keys are evicted here")

func (s *shardClient) Window(context.Context) (luascripts.Window, error) {
	return luascripts.Window{}, errNoWindow
}

func (s *shardClient) CloseSlices(context.Context, uint32) error { return errNoWindow }

func (s *shardClient) ReadSlice(context.Context, int64, uint64) ([]journal.ID, uint64, error) {
	return nil, 0, errNoWindow
}

func (s *shardClient) AddToFilter(context.Context, uint32, map[luascripts.FilterPlace]*journal.FilterBlock) error {
	return errNoWindow
}

func (s *shardClient) Seal(context.Context, uint32, int64) error { return errNoWindow }

func (s *shardClient) DropSlice(context.Context, uint32, int64) (int64, error) { return 0, errNoWindow }

func (s *shardClient) Sweep(context.Context, uint32, int, uint64, func(int) int64) (int, uint64, error) {
	return 0, 0, errNoWindow
}

func (s *shardClient) Held(context.Context, int) (luascripts.Held, error) {
	return luascripts.Held{}, errNoWindow
}
