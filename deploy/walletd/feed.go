package walletd

import (
	"context"
	"errors"
	"net/url"

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

// linkURL is where a projector answers gateways' links.
func linkURL(projector *url.URL) string {
	u := *projector
	u.Scheme = map[string]string{"https": "wss"}[u.Scheme]
	if u.Scheme == "" {
		u.Scheme = "ws"
	}
	return u.JoinPath(push.LinkPath).String()
}
