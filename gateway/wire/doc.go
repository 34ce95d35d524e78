// Package wire is the language of the gateway's two doors, REST and WebSocket: it reads requests, writes replies and
// holds the table of result codes (semantics section 1, surface "REST" and "WebSocket").
//
//	codes.go     one table: code, HTTP status, exit code, retryable, title, help, Retry-After
//	problem.go   a refusal as a problem document (RFC 9457) and as a compact WebSocket error
//	scan.go      a strict JSON scanner without allocations: names, strings, integers, one document
//	request.go   what moves money: transfer, batch, reserve, confirm, cancel, reverse
//	account.go   accounts: create, patch (merge, RFC 7396), metadata
//	message.go   one WebSocket command, and the cutting of a frame into messages
//	reply.go     the shapes that go out; wsreply.go their WebSocket envelopes
//	decimal.go   amounts as people write them, for the CLI
//
// Requests share memory with the bytes they were read from: a []byte in a request is valid until its body is reused.
// A request that is wrong is answered by one Fault, always the same one: syntax before everything else, then the
// fields in the order of the document, then what the headers add, then what is missing.
//
// What it refuses to do: it opens no connection, starts no goroutine, reads no clock and knows no account.
package wire
