/* SPDX-License-Identifier: MIT */
/*
 * An outlet: the upstream end of the links of one port in one instance. It binds a ROUTER, keeps every batch until all
 * downstream stages have settled it, and gives it out under credit. Two bounds:
 *
 *   credit      batches sent to one downstream instance that it has not begun: keeps queues short
 *   retention   bytes held here, waiting or sent, not settled: keeps memory bounded
 *
 * The outlet never refuses a batch; whoever makes batches asks outlet_has_room and outlet_has_credit first. Urgent
 * batches (link_is_urgent) pass both. Only the word that a process was reaped gives its batches to another.
 * Pump thread only.
 */
#ifndef LINK_OUTLET_H
#define LINK_OUTLET_H

#include "base/word.h"
#include "link/link.h"
#include "link/states.h"

struct outlet;

/*
 * One batch as it leaves a port: `whole` for links that share it among instances, and for every partitioned link
 * (in the order of the port's links) one lane per downstream instance. References are taken over by outlet_take.
 */
struct outlet_output {
	struct sl_batch *whole;
	struct sl_batch **lanes; /* malloc()ed; NULL when no link is partitioned */
	uint32_t lane_count;
};
void outlet_output_fini(struct outlet_output *output);

int outlet_open(struct link_env *env, uint32_t port, struct outlet **ret_outlet, struct err *err);
void outlet_close(struct outlet *outlet);
void *outlet_socket(const struct outlet *outlet);

/* Reads all frames there are and sends what they allow. */
void outlet_receive(struct outlet *outlet);
/* Takes `output`, with its references; env->settled(cookie) is called when all of it is settled. 0 or -ENOMEM (not taken). */
int outlet_take(struct outlet *outlet, struct outlet_output *output, void *cookie);

/* May another batch be begun whose output comes here? `in_work`: bytes, and batches, begun and not yet taken. */
bool outlet_has_room(const struct outlet *outlet, uint64_t in_work_bytes);
bool outlet_has_credit(const struct outlet *outlet, uint32_t in_work);
/* Records that downstream would like in one batch, >= 1. */
uint32_t outlet_wish(const struct outlet *outlet);
uint64_t outlet_held(const struct outlet *outlet); /* bytes */
bool outlet_is_settled(const struct outlet *outlet);

void outlet_peer_gone(struct outlet *outlet, uint32_t stage, uint32_t instance, uint32_t epoch);
void outlet_peer_finished(struct outlet *outlet, uint32_t stage, uint32_t instance);

/* Nothing more will be taken: sentinels go out as soon as all is settled. */
void outlet_end(struct outlet *outlet, enum word_how how);
bool outlet_is_done(const struct outlet *outlet); /* every downstream instance has left */
/* A floor has risen: forget what lies below it, let through what became urgent. */
void outlet_floors_changed(struct outlet *outlet);
/* To be called about every 100 ms: PINGs, and who answers none. */
void outlet_tick(struct outlet *outlet, int64_t now);

#endif
