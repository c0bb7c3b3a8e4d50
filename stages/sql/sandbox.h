/* SPDX-License-Identifier: MIT */
/*
 * A connection in memory that holds the table of records (input.h), in which nothing is allowed but reading. One per worker, on its thread.
 * What runs behind `deadline` is interrupted.
 */
#ifndef STAGES_SQL_SANDBOX_H
#define STAGES_SQL_SANDBOX_H

#include <sqlite3.h>

#include "input.h"

struct sandbox {
	const char *table; /* the name of the table of records; set before sandbox_open */
	sqlite3 *db;
	struct input *input;
	bool reads_input; /* what was prepared last reads the table */
	bool timed_out;   /* the last interruption was the deadline's; cleared by the caller */
	int64_t deadline; /* ns of sl_now(); 0: none */
};

/* 0 or -ENOMEM. Close in any case, when all statements are finalized. */
int sandbox_open(struct sandbox *box);
void sandbox_close(struct sandbox *box);

/*
 * Prepares; *ret_tail is what stands behind the first statement. -EINVAL: SQLite refused, see sqlite3_errmsg and sqlite3_error_offset; -EIO: the
 * table cannot be made, see sqlite3_errmsg; -E2BIG: too many columns; -ENOMEM. No other statement may be open.
 */
int sandbox_prepare(
	struct sandbox *box, const char *query, sqlite3_stmt **ret_stmt, const char **ret_tail);

#endif
