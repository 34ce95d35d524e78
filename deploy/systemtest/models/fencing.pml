/*
 * Log-order fencing (design section 7, rules 1 to 3): the log itself decides who owned a partition.
 *
 * Two instances take the partition over from each other, in three epochs; none of them knows when it is deposed. A request may
 * land late, twice, or never, also after its sender has died; a reply may be lost. A new owner finds a shard that is behind,
 * lost, or ahead of the log: its own, or a replica of the other's; what it is ahead was never acknowledged, and is adopted.
 *
 * A record is (epoch, seq, origin): seq 0 is EpochStarted, origin is the epoch in which the event was decided (its content).
 *
 * Twins: -DWITHOUT_RULE_1 (the log is read before EpochStarted is appended, and not up to it), -DWITHOUT_EPOCH, -DWITHOUT_SEQ
 * (what readers compare, rule 2), -DLAST_STARTED (readers believe the epoch that started last, not the highest),
 * -DWITHOUT_RULE_3 (any reply counts), -DUNKNOWN_IS_DONE (a timeout counts). -DWITNESS denies the good ends.
 */
#ifndef LEN
#define LEN 5
#endif
#define SEQS 2
#define EPOCHS 3

#define RECORD(e, s, o) ((e) * 16 + (s) * 4 + (o))
#define epochOf(r) ((r) / 16)
#define seqOf(r) (((r) / 4) % 4)
#define originOf(r) ((r) % 4)

byte log[LEN]; byte end

/* What every reader makes of the whole log (rule 2). */
byte epoch, seq; byte origin[SEQS + 1]
byte acked[SEQS + 1] /* the content that a client was told, 0: none */

byte lastEpoch /* ZooKeeper's counter */

#define NONE 0
#define EXPECTED 1 /* the record landed at the offset that the instance expects */
#define ELSEWHERE 2

#define DOWN 0
#define STARTING 1
#define SERVING 2

typedef instance {
  byte state;
  byte epoch;
  byte offset;           /* of the next record, as it believes */
  byte durable;          /* highest seq that it believes the log to have */
  byte applied;          /* highest seq of its shard */
  byte origin[SEQS + 1]; /* of its shard's events */
  byte request;          /* what may still land, also when it is down; the newest only: a resend is the same bytes */
  bit flying;            /* it waits for the answer to that */
  byte reply
}
instance it[2]

/* fold: one record more in a reader's eyes. */
#ifdef WITHOUT_EPOCH
#define rightEpoch(r, e) true
#else
#define rightEpoch(r, e) (epochOf(r) == e)
#endif
#ifdef WITHOUT_SEQ
#define rightSeq(r, s) true
#else
#define rightSeq(r, s) (seqOf(r) == s + 1)
#endif
#ifdef LAST_STARTED
#define starts(r, e) (seqOf(r) == 0 && epochOf(r) != e)
#else
#define starts(r, e) (seqOf(r) == 0 && epochOf(r) > e)
#endif
#define counts(r, e, s) (seqOf(r) != 0 && rightEpoch(r, e) && rightSeq(r, s))

inline land(record) {
  if
  :: starts(record, epoch) -> epoch = epochOf(record)
  :: counts(record, epoch, seq) ->
      /* No deposed owner's event is believed, and no event twice. */
      assert(epochOf(record) == epoch);
      assert(origin[seqOf(record)] == 0);
      seq = seqOf(record);
      origin[seq] = originOf(record)
  :: else /* dropped */
  fi;
  log[end] = record;
  end++
}

inline forget(i) {
  it[i].state = DOWN; it[i].epoch = 0; it[i].offset = 0; it[i].durable = 0; it[i].flying = 0; it[i].reply = NONE; k = 0
}

inline send(i, record) { it[i].request = record; it[i].flying = 1; it[i].reply = NONE }

/* acknowledge: the instance believes that the log has its next event, and its client is told so. */
inline acknowledge(i) {
  it[i].durable++;
  assert(it[i].durable <= seq && origin[it[i].durable] == it[i].origin[it[i].durable]);
  acked[it[i].durable] = it[i].origin[it[i].durable];
  it[i].flying = 0; it[i].reply = NONE
}

/* look: the instance reads what has come into the log, as readers do, and knows what became of its request. */
inline look(i) {
  it[i].flying = 0; it[i].reply = NONE;
  do
  :: it[i].offset == end -> break /* not there: it is sent again */
  :: it[i].offset < end ->
      it[i].offset++;
      if
      :: starts(log[it[i].offset - 1], it[i].epoch) -> forget(i); break /* deposed: steps down without acknowledging */
      :: counts(log[it[i].offset - 1], it[i].epoch, it[i].durable) -> acknowledge(i)
      :: else
      fi
  od
}

/* takeOver: the fold of the log's first upTo records, and what the shard has. */
inline takeOver(i, next) {
  k = 0; e = 0; s = 0; same = 1;
  do
  :: k < upTo ->
      if
      :: starts(log[k], e) -> e = epochOf(log[k])
      :: counts(log[k], e, s) -> s = seqOf(log[k]); folded[s] = originOf(log[k])
      :: else
      fi;
      k++
  :: else -> break
  od;
  /* The shard: ours, or a replica of the other's, which has what it has. */
  if
  :: true
  :: it[1 - i].applied > 0 -> it[i].applied = it[1 - i].applied; it[i].origin[1] = it[1 - i].origin[1]; it[i].origin[2] = it[1 - i].origin[2]
  fi;
  same = it[i].applied >= s && (s < 1 || it[i].origin[1] == folded[1]) && (s < 2 || it[i].origin[2] == folded[2]);
  if
  :: same /* adopted, ahead perhaps */
  :: true -> it[i].applied = s; it[i].origin[1] = folded[1]; it[i].origin[2] = folded[2] /* rebuilt */
  fi;
  it[i].durable = s; it[i].offset = next; it[i].flying = 0; it[i].reply = NONE;
  /* What was acknowledged is in the state that is served from now on. */
  assert(epoch != it[i].epoch || acked[1] == 0 || (s >= 1 && it[i].origin[1] == acked[1]));
  assert(epoch != it[i].epoch || acked[2] == 0 || (s >= 2 && it[i].origin[2] == acked[2]));
  if
#ifdef WITHOUT_RULE_1
  :: e < it[i].epoch -> it[i].state = SERVING
#else
  :: e == it[i].epoch -> it[i].state = SERVING
#endif
  :: else -> forget(i) /* a higher one has started before ours */
  fi;
  folded[1] = 0; folded[2] = 0; k = 0; upTo = 0; e = 0; s = 0; same = 0
}

proctype keeper(byte i) {
  byte k, e, s, upTo, start; bit same; byte folded[SEQS + 1];
endIdle:
  do
  :: atomic { it[i].state == DOWN && lastEpoch < EPOCHS && (lastEpoch > 0 || i == 0) ->
      lastEpoch++; it[i].state = STARTING; it[i].epoch = lastEpoch;
#ifdef WITHOUT_RULE_1
      upTo = end; /* what it has read so far */
#endif
      send(i, RECORD(it[i].epoch, 0, 0)) }
  /* Rule 1: EpochStarted is in the log, which is read up to it. */
  :: atomic { it[i].state == STARTING ->
      k = 0; do :: k < end && log[k] != RECORD(it[i].epoch, 0, 0) -> k++ :: else -> break od;
      if
      :: k < end -> start = k + 1;
#ifndef WITHOUT_RULE_1
          upTo = start;
#endif
          takeOver(i, start); start = 0
      :: else -> k = 0
      fi }
  :: atomic { it[i].state == SERVING && it[i].applied < SEQS -> it[i].applied++; it[i].origin[it[i].applied] = it[i].epoch }
  :: atomic { it[i].state == SERVING && !it[i].flying && it[i].durable < it[i].applied ->
      send(i, RECORD(it[i].epoch, it[i].durable + 1, it[i].origin[it[i].durable + 1])) }
  /* Rule 3: only the offset that was expected counts. */
#ifdef WITHOUT_RULE_3
  :: atomic { it[i].state == SERVING && it[i].reply != NONE -> it[i].offset = end; acknowledge(i) }
#else
  :: atomic { it[i].state == SERVING && it[i].reply == EXPECTED -> it[i].offset++; acknowledge(i) }
  :: atomic { it[i].state == SERVING && it[i].reply == ELSEWHERE -> look(i) }
#endif
  /* A timeout, or a lost reply: unknown. */
#ifdef UNKNOWN_IS_DONE
  :: atomic { it[i].state == SERVING && it[i].flying -> it[i].offset++; acknowledge(i) }
#else
  :: atomic { it[i].state == SERVING && it[i].flying -> look(i) }
#endif
  :: atomic { it[i].state != DOWN -> forget(i);
      if :: true :: it[i].applied > 0 -> it[i].applied = 0; it[i].origin[1] = 0; it[i].origin[2] = 0 fi } /* the shard, too, or not */
  od
}

active proctype network() {
  byte i;
endIdle:
  do
  :: atomic { end < LEN && (it[0].request != 0 || it[1].request != 0) ->
      if :: it[0].request != 0 -> i = 0 :: it[1].request != 0 -> i = 1 fi;
      if
      :: it[i].flying && it[i].state == SERVING -> it[i].reply = (it[i].offset == end -> EXPECTED : ELSEWHERE)
      :: true /* the reply is lost */
      fi;
      land(it[i].request);
      if
      :: true -> it[i].request = 0
      :: true /* and once more */
      fi;
      i = 0 }
  od
}

#ifdef WITNESS
active proctype properties() {
endIdle:
  atomic {
    (WITNESS == 1 && acked[1] == 1 && acked[2] == 3) ||
    (WITNESS == 2 && acked[1] == 1 && it[1].epoch == 2 && acked[2] == 1) /* adopted from the replica */
    -> assert(false) }
}
#endif

init { atomic { run keeper(0); run keeper(1) } }
