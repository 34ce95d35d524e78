/*
 * The lease (decision 0009, design section 8): a deposed shard that nobody could stop answers no read after its successor serves.
 *
 * The old shard runs a train only while clock < lease. Its keeper renews: reads the shard's time r0, gets proof from the log
 * that no later epoch has started, then sets lease = r0 + L; each step as late as it likes, and two renewals may be under way.
 * The successor starts its epoch in the log, and waits L from the moment when it knows that to be durable.
 * Clocks differ in what they show, not in how fast they go.
 *
 * Twins: -DWITHOUT_WAIT, -DWITHOUT_PROOF, -DTIME_AFTER_PROOF (r0 is read behind the proof), -DLEASE_FROM_SET (lease counts from
 * its setting), -DWAIT_FROM_SEND (the successor waits from the sending on), -DWITHOUT_CHECK (trains run without looking).
 * -DWITNESS denies the good ends.
 */
#ifndef L
#define L 3
#define END 12 /* of time */
#endif

byte now
byte lease
bit started  /* EpochStarted of the successor is in the log */
bit serves   /* the successor admits trains */

active proctype clock() {
end:
  do
  :: atomic { now < END -> now++ }
  od
}

active [2] proctype renewal() {
  byte r0;
end:
  do
  ::
#ifdef TIME_AFTER_PROOF
    !started; r0 = now;
#else
    r0 = now;
#ifndef WITHOUT_PROOF
    if :: !started :: started -> goto deposed fi;
#endif
#endif
#ifdef LEASE_FROM_SET
    atomic { lease = now + L; r0 = 0 }
#else
    atomic { lease = r0 + L; r0 = 0 }
#endif
  od;
deposed:
  r0 = 0
}

active proctype successor() {
  byte since;
end:
#ifdef WAIT_FROM_SEND
  since = now;
  started = 1;
#else
  started = 1;
  since = now;
#endif
#ifndef WITHOUT_WAIT
endWaiting:
  now >= since + L;
#endif
  serves = 1
}

#ifdef WITHOUT_CHECK
#define ADMITTED (now <= END)
#else
#define ADMITTED (now < lease)
#endif
#ifndef WITNESS
#define WITNESS 0
#endif

active proctype oldShard() {
end:
  do
  :: atomic { ADMITTED ->
      assert(!serves);
      assert(!(WITNESS == 1 && started)); /* until then it goes on */
      assert(!(WITNESS == 2 && now > 2 * L)) } /* renewals carry it on */
  od
}
