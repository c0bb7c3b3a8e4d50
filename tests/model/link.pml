/* SPDX-License-Identifier: MIT */
/*
 * The link protocol of sluice, for spin. What it says in words, what it leaves out, and how it is run: README.md.
 *
 * Two graphs are made of the same code:
 *
 *   default    source -> two sinks, each with a file of its own; no order; the sinks share what they have committed
 *   -DCHAIN    source -> two transforms -> one sink that keeps the order
 *
 * An instance does one thing at a time: reads its words, or all frames of its outlet, or all of one inlet, and what follows
 * from it, in one step. Between any two steps it may die. A file and names in brackets are the C functions that a part stands
 * for; tests/model/run looks whether they are still there. A rule is taken out by -D and its name, which begins with NO.
 */

/* --- sizes ---------------------------------------------------------------------------------------- */

#ifndef N
#define N 2 /* batches that the source cuts */
#endif
#ifndef QUEUE
#define QUEUE 1
#endif
#ifndef RETAIN
#define RETAIN 2 /* batches, where sluice counts bytes */
#endif
#ifndef DEATHS
#define DEATHS 1 /* of all; and of each role: */
#endif
#ifndef SOURCE_DEATHS
#define SOURCE_DEATHS 1
#endif
#ifndef TRANSFORM_DEATHS
#define TRANSFORM_DEATHS 1
#endif
#ifndef SINK_DEATHS
#define SINK_DEATHS 1
#endif
#ifndef REFUSALS
#define REFUSALS 0 /* batches that a sink answers with FAILED */
#endif
#ifdef NO_END_WRITTEN
#define MAX (N + 1) /* the input grows by one batch while the source is dead */
#else
#define MAX N
#endif
#define EPOCHS (SOURCE_DEATHS + 1) /* of the source: a transform may hold a batch once from each */
#define SLOTS (MAX * EPOCHS)

/* --- who is there --------------------------------------------------------------------------------- */

#define SOURCE 0
#ifdef CHAIN /* 0 -> 1, 2 -> 3; links 0: 0-1, 1: 0-2, 2: 1-3, 3: 2-3 */
#define INSTANCES 4
#define LINKS 4
#define ABOVE(l) ((l) < 2 -> 0 : (l) - 1)
#define BELOW(l) ((l) < 2 -> (l) + 1 : 3)
#define OUT_BEGIN(p) ((p) == 0 -> 0 : (p) + 1)
#define OUT_END(p) ((p) == 0 -> 2 : ((p) == 3 -> 4 : (p) + 2))
#define IN_BEGIN(p) ((p) == 0 -> 0 : ((p) == 3 -> 2 : (p) - 1))
#define IN_END(p) ((p) == 0 -> 0 : ((p) == 3 -> 4 : (p)))
#define IS_SINK(p) ((p) == 3)
#define SINKS 1
#else /* 0 -> 1, 2; links 0: 0-1, 1: 0-2 */
#define INSTANCES 3
#define LINKS 2
#define ABOVE(l) 0
#define BELOW(l) ((l) + 1)
#define OUT_BEGIN(p) ((p) == 0 -> 0 : 2)
#define OUT_END(p) 2
#define IN_BEGIN(p) ((p) == 0 -> 0 : (p) - 1)
#define IN_END(p) (p)
#define IS_SINK(p) ((p) > 0)
#define SINKS 2
#endif
#define SINK(p) ((p) - (INSTANCES - SINKS))
#define IS_TRANSFORM(p) ((p) != SOURCE && !IS_SINK(p))

/* --- what is said --------------------------------------------------------------------------------- */

mtype = { HELLO, GRANT, SETTLED, FAILED, BYE, BATCH, PING, SENTINEL, UP, GONE, DONE };

/* Beside a batch: */
#define AGAIN 8  /* given out before */
#define HOLE 16  /* the empty batch in the place of a settled one */
#define FRESH 32 /* on the wire: it passed by credit; in a slot: by room. For the properties only */
#define RECUT 64 /* another identity for the same records */

#ifndef SLACK
#define SLACK 0 /* more room on the wire; an assertion tells when it is wanted */
#endif
#define FRAMES (MAX + 3)
chan down[LINKS] = [FRAMES + 1 + SLACK] of { mtype, byte, byte, byte };     /* type, batch, flags; floor */
chan up[LINKS] = [FRAMES + 2 + SLACK] of { mtype, byte, byte, byte, byte }; /* type, batch, flags; epoch of the sender, of the receiver */
chan words[INSTANCES] = [6] of { mtype, byte, byte };             /* type, about whom, its epoch */

/* --- the supervisor's children ---------------------------------------------------------------------- */

#define RUNNING 0
#define WAITING 1
#define FINISHED 2
byte child[INSTANCES];
bool alive[INSTANCES];
bool is_clean[INSTANCES]; /* exited 0 */
byte epoch[INSTANCES];
byte deaths = DEATHS;
byte deaths_of[3]; /* source, transforms, sinks */
byte refusals = REFUSALS;
#ifdef SLOW_BRANCH
bool branch_is_settled;
#endif
byte telling; /* the supervisor is about to tell those below of the death of this one, plus 1 */
byte repeats; /* cuts that the source must make again first */
bool may_cut; /* the source's gates are open */
#ifdef NO_REAP_WORD
bool was_silent;
#endif

/* --- an instance: gone with its process --------------------------------------------------------------- */

/* [src/link/states.c: outlet_peer_table inlet_peer_table instance_table] */
#define ABSENT 0
#define LIVE 1 /* of an outlet's peer */
#define OPEN 1 /* of an inlet's peer */
#define ENDED 2
#define LEFT 3 /* an outlet's peer: done */

#define LIFE_RUNNING 0
#define LIFE_DRAINING 1
#define LIFE_FINISHED 2 /* a sink whose file is published */
#define LIFE_ENDING 3

byte life[INSTANCES];
byte floor[INSTANCES];      /* all batches up to this number are settled, as far as this one knows */
bool floor_news[INSTANCES]; /* to be told with the next PING */
byte settled[INSTANCES];    /* a bit for each batch above the floor that its outlet saw settled */

/* Batches held: [batch and epoch of the source it came from] -> state and flags. Of the source: the epoch counts as 0. */
#define NONE 0
#define READY 1 /* taken, not begun */
#define WAIT 2  /* in the outlet, not sent */
#define SENT 3  /* on the first link; 4: on the second */
#define STATE(s) ((s) & 7)
typedef held_batches {
	byte slot[SLOTS]
};
held_batches held[INSTANCES - SINKS];

byte outlet_state[LINKS], outlet_epoch[LINKS], outlet_least[LINKS]; /* the peer's; below `least` all were reaped */
short credit[LINKS];
byte queued[LINKS]; /* sent by credit and not begun */

byte inlet_state[LINKS], inlet_epoch[LINKS];
bool is_connected[LINKS];

#ifdef CHAIN
chan early[LINKS] = [FRAMES] of { byte, byte }; /* held back for order at the sink: batch, flags */
byte handed_on;                                 /* position up to which it has handed on */
#endif
#define GROUP (MAX + 6)
#ifndef CHAIN
chan todo[SINKS] = [GROUP] of { byte, byte, byte, byte }; /* handed to the worker, not begun: as in group */
#endif
chan group[SINKS] = [GROUP] of { byte, byte, byte, byte }; /* written, not committed: link, epoch above, batch, flags */
byte written[SINKS];                                       /* bits of names in the group whose records were written */

/* --- what outlives a process --------------------------------------------------------------------------- */

byte cut;             /* the source: batches cut so far */
byte settled_written; /* bits */
bool end_written;
byte names;           /* of the sinks: committed, as bits */
byte names_floor;     /* all up to this one were, and their names are gone */
byte file_end[SINKS], file_committed[SINKS]; /* the last batch in the sink's file; and when it was committed last */
bool is_published[SINKS];
byte records[MAX + 1]; /* how often the records of a batch stand in the files */

#define BIT(n) (1 << ((n) - 1))
#define UP_TO(n) ((1 << (n)) - 1)

/* Of steps; nothing is kept in them from one to the next. */
hidden byte g_type, g_batch, g_flags, g_epoch, g_slot, g_at, g_fresh, g_link, g_pick, g_who, g_floor, g_count;
hidden byte g_link2, g_batch2, g_flags2;
hidden byte is_urgent, is_found, pick, what;

/* --- the wire ------------------------------------------------------------------------------------------- */

/* A process that is gone, or has closed the socket, gets nothing; nobody learns of it. [src/link/outlet.c: outlet_send_to] */
inline send_down(link, type, batch, flags)
{
	if
	:: alive[BELOW(link)] && is_connected[link] && inlet_epoch[link] == epoch[ABOVE(link)] && outlet_epoch[link] == epoch[BELOW(link)] ->
		assert(nfull(down[link]));
		down[link]!type, batch, flags, floor[ABOVE(link)]
	:: else -> skip
	fi
}

/* What a dead process did not read waits in the sender's socket, for whoever binds that name next. [src/link/inlet.c: peer_send] */
inline send_up(link, type, batch, flags)
{
	if
	:: is_connected[link] ->
		assert(nfull(up[link]));
		up[link]!type, batch, flags, epoch[BELOW(link)], inlet_epoch[link]
	:: else -> skip
	fi
}

inline empty_up(link)
{
	do
	:: up[link]?_, _, _, _, _
	:: empty(up[link]) -> break
	od
}

inline empty_down(link)
{
	do
	:: down[link]?_, _, _, _
	:: empty(down[link]) -> break
	od
}

/* --- outlets ---------------------------------------------------------------------------------------------- */

/* [src/link/link.c: link_is_urgent] */
#ifdef NO_URGENT
#define URGENT(p, batch, flags) false
#else
#define URGENT(p, batch, flags) (((flags) & AGAIN) || (batch) <= floor[p] + 1)
#endif
#ifdef NO_CREDIT
#define HAS_CREDIT(link) true
#else
#define HAS_CREDIT(link) (credit[link] > 0)
#endif
#define CAN_TAKE(link) (outlet_state[link] == LIVE && (is_urgent || HAS_CREDIT(link)))
#define SECOND(p) (OUT_END(p) - OUT_BEGIN(p) == 2)
/* [src/link/outlet.c: has_met_all] */
#define HAS_MET_ALL(p) (outlet_least[OUT_BEGIN(p)] > 0 && (!SECOND(p) || outlet_least[OUT_END(p) - 1] > 0))

/* [src/link/outlet.c: send_duty outlet_send_batch] */
inline send_slot(p, at, link)
{
	held[p].slot[at] = (held[p].slot[at] & ~7) | (SENT + link - OUT_BEGIN(p));
	credit[link]--;
	g_flags2 = held[p].slot[at] & (AGAIN | HOLE | RECUT);
	if
	:: is_urgent -> skip
	:: else ->
		g_flags2 = g_flags2 | FRESH;
		queued[link]++;
		assert(queued[link] <= QUEUE) /* the window */
	fi;
	send_down(link, BATCH, at / EPOCHS + 1, g_flags2)
}

/* The live peer with the most credit; of two with as much, `pick` says which, then the other. [src/link/outlet.c: outlet_send_waiting peer_for choose_peer] */
inline send_waiting(p)
{
	g_at = 0;
	do
	:: g_at == SLOTS -> break
	:: g_at < SLOTS && STATE(held[p].slot[g_at]) == WAIT ->
		is_urgent = URGENT(p, g_at / EPOCHS + 1, held[p].slot[g_at]);
		g_link2 = OUT_BEGIN(p);
		if
		:: SECOND(p) && CAN_TAKE(g_link2 + 1) &&
			(!CAN_TAKE(g_link2) || credit[g_link2 + 1] > credit[g_link2] || (credit[g_link2 + 1] == credit[g_link2] && pick)) ->
			g_link2++
		:: else -> skip
		fi;
		if
		:: HAS_MET_ALL(p) && CAN_TAKE(g_link2) ->
			send_slot(p, g_at, g_link2);
			pick = (g_link2 == OUT_BEGIN(p))
		:: else -> skip
		fi;
		g_at++
	:: else -> g_at++
	od
}

/* n: batches in the outlet; k: those that passed by room. [src/link/outlet.c: outlet_held] */
inline count_held(p)
{
	g_count = 0;
	g_fresh = 0;
	g_at = 0;
	do
	:: g_at == SLOTS -> break
	:: g_at < SLOTS ->
		g_count = g_count + (STATE(held[p].slot[g_at]) >= WAIT -> 1 : 0);
		g_fresh = g_fresh + (STATE(held[p].slot[g_at]) >= WAIT && (held[p].slot[g_at] & FRESH) -> 1 : 0);
		g_at++
	od
}

/* With the sentinel goes the last word about the floor. [src/link/outlet_peers.c: send_sentinel send_sentinels] */
inline send_sentinels(p)
{
	count_held(p);
	g_link2 = OUT_BEGIN(p);
	do
	:: g_link2 == OUT_END(p) -> break
	:: g_link2 < OUT_END(p) ->
		if
#ifdef NO_SENTINEL_AFTER_SETTLED
		:: life[p] == LIFE_ENDING && outlet_state[g_link2] == LIVE ->
#else
		:: life[p] == LIFE_ENDING && outlet_state[g_link2] == LIVE && g_count == 0 ->
#endif
			outlet_state[g_link2] = ENDED;
			send_down(g_link2, SENTINEL, 0, 0)
		:: else -> skip
		fi;
		g_link2++
	od
}

/* The floors, then empty batches for what was settled above them. [src/link/outlet_peers.c: greet_peer send_hole] */
inline greet(p, link)
{
	send_down(link, PING, 0, 0);
#ifndef NO_HOLES
	g_batch2 = floor[p] + 1;
	do
	:: g_batch2 > MAX -> break
	:: g_batch2 <= MAX && (settled[p] & BIT(g_batch2)) ->
#ifndef NO_CREDIT_FOR_HOLES
		credit[link]--;
#endif
		send_down(link, BATCH, g_batch2, AGAIN | HOLE);
		g_batch2++
	:: else -> g_batch2++
	od
#endif
}

/* [src/link/spans.c: floors_raise spans_forget] [src/link/outlet_peers.c: outlet_floors_changed] */
inline raise_floor(p, to)
{
	if
	:: to > floor[p] ->
		floor[p] = to;
		floor_news[p] = OUT_BEGIN(p) < OUT_END(p);
		settled[p] = settled[p] & ~UP_TO(to)
	:: else -> skip
	fi
}

/*
 * -DSLOW_BRANCH: everything goes to one more sink, too, which settles nothing before the one that is modelled has committed all. Nobody
 * dies there.
 */
#ifdef SLOW_BRANCH
#define BRANCH_IS_SETTLED branch_is_settled
#define BRANCH_SETTLES (!branch_is_settled && records[1] == 1 && records[2] == 1 && records[N] == 1)
#else
#define BRANCH_IS_SETTLED true
#endif

/* The source writes down what is settled before it tells of it. [src/engine/ledger.c: origins_settle] [src/engine/keeper.c: keeper_settle] */
inline settle_cut()
{
#ifndef NO_SETTLED_WRITTEN
	settled_written = settled_written | settled[SOURCE];
#endif
	g_floor = floor[SOURCE];
	do
	:: g_floor < cut && BRANCH_IS_SETTLED && (settled[SOURCE] & BIT(g_floor + 1)) -> g_floor++
	:: else -> break
	od;
	raise_floor(SOURCE, g_floor)
}

/* Batch `at` is settled below; so its input is above. [src/engine/pump_work.c: pump_settled settle_input] [src/link/inlet.c: inlet_settle peer_of] */
inline settle_slot(p, at)
{
	g_batch2 = at / EPOCHS + 1;
	g_flags2 = held[p].slot[at];
	held[p].slot[at] = NONE;
	/* [src/link/outlet_peers.c: remember_settled] */
	if
	:: g_batch2 > floor[p] -> settled[p] = settled[p] | BIT(g_batch2)
	:: else -> skip
	fi;
	if
	:: p == SOURCE -> settle_cut()
#ifdef NO_INLET_EPOCH
	:: p != SOURCE ->
#else
	:: p != SOURCE && inlet_epoch[IN_BEGIN(p)] == at % EPOCHS + 1 ->
#endif
		send_up(IN_BEGIN(p), SETTLED, g_batch2, g_flags2 & HOLE)
	:: else -> skip
	fi
}

/* The slot that an answer on `link` is about: same batch, sent there, and as many records as the answer counts. */
#ifdef NO_COUNT_IN_SETTLED
#define ANSWERS(s, flags) true
#else
#define ANSWERS(s, flags) (((s) & HOLE) == ((flags) & HOLE))
#endif

/* i: the slot; is_found. [src/link/outlet_peers.c: find_duty find_settled receive_settled] */
inline find_slot(p, link, batch, flags)
{
	is_found = false;
	g_slot = (batch - 1) * EPOCHS;
	do
	:: g_slot == batch * EPOCHS -> break
	:: g_slot < batch * EPOCHS && STATE(held[p].slot[g_slot]) == SENT + link - OUT_BEGIN(p) && ANSWERS(held[p].slot[g_slot], flags) ->
		is_found = true;
		break
	:: else -> g_slot++
	od
}

/* [src/link/outlet_peers.c: wait_again] */
inline wait_again(p, at)
{
#ifdef NO_REDELIVERY
	skip
#else
	held[p].slot[at] = (held[p].slot[at] & ~7) | WAIT | AGAIN
#endif
}

/* [src/link/outlet_peers.c: receive_hello] */
inline receive_hello(p, link, ep, to)
{
	if
#ifdef NO_OUTLET_EPOCH
	:: outlet_state[link] == ABSENT ->
#else
	:: outlet_state[link] == ABSENT && to == epoch[p] && ep >= outlet_least[link] ->
#endif
		outlet_state[link] = LIVE;
		outlet_epoch[link] = ep;
		outlet_least[link] = ep;
		credit[link] = QUEUE;
		queued[link] = 0;
		greet(p, link)
	:: else -> skip
	fi
}

/* [src/link/outlet_peers.c: peer_named receive_frame receive_grant receive_settled receive_failed receive_bye] */
inline receive_up(p, link)
{
	up[link]?g_type, g_batch, g_flags, g_epoch, g_floor;
	if
	:: g_type == HELLO -> receive_hello(p, link, g_epoch, g_floor)
#ifdef NO_OUTLET_EPOCH
	:: g_type != HELLO && outlet_state[link] == ABSENT -> skip
#else
	:: g_type != HELLO && (outlet_state[link] == ABSENT || outlet_epoch[link] != g_epoch) -> skip
#endif
	:: else ->
		if
		:: g_type == GRANT ->
			credit[link]++;
			assert(credit[link] <= QUEUE)
		:: g_type == SETTLED ->
			find_slot(p, link, g_batch, g_flags);
			if
			:: is_found ->
				/* Conservation: as many records received as sent. [src/link/outlet_peers.c: count_settled] */
				assert((held[p].slot[g_slot] & HOLE) == (g_flags & HOLE));
				settle_slot(p, g_slot)
			:: else -> skip
			fi
		:: g_type == FAILED ->
			find_slot(p, link, g_batch, g_flags);
			if
			:: is_found ->
#ifdef NO_CREDIT_BY_GRANT_ALONE
				credit[link]++;
				assert(credit[link] <= QUEUE);
#endif
				wait_again(p, g_slot)
			:: else -> skip
			fi
		:: g_type == BYE ->
			if
			:: outlet_state[link] == ENDED -> outlet_state[link] = LEFT
			:: else -> skip
			fi
		fi
	fi
}

/* [src/link/outlet_peers.c: outlet_receive] */
inline read_outlet(p)
{
	g_link = OUT_BEGIN(p);
	do
	:: g_link == OUT_END(p) -> break
	:: g_link < OUT_END(p) && nempty(up[g_link]) -> receive_up(p, g_link)
	:: g_link < OUT_END(p) && empty(up[g_link]) -> g_link++
	od
}

/* [src/link/outlet_peers.c: outlet_peer_gone] */
inline outlet_gone(p, link, ep)
{
	if
	:: outlet_least[link] <= ep ->
		outlet_least[link] = ep + 1;
		outlet_state[link] = (outlet_state[link] == LEFT -> LEFT : ABSENT);
		outlet_epoch[link] = 0;
		credit[link] = 0;
		queued[link] = 0;
		g_slot = 0;
		do
		:: g_slot == SLOTS -> break
		:: g_slot < SLOTS && STATE(held[p].slot[g_slot]) == SENT + link - OUT_BEGIN(p) ->
			wait_again(p, g_slot);
			g_slot++
		:: else -> g_slot++
		od
	:: else -> skip
	fi
}

/* --- inlets ------------------------------------------------------------------------------------------------ */

/* [src/link/inlet.c: inlet_peer_up] */
inline inlet_up(link, ep)
{
	if
	:: inlet_state[link] == ABSENT || inlet_state[link] == LEFT ->
		inlet_state[link] = OPEN;
		inlet_epoch[link] = ep;
		is_connected[link] = true;
		send_up(link, HELLO, 0, 0)
	:: else -> skip
	fi
}

/* What came from the dead one and is not begun is dropped. [src/link/inlet.c: inlet_peer_gone] [src/engine/pump_words.c: drop_ready] [src/link/order.c: order_drop] */
inline inlet_gone(p, link, ep)
{
	if
	:: inlet_epoch[link] <= ep ->
		inlet_state[link] = (inlet_state[link] == LEFT -> LEFT : ABSENT);
		is_connected[link] = false;
		empty_down(link);
		empty_up(link);
		g_slot = (IS_SINK(p) -> SLOTS : 0);
		do
		:: g_slot == SLOTS -> break
		:: g_slot < SLOTS && STATE(held[p].slot[g_slot]) == READY && g_slot % EPOCHS + 1 == ep ->
			held[p].slot[g_slot] = NONE;
			g_slot++
		:: else -> g_slot++
		od
#ifdef CHAIN
		do
		:: early[link]?_, _
		:: empty(early[link]) -> break
		od
#endif
	:: else -> skip
	fi
}

/* One batch more may be sent: this one is begun. [src/link/inlet.c: inlet_grant] [src/engine/pump_work.c: pump_read_crew] */
inline grant(link, ep, flags)
{
#ifdef NO_INLET_EPOCH
	if
	:: true ->
#else
	if
	:: inlet_epoch[link] == ep && is_connected[link] ->
#endif
		queued[link] = queued[link] - (queued[link] > 0 && (flags & FRESH) -> 1 : 0);
		send_up(link, GRANT, 0, 0)
	:: else -> skip
	fi
}

/* --- transforms ---------------------------------------------------------------------------------------------- */

/* Room for one more, and credit for it? [src/engine/pump_work.c: gates_are_open] [src/link/outlet.c: outlet_has_room outlet_has_credit] */
#define SOME_CREDIT(p)                                                                             \
	((outlet_state[OUT_BEGIN(p)] == LIVE && HAS_CREDIT(OUT_BEGIN(p))) ||                       \
		(SECOND(p) && outlet_state[OUT_END(p) - 1] == LIVE && HAS_CREDIT(OUT_END(p) - 1)))
#ifdef NO_RETENTION
#define HAS_ROOM true
#else
#define HAS_ROOM (g_count < RETAIN)
#endif

inline see_gates(p)
{
	count_held(p);
	is_found = HAS_ROOM && SOME_CREDIT(p);
	g_at = 0;
	do
	:: g_at == SLOTS -> break
	:: g_at < SLOTS ->
		is_found = is_found && STATE(held[p].slot[g_at]) != WAIT;
		g_at++
	od
}

/* A batch is begun, worked on, and its output taken by the outlet. [src/engine/pump_work.c: give_delivery job_done_transform] [src/link/outlet.c: outlet_take] */
inline work(p, at)
{
	grant(IN_BEGIN(p), at % EPOCHS + 1, held[p].slot[at]);
	held[p].slot[at] = (held[p].slot[at] & (AGAIN | HOLE | RECUT)) | WAIT;
	if
	:: URGENT(p, at / EPOCHS + 1, held[p].slot[at]) -> skip
	:: else -> held[p].slot[at] = held[p].slot[at] | FRESH
	fi
}

/* g_pick: one that may be begun; or SLOTS. `pick`: from which end is looked. [src/engine/pump_work.c: pump_hand_out next_delivery] */
inline find_ready(p)
{
	g_pick = SLOTS;
	g_at = 0;
	do
	:: g_at == SLOTS -> break
	:: g_at < SLOTS && STATE(held[p].slot[g_at]) == READY && (is_found || URGENT(p, g_at / EPOCHS + 1, held[p].slot[g_at])) ->
		g_pick = (g_pick == SLOTS || pick -> g_at : g_pick);
		g_at++
	:: else -> g_at++
	od
}

/* [src/engine/pump_work.c: pump_hand_out] */
inline send_and_begin(p)
{
	do
	:: send_waiting(p);
		see_gates(p);
		assert(g_fresh <= RETAIN); /* the memory bound */
		g_pick = SLOTS;
		if
		:: IS_TRANSFORM(p) && life[p] <= LIFE_DRAINING -> find_ready(p)
		:: else -> skip
		fi;
		if
		:: g_pick < SLOTS -> work(p, g_pick)
		:: else -> break
		fi
	od;
	may_cut = (p == SOURCE -> is_found && HAS_MET_ALL(p) : may_cut)
}

/* --- sinks ------------------------------------------------------------------------------------------------------ */

#define NAME(batch, flags) ((batch) + ((flags) & RECUT -> MAX : 0))
#ifdef PLAIN
#define IS_COMMITTED(batch, flags) false
#elif defined(NO_REMEMBERED_NAMES)
#define IS_COMMITTED(batch, flags) false
#else
#ifdef NO_FLOOR_IS_COMMITTED
#define IS_COMMITTED(batch, flags) (names & BIT(NAME(batch, flags)))
#else
#define IS_COMMITTED(batch, flags) ((names & BIT(NAME(batch, flags))) || (batch) <= names_floor)
#endif
#endif
#ifdef PLAIN
#define IS_WRITTEN(p, batch, flags) false
#elif defined(NO_NAMES_IN_GROUP)
#define IS_WRITTEN(p, batch, flags) ((flags & AGAIN) && (written[SINK(p)] & BIT(NAME(batch, flags))))
#else
#define IS_WRITTEN(p, batch, flags) (written[SINK(p)] & BIT(NAME(batch, flags)))
#endif

/* [src/link/inlet.c: inlet_settle] */
inline answer(link, ep, batch, flags)
{
#ifdef NO_INLET_EPOCH
	send_up(link, SETTLED, batch, flags & HOLE)
#else
	if
	:: inlet_epoch[link] == ep -> send_up(link, SETTLED, batch, flags & HOLE)
	:: else -> skip
	fi
#endif
}

/* [src/engine/memory.c: memory_recognise find_written] [src/state/committed.c: committed_has] [src/engine/worker.c: run_job skip_known] [src/engine/worker_roles.c: run_sink worker_keep_uncommitted] */
inline take_in(p, link, ep, batch, flags)
{
	if
	:: refusals > 0 && pick && !(flags & HOLE) && inlet_epoch[link] == ep ->
		refusals--;
		grant(link, ep, flags);
		send_up(link, FAILED, batch, flags & HOLE)
	:: else ->
		grant(link, ep, flags);
		if
		:: IS_COMMITTED(batch, flags) -> answer(link, ep, batch, flags)
		:: else ->
			if
			:: !(flags & HOLE) && !IS_WRITTEN(p, batch, flags) ->
				assert(!is_published[SINK(p)]);
#ifdef CHAIN
				assert(batch > file_end[SINK(p)]); /* order; and not twice */
				file_end[SINK(p)] = batch;
#endif
				assert(!(written[SINK(p)] & BIT(NAME(batch, flags)))); /* not twice in one group */
				written[SINK(p)] = written[SINK(p)] | BIT(NAME(batch, flags))
			:: else -> skip
			fi;
			assert(nfull(group[SINK(p)]));
			group[SINK(p)]!link, ep, batch, flags
		fi
	fi
}

/*
 * What was written is made to last together with its names; then it is settled. Who finds a name there that its own group wrote lost a
 * race against the other instance: its process goes back to the last commit, which is seen here as taking out these records alone.
 * [src/engine/worker_roles.c: worker_commit] [src/engine/memory.c: memory_keep] [src/state/committed.c: check_new committed_add committed_end]
 */
inline commit(p)
{
	do
	:: group[SINK(p)]?g_link, g_epoch, g_batch, g_flags ->
		g_pick = NAME(g_batch, g_flags);
		if
#if defined(NO_ONE_WINNER) || defined(NO_REMEMBERED_NAMES) || defined(PLAIN)
		:: (written[SINK(p)] & BIT(g_pick)) ->
#else
		:: (written[SINK(p)] & BIT(g_pick)) && !(names & BIT(g_pick)) && g_batch > names_floor ->
#endif
			records[g_batch]++;
			assert(records[g_batch] == 1); /* exactly once */
		:: else -> skip
		fi;
		written[SINK(p)] = written[SINK(p)] & ~BIT(g_pick);
		names = names | BIT(g_pick);
		answer(g_link, g_epoch, g_batch, g_flags)
	:: empty(group[SINK(p)]) -> break
	od;
	names_floor = (floor[p] > names_floor -> floor[p] : names_floor);
	names = names & ~UP_TO(names_floor);
	file_committed[SINK(p)] = file_end[SINK(p)]
}

#ifdef CHAIN
/* l: the link whose first batch is the next one; is_found. [src/link/order.c: order_next lane_next] */
inline find_next(p)
{
#ifndef NO_FLOOR_IN_ORDER
	handed_on = (floor[p] > handed_on -> floor[p] : handed_on);
#endif
	is_found = false;
	g_batch2 = 255;
	g_link2 = IN_BEGIN(p);
	do
	:: g_link2 == IN_END(p) -> break
	:: g_link2 < IN_END(p) && nempty(early[g_link2]) ->
		early[g_link2]?<g_batch, g_flags>;
		if
#ifdef NO_ORDER
		:: g_batch < g_batch2 ->
#else
		:: g_batch <= handed_on + 1 && g_batch < g_batch2 ->
#endif
			g_batch2 = g_batch;
			g_link = g_link2;
			is_found = true
		:: else -> skip
		fi;
		g_link2++
	:: g_link2 < IN_END(p) && empty(early[g_link2]) -> g_link2++
	od
}

/* [src/engine/pump.c: pump_release_ordered] */
inline release(p)
{
	find_next(p);
	do
	:: is_found ->
		early[g_link]?g_batch, g_flags;
		handed_on = (g_batch > handed_on -> g_batch : handed_on);
		take_in(p, g_link, inlet_epoch[g_link], g_batch, g_flags);
		find_next(p)
	:: else -> break
	od
}
#else
#define release(p) skip

/* The worker takes the next one. [src/engine/worker.c: next_job] */
inline begin_next(p)
{
	todo[SINK(p)]?g_link, g_epoch, g_batch, g_flags;
	take_in(p, g_link, g_epoch, g_batch, g_flags)
}
#endif

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* [src/link/inlet.c: receive_batch] [src/link/order.c: order_add] */
inline receive_batch(p, link)
{
	assert(inlet_state[link] == OPEN); /* nothing follows the sentinel */
	if
	:: IS_TRANSFORM(p) ->
		g_slot = (g_batch - 1) * EPOCHS + inlet_epoch[link] - 1;
		assert(held[p].slot[g_slot] == NONE);
		held[p].slot[g_slot] = READY | g_flags
	:: else ->
#ifdef CHAIN
		assert(nfull(early[link]));
		early[link]!!g_batch, g_flags
#else
		assert(nfull(todo[SINK(p)]));
		todo[SINK(p)]!link, inlet_epoch[link], g_batch, g_flags
#endif
	fi
}

/* [src/link/inlet.c: inlet_receive receive_frame receive_ping receive_sentinel] */
inline receive_down(p, link)
{
	down[link]?g_type, g_batch, g_flags, g_floor;
#ifdef NO_FLOOR_WITH_SENTINEL
	g_floor = (g_type == SENTINEL -> 0 : g_floor);
#endif
	raise_floor(p, g_floor);
	if
	:: g_type == BATCH -> receive_batch(p, link)
	:: g_type == SENTINEL && inlet_state[link] == OPEN -> inlet_state[link] = ENDED
	:: else -> skip
	fi
}

/* [src/link/inlet.c: inlet_peer_finished] [src/link/outlet_peers.c: outlet_peer_finished] */
inline hear_done(p, about)
{
	g_link = 0;
	do
	:: g_link == LINKS -> break
	:: g_link < LINKS && BELOW(g_link) == p && ABOVE(g_link) == about ->
		inlet_state[g_link] = LEFT;
		is_connected[g_link] = false;
		empty_down(g_link);
		empty_up(g_link);
		g_link++
	:: g_link < LINKS && ABOVE(g_link) == p && BELOW(g_link) == about ->
#ifndef NO_EXIT_STANDS_FOR_BYE
		outlet_state[g_link] = LEFT;
#endif
		outlet_least[g_link] = (outlet_least[g_link] == 0 -> 1 : outlet_least[g_link]);
		g_link++
	:: else -> g_link++
	od
}

/* [src/engine/pump_words.c: pump_read_words hear_word word_for_inlet word_for_outlet] */
inline hear_word(p)
{
	words[p]?g_type, g_who, g_epoch;
	if
	:: g_type == DONE -> hear_done(p, g_who)
	:: else ->
		g_link = 0;
		do
		:: g_link == LINKS -> break
		:: g_link < LINKS && BELOW(g_link) == p && ABOVE(g_link) == g_who ->
			if
			:: g_type == UP -> inlet_up(g_link, g_epoch)
			:: else -> inlet_gone(p, g_link, g_epoch)
			fi;
			g_link++
		:: g_link < LINKS && ABOVE(g_link) == p && BELOW(g_link) == g_who && g_type == GONE ->
			outlet_gone(p, g_link, g_epoch);
			g_link++
		:: else -> g_link++
		od
	fi
}

/* --- the life of an instance ------------------------------------------------------------------------------------------ */

/* m: all inputs have ended. [src/engine/pump.c: input_has_ended] [src/link/inlet.c: inlet_has_ended] */
inline see_inputs(p)
{
	g_pick = (p != SOURCE);
	g_link = IN_BEGIN(p);
	do
	:: g_link == IN_END(p) -> break
	:: g_link < IN_END(p) ->
		g_pick = g_pick && (inlet_state[g_link] == ENDED || inlet_state[g_link] == LEFT);
		g_link++
	od
}

#ifdef CHAIN
#define NOTHING_LEFT(p) (len(group[SINK(p)]) + len(early[IN_BEGIN(p)]) + len(early[IN_BEGIN(p) + 1]) == 0)
#else
#define NOTHING_LEFT(p) (len(group[SINK(p)]) + len(todo[SINK(p)]) == 0)
#endif

/* g_count: what is begun, held or unsettled. [src/engine/pump.c: is_settled] */
inline see_settled(p)
{
	if
	:: IS_SINK(p) -> g_count = (NOTHING_LEFT(p) -> 0 : 1)
	:: else ->
		g_count = (p == SOURCE && !BRANCH_IS_SETTLED -> 1 : 0);
		g_at = 0;
		do
		:: g_at == SLOTS -> break
		:: g_at < SLOTS ->
			g_count = g_count + (held[p].slot[g_at] != NONE -> 1 : 0);
			g_at++
		od
	fi
}

/* [src/engine/pump.c: say_bye] [src/link/inlet.c: inlet_bye] */
inline say_bye(p)
{
	g_link = IN_BEGIN(p);
	do
	:: g_link == IN_END(p) -> break
	:: g_link < IN_END(p) && inlet_state[g_link] == ENDED ->
		inlet_state[g_link] = LEFT;
		send_up(g_link, BYE, 0, 0);
		g_link++
	:: else -> g_link++
	od
}

/* [src/engine/pump.c: life_event life_act end_outlets] [src/link/outlet_peers.c: outlet_end] */
inline live(p)
{
	see_inputs(p);
	if
	:: life[p] == LIFE_RUNNING && g_pick -> life[p] = LIFE_DRAINING
	:: else -> skip
	fi;
	see_settled(p);
	if
#ifdef NO_SENTINEL_AFTER_SETTLED
	:: life[p] == LIFE_DRAINING && !IS_SINK(p) ->
#else
	:: life[p] == LIFE_DRAINING && !IS_SINK(p) && g_count == 0 ->
#endif
		life[p] = LIFE_ENDING;
		/* [src/engine/keeper.c: keeper_set_ended keeper_has_ended] */
		end_written = end_written || p == SOURCE;
#ifdef NO_BYE_AGAIN
		say_bye(p)
#endif
	:: else -> skip
	fi;
#ifndef NO_BYE_AGAIN
	/* To a successor, too, whose predecessor heard it already. */
	if
	:: life[p] == LIFE_ENDING -> say_bye(p)
	:: else -> skip
	fi
#endif
}

/* [src/link/outlet_peers.c: outlet_is_done] */
#define IS_DONE(p)                                                                                  \
	(life[p] == LIFE_ENDING && outlet_state[OUT_BEGIN(p)] == LEFT &&                           \
		(!SECOND(p) || outlet_state[OUT_END(p) - 1] == LEFT))

/* Twins are alike: it is enough that the first of them dies. */
#ifdef BOTH_TWINS
#define MAY_DIE(p) true
#else
#define MAY_DIE(p) (p != 2)
#endif
#define ROLE(p) (p == SOURCE -> 0 : (IS_SINK(p) -> 2 : 1))

inline clear_group(p)
{
	do
	:: group[SINK(p)]?_, _, _, _
	:: empty(group[SINK(p)]) -> break
	od;
	written[SINK(p)] = 0
}

/* Nothing of a process is left but what it wrote. */
inline clear_instance(p)
{
	do
	:: words[p]?_, _, _
	:: empty(words[p]) -> break
	od;
	if
	:: IS_SINK(p) ->
		clear_group(p);
#ifndef CHAIN
		do
		:: todo[SINK(p)]?_, _, _, _
		:: empty(todo[SINK(p)]) -> break
		od;
#endif
		file_end[SINK(p)] = file_committed[SINK(p)]
	:: else -> skip
	fi;
	life[p] = LIFE_RUNNING;
	may_cut = may_cut && p != SOURCE;
	repeats = (p == SOURCE -> 0 : repeats);
	floor[p] = 0;
	floor_news[p] = false;
	settled[p] = 0;
	g_slot = (IS_SINK(p) -> SLOTS : 0);
	do
	:: g_slot == SLOTS -> break
	:: g_slot < SLOTS ->
		held[p].slot[g_slot] = NONE;
		g_slot++
	od;
	g_link = 0;
	do
	:: g_link == LINKS -> break
	:: g_link < LINKS && BELOW(g_link) == p ->
		inlet_state[g_link] = ABSENT;
		inlet_epoch[g_link] = 0;
		is_connected[g_link] = false;
		empty_down(g_link);
#ifdef CHAIN
		do
		:: early[g_link]?_, _
		:: empty(early[g_link]) -> break
		od;
		handed_on = (IS_SINK(p) -> 0 : handed_on);
#endif
		g_link++
	:: g_link < LINKS && ABOVE(g_link) == p ->
		outlet_state[g_link] = ABSENT;
		outlet_epoch[g_link] = 0;
		outlet_least[g_link] = 0;
		credit[g_link] = 0;
		queued[g_link] = 0;
		g_link++
	:: else -> g_link++
	od
}

/* What was cut before comes first. [src/engine/ledger.c: origins_cut] [src/engine/pump_work.c: keep_cut give_cut] [src/engine/keeper.c: keeper_cut] */
inline cut_batch()
{
	if
	:: repeats > 0 ->
		g_slot = 0;
		do
		:: STATE(held[SOURCE].slot[g_slot]) == READY -> break
		:: else -> g_slot++
		od;
		repeats--;
		held[SOURCE].slot[g_slot] = (held[SOURCE].slot[g_slot] & ~7) | WAIT
	:: else ->
		cut++;
		held[SOURCE].slot[(cut - 1) * EPOCHS] = WAIT | FRESH
	fi
}

#ifdef NO_WORDS_FIRST
#define WORDS_ARE_READ(p) true
#else
#define WORDS_ARE_READ(p) empty(words[p])
#endif
#define HAS_NEWS(p)                                                                                 \
	(HAS_OUTLET(p) && len(up[OUT_BEGIN(p)]) + len(up[OUT_END(p) - 1]) > 0)
#define CAN_PING(p)                                                                                 \
	(floor_news[p] && (outlet_state[OUT_BEGIN(p)] == LIVE || (SECOND(p) && outlet_state[OUT_END(p) - 1] == LIVE)))
#define HAS_INLET(p) (IN_BEGIN(p) < IN_END(p))
#define HAS_OUTLET(p) (OUT_BEGIN(p) < OUT_END(p))
#define SEES_END ((end_written || cut >= N) && repeats == 0)
#ifdef NO_END_WRITTEN
#define MAY_CUT (life[SOURCE] == LIFE_RUNNING && (repeats > 0 || cut < N || (cut < MAX && epoch[SOURCE] > 1)))
#else
#define MAY_CUT (life[SOURCE] == LIFE_RUNNING && !end_written && (repeats > 0 || cut < N))
#endif

#define WORDS 1
#define OUTLET 2
#define FIRST_INLET 3
#define SECOND_INLET 4
#define CUT 5
#define END 6
#define COMMIT 7
#define BEGIN 8
#define BRANCH 9
#define TWO_INLETS(p) (IN_END(p) - IN_BEGIN(p) == 2)

/* What follows from whatever was heard or done. [src/engine/pump.c: turn tell_floors live] */
inline go_on(p)
{
	if
	:: IS_SINK(p) -> release(p)
	:: else -> send_and_begin(p)
	fi;
	live(p);
	if
	:: IS_SINK(p) -> skip
	:: else -> send_sentinels(p)
	fi
}

#ifdef ANY_TICK
#define MAY_TICK(p) true
#else
#define MAY_TICK(p) (len(words[p]) == 0 && !HAS_NEWS(p) && len(down[OUT_BEGIN(p)]) + len(down[OUT_END(p) - 1]) == 0 && (p == SOURCE || len(down[IN_BEGIN(p)]) == 0))
#endif
/* [src/link/outlet_peers.c: outlet_tick ping_peer] */
inline ping(p)
{
	floor_news[p] = false;
	g_link = OUT_BEGIN(p);
	do
	:: g_link == OUT_END(p) -> break
	:: g_link < OUT_END(p) && outlet_state[g_link] == LIVE ->
		send_down(g_link, PING, 0, 0);
		g_link++
	:: else -> g_link++
	od
}

/* All frames of one link. */
inline read_inlet(p, link)
{
	do
	:: nempty(down[link]) -> receive_down(p, link)
	:: empty(down[link]) -> break
	od
}

inline read_all_words(p)
{
	do
	:: nempty(words[p]) -> hear_word(p)
	:: empty(words[p]) -> break
	od
}

#define CAN_READ_INLET(p, link) (alive[p] && WORDS_ARE_READ(p) && HAS_INLET(p) && nempty(down[link]))

proctype instance(byte p)
{
end:
	do
	:: atomic {
		if
		:: alive[p] && nempty(words[p]) -> what = WORDS
		:: alive[p] && WORDS_ARE_READ(p) && HAS_NEWS(p) -> what = OUTLET
		:: CAN_READ_INLET(p, IN_BEGIN(p)) -> what = FIRST_INLET
		:: TWO_INLETS(p) && CAN_READ_INLET(p, IN_BEGIN(p) + 1) -> what = SECOND_INLET
		:: p == SOURCE && alive[p] && may_cut && MAY_CUT -> what = CUT
		:: p == SOURCE && alive[p] && life[p] == LIFE_RUNNING && SEES_END -> what = END
#ifdef SLOW_BRANCH
		:: p == SOURCE && alive[p] && BRANCH_SETTLES -> what = BRANCH
#endif
		:: IS_SINK(p) && alive[p] && nempty(group[SINK(p)]) -> what = COMMIT
#ifndef CHAIN
		:: IS_SINK(p) && alive[p] && nempty(todo[SINK(p)]) -> what = BEGIN
#endif
		fi;
		if
		:: pick = 0
		:: (p == SOURCE || IS_TRANSFORM(p) || refusals > 0) -> pick = 1
		fi;
		d_step {
			if
			:: what == WORDS -> read_all_words(p)
			:: what == OUTLET -> read_outlet(p)
			:: what == FIRST_INLET || what == SECOND_INLET -> read_inlet(p, IN_BEGIN(p) + what - FIRST_INLET)
			/* [src/engine/pump_work.c: hand_out_cuts job_done_source] [src/engine/worker_roles.c: run_source] */
			:: what == CUT -> cut_batch()
			:: what == END -> life[p] = LIFE_DRAINING
#ifdef SLOW_BRANCH
			:: what == BRANCH ->
				branch_is_settled = true;
				settle_cut()
#endif
			:: what == COMMIT -> commit(p)
#ifndef CHAIN
			:: what == BEGIN -> begin_next(p)
#endif
			fi;
			go_on(p);
			pick = 0
		}
	}
	:: d_step { alive[p] && HAS_OUTLET(p) && CAN_PING(p) && MAY_TICK(p) ->
		ping(p);
		pick = 0
	}
	/* [src/engine/worker.c: end] */
	:: d_step { IS_SINK(p) && alive[p] && empty(words[p]) && life[p] == LIFE_DRAINING && NOTHING_LEFT(p) ->
		life[p] = LIFE_FINISHED;
		is_published[SINK(p)] = true;
#ifdef NO_NAMES_TO_THE_END
		names = 0;
		names_floor = 0
#endif
	}
	/* Exit 0; the tail of what it said may be lost with it. */
	:: atomic { alive[p] && empty(words[p]) && (IS_SINK(p) -> life[p] == LIFE_FINISHED : IS_DONE(p)) ->
		if
		:: IS_SINK(p) -> pick = 1
		:: pick = 0
		fi;
		d_step {
			if
			:: pick -> say_bye(p)
			:: else -> skip
			fi;
			is_clean[p] = true;
			alive[p] = false
		}
	}
#ifdef NO_REAP_WORD
	/* It hears nothing from one of them, for long. */
	:: atomic { p == SOURCE && alive[p] && !was_silent && outlet_state[0] == LIVE && STATE(held[p].slot[0]) == SENT ->
		was_silent = true;
		wait_again(p, 0);
		send_waiting(p)
	}
#endif
	/* --- death --- */
	:: d_step { alive[p] && deaths > 0 && deaths_of[ROLE(p)] > 0 && MAY_DIE(p) ->
		deaths--;
		deaths_of[ROLE(p)]--;
		alive[p] = false;
		clear_instance(p);
		pick = 0
	}
	od
}

/* --- the supervisor --------------------------------------------------------------------------------------------------- */

/* [src/supervisor/family.c: tell_neighbours] */
inline tell_above(about, type)
{
	g_link = 0;
	do
	:: g_link == LINKS -> break
	:: g_link < LINKS && BELOW(g_link) == about && alive[ABOVE(g_link)] ->
		words[ABOVE(g_link)]!type, about, epoch[about];
		g_link++
	:: else -> g_link++
	od
}

inline tell_below(about, type)
{
	g_link = 0;
	do
	:: g_link == LINKS -> break
	:: g_link < LINKS && ABOVE(g_link) == about && alive[BELOW(g_link)] ->
		words[BELOW(g_link)]!type, about, epoch[about];
		g_link++
	:: else -> g_link++
	od
}

/* [src/supervisor/family.c: tell_newcomer] */
inline tell_newcomer(p)
{
	g_link = 0;
	do
	:: g_link == LINKS -> break
	:: g_link < LINKS && BELOW(g_link) == p && child[ABOVE(g_link)] == RUNNING ->
		words[p]!UP, ABOVE(g_link), epoch[ABOVE(g_link)];
		g_link++
#ifndef NO_FINISHED_TOLD
	:: g_link < LINKS && BELOW(g_link) == p && child[ABOVE(g_link)] == FINISHED ->
		words[p]!DONE, ABOVE(g_link), epoch[ABOVE(g_link)];
		g_link++
	:: g_link < LINKS && ABOVE(g_link) == p && child[BELOW(g_link)] == FINISHED ->
		words[p]!DONE, BELOW(g_link), epoch[BELOW(g_link)];
		g_link++
#endif
	:: else -> g_link++
	od
}

/*
 * A source's successor makes again all cuts behind the first one that is not settled; of those that are settled only their place is given.
 * [src/engine/keeper.c: take_over keeper_next_repeat] [src/engine/worker_roles.c: cut_again]
 */
inline load_source()
{
	g_floor = 0;
	do
	:: g_floor < cut && (settled_written & BIT(g_floor + 1)) -> g_floor++
	:: else -> break
	od;
	floor[SOURCE] = g_floor;
	g_batch = g_floor + 1;
	do
	:: g_batch > cut -> break
	:: else ->
		held[SOURCE].slot[(g_batch - 1) * EPOCHS] = READY | AGAIN | (settled_written & BIT(g_batch) -> HOLE : 0);
#ifdef NO_CUTS_WRITTEN
		held[SOURCE].slot[(g_batch - 1) * EPOCHS] = READY | AGAIN | RECUT;
#endif
		repeats++;
		g_batch++
	od
}

/* [src/supervisor/family.c: on_backoff family_spawn child_is_ready] [src/supervisor/child.c: child_spawn] */
inline start(p)
{
	child[p] = RUNNING;
	epoch[p]++;
	alive[p] = true;
	if
	:: p == SOURCE -> load_source()
	:: else -> skip
	fi;
	tell_newcomer(p);
	tell_below(p, UP)
}

#define IS_OVER(p) (!alive[p] && child[p] == RUNNING)
#define NEEDS_CARE(p) (IS_OVER(p) || child[p] == WAITING)

/* It tells one after the other; what those do who know already may overtake it. [src/supervisor/family.c: on_reaped child_died] */
proctype supervisor()
{
	do
	:: atomic { telling == 0 && (NEEDS_CARE(0) || NEEDS_CARE(1) || NEEDS_CARE(2) || NEEDS_CARE(INSTANCES - 1)) ->
		if
		:: NEEDS_CARE(0) -> g_who = 0
		:: NEEDS_CARE(1) -> g_who = 1
		:: NEEDS_CARE(2) -> g_who = 2
		:: INSTANCES == 4 && NEEDS_CARE(INSTANCES - 1) -> g_who = INSTANCES - 1
		fi;
		d_step {
		if
		:: child[g_who] == WAITING -> start(g_who)
		:: else ->
			child[g_who] = (is_clean[g_who] -> FINISHED : WAITING);
			g_type = (is_clean[g_who] -> DONE : GONE);
			tell_above(g_who, g_type);
			telling = (IS_TRANSFORM(g_who) && !is_clean[g_who] -> g_who + 1 : 0);
			if
			:: telling == 0 -> tell_below(g_who, g_type)
			:: else -> skip
			fi
		fi;
		pick = 0
		}
	}
	:: d_step { telling > 0 ->
		tell_below(telling - 1, GONE);
		telling = 0
	}
	:: atomic { child[0] == FINISHED && child[1] == FINISHED && child[2] == FINISHED && child[INSTANCES - 1] == FINISHED && telling == 0 ->
		g_batch = 1;
		do
		:: g_batch > cut -> break
		:: g_batch <= cut ->
			assert(records[g_batch] == 1); /* nothing is lost */
			g_batch++
		od;
		assert(cut >= N)
	};
		break
	od
}

/* All are connected; start-up is what happens after a death, too. With -DCOLD nobody is. */
inline set_up()
{
	deaths_of[0] = SOURCE_DEATHS;
	deaths_of[1] = TRANSFORM_DEATHS;
	deaths_of[2] = SINK_DEATHS;
	g_at = 0;
	do
	:: g_at == INSTANCES -> break
	:: g_at < INSTANCES ->
		alive[g_at] = true;
		epoch[g_at] = 1;
		g_at++
	od;
	g_link = 0;
	do
	:: g_link == LINKS -> break
	:: g_link < LINKS ->
#ifdef COLD
		words[BELOW(g_link)]!UP, ABOVE(g_link), 1;
#else
		inlet_state[g_link] = OPEN;
		inlet_epoch[g_link] = 1;
		is_connected[g_link] = true;
		outlet_state[g_link] = LIVE;
		outlet_epoch[g_link] = 1;
		outlet_least[g_link] = 1;
		credit[g_link] = QUEUE;
		may_cut = true;
#endif
		g_link++
	od
}

init
{
	atomic {
		d_step {
			set_up();
			pick = 0
		};
		run instance(0);
		run instance(1);
		run instance(2);
#ifdef CHAIN
		run instance(3);
#endif
		run supervisor()
	}
}
