/* SPDX-License-Identifier: MIT */
/* The table that the sink writes: its columns, or how it is made. */
#ifndef STAGES_POSTGRES_TABLE_H
#define STAGES_POSTGRES_TABLE_H

#include "connection.h"
#include "literal.h"

struct column {
	char *name;
	char *quoted;     /* as it stands in SQL */
	size_t name_size; /* of `name` */
	struct target target;
	bool has_default; /* left out, it is not just NULL */
	bool is_key;
};

/* Zeroed: not read. */
struct table {
	char *quoted; /* schema and name, as they stand in SQL */
	struct column *columns;
	uint32_t count;
	uint32_t key_count;
};

/*
 * Reads the table's columns, but those that are generated. `name` is written as in SQL: "orders", "sales.orders". 0; -ENOENT, unsaid: there is no such table; another
 * error.
 */
int table_read(struct sl_context *ctx, PGconn *conn, const char *name, const struct sl_strings *key,
	struct table *table);
void table_fini(struct table *table);
/* Makes it, with the fields of the records and types that take all of them, unless somebody just did. */
int table_create(struct sl_context *ctx, PGconn *conn, const char *name,
	const struct sl_strings *key, const struct sl_batch *first);

/* Begins at `hint`: fields nearly always come in the same order. UINT32_MAX: there is none. */
uint32_t table_find(const struct table *table, const char *name, size_t size, uint32_t hint);

/* The column of a record that is no map. */
#define TABLE_BARE "value"

#endif
