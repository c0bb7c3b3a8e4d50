/* SPDX-License-Identifier: MIT */
/* The table from a PostgreSQL server: one query on a connection of its own, whose rows come one by one. A wait ends when the stage does. */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "../postgres/check.h"
#include "../postgres/field.h"
#include "../postgres/files.h"
#include "load.h"
#include "server.h"

static const char settings[] =
	"SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET intervalstyle = 'iso_8601';"
	" SET bytea_output = 'hex'; SET extra_float_digits = 1;"
	" SET default_transaction_read_only = on; SET statement_timeout = 0";

struct reader {
	struct load *load;
	struct build *build;
	PGconn *conn;
	struct sl_writer row;
};

static int wait_for(struct reader *r, short events)
{
	struct pollfd fds[] = { { .fd = PQsocket(r->conn), .events = events },
		{ .fd = r->load->stop_fd, .events = POLLIN } };

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return -errno;
	return fds[1].revents ? -ECANCELED : 0;
}

/* A server that shuts down or starts up says so in English or not: it is the lost connection that tells. */
static int failed(struct reader *r, const PGresult *result, const char *what)
{
	const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	bool is_away = PQstatus(r->conn) == CONNECTION_BAD;

	text = text ? text : PQerrorMessage(r->conn);
	if (PQconnectionNeedsPassword(r->conn))
		is_away = false;
	return problem_say(r->build->problem, is_away ? -ENOTCONN : -EIO, "%s: %.*s", what,
		(int)strcspn(text, "\n"), text);
}

static int connect_to(struct reader *r)
{
	static const char *const names[] = { "connect_timeout", "keepalives_idle",
		"keepalives_interval", "keepalives_count", "tcp_user_timeout",
		"fallback_application_name", "dbname", "client_encoding", NULL };
	const char *const values[] = { "30", "30", "10", "3", "60000", "sluice",
		r->load->options->connection, "UTF8", NULL };
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	int error = 0;

	r->conn = PQconnectStartParams(names, values, 1);
	if (!r->conn)
		return problem_say(r->build->problem, -ENOMEM, "no memory");
	while (error == 0 && next != PGRES_POLLING_OK) {
		if (PQstatus(r->conn) == CONNECTION_BAD || next == PGRES_POLLING_FAILED)
			return failed(r, NULL, "cannot connect to PostgreSQL");
		error = wait_for(r, next == PGRES_POLLING_READING ? POLLIN : POLLOUT);
		if (error == 0)
			next = PQconnectPoll(r->conn);
	}
	return error;
}

/* The next result of what was sent; NULL: there is none. */
static int next_result(struct reader *r, PGresult **ret)
{
	int error = 0;

	*ret = NULL;
	while (error == 0 && PQisBusy(r->conn)) {
		error = wait_for(r, POLLIN);
		if (error == 0 && !PQconsumeInput(r->conn))
			error = failed(r, NULL, "PostgreSQL");
	}
	if (error == 0)
		*ret = PQgetResult(r->conn);
	return error;
}

static int add_row(struct reader *r, PGresult *result)
{
	int columns = PQnfields(result), error = 0;

	sl_writer_reset(&r->row);
	sl_put_map(&r->row, (uint32_t)columns);
	for (int i = 0; error == 0 && i < columns; i++) {
		sl_put_cstr(&r->row, PQfname(result, i));
		if (PQgetisnull(result, 0, i))
			sl_put_nil(&r->row);
		else
			error = field_put(&r->row, field_type_of(PQftype(result, i), false),
				PQgetvalue(result, 0, i), (size_t)PQgetlength(result, 0, i));
	}
	if (error < 0 || sl_record_done(&r->row) < 0)
		return problem_say(r->build->problem, -ENOMEM, "no memory");
	return build_add(r->build, (struct sl_value){ r->row.data, r->row.size });
}

static int take_result(struct reader *r, PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_SINGLE_TUPLE:
		return add_row(r, result);
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		return 0;
	default:
		return failed(r, result, "PostgreSQL");
	}
}

static int ask(struct reader *r, const char *sql, bool by_row)
{
	PGresult *result;
	int error = 0;

	if (!PQsendQuery(r->conn, sql) || (by_row && !PQsetSingleRowMode(r->conn)))
		return failed(r, NULL, "PostgreSQL");
	while (error == 0) {
		error = next_result(r, &result);
		if (error < 0 || !result)
			return error;
		error = take_result(r, result);
		PQclear(result);
	}
	return error;
}

static void be_silent(void *user, const char *text)
{
	(void)user;
	(void)text;
}

int load_postgres(struct load *load, struct build *build)
{
	const struct lookup *o = load->options;
	struct reader reader = { .load = load, .build = build };
	char *sql = NULL;
	int r;

	sl_writer_init(&reader.row);
	r = connect_to(&reader);
	if (r == 0) {
		(void)PQsetNoticeProcessor(reader.conn, be_silent, NULL);
		r = ask(&reader, settings, false);
	}
	if (r == 0) {
		sql = o->query ? sqlite3_mprintf("%s", o->query)
			       : sqlite3_mprintf("SELECT * FROM %s", o->table);
		r = sql ? ask(&reader, sql, true)
			: problem_say(build->problem, -ENOMEM, "no memory");
	}
	sqlite3_free(sql);
	sl_writer_fini(&reader.row);
	PQfinish(reader.conn);
	return r;
}

int server_check(struct sl_context *ctx, const char *connection)
{
	return check_connection(ctx, connection);
}

void server_files(const char *connection, sl_files_fn *tell, void *user)
{
	files_tell(connection, tell, user);
}
