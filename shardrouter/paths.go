package shardrouter

import (
	"fmt"
	"strconv"
)

// Every znode of a cluster (surface.md "ZooKeeper"):
//
//	/wallet/<cluster>                 the chroot
//	/wallet/<cluster>/config          Config; written once
//	/wallet/<cluster>/map             Map
//	/wallet/<cluster>/shards          the highest epoch ever given in the cluster
//	/wallet/<cluster>/shards/<s>      Shard, with the highest epoch ever given to it
//	/wallet/<cluster>/keepers/<s>/…   election, ephemeral and sequential
//	/wallet/<cluster>/gateways/<id>   ephemeral
//	/wallet/<cluster>/moves/<p>       a partition on its way to another shard
type paths struct{ root string }

const walletPath = "/wallet"

func pathsOf(cluster string) (paths, error) {
	if !validName(cluster, nameBytesMax) {
		return paths{}, fmt.Errorf("%w cluster name %q: 1 to %d of A-Z a-z 0-9 . _ -, first a letter or digit", ErrInvalid, cluster, nameBytesMax)
	}
	return paths{root: walletPath + "/" + cluster}, nil
}

func (p paths) config() string             { return p.root + "/config" }
func (p paths) clusterMap() string         { return p.root + "/map" }
func (p paths) shards() string             { return p.root + "/shards" }
func (p paths) shard(id string) string     { return p.shards() + "/" + id }
func (p paths) keepers() string            { return p.root + "/keepers" }
func (p paths) keeper(shard string) string { return p.keepers() + "/" + shard }
func (p paths) gateways() string           { return p.root + "/gateways" }
func (p paths) gateway(id string) string   { return p.gateways() + "/" + id }
func (p paths) moves() string              { return p.root + "/moves" }
func (p paths) move(partition int) string  { return p.moves() + "/" + strconv.Itoa(partition) }

// dirs are the nodes without data that Init makes.
func (p paths) dirs() []string {
	return []string{walletPath, p.root, p.keepers(), p.gateways(), p.moves()}
}
