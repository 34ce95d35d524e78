// Package walletd is the single binary: it knows every room of the house and puts them together, one file per role or
// family of commands.
//
//	root.go       the command tree, exit codes, output formats
//	config.go     flag > WALLETD_… > YAML > default; unknown keys are errors
//	dev.go        walletd dev: everything on this machine, over real redis-server children and the file journal
//	roles.go      walletd gateway | keeper | projector | all: the same parts against ZooKeeper, Kafka and Redis
//	node.go       one process's parts: created, wired, opened, awaited, stopped in reverse
//	admin.go      the operators' listener
//	cluster.go    walletd cluster init | up
//	rival*.go     what the wallet is compared with, behind its own front (docs/rivals.md)
//	cmd_*.go      the commands that talk to a wallet or read its journal
package walletd
