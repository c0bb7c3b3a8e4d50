/* SPDX-License-Identifier: MIT */
/*
 * What expressions give, as MessagePack. A plain field is copied as it is; bool() gives a boolean; a text that a function of SQLite marked as JSON
 * (json_object(), ->) is nested; all else is what it is in SQL.
 *
 * SQLite keeps such a mark between functions only, not in what a statement gives: an expression that may have one goes through
 * VALUES_FUNCTION(index, expression), which notes it. One connection, one thread.
 */
#ifndef STAGES_SQL_VALUES_H
#define STAGES_SQL_VALUES_H

#include "input.h"

#define VALUES_FUNCTION "sluice_value"

struct expression;

struct values {
	struct expression *each;
	uint32_t count;
};

/* Adds the functions to the connection; `values` must stay where it is until that is closed. 0 or -ENOMEM. Close in any case, behind it. */
int values_open(struct values *values, sqlite3 *db, uint32_t count);
void values_close(struct values *values);

bool values_want_function(const char *expression);
/* Which columns of the statement are plain fields of that table. */
void values_find_fields(
	struct values *values, sqlite3_stmt *stmt, const struct input *input, const char *table);
/* Puts column i of the row at which the statement stands. */
void values_put(const struct values *values, sqlite3_stmt *stmt, const struct input *input,
	uint32_t i, struct sl_writer *out);

#endif
