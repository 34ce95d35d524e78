// Package client is the wallet's Go client: transfers, reservations and balances over one WebSocket session (Client),
// accounts, look-ups and statements over HTTP (REST).
//
//	callers ──Transfer, Batch, Post──> table of commands ──one writer──> frames ──> gateway
//	                                    │  ▲     ▲                                     │
//	                                    │  │     └── lost connection: sent again, same key
//	                                    │  └──────── refused for now: later, same key  │
//	callers <──Result, error────────────┘<──────one reader, replies by id──────────────┘
//
// Many commands share one connection: while a frame is on its way the next collects, and replies come in any order.
//
// What it guarantees: a command has one key from the call to its outcome, made by the client where the caller gives
// none, so that however often it has to be sent it happens at most once. What a call returns is what is known:
//
//	nil             it happened, and survives every single fault
//	*RefusedError   it was refused and never happens under this key; nothing moved (Retryable: gave up asking)
//	*UnknownError   it may have happened: look it up, or repeat it with the UnknownError's Key, never with a new one
//	anything else   it was never sent
//
// Connections that are lost are made again with a jittered backoff; close codes from 4500 end the client for good.
// Everything is bounded: commands in flight (Config.InFlight), frames (1 MiB), calls (their context, or Config.Timeout),
// silence of the gateway (Config.Silence). Close leaves no goroutine behind.
//
// A complete program:
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
//	defer stop()
//	wallet, err := client.Dial(ctx, client.Config{URL: "http://127.0.0.1:8080", Token: os.Getenv("WALLET_TOKEN")})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer wallet.Close()
//
//	result, err := wallet.Transfer(ctx, client.Transfer{
//		Key: "order-42", From: "alice", To: "bob", Amount: 1250, Asset: "USD", // 12.50
//	})
//	var refused *client.RefusedError
//	var unknown *client.UnknownError
//	switch {
//	case err == nil:
//		log.Printf("paid: %s at %s", result.ID.Text(journal.TransferPrefix), result.Position)
//	case errors.As(err, &refused) && refused.Code == "insufficient_funds":
//		log.Printf("alice is %d cents short", refused.Needed)
//	case errors.As(err, &unknown):
//		log.Printf("ask again with key %s: %v", unknown.Key, err)
//	default:
//		log.Print(err)
//	}
//
// A load generator posts without waiting and without a goroutine a command: Post, Flush, Done.
package client
