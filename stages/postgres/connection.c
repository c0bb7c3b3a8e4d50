/* SPDX-License-Identifier: MIT */
/* See connection.h. */
#include "connection.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT (30 * SL_SECOND)
#define STATE_SIZE 5

/* --- what went wrong ---------------------------------------------------------------------------- */

/* Text of libpq without its last newline, and without the lines behind the first. */
static void first_line(const char *text, char *line, size_t size)
{
	size_t length = strcspn(text, "\n");

	(void)snprintf(line, size, "%.*s", (int)(length < size ? length : size - 1), text);
}

static bool is_of(const char *state, const char *const *classes)
{
	for (; *classes; classes++)
		if (strncmp(state, *classes, strlen(*classes)) == 0)
			return true;
	return false;
}

/* SQLSTATEs by which a server says that it cannot serve now. */
static bool says_away(const char *state)
{
	static const char *const away[] = { "08", "53300", "57P01", "57P02", "57P03", NULL };

	return is_of(state, away);
}

/* SQLSTATEs that are the fault of a row: its data, a constraint, a limit, a trigger that raises. */
static bool says_refused(const char *state)
{
	static const char *const refused[] = { "22", "23", "44", "54", "P0001", NULL };

	return is_of(state, refused);
}

static int error_of(const char *state)
{
	if (says_away(state))
		return -ENOTCONN;
	if (strcmp(state, "53100") == 0)
		return -ENOSPC;
	if (strcmp(state, "53200") == 0)
		return -ENOMEM;
	return strncmp(state, "40", 2) == 0 ? -EAGAIN : -EIO;
}

int pg_failed(struct sl_context *ctx, PGconn *conn, const PGresult *result)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *detail = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
	char line[400];

	if (state)
		return sl_error(ctx, error_of(state), "PostgreSQL, database %s: %s%s%s", PQdb(conn),
			PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), detail ? ": " : "",
			detail ? detail : "");
	first_line(PQerrorMessage(conn), line, sizeof(line));
	return sl_error(ctx, PQstatus(conn) == CONNECTION_BAD ? -ENOTCONN : -EIO,
		"PostgreSQL, database %s: %s", PQdb(conn),
		*line ? line : "the connection was lost");
}

void pg_reason(const PGresult *result, char *text, size_t size)
{
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
	const char *column = context ? strstr(context, ", column ") : NULL;
	char place[200] = "";

	/* "COPY orders, line 1, column amount: ..." names the column, where the server speaks English. */
	if (column)
		first_line(column, place, sizeof(place));
	(void)snprintf(text, size, "%s%s%s%s", primary ? primary : "refused by the server",
		detail ? ": " : "", detail ? detail : "", place);
}

/* --- waiting ------------------------------------------------------------------------------------ */

static int wait_for(struct sl_context *ctx, PGconn *conn, short events)
{
	int r = sl_wait_fd(ctx, PQsocket(conn), events, SL_NEVER);

	if (r == 0 && !PQconsumeInput(conn))
		return pg_failed(ctx, conn, NULL);
	return r;
}

static int flush(struct sl_context *ctx, PGconn *conn)
{
	int left, r = 0;

	while (r == 0 && (left = PQflush(conn)) != 0)
		r = left < 0 ? pg_failed(ctx, conn, NULL) : wait_for(ctx, conn, POLLIN | POLLOUT);
	return r;
}

int pg_sent(struct sl_context *ctx, PGconn *conn, int sent)
{
	return sent ? 0 : pg_failed(ctx, conn, NULL);
}

static bool is_good(const PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
		return true;
	default:
		return false;
	}
}

int pg_next(struct sl_context *ctx, PGconn *conn, PGresult **ret)
{
	const char *state;
	int r = flush(ctx, conn);

	*ret = NULL;
	while (r == 0 && PQisBusy(conn))
		r = wait_for(ctx, conn, POLLIN);
	if (r < 0)
		return r;
	*ret = PQgetResult(conn);
	if (!*ret)
		return PQstatus(conn) == CONNECTION_BAD ? pg_failed(ctx, conn, NULL) : 0;
	if (is_good(*ret))
		return 0;
	state = PQresultErrorField(*ret, PG_DIAG_SQLSTATE);
	if (state && says_refused(state))
		return SL_REJECTED;
	r = pg_failed(ctx, conn, *ret);
	PQclear(*ret);
	*ret = NULL;
	return r;
}

/* Reads on to the end of what was sent; the first refusal, else the last result. */
static int finish(struct sl_context *ctx, PGconn *conn, int sent, PGresult **ret)
{
	PGresult *kept = NULL, *next = NULL;
	int r = pg_sent(ctx, conn, sent);
	int outcome = 0;

	while (r >= 0) {
		r = pg_next(ctx, conn, &next);
		if (r < 0 || !next)
			break;
		if (outcome == SL_REJECTED) {
			PQclear(next);
			continue;
		}
		outcome = r;
		PQclear(kept);
		kept = next;
	}
	if (r < 0 || !ret) {
		PQclear(kept);
		kept = NULL;
	}
	if (ret)
		*ret = kept;
	return r < 0 ? r : outcome;
}

/* --- statements --------------------------------------------------------------------------------- */

int pg_run(struct sl_context *ctx, PGconn *conn, const char *sql, PGresult **ret)
{
	return finish(ctx, conn, PQsendQuery(conn, sql), ret);
}

int pg_ask(struct sl_context *ctx, PGconn *conn, const char *sql, int count,
	const char *const *values, PGresult **ret)
{
	return finish(
		ctx, conn, PQsendQueryParams(conn, sql, count, NULL, values, NULL, NULL, 0), ret);
}

int pg_prepare(struct sl_context *ctx, PGconn *conn, const char *name, const char *sql)
{
	return finish(ctx, conn, PQsendPrepare(conn, name, sql, 0, NULL), NULL);
}

int pg_execute(struct sl_context *ctx, PGconn *conn, const char *name, int count,
	const char *const *values, PGresult **ret)
{
	return finish(
		ctx, conn, PQsendQueryPrepared(conn, name, count, values, NULL, NULL, 0), ret);
}

/* --- COPY --------------------------------------------------------------------------------------- */

#define COPY_PIECE (256u << 10)

static int copy_piece(struct sl_context *ctx, PGconn *conn, const char *data, size_t size)
{
	int put, r = 0;

	while (r == 0 && (put = PQputCopyData(conn, data, (int)size)) != 1)
		r = put < 0 ? pg_failed(ctx, conn, NULL) : wait_for(ctx, conn, POLLIN | POLLOUT);
	/* libpq's own buffer shall not grow. */
	return r == 0 ? flush(ctx, conn) : r;
}

int pg_copy(struct sl_context *ctx, PGconn *conn, const char *data, size_t size)
{
	int r = 0;

	while (r == 0 && size > 0) {
		size_t piece = size < COPY_PIECE ? size : COPY_PIECE;

		r = copy_piece(ctx, conn, data, piece);
		data += piece;
		size -= piece;
	}
	return r;
}

int pg_copy_end(struct sl_context *ctx, PGconn *conn)
{
	int put, r = 0;

	while (r == 0 && (put = PQputCopyEnd(conn, NULL)) != 1)
		r = put < 0 ? pg_failed(ctx, conn, NULL) : wait_for(ctx, conn, POLLIN | POLLOUT);
	return r;
}

/* --- beginning ---------------------------------------------------------------------------------- */

static void be_silent(void *user, const char *text)
{
	(void)user;
	(void)text;
}

/*
 * "FATAL:  57P03: the database system is starting up": what the server says of itself when it lets nobody in, in the verbose form.
 * NULL: it is not it who speaks.
 */
static const char *state_in(const char *message)
{
	for (const char *at = strstr(message, ":  "); at; at = strstr(at + 1, ":  ")) {
		const char *state = at + 3;
		size_t size = 0;

		while (isupper((unsigned char)state[size]) || isdigit((unsigned char)state[size]))
			size++;
		if (size == STATE_SIZE && state[size] == ':')
			return state;
	}
	return NULL;
}

static int cannot_connect(struct sl_context *ctx, PGconn *conn)
{
	const char *message = PQerrorMessage(conn);
	const char *state = state_in(message);
	bool is_away = state ? says_away(state) : !PQconnectionNeedsPassword(conn);
	const char *remedy = state && !is_away ? ": see `connection`"
			     : !is_away
				     ? "; write password=${credential:NAME} into `connection`, or "
				       "a line into ~/.pgpass"
				     : "";
	char line[400];

	first_line(state ? state + STATE_SIZE + 2 : message, line, sizeof(line));
	return sl_error(ctx, is_away ? -ENOTCONN : -EINVAL, "cannot connect to PostgreSQL: %s%s",
		*line ? line : "no memory, or `connection` is not what libpq understands", remedy);
}

static int shake_hands(struct sl_context *ctx, PGconn *conn)
{
	int64_t deadline = sl_now() + CONNECT_TIMEOUT;
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	int r;

	while (next != PGRES_POLLING_OK) {
		r = sl_wait_fd(ctx, PQsocket(conn),
			next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
		if (r == -ETIMEDOUT)
			return sl_error(ctx, -ENOTCONN,
				"cannot connect to PostgreSQL: %s does not answer", PQhost(conn));
		if (r < 0)
			return r;
		next = PQconnectPoll(conn);
		if (next == PGRES_POLLING_FAILED)
			return cannot_connect(ctx, conn);
	}
	return 0;
}

static const char settings[] =
	"SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET intervalstyle = 'iso_8601';"
	" SET bytea_output = 'hex'; SET extra_float_digits = 1;"
	" SET standard_conforming_strings = on; SET statement_timeout = 0;"
	" SET idle_in_transaction_session_timeout = 0";

/* What stands before "dbname" are defaults for what `connection` does not say; what stands behind holds. */
static PGconn *begin(const char *conninfo)
{
	static const char *const names[] = { "connect_timeout", "keepalives_idle",
		"keepalives_interval", "keepalives_count", "tcp_user_timeout",
		"fallback_application_name", "dbname", "client_encoding", NULL };
	const char *const values[] = { "30", "30", "10", "3", "60000", "sluice", conninfo, "UTF8",
		NULL };

	return PQconnectStartParams(names, values, 1);
}

int pg_connect(struct sl_context *ctx, const char *conninfo, PGconn **ret_conn)
{
	PGconn *conn = begin(conninfo);
	int r = 0;

	if (!conn)
		return sl_error(ctx, -ENOMEM, "no memory for a connection to PostgreSQL");
	(void)PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
	(void)PQsetNoticeProcessor(conn, be_silent, NULL);
	if (PQstatus(conn) == CONNECTION_BAD)
		r = cannot_connect(ctx, conn);
	if (r == 0)
		r = shake_hands(ctx, conn);
	if (r == 0 && PQsetnonblocking(conn, 1) != 0)
		r = pg_failed(ctx, conn, NULL);
	if (r == 0)
		r = pg_run(ctx, conn, settings, NULL);
	if (r < 0) {
		PQfinish(conn);
		return r;
	}
	*ret_conn = conn;
	return 0;
}
