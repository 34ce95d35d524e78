package client_test

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"

	"walletd/gateway/client"
	"walletd/journal"
)

// The program of the package's documentation, compiled.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	wallet, err := client.Dial(ctx, client.Config{URL: "http://127.0.0.1:8080", Token: os.Getenv("WALLET_TOKEN")})
	if err != nil {
		log.Print(err)
		return
	}
	defer wallet.Close()

	result, err := wallet.Transfer(ctx, client.Transfer{
		Key: "order-42", From: "alice", To: "bob", Amount: 1250, Asset: "USD", // 12.50
	})
	var refused *client.RefusedError
	var unknown *client.UnknownError
	switch {
	case err == nil:
		log.Printf("paid: %s at %s", result.ID.Text(journal.TransferPrefix), result.Position)
	case errors.As(err, &refused) && refused.Code == "insufficient_funds":
		log.Printf("alice is %d cents short", refused.Needed)
	case errors.As(err, &unknown):
		log.Printf("ask again with key %s: %v", unknown.Key, err)
	default:
		log.Print(err)
	}
}

// A load generator posts without waiting: no goroutine and no allocation a command.
func ExampleClient_Post() {
	wallet, err := client.Dial(context.Background(), client.Config{URL: "http://127.0.0.1:8080"})
	if err != nil {
		log.Print(err)
		return
	}
	defer wallet.Close()
	ended := make(chan error, 100)
	done := func(end *client.Completion) { ended <- end.Err } // on the client's goroutine: must not block
	var command []byte
	for i := range 100 {
		command = client.AppendTransfer(command[:0], &client.Transfer{
			Key: client.NewKey(), From: "alice", To: "bob", Amount: 1, Asset: "USD",
		})
		if err := wallet.Post(command, uint64(i), done); err != nil {
			log.Print(err)
			return
		}
	}
	wallet.Flush()
	for range 100 {
		if err := <-ended; err != nil {
			log.Print(err)
		}
	}
}
