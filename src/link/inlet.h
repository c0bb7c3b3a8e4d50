/* SPDX-License-Identifier: MIT */
/*
 * An inlet: the downstream end of one link in one instance. It connects a DEALER to the outlet of every upstream
 * instance, as the supervisor says they are up, takes batches from them, and answers for them. It owns no
 * batch: what arrives is handed on as a struct delivery. Pump thread only.
 */
#ifndef LINK_INLET_H
#define LINK_INLET_H

#include "base/word.h"
#include "link/link.h"
#include "link/states.h"

struct inlet;

/* A batch on its way through this instance, and where it came from. */
struct delivery {
	struct sl_batch *batch; /* owned */
	struct inlet *inlet;
	uint32_t instance; /* upstream */
	uint32_t epoch;
	uint64_t came_at; /* order.h: the position that its lane waited for when it was handed on */
	struct delivery *prev, *next;
};

void delivery_free(struct delivery *delivery);

/* `link` is an index in the graph. */
int inlet_open(struct link_env *env, uint32_t link, struct inlet **ret_inlet, struct err *err);
void inlet_close(struct inlet *inlet);

uint32_t inlet_peer_count(const struct inlet *inlet);
void *inlet_socket(const struct inlet *inlet, uint32_t instance); /* NULL: not connected */
uint32_t inlet_link(const struct inlet *inlet);

int inlet_peer_up(struct inlet *inlet, uint32_t instance, uint32_t epoch, struct err *err);
void inlet_peer_gone(struct inlet *inlet, uint32_t instance, uint32_t epoch);
void inlet_peer_finished(struct inlet *inlet, uint32_t instance, enum word_how how);

/*
 * Takes the next batch from that upstream instance: 1 and *ret; 0: nothing (more) there; -ENOMEM. Handles
 * every other frame by itself; malformed ones are dropped and counted.
 */
int inlet_receive(struct inlet *inlet, uint32_t instance, struct delivery **ret);

/* One batch of that upstream instance was begun; `wish`: records we would like in one. */
void inlet_grant(struct inlet *inlet, const struct delivery *delivery, uint32_t wish);
/* It and all that became of it is settled; `cells` as in tally.h. Frames to a process that was reaped go nowhere. */
void inlet_settle(struct inlet *inlet, const struct delivery *delivery, uint64_t received,
	const uint64_t *cells);
void inlet_fail(struct inlet *inlet, const struct delivery *delivery, const char *reason);

/* True when every upstream instance has sent its sentinel (or finished); how: STOP if any was. */
bool inlet_has_ended(const struct inlet *inlet, enum word_how *ret_how);
void inlet_bye(struct inlet *inlet);
/* The number of PINGs that the slowest connected upstream instance has sent; UINT64_MAX when none is connected. */
uint64_t inlet_round(const struct inlet *inlet);

#endif
