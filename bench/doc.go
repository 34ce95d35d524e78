// Package bench drives a wallet with a workload and reports what it costs; `walletd bench transfer` runs it.
//
//	open accounts ──> fund them ──> warm up ──> measure ──> let everything end ──> verify ──> report
//	   (REST)      (transfers from      one or many sessions,          every balance and version, reconciliation
//	                 an issuance)       open or closed loop
//
// The load is honest: latency counts from the time at which a transfer was meant to leave (coordinated omission shows),
// every reply's status is looked at, and a run whose money does not add up at the end, account by account and version
// by version, is void, whatever its speed. CPU per transfer is read from /proc for every process that is named.
//
// The load is cheap, because it shares the machine with what it measures: one goroutine a connection, commands put
// together from prepared pieces, no allocation and no encoding/json a transfer.
//
// Files: config.go what to do; workload.go who pays whom; setup.go accounts and money; load.go open and closed loop;
// cpu.go /proc; verify.go the end of the run; report.go JSON and table.
package bench
