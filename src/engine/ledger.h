/* SPDX-License-Identifier: MIT */
/*
 * The ledger of an instance: each input batch and what became of it. When every output of an input is settled
 * below, the input is settled above. Pump thread only.
 */
#ifndef ENGINE_LEDGER_H
#define ENGINE_LEDGER_H

#include "link/inlet.h"

/* One input batch (transform) or one cut (source) whose outputs are not all settled. */
struct ledger_entry {
	struct delivery *delivery; /* transform: owned. NULL: a source's cut */
	struct origin *origin;     /* source: borrowed from origins */
	uint64_t start;            /* source: the cut's position */
	uint64_t end;
	int64_t made_ns;                  /* source: when it was cut, monotonic */
	uint32_t slot;                    /* source that resumes: of the keeper */
	bool is_hole;                     /* source: settled by a predecessor, and counted */
	uint32_t left;                    /* outputs not settled */
	bool is_settled;                  /* source: waits for those below it */
	struct ledger_entry *prev, *next; /* of its origin, in order of position */
	uint64_t tally[];                 /* tally_size cells: its own counts and all below */
};

/* Zeroed, with `outputs` left. NULL: no memory. */
struct ledger_entry *ledger_entry_new(const struct graph *graph, uint32_t outputs);
void ledger_entry_free(struct ledger_entry *entry);

/*
 * What a source has cut, per origin: the floor of each is where its settled prefix ends. Origins form a chain in the
 * order in which they were read; one is forgotten when it and the first batch behind it are settled. An origin that is *apart* (sl_cut) is in
 * no chain: it is forgotten when it is done and settled, and no first batch waits for it; and it may come again.
 */
struct origins;
struct origins *origins_new(struct link_env *env);
void origins_free(struct origins *origins);

/*
 * Names a cut, with is_apart and after as in sl_cut: sets head->after_* and head->floor, adds an entry. 0; 1: nothing to send (an empty cut at the end
 * of an origin); -ENOMEM; -EPROTO: the stage's positions do not continue.
 */
int origins_cut(struct origins *origins, struct batch_head *head, bool is_apart, uint64_t after,
	struct ledger_entry *entry);
/* The entry's outputs are settled: raises floors; frees every entry that is now below. Its tally is added to `totals`, but for that of a hole. */
void origins_settle(struct origins *origins, struct ledger_entry *entry, uint64_t *totals);
/* When the oldest cut that is not settled was made; 0: all are settled. */
int64_t origins_oldest(const struct origins *origins);
/* Where the origin's next cut must begin; 0: no such origin. */
uint64_t origins_next(const struct origins *origins, uint64_t id);
bool origins_are_settled(const struct origins *origins);
/* The floor of the origin that is read now, as the page shows it; 0: nothing was cut yet. */
uint64_t origins_floor(const struct origins *origins);

#endif
