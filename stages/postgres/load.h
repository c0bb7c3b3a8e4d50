/* SPDX-License-Identifier: MIT */
/* Rows into the table, in the transaction that is open. Those that the server refuses are found by halving, and rejected with what it says. */
#ifndef STAGES_POSTGRES_LOAD_H
#define STAGES_POSTGRES_LOAD_H

#include "rows.h"

/* Before the first: what `mode` needs beside the table. */
int load_begin(struct sl_context *ctx, PGconn *conn, const struct table *table, enum mode mode);
/* How many of the rows were refused, or an error. `in` is the batch that they were read from. */
int64_t load_rows(struct sl_context *ctx, PGconn *conn, const struct table *table, enum mode mode,
	struct rows *rows, const struct sl_batch *in);

#endif
