/* SPDX-License-Identifier: MIT */
/*
 * The cuts that a source instance has made and that are not below its checkpoint yet, in a mapped file: so they outlive the
 * process, and cost no system call. A slot is taken for each cut before its batch leaves, is marked with its counts
 * when the batch is settled, and is free again when the checkpoint (checkpoint.h) covers it. Which are covered is known by their sequence:
 * the checkpoint names the last one.
 *
 * A process may die between any two stores: a slot counts from the store of its sequence on, its counts from that of `is_settled` on. After
 * a power cut the file says nothing. One thread takes and settles, another may free (cuts_free locks nothing: see keeper.c).
 */
#ifndef STATE_CUTS_H
#define STATE_CUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define CUTS_MAX 4096

struct cut {
	uint64_t run;
	uint64_t origin;
	uint64_t start;
	uint64_t end;
	uint64_t line; /* at end */
	uint64_t mark; /* of end */
	bool is_done;  /* the origin's last, as far as is known */
};

struct cuts;

/*
 * Maps STATE/cuts.STAGE.INSTANCE; its blocks are there, so that no store meets a full disk. All slots of that run above `head`, the sequence that
 * the checkpoint covers, are taken; all others free. A file for a graph of another shape is made anew, unless it has cuts that are not settled:
 * then -EUCLEAN, or with `accept_mixed` they are forgotten. 0 or negative errno.
 */
struct cuts_for {
	const char *state;
	const char *stage;
	uint32_t instance;
	uint64_t run;
	uint64_t head;
	uint64_t shape;
	uint32_t cells;
	bool accept_mixed;
};
int cuts_open(const struct cuts_for *what, struct cuts **ret, struct err *err);
void cuts_close(struct cuts *cuts);

/* Those that a predecessor left, in order; `i` below cuts_left. */
uint32_t cuts_left(const struct cuts *cuts);
uint32_t cuts_slot(const struct cuts *cuts, uint32_t i);

struct cut cuts_get(const struct cuts *cuts, uint32_t slot);
uint64_t cuts_sequence(const struct cuts *cuts, uint32_t slot);
/* NULL: not settled; else its cells. */
const uint64_t *cuts_tally(const struct cuts *cuts, uint32_t slot);

/* The slot, or UINT32_MAX: none is free. */
uint32_t cuts_take(struct cuts *cuts, const struct cut *cut);
uint32_t cuts_free_count(const struct cuts *cuts);
void cuts_settle(struct cuts *cuts, uint32_t slot, const uint64_t *cells);
void cuts_free(struct cuts *cuts, uint32_t slot);

/* The run's input has ended, in `term`; `how` and `term` are the caller's: nothing more will be cut. */
void cuts_set_ended(struct cuts *cuts, int how, uint64_t term);
bool cuts_has_ended(const struct cuts *cuts, int *ret_how, uint64_t *ret_term);

#endif
