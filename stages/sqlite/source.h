/* SPDX-License-Identifier: MIT */
/* What the two halves of the source share: source.c, which makes cuts of rows, and meet.c, which knows the database. */
#ifndef STAGES_SQLITE_SOURCE_H
#define STAGES_SQLITE_SOURCE_H

#include "page.h"

struct shared {
	const char *path;
	const char *table;
	const char *query;
	const char *key;
	bool follow;
	int64_t poll;
};

struct worker {
	sqlite3 *db;
	sqlite3_stmt *rows; /* of the page at hand, or of the one query */
	struct page page;
	char *from; /* the table, or the query in brackets */
	bool is_unique;
	bool is_new; /* it has not asked where to go on */
	uint64_t origin;
	uint64_t position;
	uint64_t mark; /* without a key: all rows so far */
	uint64_t done; /* rows, for people */
	int64_t busy_said;
};

/* Opens the database and looks whether what the options say is there, and can be read as they say. 0 or an error, which is said. */
int source_meet(struct sl_context *ctx, const struct shared *options, struct worker *worker);
/* Says what SQLite said; the error that it is. */
int source_failed(
	struct sl_context *ctx, const struct shared *options, const struct worker *worker);
/*
 * Prepares what `sql` says, which it frees, and makes its first step. It waits for as long as the database is locked; from then on it reads from its snapshot.
 * SQLITE_ROW, SQLITE_DONE, or an error.
 */
int source_begin(struct sl_context *ctx, const struct shared *options, struct worker *worker,
	char *sql, sqlite3_stmt **ret);

#endif
