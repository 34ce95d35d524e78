package walletd

import (
	"context"
	"errors"

	"walletd/gateway/push"
	"walletd/journal/public"
	"walletd/projector/watch"
)

// localFeed hands what this process's projector folds to its gateway's subscribers.
type localFeed struct{ watches *watch.Watch }

var _ push.Feed = localFeed{}

// Watch implements push.Feed, as the methods below do.
func (f localFeed) Watch(account string, to push.Sink) error { return f.watches.Watch(account, to) }

func (f localFeed) Unwatch(account string, to push.Sink) { f.watches.Unwatch(account, to) }

func (f localFeed) Since(ctx context.Context, account string, version uint64, limit int) ([]public.News, error) {
	news, err := f.watches.Since(ctx, account, version, limit)
	if errors.Is(err, watch.ErrTooMany) {
		return nil, errors.Join(push.ErrTooMany, err)
	}
	return news, err
}
