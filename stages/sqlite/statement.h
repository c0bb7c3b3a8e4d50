/* SPDX-License-Identifier: MIT */
/* What the sink says to SQLite: statements from names, and records bound to them. */
#ifndef STAGES_SQLITE_STATEMENT_H
#define STAGES_SQLITE_STATEMENT_H

#include <sqlite3.h>

#include <sluice/stage.h>

/* The columns of a table, in its order. Zeroed: none. */
struct columns {
	char **names;
	uint32_t count;
};

/* Those that can be written; none: there is no such table. 0, -EIO, -ENOMEM. */
int columns_read(sqlite3 *db, const char *table, struct columns *columns);
void columns_fini(struct columns *columns);

enum statement_mode { STATEMENT_INSERT, STATEMENT_UPSERT, STATEMENT_IGNORE };

/* malloc()ed; NULL: no memory. `first` gives names and types; a bare value makes the column "value". */
char *statement_create(const char *table, struct sl_value first, const struct sl_strings *key);
char *statement_insert(const char *table, const struct columns *columns, enum statement_mode mode,
	const struct sl_strings *key);

/*
 * Binds the fields to the columns of their name; columns without a field are NULL. A bare value is the field "value". Values within the record
 * are borrowed until the statement is reset; what is nested is JSON in `json`. *ret_unknown: the name of a field that is no
 * column. 0; -EINVAL: a map has a key that is no string; -ENOMEM.
 */
int statement_bind(sqlite3_stmt *statement, const struct columns *columns, struct sl_value record,
	struct sl_writer *json, struct sl_value *ret_unknown);

#endif
