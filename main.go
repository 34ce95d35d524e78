// walletd is a digital wallet: transfers over WebSocket, balances over REST, a journal that everything can be rebuilt from.
package main

import (
	"os"

	"walletd/deploy/walletd"
)

func main() { os.Exit(walletd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
