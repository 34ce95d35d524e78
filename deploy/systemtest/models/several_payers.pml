/*
 * TC/C with several payers (design section 6, path 3; semantics section 3): home begins, tries every foreign debit leg,
 * decides once; the channel carries the decision to each leg; keepers of legs that stay tried ask home.
 *
 * Two payers with one unit each, elsewhere and apart from each other; the payee is credited by the decision itself. Two
 * coordinators with the same key (a client that tried again at another gateway), each of which may stop at any line. Try
 * messages arrive late, twice, or never. Something else may spend a payer's unit first. What an act answers is durable (the
 * rule that output_commit.pml looks at), so a crash of a partition is a message lost.
 *
 * Twins: -DWITHOUT_TOMBSTONE, -DLAST_WINS (a later decision replaces the first), -DCONFIRM_EARLY (before every Try was
 * answered), -DWITHOUT_RESOLUTION (no keeper asks), -DSELF_CANCEL (a keeper releases its leg without asking home),
 * -DFUNDS_IN_CONFIRM (Try only looks), -DCREDIT_IN_TRY (the payee has the money before the decision). -DWITNESS denies the good ends.
 */
#define PAYERS 2
#ifndef ARRIVALS
#define ARRIVALS 2 /* of one Try, at most */
#endif

mtype = { none, begun, confirm, cancel }               /* home */
mtype = { untried, tried, refused, confirmed, cancelled } /* a leg; cancelled is the tombstone, too */

mtype home = none
mtype leg[PAYERS] = untried
bit closed[PAYERS]        /* a cancel has been at the leg */
bit delivered[PAYERS]     /* the channel has brought the decision, exactly once (channel.pml) */
byte available[PAYERS] = 1
byte reserved[PAYERS]
byte paid[PAYERS]         /* spent elsewhere */
byte payee
byte sent[PAYERS]         /* Try messages under way */
byte arrivals[PAYERS]
mtype told = none         /* the client's answer */

inline reserve(i) {
  if
  :: leg[i] == untried && available[i] > 0 ->
#ifndef FUNDS_IN_CONFIRM
    available[i]--; reserved[i]++;
#endif
#ifdef CREDIT_IN_TRY
    payee++;
#endif
    leg[i] = tried
  :: leg[i] == untried && available[i] == 0 -> leg[i] = refused
  :: else /* first answer, or cancelled_before_try */
  fi
}

inline decide(d) {
  if
#ifdef LAST_WINS
  :: home != none ->
#else
  :: home == begun ->
#endif
    home = d;
#ifndef CREDIT_IN_TRY
    if :: d == confirm -> payee = PAYERS :: else fi
#endif
  :: else
  fi
}

#ifdef CONFIRM_EARLY
#define MAY_CONFIRM (leg[0] == tried || leg[1] == tried)
#else
#define MAY_CONFIRM (known[0] && known[1])
#endif

active [2] proctype coordinator() {
  bit known[PAYERS]; /* Try answered: tried */
end:
  do
  :: atomic { home == none -> home = begun }
  :: atomic { home == begun && sent[0] == 0 && arrivals[0] == 0 -> sent[0] = ARRIVALS }
  :: atomic { home == begun && sent[1] == 0 && arrivals[1] == 0 -> sent[1] = ARRIVALS }
  :: atomic { !known[0] && (leg[0] == tried || leg[0] == confirmed) -> known[0] = 1 } /* the answer came; it may be old by now */
  :: atomic { !known[1] && (leg[1] == tried || leg[1] == confirmed) -> known[1] = 1 }
  :: atomic { home != none && MAY_CONFIRM -> decide(confirm); break }
  :: atomic { home != none -> decide(cancel); break } /* a refusal, or it has waited long enough */
  :: break /* dies, at whatever line */
  od;
  known[0] = 0; known[1] = 0
}

active proctype client() {
end:
  atomic { home == confirm || home == cancel -> told = home }
}

active [PAYERS] proctype payers() {
  byte i = _pid - 3;
end:
  do
  :: atomic { sent[i] > 0 -> sent[i]--; arrivals[i]++; reserve(i) }
  :: atomic { sent[i] > 0 -> sent[i]--; arrivals[i]++ } /* lost */
  :: atomic { available[i] > 0 && paid[i] == 0 -> available[i]--; paid[i]++ }
  od
}

/* The channel from home to each leg, and the keepers of the legs. */
inline release(i) {
  if
  :: leg[i] == tried ->
#ifndef FUNDS_IN_CONFIRM
    reserved[i]--; available[i]++;
#endif
    leg[i] = cancelled
  :: leg[i] == untried ->
#ifndef WITHOUT_TOMBSTONE
    leg[i] = cancelled
#endif
  :: else
  fi;
  closed[i] = 1
}

inline take(i) {
  assert(leg[i] == tried); /* else: unknown_try, the alarm that never rings */
#ifdef FUNDS_IN_CONFIRM
  assert(available[i] > 0);
  available[i]--;
#else
  reserved[i]--;
#endif
  leg[i] = confirmed
}

active [PAYERS] proctype keepers() {
  byte i = _pid - 5;
end:
  do
  :: atomic { home == confirm && !delivered[i] -> delivered[i] = 1; take(i) }
  :: atomic { home == cancel && !delivered[i] -> delivered[i] = 1; release(i) }
#ifndef WITHOUT_RESOLUTION
  :: atomic { leg[i] == tried && home == begun -> decide(cancel) }
#endif
#ifdef SELF_CANCEL
  :: atomic { leg[i] == tried -> release(i) }
#endif
  od
}

/* What holds always, and what holds when nobody has anything to do any more. */
#define gone(i) (leg[i] == confirmed)
#define flight (home == confirm -> 2 - gone(0) - gone(1) : 0)
#ifdef WITNESS
#define GOOD_END ((WITNESS == 1 && told == confirm && gone(0) && gone(1) && arrivals[0] == ARRIVALS) || \
  (WITNESS == 2 && told == cancel && closed[0] && closed[1] && arrivals[0] == ARRIVALS && reserved[1] == 0))
#else
#define GOOD_END false
#endif

active proctype properties() {
end:
  do
  :: atomic {
      /* Conservation: 2 units, in flight from the decision until each leg is confirmed. */
      available[0] + reserved[0] + paid[0] + available[1] + reserved[1] + paid[1] + payee - flight != 2 ||
      /* A cancelled leg never moves again. */
      (closed[0] && leg[0] == tried) || (closed[1] && leg[1] == tried) ||
      /* The first decision wins, and the client's answer stands. */
      (told != none && told != home) ||
      /* All or nothing. */
      (gone(0) && (leg[1] == cancelled || leg[1] == refused)) || (gone(1) && (leg[0] == cancelled || leg[0] == refused)) ||
    GOOD_END
      -> assert(false) }
  :: atomic { timeout ->
      /* At rest: no orphan reservation, and the transfer is whole. */
      assert(leg[0] != tried && leg[1] != tried && reserved[0] + reserved[1] == 0);
      assert((home == confirm) == (gone(0) && gone(1)));
      break }
  od
}
