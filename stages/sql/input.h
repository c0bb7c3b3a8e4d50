/* SPDX-License-Identifier: MIT */
/*
 * The virtual table `input`: the records of one batch as rows of SQLite. Its columns are keys of the records. Which keys
 * are columns is decided by whoever prepares the query (input_add_column, then input_declare); a field of another key is
 * passed over. One connection, one thread.
 *
 * How values look to SQL: boolean 1/0, null NULL, integers and floats as they are (an integer beyond 63 bits as a float),
 * strings text, binary blob, maps and arrays JSON text. A record that is no map has one column, `value`.
 */
#ifndef STAGES_SQL_INPUT_H
#define STAGES_SQL_INPUT_H

#include <sqlite3.h>

#include <sluice/stage.h>

struct input;

/* The name of a last column that is always NULL: a result that has it was asked for by `*`. */
#define INPUT_ANY "sluice:any"

int input_new(sqlite3 *db, struct input **ret_input);
void input_free(struct input *input); /* after the connection is closed */

/* Adds a column. 1; 0: it is there (SQL's names know no case); -ENOMEM. */
int input_add_column(struct input *input, const char *name, size_t size);
/* (Re)creates the table, always by the same name, with the columns there are. 0 or -EIO (sqlite3_errmsg). No statement may be open. */
int input_declare(struct input *input, const char *table);
/* The index of the column, or -1. */
int input_column(const struct input *input, const char *name);

/* The rows are [first, first + count) of the batch from now on. */
void input_set(struct input *input, const struct sl_batch *batch, uint32_t first, uint32_t count);
/* A cursor was opened so often since input_set. */
unsigned input_opened(const struct input *input);
/* The field of the row at which the (only) cursor stands; absent: data == NULL. */
struct sl_value input_field(const struct input *input, int column);
/* Has a row had that field, since the columns are as they are? */
bool input_has_seen(const struct input *input, int column);
/*
 * The columns become the keys of the records from `first` on, in the order in which they come, and no others, whatever was there before: so a batch given
 * again becomes the same. *ret_count: of so many records; 0: the first alone has too many. 0: they were just these, and what was added
 * behind them stays; 1; -ENOMEM.
 */
int input_learn(
	struct input *input, const struct sl_batch *batch, uint32_t first, uint32_t *ret_count);

/* What all values of a column in these rows have in common, nulls aside. */
enum input_common { INPUT_MIXED, INPUT_BOOLS, INPUT_NESTED };
enum input_common input_common(struct input *input, int column);

#endif
