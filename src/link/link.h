/* SPDX-License-Identifier: MIT */
/*
 * What inlets and outlets of one instance share: who we are, the ZeroMQ context, the floors. Owned by the instance's
 * pump thread, like everything in this room; nothing here locks.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/graph.h"
#include "link/spans.h"
#include "record/batch.h"

struct link_env {
	void *zmq; /* context */
	const struct graph *graph;
	const char *runtime; /* folder of the sockets */
	uint32_t stage;      /* ours, in the graph */
	uint32_t instance;
	uint32_t epoch;
	uint64_t run;
	struct floors *floors;
	bool floors_changed; /* set by inlets, taken back by whoever tells the outlets */

	/* Asked by an outlet that hears HELLO before the word that the predecessor was reaped: read the words now. */
	void (*read_words)(void *user);
	/* A downstream instance answers no PING. */
	void (*silent)(void *user, uint32_t stage, uint32_t instance, uint32_t epoch);
	/* A batch that was handed to an outlet is settled, with all that became of it (tally_size cells). */
	void (*settled)(void *user, void *cookie, const uint64_t *tally);
	/* The link cannot go on; the instance must exit. */
	void (*failed)(void *user, const char *reason);
	void *user;
};

/* "ipc://RUNTIME/STAGE.PORT.N"; -ENAMETOOLONG when ZeroMQ could not take it. */
int link_endpoint(const struct link_env *env, const struct graph_link *link, uint32_t instance,
	char *text, size_t size);

/*
 * A batch that credit and retention must let pass: given again (what it replaces has been paid for), or the very one that
 * its origin's floor waits for. Without this rule, batches held back for order could lock out the one they wait for.
 */
bool link_is_urgent(struct link_env *env, const struct batch_head *head);

#endif
