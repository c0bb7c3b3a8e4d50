/* SPDX-License-Identifier: MIT */
/*
 * A stage with state: a sink towards its input (STAGE~in), a source towards its output (STAGE~out, source.c), the store between them. One
 * transaction holds the names of the batches that were given, the records that were made of them, and how the state has changed; then the
 * input is settled. In the store stands also
 *
 *     state    n >= 0: what the stage puts there; n = -1: its head, a small block that each commit replaces
 *
 * The state itself is in memory. Whoever dies leaves nothing half: the successor reads the rows in order, and is given again what had no commit.
 *
 * A record for the source's second output stands in the store as the one member of an array; see spill_options. One thread.
 */
#ifndef SPILL_KEEP_H
#define SPILL_KEEP_H

#include "into.h"

struct keep;

struct keep_stage {
	/* In start: the head, then the rows, in order. 0 or negative errno, said; -EBADMSG, not said: it is not what was written. */
	int (*load)(struct sl_context *ctx, void *user, int64_t n, const void *bytes, size_t size);
	/* In the transaction: keep_put and keep_forget what has changed since the last commit. May be called again when that was taken back. */
	int (*save)(struct sl_context *ctx, void *user, struct keep *keep);
};

struct keep {
	struct into into;
	const struct keep_stage *stage;
	void *user;
	sqlite3_stmt *put, *forget, *clear;
	struct sl_writer out; /* records that were made and are not in the group yet */
};

#define KEEP_HEAD (-1)
#define KEEP_ROW (1 << 20) /* bytes: a good size for a row */

/* `keep` is zeroed. 0 or negative errno, said; close in any case. */
int keep_open(struct sl_context *ctx, const struct spill *options, const struct keep_stage *stage,
	void *user, struct keep *keep);
void keep_close(struct keep *keep);

/* 1: the batch was given before, and it is said what became of its records (sl_rejected_before): *ret_consumed; 0; negative errno. */
int keep_had(struct sl_context *ctx, struct keep *keep, const struct sl_batch *in,
	int64_t *ret_consumed);
/* That batch is part of the state now; so many of its records were given up. 0 or -ENOMEM. */
int keep_name(struct keep *keep, const struct sl_batch *in, uint32_t dead);
/* Records in keep->out go to the group when they are many; `all`: in any case. 0 or -ENOMEM. */
int keep_give(struct keep *keep, bool all);
/* All that was given and made, and the state: lasting when it returns. As into_flush. */
int keep_commit(struct sl_context *ctx, struct keep *keep);

/* In `save`. The row n is replaced; hashed, and split by nobody. 0 or negative errno. */
int keep_put(struct sl_context *ctx, struct keep *keep, int64_t n, const void *bytes, size_t size);
/* Rows whose n is smaller than that of the row in which `n` is. */
int keep_forget(struct sl_context *ctx, struct keep *keep, int64_t n);
/* All rows but the head. */
int keep_clear(struct sl_context *ctx, struct keep *keep);

#endif
