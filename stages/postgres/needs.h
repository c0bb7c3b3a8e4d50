/* SPDX-License-Identifier: MIT */
/* What the sink needs on the server before the first row: asked for, so that it is said what is missing, and what to do about it. */
#ifndef STAGES_POSTGRES_NEEDS_H
#define STAGES_POSTGRES_NEEDS_H

#include "connection.h"

/* May this user use the table of committed names, or make it? 0, or said. */
int needs_ledger(struct sl_context *ctx, PGconn *conn);
/* Does the table (as in SQL) have a primary key or unique index of just these columns? So mode = "upsert" knows a row. 0, or said. */
int needs_key(
	struct sl_context *ctx, PGconn *conn, const char *table, const struct sl_strings *key);

#endif
