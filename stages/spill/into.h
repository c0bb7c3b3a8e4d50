/* SPDX-License-Identifier: MIT */
/*
 * The first half of a store: a sink's batches go in with their names, in one transaction for each commit. So a disk that is full tears nothing,
 * and the same transaction is tried again until there is room; a batch that is given again is there once.
 *
 * A stage that has only a store ("spill", sink.c) writes what it is given, as far as there is room. One with state (keep.h) writes the names of what
 * it was given, what it has made of it, and its state: all of that at once. One thread.
 */
#ifndef SPILL_INTO_H
#define SPILL_INTO_H

#include <sluice/stage.h>

#include "group.h"
#include "store.h"

enum into_statement { BELOW, HAS, NAME, FLOOR, FORGET, PUT, COUNT, STATEMENT_COUNT };

struct into {
	struct store store;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	struct store_state state; /* as last seen: by now it may have fewer bytes */
	struct group group;
	size_t written; /* of the group: the first ones are in the store */
	uint64_t max;
	uint64_t run;                 /* of which names are kept */
	int64_t full_said, disk_said; /* not again before */
	bool is_held_up;              /* by a full disk: said */
	/* With state: the group is written as a whole, and this with it. It may be called again after the transaction was taken back. */
	int (*save)(struct sl_context *ctx, struct into *into);
};

/* `into` is zeroed, but for `save`. 0 or negative errno, said; close in any case. */
int into_open(struct sl_context *ctx, const struct spill *options, struct into *into);
void into_close(struct into *into);

/*
 * 1: the batch was given before, with *ret_dead of its records given up, as far as is known; 0; negative errno: -ESHUTDOWN, said: it is new, and the
 * run had come to its end.
 */
int into_had(struct sl_context *ctx, struct into *into, const struct sl_identity *id,
	uint64_t *ret_dead);
/* Would `size` bytes fit beside what is in it? One batch may be larger than all that it may hold. */
bool into_fits(const struct into *into, uint64_t used, size_t size);

/* Writes the group, and waits until there is room for it: in the store, and on the disk. 0 or negative errno. */
int into_flush(struct sl_context *ctx, struct into *into);
/* All was given: the source may come to its end. 0 or negative errno. */
int into_end(struct sl_context *ctx, struct into *into);

/* See sl_stage: they know only the options. */
int into_sync(struct sl_context *ctx, const struct spill *options);
int into_known(struct sl_context *ctx, const struct spill *options, sl_known_fn *tell, void *user);

#endif
