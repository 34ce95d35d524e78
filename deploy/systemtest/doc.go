// Package systemtest tests the whole wallet: the built binary, real processes, real redis-server, ZooKeeper and Kafka,
// SIGKILL and SIGSTOP. All of it is tests; nothing imports it.
//
//	load ──client──> gateway … shards … journal       faults: kill, freeze, lost replies, bad input, broken disks
//	  │                                   │
//	  └──> ledger: every request,         └──> audit: a replay of the journal by itself
//	       what its client was told                       │
//	                 └────────────── oracle ──────────────┘
//
// After every faulty run the oracle holds three accounts of the same story against each other: what clients were told
// (ledger), what the journal says (audit) and what the wallet answers now (REST):
//
//   - money is conserved: the sum of all accounts, reserved amounts included, is 0 per asset (P1);
//   - what was acknowledged is there exactly once, with its content; statements have no gap (P3, P4);
//   - what was refused has no effect (P5); what is unknown is there whole or not at all, and answers a repeat stably;
//   - reserved amounts are those of open reservations, and 0 when all are released (P2, P7);
//   - channels drain, leg by leg in order (P9); every decision is the one that the Book would take;
//   - journal, shards and projection agree (P11, P13; walletd reconcile), and the acts decide all of it again (walletd verify-logic).
//
// Beside the oracle, linear_*: histories of single accounts, reads included, are held against a sequential account, for
// linearizability (P8); what has no answer may happen later, or never, and a credit comes down its channel in order.
//
// Files: main, process, wait: the binary and its processes. wallet, dev, cluster: what stands. ledger, load: what is
// done to it. audit, oracle*: what must hold. The rest are scenarios, one story each.
//
// WALLETD_SOAK_SECONDS makes the scenarios with faults go on for that long, each with its load and its oracle at the end.
// WALLETD_SYSTEMTEST_SEED repeats a run's choices; a failure prints it.
package systemtest
