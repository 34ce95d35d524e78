/*
 * The channel p->q (design section 6): two sources, one destination q that keeps delivered[p] in its own journal.
 *
 * A source's event i carries one leg for q; what it says is the life of the source in which it was applied, so that an event
 * that was lost in a crash and another that took its seq are told apart. A deliver message carries (from, to] and its legs; the
 * net keeps some of each source and hands them over in any order, any number of times, or never. Whoever sends may
 * believe anything about q: that is a restarted keeper, a late one, and a zombie.
 *
 * Twins: -DWITHOUT_COMPARE, -DUNDURABLE (delivers what the source's journal does not have), -DSETTLED_EARLY (before q's
 * journal has it), -DFORGETFUL (delivered is not part of q's fold).
 * -DWITNESS denies the good end.
 */
#define LEGS 2
#ifndef CRASHES
#define CRASHES 1 /* of each party */
#endif
#define SLOTS 2

typedef source { byte applied; byte durable; byte says[LEGS]; byte life; byte crashes; byte settled }
typedef message { bit there; byte from; byte to; byte says[LEGS] }
typedef sent { message slot[SLOTS] }
typedef entry { byte from; byte to; byte p } /* of q's journal */
source src[2]
sent net[2]
entry q[4]; byte qApplied, qDurable, qCrashes
byte delivered[2] /* q's numbers, in memory */
byte kept[2]      /* the same, durable */
byte credits[2]   /* legs of p credited at q, in memory */
byte keptCredits[2]

#ifdef UNDURABLE
#define DELIVERABLE(p) src[p].applied
#else
#define DELIVERABLE(p) src[p].durable
#endif
#ifdef SETTLED_EARLY
#define SETTLED(p) delivered[p]
#else
#define SETTLED(p) kept[p]
#endif

inline clear(m) { m.there = 0; m.from = 0; m.to = 0; m.says[0] = 0; m.says[1] = 0 }

/* A source: applies, becomes durable, crashes, tells q, hears from q. */
proctype party(byte p) {
  byte from, to, k
end:
  do
  :: atomic { src[p].applied < LEGS -> src[p].says[src[p].applied] = 1 + src[p].life; src[p].applied++ }
  :: atomic { src[p].durable < src[p].applied -> src[p].durable++ }
  :: atomic { src[p].crashes < CRASHES && src[p].durable < src[p].applied -> src[p].crashes++; src[p].life++;
      do :: src[p].applied > src[p].durable -> src[p].applied--; src[p].says[src[p].applied] = 0 :: else -> break od }
  :: atomic { DELIVERABLE(p) > 0 ->
      to = 1; do :: to < DELIVERABLE(p) -> to++ :: break od;
      from = 0; do :: from + 1 < to -> from++ :: break od;
      k = 0; if :: p == 0 -> k = 1 :: true fi; /* the second source has one slot: the order of its messages adds nothing */
      clear(net[p].slot[k]);
      net[p].slot[k].there = 1; net[p].slot[k].from = from; net[p].slot[k].to = to;
      net[p].slot[k].says[0] = (from < 1 -> src[p].says[0] : 0);
      net[p].slot[k].says[1] = (to > 1 -> src[p].says[1] : 0);
      from = 0; to = 0; k = 0 }
  :: atomic { SETTLED(p) > src[p].settled -> src[p].settled = SETTLED(p) }
  od
}

/* credit applies one leg. What it says must be what the source's journal says at that seq, and be the next one. */
inline credit(s, i, what) {
  assert(i < src[s].durable && what == src[s].says[i]);
  assert(credits[s] == i);
  credits[s]++
}

inline arrive(s, m) {
  if
#ifdef WITHOUT_COMPARE
  :: true ->
#else
  :: m.from == delivered[s] ->
#endif
    if :: m.from < 1 -> credit(s, 0, m.says[0]) :: else fi;
    if :: m.to > 1 -> credit(s, 1, m.says[1]) :: else fi;
    q[qApplied].from = m.from; q[qApplied].to = m.to; q[qApplied].p = s; qApplied++;
    delivered[s] = m.to
#ifndef WITHOUT_COMPARE
  :: else /* answers its number, moves nothing */
#endif
  fi
}

active proctype destination() {
  byte k
end:
  do
  :: atomic { net[0].slot[0].there && qApplied < 4 -> arrive(0, net[0].slot[0]) }
  :: atomic { net[0].slot[1].there && qApplied < 4 -> arrive(0, net[0].slot[1]) }
  :: atomic { net[1].slot[0].there && qApplied < 4 -> arrive(1, net[1].slot[0]) }
  :: atomic { qDurable < qApplied -> k = q[qDurable].p; kept[k] = q[qDurable].to;
      keptCredits[k] = keptCredits[k] + q[qDurable].to - q[qDurable].from; qDurable++; k = 0 }
  :: atomic { qCrashes < CRASHES && qDurable < qApplied -> qCrashes++; /* rebuilt from its journal */
      do :: qApplied > qDurable -> qApplied--; q[qApplied].from = 0; q[qApplied].to = 0; q[qApplied].p = 0 :: else -> break od;
      delivered[0] = kept[0]; delivered[1] = kept[1]; credits[0] = keptCredits[0]; credits[1] = keptCredits[1];
#ifdef FORGETFUL
      delivered[0] = 0; delivered[1] = 0
#endif
    }
  od
}

#ifdef WITNESS
#define GOOD_END (src[0].settled == LEGS && src[1].settled == LEGS && src[0].crashes == 1 && src[1].crashes == 1 && qCrashes == 1)
#else
#define GOOD_END false
#endif

active proctype properties() {
end:
  atomic {
    /* Settled never runs ahead of q's journal; and the pairwise audit: credits from p = p's legs up to delivered[p]. */
    src[0].settled > kept[0] || src[1].settled > kept[1] ||
    credits[0] != delivered[0] || credits[1] != delivered[1] ||
    delivered[0] > src[0].durable || delivered[1] > src[1].durable ||
    GOOD_END
    -> assert(false)
  }
}

init { atomic { run party(0); run party(1) } }
