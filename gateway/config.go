package gateway

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"walletd/gateway/push"
	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/journal/rows"
)

// Config is what a gateway is made of. Zero durations and counts take the defaults of withDefaults.
type Config struct {
	Assets     journal.Assets
	Partitions int
	Shards     rows.Shards
	Reads      http.Handler // the routes of NewReads: local, or a proxy to a projector
	Past       tcc.Past     // keys that shards have evicted; nil: they are answered projection_behind
	Feed       push.Feed    // what happens to accounts; nil: subscribe is not served
	Logger     *slog.Logger
	Metrics    *Metrics

	Token   string   // bearer token that every request must carry; empty: everyone may do everything
	Admin   string   // address of the operators' listener, told by GET /version
	Origins []string // allowed Origin headers besides the gateway's own host; "*" allows all

	MaxInFlight    int           // acts a WebSocket session may have under way
	OutboundMax    int           // bytes of replies a session may have unsent before it is cut as a slow consumer
	PushesMax      int           // bytes of pushes a session may have unsent before it is
	UnsentMax      int           // bytes of pushes of all sessions together, above which those that are behind are
	ChannelsMax    int           // subscriptions of a session
	PingEvery      time.Duration // {} from the server
	ConnectTimeout time.Duration // for the first message of a session
	ActTimeout     time.Duration // REST: how long a request waits for its outcome
	WriteTimeout   time.Duration // one WebSocket frame
}

func (c *Config) withDefaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.PingEvery, 25*time.Second)
	set(&c.ConnectTimeout, 10*time.Second)
	set(&c.ActTimeout, 15*time.Second)
	set(&c.WriteTimeout, 10*time.Second)
	count := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	count(&c.MaxInFlight, 4096)
	count(&c.OutboundMax, 8<<20)
	count(&c.PushesMax, 1<<20)
	count(&c.UnsentMax, 256<<20)
	count(&c.ChannelsMax, 1000)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
}

// validate reports every problem at once.
func (c *Config) validate() error {
	var errs []error
	if len(c.Assets) == 0 {
		errs = append(errs, errors.New("gateway: no assets"))
	}
	if c.Partitions < 1 || c.Partitions > 1024 {
		errs = append(errs, errors.New("gateway: partitions must be 1 to 1024"))
	}
	if c.Shards == nil {
		errs = append(errs, errors.New("gateway: no shards"))
	}
	if c.Reads == nil {
		errs = append(errs, errors.New("gateway: nobody serves the projection's routes"))
	}
	return errors.Join(errs...)
}
