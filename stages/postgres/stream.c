/* SPDX-License-Identifier: MIT */
/* See stream.h. */
#include "stream.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- columns ------------------------------------------------------------------------------------ */

/* The type of its elements; 0: it is no array. */
static int find_element(struct sl_context *ctx, PGconn *conn, unsigned oid, unsigned *ret_element)
{
	char text[16];
	const char *value = text;
	PGresult *result;
	int r;

	(void)snprintf(text, sizeof(text), "%u", oid);
	r = pg_ask(ctx, conn,
		"SELECT typelem FROM pg_type WHERE oid = $1 AND typcategory = 'A' AND typdelim = "
		"','",
		1, &value, &result);
	*ret_element = r == 0 && PQntuples(result) > 0
			       ? (unsigned)strtoul(PQgetvalue(result, 0, 0), NULL, 10)
			       : 0;
	PQclear(result);
	return r > 0 ? -EIO : r;
}

static int describe_column(struct sl_context *ctx, PGconn *conn, const PGresult *result, int i,
	bool numeric_is_float, struct stream_column *column)
{
	unsigned oid = PQftype(result, i), element = 0;
	int r = find_element(ctx, conn, oid, &element);

	column->name = strdup(PQfname(result, i));
	column->name_size = strlen(PQfname(result, i));
	column->is_array = element != 0;
	column->type = field_type_of(element ? element : oid, numeric_is_float);
	return r == 0 && !column->name ? -ENOMEM : r;
}

int stream_describe(struct sl_context *ctx, PGconn *conn, const char *sql, bool numeric_is_float,
	struct stream *stream)
{
	PGresult *result;
	int r = pg_run(ctx, conn, sql, &result);

	if (r == SL_REJECTED)
		r = pg_failed(ctx, conn, result);
	if (r == 0) {
		stream->count = PQnfields(result);
		stream->columns = calloc((size_t)stream->count + 1, sizeof(*stream->columns));
		r = stream->columns ? 0 : -ENOMEM;
	}
	for (int i = 0; r == 0 && i < stream->count; i++)
		r = describe_column(ctx, conn, result, i, numeric_is_float, &stream->columns[i]);
	PQclear(result);
	return r;
}

void stream_fini(struct stream *stream)
{
	for (int i = 0; stream->columns && i < stream->count; i++)
		free(stream->columns[i].name);
	free(stream->columns);
	PQfreemem(stream->line);
	*stream = (struct stream){ 0 };
}

/* --- rows --------------------------------------------------------------------------------------- */

int stream_open(struct sl_context *ctx, PGconn *conn, const char *sql, struct stream *stream)
{
	PGresult *result = NULL;
	int r = pg_sent(ctx, conn, PQsendQuery(conn, sql));

	if (r == 0)
		r = pg_next(ctx, conn, &result);
	if (r == SL_REJECTED)
		r = pg_failed(ctx, conn, result);
	stream->is_open = r == 0;
	stream->rows = 0;
	PQclear(result);
	return r;
}

/* The COPY has come to its end, or the server gave it up. */
static int close_query(struct sl_context *ctx, PGconn *conn, struct stream *stream)
{
	PGresult *result;
	int r;

	stream->is_open = false;
	do {
		r = pg_next(ctx, conn, &result);
		if (r == SL_REJECTED)
			r = pg_failed(ctx, conn, result);
		PQclear(result);
	} while (r == 0 && result);
	return r;
}

/* The key stands first. */
static int take_key(struct sl_context *ctx, struct stream *stream)
{
	if (strncmp(stream->line, "\\N\t", 3) == 0)
		return sl_error(ctx, -EINVAL, "a row has no key: `key` must not be NULL");
	stream->key = strtoll(stream->line, NULL, 10);
	stream->rows++;
	return 1;
}

int stream_look(struct sl_context *ctx, PGconn *conn, struct stream *stream, int64_t deadline)
{
	int r;

	if (stream->line)
		return 1;
	for (;;) {
		stream->line_size = PQgetCopyData(conn, &stream->line, 1);
		if (stream->line_size > 0)
			return take_key(ctx, stream);
		if (stream->line_size == -1)
			return close_query(ctx, conn, stream);
		if (stream->line_size < 0)
			return pg_failed(ctx, conn, NULL);
		r = sl_wait_fd(ctx, PQsocket(conn), POLLIN, deadline);
		if (r < 0)
			return r;
		if (!PQconsumeInput(conn))
			return pg_failed(ctx, conn, NULL);
	}
}

static char unescape(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'v':
		return '\v';
	default:
		return c;
	}
}

/* Up to a tab or newline, unescaped in place and 0-terminated. Where the next one begins; *ret_size SIZE_MAX: NULL. */
static char *next_field(char *at, size_t *ret_size)
{
	char *to = at, *begin = at;

	if (at[0] == '\\' && at[1] == 'N') {
		*ret_size = SIZE_MAX;
		return at + 3;
	}
	for (; *at != '\t' && *at != '\n'; at++) {
		if (*at == '\\')
			*to++ = unescape(*++at);
		else
			*to++ = *at;
	}
	*ret_size = (size_t)(to - begin);
	*to = '\0';
	return at + 1;
}

static int put_field(
	struct sl_writer *out, const struct stream_column *column, char *text, size_t size)
{
	if (size == SIZE_MAX) {
		sl_put_nil(out);
		return 0;
	}
	return column->is_array ? field_put_array(out, column->type, text, size)
				: field_put(out, column->type, text, size);
}

int stream_take(struct stream *stream, struct sl_writer *out)
{
	char *at = strchr(stream->line, '\t');
	int r = 0;

	sl_put_map(out, (uint32_t)stream->count);
	at = at ? at + 1 : stream->line;
	for (int i = 0; i < stream->count && r == 0; i++) {
		char *text = at;
		size_t size;

		at = next_field(at, &size);
		sl_put_str(out, stream->columns[i].name, stream->columns[i].name_size);
		r = put_field(out, &stream->columns[i], text, size);
	}
	PQfreemem(stream->line);
	stream->line = NULL;
	return r == 0 ? sl_record_done(out) : r;
}
