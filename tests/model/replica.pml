/* A replica of log_protocol.pml, which includes this: what it sends, and what it makes of what it reads. */

/* ---- A replica as a writer. */

inline NewSend(r, what) {
  sends++;
  replica[r].sent++;
  made = r * SENDS_MAX + replica[r].sent;
  send[made].kind = what;
  if
  :: replica[r].producer == 0 -> replica[r].producer = made
  :: else
  fi;
  send[made].producer = replica[r].producer
}

#ifdef ALONE
#define MAY_BEGIN(r) (sends < SENDS_MAX && r == 0 && (replica[r].phase == FOLLOWS || MAY_FAIL))
#else
/* The first to send anything is number 0; they are the same otherwise. */
#define MAY_BEGIN(r) (sends < SENDS_MAX && (r == 0 || sends > 0))
#endif

inline BeginEpoch(r) {
#ifdef ALONE
  if
  :: replica[r].phase != FOLLOWS -> failures++
  :: else
  fi;
#endif
  Follow(r);
  NewSend(r, EPOCH);
  send[made].epoch = replica[r].folded.epoch + 1;
  replica[r].beginning = made;
  replica[r].phase = BEGINS;
  printf("replica %d sends epoch record %d as send %d\n", r, send[made].epoch, made)
}

inline Follow(r) {
  replica[r].phase = FOLLOWS;
  replica[r].beginning = 0;
  replica[r].producer = 0;
  replica[r].next_sent = 0;
  replica[r].head_sent = 0;
  replica[r].under_way[A] = 0;
  replica[r].under_way[B] = 0
}

#ifdef BROKEN_KEY_LOOKUP
#define HAS_RECORD(r, c) \
  (replica[r].folded.record[c] != 0 && send[replica[r].folded.record[c]].epoch == replica[r].folded.epoch)
#else
#define HAS_RECORD(r, c) (replica[r].folded.record[c] != 0)
#endif
#define MAY_DECIDE(r, c) \
  (replica[r].phase == SERVES && sends < SENDS_MAX && !HAS_RECORD(r, c) && replica[r].under_way[c] == 0)
#define MAY_ANSWER(r, c) (replica[r].phase == SERVES && HAS_RECORD(r, c) && told[c] == NOTHING)

/* On the state behind all that is under way. */
inline Decide(r, key) {
  refuses = (key == B && (replica[r].folded.record[A] != 0 || replica[r].under_way[A] != 0) == refused_when);
  if
#ifdef BROKEN_REFUSING_WITHOUT_A_RECORD
  :: refuses -> Refuse(key)
#endif
#ifdef BROKEN_REFUSING_BEHIND_A_BARRIER
  :: refuses ->
     NewSend(r, BARRIER);
     send[made].command = key;
     send[made].refusal = 1;
     replica[r].under_way[key] = made;
     printf("replica %d sends a barrier for the refusal of command %d as send %d\n", r, key, made)
#endif
  :: else ->
     NewSend(r, RECORD);
     send[made].epoch = send[replica[r].producer].epoch;
     send[made].sequence = replica[r].next_sent;
     send[made].previous = replica[r].head_sent;
     send[made].command = key;
     send[made].refusal = refuses;
     replica[r].next_sent++;
     replica[r].head_sent = made;
     replica[r].under_way[key] = made;
     printf("replica %d sends command %d as send %d: epoch %d, sequence %d, refused %d\n", r, key, made, send[made].epoch,
            send[made].sequence, refuses)
  fi
}

#ifdef QUERY
#ifdef BROKEN_QUERY_WITHOUT_A_BARRIER
#define MAY_ASK(r) (replica[r].phase == SERVES && !asked)
#else
#define MAY_ASK(r) (replica[r].phase == SERVES && !asked && sends < SENDS_MAX)
#endif

inline Ask(r) {
  asked = 1;
#ifdef BROKEN_QUERY_WITHOUT_A_BARRIER
  AnswerQuery(r)
#else
  NewSend(r, BARRIER);
  printf("replica %d sends a barrier for a query as send %d\n", r, made)
#endif
}
#endif

#define IS_OPEN(s) (send[s].outcome == OPEN && send[s].kind != EPOCH)

/* Behind a newer epoch: whatever it has sent and has not read back counts never. */
inline GiveUpAll(r) {
  for (i : r * SENDS_MAX + 1 .. r * SENDS_MAX + replica[r].sent) {
    if
    :: IS_OPEN(i) -> send[i].outcome = (send[i].kind == RECORD -> GIVEN_UP : DONE)
    :: else
    fi
  }
}

#ifdef BROKEN_RETRYING_IN_THE_SAME_EPOCH
#define MAY_RETRY(r) (replica[r].phase == SERVES && (replica[r].under_way[A] != 0 || replica[r].under_way[B] != 0))

inline Retry(r) {
  printf("replica %d takes what it sent for lost, and goes on in epoch %d\n", r, replica[r].folded.epoch);
  GiveUpAll(r);
  Serve(r)
}
#endif

/* ---- A replica as a reader. */

inline Serve(r) {
  replica[r].phase = SERVES;
  replica[r].beginning = 0;
  replica[r].next_sent = replica[r].folded.next;
  replica[r].head_sent = replica[r].folded.head;
  replica[r].under_way[A] = 0;
  replica[r].under_way[B] = 0
}

#ifdef UNNEEDED_KNOWING_OWN_EPOCH_RECORDS
#define IS_OWN_EPOCH(r, s) (replica[r].beginning != 0 && send[replica[r].beginning].epoch == send[s].epoch)
#else
#define IS_OWN_EPOCH(r, s) (replica[r].beginning == s)
#endif

inline ReadEpoch(r, s) {
  if
  :: counts && IS_OWN_EPOCH(r, s) -> GiveUpAll(r); Serve(r)
#ifndef UNNEEDED_STEPPING_DOWN
  :: counts && !IS_OWN_EPOCH(r, s) ->
     GiveUpAll(r);
     if
     :: replica[r].phase == SERVES -> Follow(r)
     :: else
     fi
#endif
  :: !counts && replica[r].beginning == s -> Follow(r)
  :: else
  fi
}

inline ReadOwn(r, s) {
  if
  :: send[s].kind == RECORD && counts ->
     send[s].outcome = DONE;
     if
     :: replica[r].under_way[send[s].command] == s -> replica[r].under_way[send[s].command] = 0
     :: else
     fi;
     Answer(s)
  /* A hole before it, which may be filled yet, and this land once more behind it. Only a new epoch says. */
  :: send[s].kind == RECORD && !counts ->
     if
#ifndef BROKEN_IGNORING_A_HOLE
     :: replica[r].phase == SERVES -> Follow(r)
#endif
     :: else
     fi
#ifdef BROKEN_REFUSING_BEHIND_A_BARRIER
  :: send[s].kind == BARRIER ->
     send[s].outcome = DONE;
     if
     :: replica[r].under_way[send[s].command] == s -> replica[r].under_way[send[s].command] = 0; Refuse(send[s].command)
     :: else
     fi
#endif
#ifdef QUERY
  :: send[s].kind == BARRIER -> send[s].outcome = DONE; AnswerQuery(r)
#endif
  fi
}

inline Read(r, s) {
  Fold(replica[r].folded, s);
  printf("replica %d reads send %d, counts %d\n", r, s, counts);
#ifdef PROMPT
  Never(another_history, replica[r].folded.next != judged.next || replica[r].folded.head != judged.head);
#else
  Never(another_history, counts && history[place] != s);
#endif
  if
  :: send[s].kind == EPOCH -> ReadEpoch(r, s)
  :: IS_OPEN(s) && WRITER(s) == r -> ReadOwn(r, s)
  :: else
  fi
}

#ifndef PROMPT
inline ReadNext(r) {
  entry = log[replica[r].read];
  replica[r].read++;
  Read(r, entry)
}
#endif
