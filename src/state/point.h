/* SPDX-License-Identifier: MIT */
/*
 * The point: a state of all stores of a pipeline that survives a power cut. The death of a process needs no sync, since what it wrote stands in
 * the kernel; after a power cut each file is as old as it likes. So now and then, beside the running stages and through the files alone:
 *
 *   1. the checkpoints are copied into a slot of their store (point_save_sources): all below them is committed
 *   2. so are each sink's names and marks (point_save_sink): what it holds is at least all that
 *   3. what the sinks had written by then is synced (by the caller), then the stores (point_seal)
 *   4. STATE/point names the slot: from now on this is the point
 *
 * After a power cut sources and sinks are put back to it (point_restore_*). What was cut above the checkpoints may be cut otherwise now; so that
 * nothing that a sink has is cut in two, the ends of all that sinks know are the sources' bounds (point_add_bound, sl_limit).
 */
#ifndef STATE_POINT_H
#define STATE_POINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct point_place {
	uint64_t number; /* 0: none */
	uint64_t series; /* see checkpoint.h */
};

/*
 * Two points have two slots: that which counts is not written to. A slot holds all that there was, but of origins only those are copied that were
 * changed since it was written last, by whomever: the stores' triggers note them, for each slot.
 */
static inline unsigned point_slot(uint64_t number)
{
	return number % 2;
}

/* The last one that was sealed: 0, also when there is none; negative errno. */
int point_last(const char *state, struct point_place *ret, struct err *err);

/* All: 0 or negative errno. */
int point_save_sources(const char *state, uint64_t number, struct err *err);
int point_save_sink(const char *state, const char *stage, uint64_t number, struct err *err);
int point_seal(const char *state, const struct point_place *point, struct err *err);

/* `number`: 0: there is none: to the begin of the series, and of the run. No stage runs. */
int point_restore_sources(const char *state, uint64_t number, uint64_t series, struct err *err);
int point_restore_sink(
	const char *state, const char *stage, uint64_t number, uint64_t run, struct err *err);

/* Cuts of this origin begin or end here, but do not reach over it. Within point_begin_bounds and point_end_bounds: one transaction. */
struct point_bounds;
int point_begin_bounds(const char *state, struct point_bounds **ret, struct err *err);
int point_add_bound(
	struct point_bounds *bounds, uint64_t origin, uint64_t position, struct err *err);
/* All that the sink's names begin or end at. */
int point_add_names(
	struct point_bounds *bounds, const char *state, const char *stage, struct err *err);
/* Frees them; `is_whole`: they hold. */
int point_end_bounds(struct point_bounds *bounds, bool is_whole, struct err *err);

#endif
