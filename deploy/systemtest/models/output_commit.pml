/*
 * The output-commit rule (design section 4): nothing leaves a partition before the journal is durable up to the seq that
 * it depends on.
 *
 * Home has the transfer's phase table and the payee; leg has the payer, one unit of money. Each has a journal; what its
 * Redis applied beyond the durable part is lost when it crashes. Messages are what may leave: a coordinator (who may stop
 * at any line), the keeper's question to home, the channel from home to the leg, a reader of the payee's balance.
 *
 * Twin -DWITHOUT_RULE lets everything out at once. -DONLY=1, 2, 3 looks for one property alone: all three break.
 * -DWITNESS denies the good end.
 */
#ifndef ONLY
#define ONLY 0
#endif
#define CHECKED(n) (ONLY == 0 || ONLY == n)
#ifndef CRASHES
#define CRASHES 3
#endif

#define NOTHING 0
#define BEGUN 1
#define CONFIRM 2 /* home: the decision, and the payee's credit in the same act */
#define CANCEL 3
#define TRIED 4
#define CONFIRMED 5
#define CANCELLED 6

#define EVENTS 2
byte home[EVENTS]; byte homeApplied, homeDurable
byte leg[EVENTS];  byte legApplied,  legDurable

byte crashes
byte step          /* of the coordinator */
bit acked, seen    /* the client was told: confirmed; a reader saw the payee's money */
bit settled        /* the channel believes that the leg has the decision */

#ifdef WITHOUT_RULE
#define LEFT(applied, durable) applied
#else
#define LEFT(applied, durable) durable
#endif
#define homeSays(e) ((LEFT(homeApplied, homeDurable) > 0 && home[0] == e) || (LEFT(homeApplied, homeDurable) > 1 && home[1] == e))
#define legSays(e)  ((LEFT(legApplied, legDurable) > 0 && leg[0] == e) || (LEFT(legApplied, legDurable) > 1 && leg[1] == e))
#define homeHas(e)  ((homeApplied > 0 && home[0] == e) || (homeApplied > 1 && home[1] == e))
#define legHas(e)   ((legApplied > 0 && leg[0] == e) || (legApplied > 1 && leg[1] == e))
#define homeKeeps(e) ((homeDurable > 0 && home[0] == e) || (homeDurable > 1 && home[1] == e))
#define legKeeps(e) ((legDurable > 0 && leg[0] == e) || (legDurable > 1 && leg[1] == e))

#define apply(log, applied, e) log[applied] = e; applied++

/* decide: one act at home, the first decision wins. */
inline decide(d) {
  if
  :: !homeHas(CONFIRM) && !homeHas(CANCEL) && homeApplied < EVENTS -> apply(home, homeApplied, d)
  :: else
  fi
}

active proctype coordinator() {
  do
  :: atomic { step == 0 && homeApplied == 0 -> apply(home, homeApplied, BEGUN) }
  :: atomic { step == 0 && homeSays(BEGUN) -> step = 1 }
  :: atomic { step == 1 && legApplied == 0 -> apply(leg, legApplied, TRIED) }
  :: atomic { step == 1 && legSays(TRIED) -> step = 2 }
  :: atomic { step == 2 -> decide(CONFIRM); step = 3 }
  :: atomic { step == 3 && homeSays(CONFIRM) -> acked = 1; step = 4 }
  :: step == 4 -> break
  :: break /* dies */
  od
}

active proctype reader() {
end:
  atomic { homeSays(CONFIRM) -> seen = 1 }
}

/* The keepers: relay, resolve, deliver. They never die for good. */
active proctype keepers() {
end:
  do
  :: atomic { homeDurable < homeApplied -> homeDurable++ }
  :: atomic { legDurable < legApplied -> legDurable++ }
  :: atomic { legSays(TRIED) && !legHas(CONFIRMED) && !legHas(CANCELLED) && !homeHas(CONFIRM) && !homeHas(CANCEL) -> decide(CANCEL) }
  :: atomic { !settled && homeSays(CONFIRM) && legHas(TRIED) && !legHas(CONFIRMED) && legApplied < EVENTS -> apply(leg, legApplied, CONFIRMED) }
  :: atomic { !settled && homeSays(CANCEL) && legHas(TRIED) && !legHas(CANCELLED) && legApplied < EVENTS -> apply(leg, legApplied, CANCELLED) }
  :: atomic { !settled && (legSays(CONFIRMED) || legSays(CANCELLED)) -> settled = 1 }
  od
}

/* A crash is the loss of what is not durable. */
active proctype faults() {
end:
  do
  :: atomic { crashes < CRASHES && homeDurable < homeApplied -> crashes++;
      homeApplied = homeDurable; home[1] = NOTHING; if :: homeDurable == 0 -> home[0] = NOTHING :: else fi }
  :: atomic { crashes < CRASHES && legDurable < legApplied -> crashes++;
      legApplied = legDurable; leg[1] = NOTHING; if :: legDurable == 0 -> leg[0] = NOTHING :: else fi }
  od
}

/* money: the payer's unit is there until its leg is confirmed, the payee's from the decision on; between the two it is in
 * flight, and taken off again. */
#define payer (!legKeeps(CONFIRMED))
#define payee (homeKeeps(CONFIRM))
#define flight (homeKeeps(CONFIRM) && !legKeeps(CONFIRMED))

#ifdef WITNESS
#define GOOD_END (acked && seen && settled && legKeeps(CONFIRMED) && crashes == 2)
#else
#define GOOD_END false
#endif

active proctype properties() {
end:
  atomic {
    /* 1. Conservation, at every cut of the two journals; and no half transfer. */
    (CHECKED(1) && (payer + payee - flight != 1 || (homeKeeps(CONFIRM) && legKeeps(CANCELLED)))) ||
    /* 2. No orphan reservation: a tried leg has a home that knows it. */
    (CHECKED(2) && legKeeps(TRIED) && homeDurable == 0) ||
    /* 3. What was told is durable. */
    (CHECKED(3) && ((acked || seen) && homeDurable == homeApplied && !homeKeeps(CONFIRM))) ||
    /* Settled: never again looked at, so nothing may be left. */
    (CHECKED(2) && settled && legDurable == legApplied && !legKeeps(CONFIRMED) && !legKeeps(CANCELLED)) ||
    GOOD_END
    -> assert(false)
  }
}
