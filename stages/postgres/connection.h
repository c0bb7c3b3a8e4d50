/* SPDX-License-Identifier: MIT */
/*
 * A connection to PostgreSQL that waits through sluice/task.h: libpq never blocks here, but while it looks up a host name.
 * Every function belongs to the thread, and the callback, of its `ctx`. What it returns as an error it has said with sl_error.
 *
 * -ENOTCONN: the server is not there, or the connection was lost: what was not committed is gone. The supervisor starts the process again every second until
 * it can be reached, and counts none of that. -ENOSPC: the server's disk is full; -EAGAIN: a deadlock, say; -ENOMEM; -EIO: anything else.
 */
#ifndef STAGES_POSTGRES_CONNECTION_H
#define STAGES_POSTGRES_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>

#include <sluice/stage.h>

#define PG_INT8OID 20
#define PG_JSONOID 114
#define PG_JSONBOID 3802
#define PG_BYTEAOID 17

/* Text is UTF-8, times are ISO 8601 in UTC, whatever the server's defaults are. 0 or an error. PQfinish ends it. */
int pg_connect(struct sl_context *ctx, const char *conninfo, PGconn **ret_conn);

/*
 * One or several statements without parameters. 0 and in *ret, which may be NULL, the last result; SL_REJECTED: the server refuses what the
 * statement would have written, *ret says why; or an error. What is given must be PQclear()ed.
 */
int pg_run(struct sl_context *ctx, PGconn *conn, const char *sql, PGresult **ret);
/* One statement with text parameters; a NULL is NULL. */
int pg_ask(struct sl_context *ctx, PGconn *conn, const char *sql, int count,
	const char *const *values, PGresult **ret);
int pg_prepare(struct sl_context *ctx, PGconn *conn, const char *name, const char *sql);
int pg_execute(struct sl_context *ctx, PGconn *conn, const char *name, int count,
	const char *const *values, PGresult **ret);

/* What was sent by PQsendQuery and its like: the next result; *ret NULL: it was the last. 0, SL_REJECTED, or an error. */
int pg_next(struct sl_context *ctx, PGconn *conn, PGresult **ret);
int pg_sent(struct sl_context *ctx, PGconn *conn, int sent);
/* Into a COPY that has begun; its end. 0 or an error. */
int pg_copy(struct sl_context *ctx, PGconn *conn, const char *data, size_t size);
int pg_copy_end(struct sl_context *ctx, PGconn *conn);

/* Says what went wrong; the error that it is. `result` may be NULL. */
int pg_failed(struct sl_context *ctx, PGconn *conn, const PGresult *result);
/* Why the server refused a row, for people. */
void pg_reason(const PGresult *result, char *text, size_t size);

#endif
