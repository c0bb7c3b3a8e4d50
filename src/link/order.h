/* SPDX-License-Identifier: MIT */
/*
 * Order restored: the re-sequencer of an inlet where all positions meet. One lane per (run, origin, path); a batch is handed
 * on when every position of its lane below it has been, is below the floor, or when it repeats what was. The first
 * batch of an origin also waits for the end of the origin that its source read before.
 *
 * What is held back belongs to the upstream outlets' retention, which bounds it.
 */
#ifndef LINK_ORDER_H
#define LINK_ORDER_H

#include "link/inlet.h"

struct order;
struct order *order_new(struct link_env *env);
void order_free(struct order *order); /* drops what is held back */

/* Takes the delivery. 0 or -ENOMEM (not taken). */
int order_add(struct order *order, struct delivery *delivery);
/* The next one to hand on, or NULL. Call until NULL after every order_add and every risen floor. */
struct delivery *order_next(struct order *order);
/*
 * The input has ended: all that was ever sent is settled, so what is held back are repeats and empty places, and nobody is left to fill the gaps before
 * them. They are handed on as they stand.
 */
void order_end(struct order *order);
/*
 * `list`: what was handed on and not begun, in that order. May this one of it be begun before the others? When it is the first; or all of it was
 * begun before, and that not only handed on, in this list.
 */
bool order_may_pass(const struct delivery *list, const struct delivery *delivery);
/*
 * Takes back what was handed on and not begun, so that the order can be made anew when some of it is dropped: all of it, the last one
 * first. Takes the delivery. 0 or -ENOMEM (not taken).
 */
int order_take_back(struct order *order, struct delivery *delivery);
/* Drops what came from a process that was reaped: it will come again. */
void order_drop(struct order *order, const struct inlet *inlet, uint32_t instance, uint32_t epoch);
/* Forgets lanes of origins that nobody names any more. */
void order_forget(struct order *order);
uint32_t order_held(const struct order *order); /* batches */

#endif
