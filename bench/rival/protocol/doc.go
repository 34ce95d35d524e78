// Package protocol compares four ways to move money between two shards, with everything else the same: real Redis shards, one
// script call at a time for all that waits for a shard, the same records and the same log, answers only when the log is durable
// (decision 17, part 6). `walletd bench rival protocols` runs it.
//
//	            acts in Redis                                      journaled   answered after
//	2pc         prepare ×2 · commit ×2                             5           prepares and decision
//	saga        debit · credit · end                               3           debit, then credit
//	tcc         try ×2 · confirm payer · confirm payee             4           tries, then the payer's confirm
//	channels    check (reads only) · pay · its part of a delivery  2           pay
//
//	begin ─> machine ──rows──> lane of a shard ──one script──> Redis ──what happened──> log ──durable──> protocol: what is next
//
// acts.lua holds the acts of all four, machine.go the lanes and the log, protocols.go the four coordinators, run.go the load and
// what is measured. Each is minimal, and as favourable as can be: 2PC's coordinator knows every lock that is taken, lets
// whoever wants one wait in line, and so never prepares in vain. What all four lack alike (windows of keys, epochs, takeover) the
// wallet has, so these figures are for comparing, not for promising.
package protocol
