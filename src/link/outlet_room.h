/* SPDX-License-Identifier: MIT */
/*
 * What the files of the outlet share: outlet.c (batches: taken, held, sent under credit) and outlet_peers.c (the instances downstream: what they
 * say, what is given again, what they are told). An entry is one batch held; a duty is its delivery to one downstream stage (or to one lane of a
 * partitioned one). A duty waits, is sent to a peer, and is settled by that peer:
 *
 *     outlet_take -> [waiting] -- credit --> [sent to peer] -- SETTLED --> gone
 *                        ^------ peer reaped, FAILED ----'
 */
#ifndef LINK_OUTLET_ROOM_H
#define LINK_OUTLET_ROOM_H

#include <uthash.h>

#include "link/outlet.h"

#define OUTLET_ROUTING_MAX 128

struct duty_key {
	struct batch_id id;
	uint64_t edge;
};

struct entry {
	void *cookie;
	uint64_t bytes;
	uint32_t left; /* duties not settled */
	uint64_t *tally;
};

struct duty {
	struct duty_key key;
	struct entry *entry;
	struct sl_batch *batch; /* owned */
	struct edge *edge;
	struct outlet_peer *peer; /* sent to; NULL while waiting */
	uint32_t lane;            /* of a partitioned edge: the instance */
	uint16_t attempt;
	bool again;
	struct duty *prev, *next; /* in edge->waiting or peer->sent */
	UT_hash_handle hh;
};

struct outlet_peer {
	enum outlet_peer_state state;
	uint32_t instance;
	uint32_t epoch;     /* of the process that is there, or was last */
	uint32_t min_epoch; /* older ones were reaped */
	int64_t credit;
	uint32_t wish;
	int64_t heard_ns;
	int64_t pinged_ns;
	bool is_silent; /* reported */
	char routing[OUTLET_ROUTING_MAX];
	size_t routing_size;
	struct duty *sent;
	struct spans *settled; /* partitioned edges: this lane's */
};

/* One link: this port to one downstream stage. */
struct edge {
	uint32_t link;
	uint32_t stage;
	const struct graph_stage *to;
	bool is_partitioned;
	struct duty *waiting; /* urgent ones (again) first */
	uint32_t waiting_count;
	struct spans *settled;
	bool has_met_all; /* every instance has said HELLO, or was reaped, once */
	uint32_t turn;    /* where the search for the least busy peer begins */
	struct outlet_peer *peers;
};

struct outlet {
	struct link_env *env;
	const struct graph_stage *stage;
	uint32_t port;
	void *socket;
	uint64_t held; /* bytes */
	uint32_t entry_count;
	struct duty *duties; /* hash of all */
	bool is_ending;
	enum word_how how;
	bool floors_changed;
	uint8_t *scratch;
	size_t scratch_size;
	uint32_t edge_count;
	struct edge edges[];
};

/* --- outlet.c ------------------------------------------------------------------------------------- */

int outlet_send_to(struct outlet *outlet, const struct outlet_peer *peer, const void *data,
	size_t size, int flags);
void outlet_send_batch(struct outlet *outlet, const struct outlet_peer *peer,
	struct sl_batch *batch, bool again, uint16_t attempt);
/* All that waits and finds a peer with credit, or is urgent. */
void outlet_send_waiting(struct outlet *outlet);
/* It is in no list any more. */
void outlet_duty_free(struct outlet *outlet, struct duty *duty);
/* It has no duties any more. */
void outlet_entry_free(struct entry *entry);

#endif
