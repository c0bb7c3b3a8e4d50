/* SPDX-License-Identifier: MIT */
/* Rows into the table, in the transaction that is open. Those that the server refuses are found by halving, and rejected with what it says. */
#ifndef STAGES_POSTGRES_LOAD_H
#define STAGES_POSTGRES_LOAD_H

#include "rows.h"

/* Before the first: what `mode` needs beside the table. */
int load_begin(struct sl_context *ctx, PGconn *conn, const struct table *table, enum mode mode);
/* All of a batch; the server works on its first rows while the others are made. How many records were rejected, or an error. */
int64_t load_batch(struct sl_context *ctx, PGconn *conn, const struct table *table,
	const struct rows_options *options, struct rows *rows, const struct sl_batch *in);

#endif
