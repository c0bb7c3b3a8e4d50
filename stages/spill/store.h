/* SPDX-License-Identifier: MIT */
/*
 * The store between two stages: one SQLite file (WAL) in the state folder. The sink "spill" (sink.c) appends whole batches, the source
 * "spill" (source.c) reads them and deletes what is settled; neither knows whether the other lives.
 *
 *     store     one row: which store it is, how many records it was ever given (`next`), up to which they are settled, how many bytes are not, how its
 *               ends stand
 *     batches   records [first, first + count) as bytes with their hash, without gaps
 *     names     identities of the batches that may be given again; floors: below which it may only be late copies
 *
 * What is in it belongs to a series (sl_series): another one begins with an empty store. A store that is damaged is renamed, never written to, and the
 * supervisor that was there then cannot use its successor. Beside STORE stands STORE.lock: a lock for opening, and whose turn it is to
 * begin a transaction; how far the store has come is written to it when there is something new. One thread.
 */
#ifndef SPILL_STORE_H
#define SPILL_STORE_H

#include <limits.h>
#include <sqlite3.h>

#include <sluice/stage.h>

#define BUSY_MS 30000

/* The options of both; the table is store_options. */
struct spill {
	const char *
		store; /* name of the file, NAME.db; of another process than the first NAME.NUMBER.db */
	uint64_t max;
	bool drops;
	bool has_tags; /* a record for the source's second output is the one member of an array; no other is an array */
};
extern const struct sl_option spill_options[];

struct store {
	sqlite3 *db;
	int lock;
	uint64_t run, series, term; /* see sl_run */
	char path[PATH_MAX];
	char lock_path[PATH_MAX + 8];
	char wal_path[PATH_MAX + 8];
	uint64_t boot;   /* of the machine */
	bool is_checked; /* it may be written to */
	char said[256];  /* what SQLite said last */
};

/* The row `store`. */
struct store_state {
	uint64_t number; /* at random */
	uint64_t next;
	uint64_t settled; /* all records below */
	uint64_t bytes;   /* of those above */
	uint64_t gone;    /* bytes that were ever settled */
	uint64_t ended;   /* the term in which the input came to its end */
	uint64_t
		stopped; /* ... in which the source was stopped: nothing will be read in it any more */
	uint64_t through; /* the run of which the source has said that this was all */
};

/* Fills in what stands in the options; nothing is open. 0 or negative errno, said. */
int spill_name(struct sl_context *ctx, const struct spill *options, struct store *store);
/* Makes it if need be. 0 or negative errno, said. */
int spill_open(struct sl_context *ctx, const struct spill *options, struct store *store);
void spill_close(struct store *store);

/* Says what SQLite said; damage is written down for who opens it next. A negative errno; -ENOSPC: not said. */
int spill_failed(struct sl_context *ctx, struct store *store);
int spill_damaged(struct sl_context *ctx, struct store *store, const char *what);
int spill_prepare(struct sl_context *ctx, struct store *store, const char *sql, sqlite3_stmt **ret);
int spill_run(struct sl_context *ctx, struct store *store, const char *sql);
/* As spill_run, of one statement with that number as ?1. */
int spill_set(struct sl_context *ctx, struct store *store, const char *sql, uint64_t number);
/* The first row's numbers; that there is none is damage. */
int spill_ask(struct sl_context *ctx, struct store *store, const char *sql, uint64_t *ret_numbers,
	int count);
int spill_look(struct sl_context *ctx, struct store *store, struct store_state *ret);

/*
 * Begins a transaction, in turn with the other process. 0; -EBUSY: not before `deadline`, nothing said; another negative errno. Waits through
 * task.h; -ECANCELED.
 */
int spill_begin(struct sl_context *ctx, struct store *store, int64_t deadline);
void spill_rollback(struct store *store);
/*
 * Some of the batches that end at or below `floor` count no more. 1: there may be more; 0: there are none, or it cannot be done before
 * `deadline`; negative errno.
 */
int spill_settle(struct sl_context *ctx, struct store *store, uint64_t floor, int64_t deadline);
/* Some of those are deleted; as spill_settle. */
int spill_delete(struct sl_context *ctx, struct store *store, uint64_t floor, int64_t deadline);
/* Gives back the space of a store that has no batches; what hinders it may go on hindering. */
void spill_shrink(struct store *store);
/* Is there disk for so many bytes more? */
bool spill_has_disk(struct sl_context *ctx, struct store *store, size_t size);
/* What the WAL holds goes into the file, and its space to the disk; unless others hinder it. */
void spill_empty_wal(struct store *store);
/* Whoever waits on lock_path (inotify) looks again; and how far the store has come is written there. */
void spill_wake(const struct store *store, const struct store_state *state);
/* Had it come further, since the machine was started? Then it is an older copy, or its WAL is gone. */
bool spill_went_back(struct store *store, const struct store_state *state);

#endif
