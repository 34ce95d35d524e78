// Package wire is the language of the gateway's two doors, REST and WebSocket: it reads requests, writes replies and
// holds the table of result codes (semantics section 1, surface "REST" and "WebSocket").
//
//	codes.go     the one table: code, HTTP status, exit code, retryable, title, help, Retry-After
//	problem.go   a refusal as a problem document (RFC 9457) and as a compact WebSocket error
//
//	scan.go      a strict JSON scanner: names, strings, numbers, one document; skip.go passes over what nobody asked for
//	field.go     the fields of requests and their rules: accounts, keys, assets, amounts, texts
//	objects.go   the objects that both doors read: transfer, batch, reserve, confirm, cancel
//	request.go   their REST bodies; account.go: create and patch (merge, RFC 7396), metadata
//	message.go   one WebSocket command, and the cutting of a frame into messages
//
//	reply.go     the shapes that go out; wsreply.go: their WebSocket envelopes, pushes; append.go: strings, times, ids
//	decimal.go   amounts as people write them, for the CLI
//
// Requests share memory with the bytes they were read from: a []byte in a request is valid until its body is reused.
// Reading a transfer and answering it allocates nothing.
//
// A request that is wrong is answered by one Fault, always the same one: syntax before everything else, then the
// fields in the order of the document, then what the headers add, then what is missing, the key last. null stands for
// nothing but the deletion of metadata in a patch: anywhere else it is malformed.
//
// What it refuses to do: it opens no connection, starts no goroutine, reads no clock and knows no account.
package wire
