/* SPDX-License-Identifier: MIT */
/*
 * What a source keeps, so that a successor goes on where it stood: each cut before its batch leaves (state/cuts.h), and behind
 * them, by a thread of its own, the checkpoints (state/checkpoint.h). Cuts become part of the checkpoint in the order in which they were made, when
 * they and all before them are settled.
 *
 *     keeper_cut -> [cut] -- keeper_settle --> [settled] -- keeper's thread, all before it too --> checkpoint, slot free
 *
 * A disk that is full holds up the checkpoints, then the slots, then the source; it goes on by itself. One that answers with an error
 * is tried for some seconds (keeper_failed). What names origins
 * (keeper_place and behind it) is the worker's; everything else the pump's.
 */
#ifndef ENGINE_KEEPER_H
#define ENGINE_KEEPER_H

#include "base/word.h"
#include "engine/host.h"
#include "state/cuts.h"

struct keeper;

/* Reads what a predecessor left. `totals`: what it had settled is added. 0 or negative errno. */
int keeper_open(const struct host *host, uint64_t *totals, struct keeper **ret, struct err *err);
/* Without a last checkpoint. */
void keeper_close(struct keeper *keeper);

/* The cuts to be made again, in this order, before any other; without those that only said that an origin is done. */
struct keeper_repeat {
	struct cut cut;
	uint32_t slot;
	bool is_settled; /* its place is to be filled, its records are not wanted */
};
bool keeper_has_repeats(const struct keeper *keeper);
bool keeper_next_repeat(struct keeper *keeper, struct keeper_repeat *ret);

bool keeper_has_room(struct keeper *keeper, uint32_t cuts);
/* `name`: of the origin, malloc()ed and taken; may be NULL. The slot; there is room. */
uint32_t keeper_cut(struct keeper *keeper, const struct cut *cut, char *name);
/* An origin has come to its end and nothing is sent of that: a cut of no records, settled at once. `name` as above. */
void keeper_origin_done(struct keeper *keeper, const struct cut *cut, char *name);
void keeper_settle(struct keeper *keeper, uint32_t slot, const uint64_t *tally);
/* The name of a cut that is made again. Taken. */
void keeper_name(struct keeper *keeper, uint32_t slot, char *name);

/*
 * All is settled, and the sentinels are about to be sent: a successor must not cut anything more in this run. What was stopped goes on with
 * the next start.
 */
void keeper_set_ended(struct keeper *keeper, enum word_how how);
bool keeper_has_ended(struct keeper *keeper, enum word_how *ret_how);

/* 0, or why the checkpoints cannot be kept any more. */
int keeper_failed(struct keeper *keeper, struct err *err);
/* The last checkpoint: waits until it is written. */
int keeper_finish(struct keeper *keeper, struct err *err);

/* Where the source goes on in that origin: 1, 0: nothing is known; negative errno. Another thread's. */
int keeper_place(struct keeper *keeper, uint64_t origin, struct sl_place *ret, struct err *err);
/* As sl_safe. 0 or negative errno. */
int keeper_safe(struct keeper *keeper, uint64_t origin, uint64_t *ret, struct err *err);
/* As sl_bound. 0 or negative errno. */
int keeper_bound(
	struct keeper *keeper, uint64_t origin, uint64_t position, uint64_t *ret, struct err *err);
/* As sl_checkpoint_begin and sl_checkpoint_next; negative errno: the store is unusable. */
int keeper_begin(struct keeper *keeper, const struct sl_origin *origin, struct sl_origin *ret,
	struct err *err);
int keeper_next(struct keeper *keeper, const struct sl_origin *after, struct sl_origin *ret,
	struct err *err);

#endif
