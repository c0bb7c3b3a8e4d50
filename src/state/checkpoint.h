/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints: for each origin of each source the position up to which all is settled, and for each source instance what the settled
 * batches amount to, up to the cut with the sequence `head` (cuts.h). A *series* is what belongs together from one start from nothing to the next:
 * runs that go on where another ended are of one series. What is of another series is as if it were not there, and forgotten with
 * the next write. One store per pipeline; a connection is one thread's.
 */
#ifndef STATE_CHECKPOINT_H
#define STATE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "state/store.h"

extern const struct store_kind
	checkpoint_kind; /* for point.c, which reads and writes the whole of it */

struct checkpoint;

struct checkpoint_place {
	uint64_t position;
	uint64_t line;
	bool is_done;
	uint64_t mark; /* what the source knows the place by */
};

struct checkpoint_origin {
	uint64_t origin;
	struct checkpoint_place place;
	const char *name; /* NULL: as it was */
	int64_t changed;  /* read only: seconds since 1970 */
};

int checkpoint_open(const char *state, const char *stage, uint32_t instance, uint64_t series,
	uint64_t shape, struct checkpoint **ret, struct err *err);
void checkpoint_close(struct checkpoint *checkpoint);

/* 1: *ret; 0: nothing is known of that origin; negative errno. */
int checkpoint_get(struct checkpoint *checkpoint, uint64_t origin, struct checkpoint_place *ret,
	struct err *err);
/* The whole of it, its name borrowed until the next call. As above. */
int checkpoint_find(struct checkpoint *checkpoint, uint64_t origin, struct checkpoint_origin *ret,
	struct err *err);
/* The next one, also when it is done, behind that origin in some order; NULL: the first. As above. */
int checkpoint_next(struct checkpoint *checkpoint, const uint64_t *after,
	struct checkpoint_origin *ret, struct err *err);
/* Keeps an origin of which nothing is known yet. 0, also when something is; negative errno. */
int checkpoint_begin(
	struct checkpoint *checkpoint, const struct checkpoint_origin *origin, struct err *err);
/* Where the origin stood at that point (point.h); 0: nowhere. 0 or negative errno. */
int checkpoint_safe(struct checkpoint *checkpoint, uint64_t origin, uint64_t point, uint64_t *ret,
	struct err *err);
/* Are there bounds (point.h)? 1, 0; negative errno. */
int checkpoint_has_bounds(struct checkpoint *checkpoint, struct err *err);
/* The next one of that origin above a position, UINT64_MAX: the last one; 0: none. 0 or negative errno. */
int checkpoint_bound(struct checkpoint *checkpoint, uint64_t origin, uint64_t position,
	uint64_t *ret, struct err *err);
/*
 * What the instance knows of that run: 1, *ret_head and the `cells`; 0: nothing. Counts of a graph of another shape are left out.
 */
int checkpoint_counts(struct checkpoint *checkpoint, uint64_t run, uint64_t *ret_head,
	uint64_t *cells, uint32_t cell_count, struct err *err);

/* One transaction: 0, or negative errno and nothing is kept. */
int checkpoint_put(struct checkpoint *checkpoint, uint64_t run,
	const struct checkpoint_origin *origins, uint32_t origin_count, uint64_t head,
	const uint64_t *cells, uint32_t cell_count, struct err *err);

#endif
