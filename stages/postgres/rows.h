/* SPDX-License-Identifier: MIT */
/*
 * Records made into lines for COPY. Rows that name the same columns are of one *shape*, and go to the server together. A column that a record lacks is not
 * named where that means more than NULL: it has a default, or the row may be there already and keeps what it has.
 */
#ifndef STAGES_POSTGRES_ROWS_H
#define STAGES_POSTGRES_ROWS_H

#include "table.h"

enum mode { MODE_INSERT, MODE_UPSERT, MODE_IGNORE, MODE_DELETE };

struct shape {
	bool *names; /* for each column */
	char *sql;   /* what takes its rows; load.c's */
};

struct row {
	size_t at; /* in the text */
	size_t end;
	uint32_t index; /* in the batch */
	uint32_t shape;
};

/* Zeroed, and rows_init: none. */
struct rows {
	struct sl_writer text;
	struct sl_writer scratch;
	struct sl_value *values; /* of one record, for each column */
	bool *names;
	struct row *items;
	uint32_t count;
	uint32_t capacity;
	struct shape *shapes;
	uint32_t shape_count;
};

struct rows_options {
	enum mode mode;
	bool ignores_extra;
	bool empty_is_null;
};

void rows_init(struct rows *rows);
void rows_fini(struct rows *rows);
/* None any more, and room for `count`. */
int rows_begin(struct rows *rows, const struct table *table, uint32_t count);
/* Record `index` of a batch. 0, SL_REJECTED, -ENOMEM. */
int rows_add(struct sl_context *ctx, struct rows *rows, const struct table *table,
	const struct rows_options *options, const struct sl_batch *in, uint32_t index);

#endif
