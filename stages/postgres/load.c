/* SPDX-License-Identifier: MIT */
/*
 * See load.h. All that a stretch of rows needs is one query: a savepoint, a COPY, and but for "insert" a statement that takes the rows from a temporary
 * table to where they belong.
 */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define STAGING "pg_temp.sluice_rows"
#define REASON_SIZE 600
/* Often enough that the server need not wait, seldom enough that nobody notices the calls. */
#define SEND_SIZE 16384

/* --- statements --------------------------------------------------------------------------------- */

/* The columns that the shape names, or those of the key. */
static void put_columns(struct sl_writer *sql, const struct table *table, const struct shape *shape,
	const char *prefix)
{
	const char *separator = "";

	for (uint32_t i = 0; i < table->count; i++) {
		if (shape ? !shape->names[i] : !table->columns[i].is_key)
			continue;
		text_add(sql, separator);
		text_add(sql, prefix);
		text_add(sql, table->columns[i].quoted);
		separator = ", ";
	}
}

/* Of several rows of one key the last one holds. */
static void put_upsert(struct sl_writer *sql, const struct table *table, const struct shape *shape)
{
	const char *separator = ") DO UPDATE SET ";

	text_add(sql, " OVERRIDING SYSTEM VALUE SELECT DISTINCT ON (");
	put_columns(sql, table, NULL, "");
	text_add(sql, ") ");
	put_columns(sql, table, shape, "");
	text_add(sql, " FROM " STAGING " ORDER BY ");
	put_columns(sql, table, NULL, "");
	text_add(sql, ", ctid DESC ON CONFLICT (");
	put_columns(sql, table, NULL, "");
	for (uint32_t i = 0; i < table->count; i++) {
		if (!shape->names[i] || table->columns[i].is_key)
			continue;
		text_add(sql, separator);
		text_add(sql, table->columns[i].quoted);
		text_add(sql, " = excluded.");
		text_add(sql, table->columns[i].quoted);
		separator = ", ";
	}
	if (separator[0] == ')')
		text_add(sql, ") DO NOTHING");
}

static void put_ignore(struct sl_writer *sql, const struct table *table, const struct shape *shape)
{
	text_add(sql, " OVERRIDING SYSTEM VALUE SELECT ");
	put_columns(sql, table, shape, "");
	text_add(sql, " FROM " STAGING " ORDER BY ctid ON CONFLICT DO NOTHING");
}

static void put_delete(struct sl_writer *sql, const struct table *table)
{
	const char *separator = " USING " STAGING " AS gone WHERE ";

	text_add(sql, "; DELETE FROM ");
	text_add(sql, table->quoted);
	text_add(sql, " AS kept");
	for (uint32_t i = 0; i < table->count; i++) {
		if (!table->columns[i].is_key)
			continue;
		text_add(sql, separator);
		text_add(sql, "kept.");
		text_add(sql, table->columns[i].quoted);
		text_add(sql, " = gone.");
		text_add(sql, table->columns[i].quoted);
		separator = " AND ";
	}
}

static void put_second(
	struct sl_writer *sql, const struct table *table, const struct shape *shape, enum mode mode)
{
	if (mode == MODE_DELETE) {
		put_delete(sql, table);
	} else {
		text_add(sql, "; INSERT INTO ");
		text_add(sql, table->quoted);
		text_add(sql, " (");
		put_columns(sql, table, shape, "");
		text_add(sql, ")");
		if (mode == MODE_UPSERT)
			put_upsert(sql, table, shape);
		else
			put_ignore(sql, table, shape);
	}
	text_add(sql, "; TRUNCATE " STAGING);
}

static int make_sql(const struct table *table, struct shape *shape, enum mode mode)
{
	struct sl_writer sql;

	sl_writer_init(&sql);
	text_add(&sql, "SAVEPOINT sluice; COPY ");
	text_add(&sql, mode == MODE_INSERT ? table->quoted : STAGING);
	text_add(&sql, " (");
	put_columns(&sql, table, shape, "");
	text_add(&sql, ") FROM STDIN");
	if (mode != MODE_INSERT)
		put_second(&sql, table, shape, mode);
	text_add(&sql, "; RELEASE SAVEPOINT sluice");
	shape->sql = text_end(&sql) ? strdup(sql.data) : NULL;
	sl_writer_fini(&sql);
	return shape->sql ? 0 : -ENOMEM;
}

int load_begin(struct sl_context *ctx, PGconn *conn, const struct table *table, enum mode mode)
{
	struct sl_writer sql;
	int r;

	if (mode == MODE_INSERT)
		return 0;
	/* As a query, so that it takes the types and no constraint. */
	sl_writer_init(&sql);
	text_add(
		&sql, "CREATE TEMPORARY TABLE sluice_rows ON COMMIT DELETE ROWS AS SELECT * FROM ");
	text_add(&sql, table->quoted);
	text_add(&sql, " WITH NO DATA");
	r = text_end(&sql) ? pg_run(ctx, conn, sql.data, NULL) : -ENOMEM;
	sl_writer_fini(&sql);
	return r > 0 ? -EIO : r;
}

/* --- a stretch: rows of one shape, whose text lies together --------------------------------------- */

struct stretch {
	uint32_t from; /* a row; the text behind it goes to the server */
	size_t sent;   /* up to where in the text it went */
	bool is_open;
	bool is_copying;   /* the server takes rows */
	PGresult *refusal; /* the first */
};

/* What the query answers, until the server wants rows or has nothing more to say. */
static int read_answers(struct sl_context *ctx, PGconn *conn, struct stretch *s)
{
	PGresult *result;
	int r = 0;

	s->is_copying = false;
	while (!s->is_copying && (r = pg_next(ctx, conn, &result)) >= 0 && result) {
		s->is_copying = PQresultStatus(result) == PGRES_COPY_IN;
		if (r == SL_REJECTED && !s->refusal)
			s->refusal = result;
		else
			PQclear(result);
	}
	return s->is_copying || r >= 0 ? 0 : r;
}

static int open_stretch(struct sl_context *ctx, PGconn *conn, const struct table *table,
	enum mode mode, struct rows *rows, uint32_t from, struct stretch *s)
{
	struct shape *shape = &rows->shapes[rows->items[from].shape];
	int r = shape->sql ? 0 : make_sql(table, shape, mode);

	*s = (struct stretch){ .from = from, .sent = rows->items[from].at, .is_open = true };
	if (r == 0)
		r = pg_sent(ctx, conn, PQsendQuery(conn, shape->sql));
	return r == 0 ? read_answers(ctx, conn, s) : r;
}

static int send_rows(struct sl_context *ctx, PGconn *conn, const struct rows *rows, uint32_t to,
	struct stretch *s)
{
	size_t begin = s->sent;

	s->sent = rows->items[to - 1].end;
	return s->is_copying ? pg_copy(ctx, conn, rows->text.data + begin, s->sent - begin) : 0;
}

/* 0: the rows are in; SL_REJECTED: none of them is, and why. */
static int close_stretch(struct sl_context *ctx, PGconn *conn, const struct rows *rows, uint32_t to,
	struct stretch *s, char *reason)
{
	int r = send_rows(ctx, conn, rows, to, s);

	s->is_open = false;
	if (r == 0 && s->is_copying) {
		r = pg_copy_end(ctx, conn);
		if (r == 0)
			r = read_answers(ctx, conn, s);
	}
	if (r == 0 && s->refusal) {
		pg_reason(s->refusal, reason, REASON_SIZE);
		r = pg_run(
			ctx, conn, "ROLLBACK TO SAVEPOINT sluice; RELEASE SAVEPOINT sluice", NULL);
		r = r < 0 ? r : SL_REJECTED;
	}
	PQclear(s->refusal);
	s->refusal = NULL;
	return r;
}

/* --- rows --------------------------------------------------------------------------------------- */

/* A batch on its way into the table. */
struct load {
	PGconn *conn;
	const struct table *table;
	enum mode mode;
	struct rows *rows;
	const struct sl_batch *in;
	struct stretch stretch;
	uint64_t rejected;
};

static int by_halves(
	struct sl_context *ctx, struct load *load, uint32_t from, uint32_t to, const char *reason);

static int again(struct sl_context *ctx, struct load *load, uint32_t from, uint32_t to)
{
	char reason[REASON_SIZE];
	struct stretch s;
	int r = open_stretch(ctx, load->conn, load->table, load->mode, load->rows, from, &s);

	if (r == 0)
		r = close_stretch(ctx, load->conn, load->rows, to, &s, reason);
	return r == SL_REJECTED ? by_halves(ctx, load, from, to, reason) : r;
}

/* Together the rows were refused. */
static int by_halves(
	struct sl_context *ctx, struct load *load, uint32_t from, uint32_t to, const char *reason)
{
	uint32_t middle = from + (to - from) / 2;
	int r;

	if (to - from == 1) {
		(void)sl_reject(ctx, NULL, sl_batch_record(load->in, load->rows->items[from].index),
			"%s", reason);
		load->rejected++;
		return 0;
	}
	r = again(ctx, load, from, middle);
	return r == 0 ? again(ctx, load, middle, to) : r;
}

static int end_stretch(struct sl_context *ctx, struct load *load, uint32_t to)
{
	uint32_t from = load->stretch.from;
	char reason[REASON_SIZE];
	int r;

	if (!load->stretch.is_open)
		return 0;
	r = close_stretch(ctx, load->conn, load->rows, to, &load->stretch, reason);
	return r == SL_REJECTED ? by_halves(ctx, load, from, to, reason) : r;
}

/* The last row has just been made. */
static int take_row(struct sl_context *ctx, struct load *load)
{
	const struct row *items = load->rows->items;
	uint32_t last = load->rows->count - 1;
	struct stretch *s = &load->stretch;
	int r = 0;

	if (s->is_open && items[s->from].shape != items[last].shape)
		r = end_stretch(ctx, load, last);
	if (r == 0 && !s->is_open)
		r = open_stretch(ctx, load->conn, load->table, load->mode, load->rows, last, s);
	if (r == 0 && items[last].end - s->sent >= SEND_SIZE)
		r = send_rows(ctx, load->conn, load->rows, last + 1, s);
	return r;
}

int64_t load_batch(struct sl_context *ctx, PGconn *conn, const struct table *table,
	const struct rows_options *options, struct rows *rows, const struct sl_batch *in)
{
	struct load load = {
		.conn = conn, .table = table, .mode = options->mode, .rows = rows, .in = in
	};
	uint32_t count = sl_batch_count(in);
	int r = rows_begin(rows, table, count);

	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = rows_add(ctx, rows, table, options, in, i);
		load.rejected += r == SL_REJECTED;
		r = r == SL_REJECTED ? 0 : r == 0 ? take_row(ctx, &load) : r;
	}
	if (r == 0)
		r = end_stretch(ctx, &load, rows->count);
	PQclear(load.stretch.refusal);
	return r < 0 ? r : (int64_t)load.rejected;
}
