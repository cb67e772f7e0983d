/* The protocol of the log on Kafka (docs/log-format.md) for the model checker Spin, which tries every order of events within the
   bounds. `check_model` runs it; docs/testing.md says what came of it.

   What is here: one partition; two replicas that each follow the log and may each want to own it; a broker that appends whatever
   it is sent; two commands whose callers ask again at any replica and at any time under the same idempotency key; recorded
   refusals; queries that must be current. Nobody is told who should own: each replica begins an epoch whenever it likes.

   What goes wrong: a send lands late, twice or never, before or after what another producer sent; a replica reads late. That a
   replica may begin an epoch at any moment, whatever it waits for, stands for time-outs, delivery reports that are lost, answers
   that are lost, and crashes: what it sent before lands, or does not, as if nothing had happened. (It answers when it reads its
   record back, without waiting for the delivery report: who waits for that too answers no sooner.)

   What is not here: damage, a log that is cut short, files and state stores (a replica that crashed has folded a part of the
   log, as one that reads late), several entries in one message, limits, time, and Kafka itself: entries stay, in one order, and
   whoever reads them reads the same. NOT_FOUND and other answers that are not recorded bind no key, so they are not here either.

   The hash of an entry is the number of the send that made it: a record names its previous hash, and an epoch record counts once,
   so that number stands for the whole chain up to it.

   Macros. SENDS_MAX, ENTRIES_MAX and DOUBLED_MAX are the bounds. PROMPT: replicas read at once, which leaves room for more
   sends: what one that reads late sends could as well have been sent earlier, and land late. QUERY: one query besides. ALONE: one
   replica, which must answer in the end. BROKEN_<what> breaks the protocol in one place, UNNEEDED_<what> leaves out what these
   properties do not need. WATCH=<property>: only that one counts. WITNESSES: see Witness; it wants
   QUERY, and not PROMPT. */

#ifndef SENDS_MAX
#define SENDS_MAX 5    /* at most 8 */
#endif
#ifndef ENTRIES_MAX
#define ENTRIES_MAX 5  /* landings, doubled ones too */
#endif
#ifndef DOUBLED_MAX
#define DOUBLED_MAX 1  /* second landings */
#endif

/* Kinds of entries. */
#define EPOCH   1
#define RECORD  2
#define BARRIER 3

/* The commands, one idempotency key each. A is always accepted. What the rule of B asks of A is chosen at the start: either B is
   refused once A counts (at most one of them), or B is refused until A counts. */
#define A 0
#define B 1

/* What the callers of a command were told. */
#define NOTHING 0
#define COUNTS  1
#define REFUSED 2

/* Outcomes of a send. */
#define OPEN     0
#define DONE     1
#define GIVEN_UP 2  /* counts never: Append says ABORTED, so a caller may hear that nothing happened */

/* What a replica does besides following. */
#define FOLLOWS 0
#define BEGINS  1  /* its epoch record is under way */
#define SERVES  2

typedef Send {
  /* What is sent. */
  unsigned kind : 2;
  unsigned epoch : 4;
  unsigned sequence : 4;  /* of records only, as all that follows here */
  unsigned previous : 5;  /* the hash */
  bit command;
  bit refusal;            /* the rule said no: a record like any other, that changes nothing */
  /* On the way. */
  unsigned producer : 5;  /* named after its first send */
  unsigned newest : 5;    /* of a producer's first send: the newest send of that producer that has landed */
  unsigned landings : 2;
  unsigned outcome : 2;   /* what its writer made of it */
};
/* Numbered from 1 on, those of replica 1 from SENDS_MAX + 1 on, so that the order in which two replicas send is not kept. */
Send send[2 * SENDS_MAX + 1];
byte sends;
#define WRITER(s) (s > SENDS_MAX)

#ifndef PROMPT
byte log[ENTRIES_MAX];  /* of sends */
byte history[ENTRIES_MAX + 2];  /* by sequence: the entry that counts there */
#endif
byte entries;
byte doubled;

typedef Folded {
  unsigned epoch : 4;
  unsigned next : 4 = 1;
  unsigned head : 5;  /* 0 before the first entry */
  byte record[2];     /* of each command: what counts under its key */
};

typedef Replica {
  Folded folded;
#ifndef PROMPT
  byte read;                /* entries of the log */
#endif
  unsigned sent : 4;
  unsigned phase : 2;
  unsigned beginning : 5;   /* its newest epoch record, while that is under way */
  unsigned producer : 5;    /* 0: the next send has a new one */
  unsigned next_sent : 4;   /* serving: the place behind all that it has sent */
  unsigned head_sent : 5;
  byte under_way[2];        /* of each command: what was sent in this epoch and has not been read back */
};
Replica replica[2];

bit refused_when;  /* B is refused when "A counts" is this */
byte told[2];

/* The judge, who sees every landing at once. */
Folded judged;

#ifdef QUERY
bit asked;
byte newest_answered;  /* the highest sequence that anybody was told of, before the query was asked */
#endif
#ifdef ALONE
/* Once something is lost, or given up though it was not. Whatever else is sent lands, and nothing is waited for in vain. */
bit failures;
#define MAY_FAIL (failures == 0)
#else
#define MAY_FAIL true
#endif

/* The properties: none of these may ever be true. */
bit acknowledged_and_lost;     /* somebody was told of a record that does not count */
bit counts_twice;              /* two records of one key count */
bit refused_and_counts;        /* a key was refused, and counts */
bit answered_otherwise;        /* a key is answered otherwise than before */
bit given_up_and_counts;       /* an append of which its writer said that it counts never counts */
bit version_forked;            /* two entries count at one sequence */
bit epoch_begun_twice;         /* two epoch records of one number count */
bit another_history;           /* a replica finds another entry at a sequence than is there */
bit decided_on_another_state;  /* a decision counts that is not the one of the state before it */
bit stale_answer;              /* a query does not see what somebody was told before it was asked */
bit never_answered;            /* nothing can happen any more, and a caller waits */

#ifndef WATCH
#define WATCH property
#endif
inline Never(property, when) {
  property = (when);
  assert(!WATCH);
  property = false
}

/* Scratch of one step. */
hidden byte i;
#ifdef PROMPT
hidden byte reader;
#else
hidden byte entry;
#endif
hidden byte made;
hidden byte place;
hidden byte counts;
hidden byte refuses;

/* ---- Which entries count (libs/eventlog/fold.cc). */

#ifdef BROKEN_EPOCH_CONDITION
#define EPOCH_FITS(s, at) (send[s].epoch >= at.epoch)
#else
#define EPOCH_FITS(s, at) (send[s].epoch == at.epoch + 1)
#endif

#if defined(BROKEN_CONDITION)
#define STANDS_AT_HEAD(s, at) true
#elif defined(UNNEEDED_HASH)
#define STANDS_AT_HEAD(s, at) (send[s].sequence == at.next)
#elif defined(UNNEEDED_SEQUENCE)
#define STANDS_AT_HEAD(s, at) (send[s].previous == at.head)
#else
#define STANDS_AT_HEAD(s, at) (send[s].sequence == at.next && send[s].previous == at.head)
#endif

#define EPOCH_COUNTS(s, at) (send[s].kind == EPOCH && EPOCH_FITS(s, at))
#define RECORD_COUNTS(s, at) (send[s].kind == RECORD && send[s].epoch == at.epoch && STANDS_AT_HEAD(s, at))

inline Fold(at, s) {
  counts = 0;
  if
  :: EPOCH_COUNTS(s, at) ->
     counts = 1;
     place = at.next;
     at.epoch = send[s].epoch
  :: RECORD_COUNTS(s, at) ->
     counts = 1;
     place = send[s].sequence;
     at.record[send[s].command] = s
  :: else
  fi;
  if
  :: counts -> at.next = place + 1; at.head = s
  :: else
  fi
}

/* ---- The judge. */

inline JudgeRecord(s) {
  Never(counts_twice, judged.record[send[s].command] != 0);
  Never(refused_and_counts, told[send[s].command] == REFUSED && !send[s].refusal);
  Never(answered_otherwise, told[send[s].command] == COUNTS && send[s].refusal);
  Never(decided_on_another_state,
        send[s].command == B && send[s].refusal != ((judged.record[A] != 0) == refused_when))
}

inline Judge(s) {
  if
  :: EPOCH_COUNTS(s, judged) -> Never(epoch_begun_twice, send[s].epoch == judged.epoch)
  :: RECORD_COUNTS(s, judged) -> JudgeRecord(s)
  :: else
  fi;
  if
  :: EPOCH_COUNTS(s, judged) || RECORD_COUNTS(s, judged) ->
     Never(given_up_and_counts, send[s].outcome == GIVEN_UP);
     Never(version_forked, send[s].kind == RECORD && send[s].sequence < judged.next)
  :: else
  fi;
  Fold(judged, s)
}

/* ---- The broker. What a producer sends lands in order, so that what was overtaken is lost; a second landing comes at any time
   after the first. */

#define OVERTAKES(s) (send[s - 1].producer == send[s].producer && send[s - 1].landings == 0)
#define LANDS_FIRST(s) (send[s].landings == 0 && send[send[s].producer].newest < s && (MAY_FAIL || !OVERTAKES(s)))
#define LANDS_AGAIN(s) (send[s].landings == 1 && doubled < DOUBLED_MAX)
#define LANDS(s) (send[s].kind != 0 && entries < ENTRIES_MAX && (LANDS_FIRST(s) || LANDS_AGAIN(s)))

inline Land(s) {
  printf("send %d lands as entry %d\n", s, entries);
  if
  :: send[s].landings == 0 -> send[send[s].producer].newest = s
  :: else -> doubled++
  fi;
#ifdef ALONE
  if
  :: send[s].landings == 0 && OVERTAKES(s) -> failures++
  :: else
  fi;
#endif
  send[s].landings++;
  entries++;
  Judge(s);
#ifdef PROMPT
  for (reader : 0 .. 1) {
    Read(reader, s)
  }
  reader = 0
#else
  log[entries - 1] = s;
  if
  :: counts -> history[place] = s
  :: else
  fi
#endif
}

/* ---- What callers are told. */

inline Tell(key, what) {
  printf("command %d is told %d\n", key, what);
  Never(answered_otherwise, told[key] != NOTHING && told[key] != what);
  told[key] = what
}

/* What the record says. */
inline Answer(s) {
  Never(acknowledged_and_lost, judged.record[send[s].command] != s);
#ifdef QUERY
  if
  :: !asked && newest_answered < send[s].sequence -> newest_answered = send[s].sequence
  :: else
  fi;
#endif
  Tell(send[s].command, (send[s].refusal -> REFUSED : COUNTS))
}

/* Without a record. */
inline Refuse(key) {
  Never(refused_and_counts, judged.record[key] != 0 && !send[judged.record[key]].refusal);
  Tell(key, REFUSED)
}

#ifdef BROKEN_ANSWERING_ON_THE_DELIVERY_REPORT
#define IS_DELIVERED(s) (send[s].landings > 0 && send[s].kind == RECORD && send[s].outcome == OPEN)

inline Deliver(s) {
  send[s].outcome = DONE;
  Answer(s)
}
#endif

#ifdef QUERY
inline AnswerQuery(r) {
  printf("replica %d answers the query from all up to sequence %d\n", r, replica[r].folded.next - 1);
  Never(stale_answer, replica[r].folded.next <= newest_answered);
  newest_answered = 0
}
#endif

#include "replica.pml"

/* ---- Everything that can happen. */

#define STEP(CAN, DOES, s) \
  :: d_step { CAN(s) -> DOES(s) } \
  :: d_step { CAN((SENDS_MAX + s)) -> DOES((SENDS_MAX + s)) }
#define STEPS_4(CAN, DOES) STEP(CAN, DOES, 1) STEP(CAN, DOES, 2) STEP(CAN, DOES, 3) STEP(CAN, DOES, 4)
#if SENDS_MAX > 4
#define STEP_5(CAN, DOES) STEP(CAN, DOES, 5)
#else
#define STEP_5(CAN, DOES)
#endif
#if SENDS_MAX > 5
#define STEP_6(CAN, DOES) STEP(CAN, DOES, 6)
#else
#define STEP_6(CAN, DOES)
#endif
#if SENDS_MAX > 6
#define STEP_7(CAN, DOES) STEP(CAN, DOES, 7)
#else
#define STEP_7(CAN, DOES)
#endif
#if SENDS_MAX > 7
#define STEP_8(CAN, DOES) STEP(CAN, DOES, 8)
#else
#define STEP_8(CAN, DOES)
#endif
#define STEPS(CAN, DOES) \
  STEPS_4(CAN, DOES) STEP_5(CAN, DOES) STEP_6(CAN, DOES) STEP_7(CAN, DOES) STEP_8(CAN, DOES)

active proctype Broker() {
end:
  do
  STEPS(LANDS, Land)
#ifdef BROKEN_ANSWERING_ON_THE_DELIVERY_REPORT
  STEPS(IS_DELIVERED, Deliver)
#endif
  od
}

proctype Follower(bit r) {
end:
  do
#ifndef PROMPT
  :: d_step { replica[r].read < entries -> ReadNext(r) }
#endif
  :: d_step { MAY_BEGIN(r) -> BeginEpoch(r) }
  :: d_step { MAY_DECIDE(r, A) -> Decide(r, A) }
  :: d_step { MAY_DECIDE(r, B) -> Decide(r, B) }
  :: d_step { MAY_ANSWER(r, A) -> Answer(replica[r].folded.record[A]) }
  :: d_step { MAY_ANSWER(r, B) -> Answer(replica[r].folded.record[B]) }
#ifdef QUERY
  :: d_step { MAY_ASK(r) -> Ask(r) }
#endif
#ifdef BROKEN_RETRYING_IN_THE_SAME_EPOCH
  :: d_step { MAY_RETRY(r) -> Retry(r) }
#endif
  od
}

#ifdef WITNESSES
/* What must come about, so that nothing holds for want of it; pan tells of a line that is never reached. */
#define ANY(IS) (IS(1) || IS(2) || IS(3) || IS(4) || IS((SENDS_MAX + 1)) || IS((SENDS_MAX + 2)) || IS((SENDS_MAX + 3)))
#define LANDED_THOUGH_GIVEN_UP(s) (send[s].outcome == GIVEN_UP && send[s].landings > 0)
#define LANDED_TWICE(s) (send[s].kind == RECORD && send[s].landings == 2)
#define IS_LOST(s) (send[s].kind == RECORD && send[s].landings == 0 && send[send[s].producer].newest > s)
#define LOST_THE_RACE(s) (send[s].kind == EPOCH && send[s].landings > 0 && send[s].epoch < judged.epoch && judged.epoch == 2)
#define TAKEN_OVER(r) (replica[r].phase == SERVES && replica[r].folded.record[A] != 0 && WRITER(replica[r].folded.record[A]) != r)

proctype Witness() {
end:
  do
  :: told[A] == COUNTS && told[B] == COUNTS && refused_when == 0
  :: told[A] == COUNTS && told[B] == COUNTS && refused_when == 1
  :: told[A] == COUNTS && told[B] == REFUSED && refused_when == 0
  :: told[A] == COUNTS && told[B] == REFUSED && refused_when == 1
  :: told[A] == COUNTS && judged.epoch == 3
  :: told[A] == NOTHING && judged.record[A] != 0 && send[judged.record[A]].outcome == DONE
  :: ANY(LANDED_THOUGH_GIVEN_UP)
  :: ANY(LANDED_TWICE)
  :: ANY(IS_LOST)
  :: ANY(LOST_THE_RACE)
  :: TAKEN_OVER(0)
  :: TAKEN_OVER(1)
  :: replica[0].phase == SERVES && replica[1].phase == SERVES
  :: replica[0].under_way[A] != 0 && replica[0].under_way[B] != 0
  :: replica[0].read == 0 && entries == ENTRIES_MAX && replica[1].read == ENTRIES_MAX
  :: asked && replica[0].folded.next > newest_answered && newest_answered > 0
  od
}
#endif

init {
  atomic {
    if
    :: refused_when = 0
    :: refused_when = 1
    fi;
    run Follower(0);
    run Follower(1)
#ifdef WITNESSES
    ;run Witness()
#endif
  }
#ifdef ALONE
  timeout -> d_step { Never(never_answered, told[A] == NOTHING || told[B] == NOTHING) }
#endif
}
