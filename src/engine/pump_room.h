/* SPDX-License-Identifier: MIT */
/*
 * What the files of the pump share: pump.c (the loop, the life of the instance), pump_work.c (batches on their way through the crew: what is
 * handed out, and what comes of it) and pump_words.c (what the supervisor says, and what it is told). The pump's thread only.
 */
#ifndef ENGINE_PUMP_ROOM_H
#define ENGINE_PUMP_ROOM_H

#include <zmq.h>

#include "base/word.h"
#include "engine/crew.h"
#include "engine/ledger.h"
#include "link/order.h"
#include "link/outlet.h"
#include "link/states.h"

struct pump {
	struct host *host;
	struct link_env env;
	int words;
	enum instance_state state;
	enum word_how how; /* how the input ended */
	bool is_source_done;
	bool has_paused; /* said so */
	bool is_drained; /* a source with SL_TAKES_OVER that is held has given all that it had read */

	struct crew crew;
	struct outlet **outlets; /* one per port */
	uint32_t outlet_count;
	struct inlet **inlets; /* one per input link */
	uint32_t inlet_count;
	struct order *order;    /* NULL: batches pass one another */
	struct delivery *ready; /* in order, not begun */
	uint32_t ready_count;
	uint32_t in_work; /* jobs out */
	uint64_t records_in_work;
	bool is_alone; /* a suspected batch is in work, and nothing else may be */
	uint64_t in_work_bytes;
	uint64_t given;    /* jobs ever handed out: their sequence */
	uint64_t taken;    /* the sequence that leaves next, under order = "keep" */
	struct job *early; /* done before their turn, by sequence */
	double ns_per_record;
	uint32_t unsettled;      /* ledger entries */
	struct origins *origins; /* source */
	struct keeper *keeper;   /* source that resumes */
	uint64_t *totals;        /* source: tally of all that is settled */

	zmq_pollitem_t *items;
	size_t item_count;
	int64_t ticked;
	int64_t noted; /* until when blocked_ns counts */
	_Alignas(uint64_t) char payload[WORD_PAYLOAD_MAX];
};

/* --- pump.c --------------------------------------------------------------------------------------- */

/* What the order lets through is ready to be begun. */
void pump_release_ordered(struct pump *pump);
/* The sockets have changed. */
void pump_collect_items(struct pump *pump);

/* --- pump_work.c ---------------------------------------------------------------------------------- */

/* link_env's: all of what a ledger entry sent is settled. */
void pump_settled(void *user, void *cookie, const uint64_t *tally);
/* What the workers have begun, done, or failed at. */
void pump_read_crew(struct pump *pump);
/* Gives the crew what the gates allow. */
void pump_hand_out(struct pump *pump);
/* Is there anybody to begin another batch? */
bool pump_has_hands(const struct pump *pump);
/* Has a source that reads no more something to give all the same? */
bool pump_has_more(const struct pump *pump);

/* --- pump_words.c --------------------------------------------------------------------------------- */

/* Says why and ends the process at once: what it had begun is given to another. `error`: a negative errno, or 0. */
void pump_die_of(struct pump *pump, int error, const char *reason, bool is_final);
void pump_die(struct pump *pump, const char *reason, bool is_final);
/* Dies of a negative errno. */
void pump_need(struct pump *pump, int r);
/* link_env's: the links cannot go on; a peer does not answer. */
void pump_failed(void *user, const char *reason);
void pump_silent(void *user, uint32_t stage, uint32_t instance, uint32_t epoch);
/* link_env's, too: all words that have come. */
void pump_read_words(void *user);
void pump_say(struct pump *pump, enum word_type type, const void *payload, size_t size);

#endif
