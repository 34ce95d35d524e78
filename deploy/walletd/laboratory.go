package walletd

import (
	"net/http"

	"walletd/gateway"
	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/projector"
	"walletd/projector/reconcile"
	"walletd/projector/snapshot"
	"walletd/projector/view"
	"walletd/shardrouter"
	"walletd/shardrouter/keeper"
)

// What a fault laboratory needs to put a wallet together by itself, part by part, in its own process.

// ReadsOf are the projection's routes over a view and its projector.
func ReadsOf(v *view.View, assets journal.Assets, p *projector.Projector) http.Handler {
	return gateway.NewReads(&projection{view: v, assets: assets, folds: p}, v.Partitions())
}

// PastOf answers gateways what a view knows of keys that shards have evicted.
func PastOf(v *view.View) tcc.Past { return viewPast{v} }

// ShardsOf dumps the shards of a map for an audit.
func ShardsOf(source shardrouter.Source, partitions int) reconcile.Shards {
	return liveShards{&node{source: source, cfg: nodeConfig{partitions: partitions}}}
}

// BeginningsOf hands the snapshots of a shelf to keepers.
func BeginningsOf(shelf *snapshot.Shelf) keeper.Snapshots { return beginnings{shelf} }
