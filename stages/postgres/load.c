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

/* --- rows --------------------------------------------------------------------------------------- */

/* To the end of what the query answers; the first refusal is kept. */
static int read_answers(struct sl_context *ctx, PGconn *conn, const struct rows *rows,
	uint32_t from, uint32_t to, PGresult **ret_refusal)
{
	PGresult *result;
	int r = 0, outcome = 0;

	while (r >= 0) {
		r = pg_next(ctx, conn, &result);
		if (r < 0 || !result)
			break;
		if (r == SL_REJECTED && outcome == 0) {
			outcome = r;
			*ret_refusal = result;
			continue;
		}
		if (PQresultStatus(result) == PGRES_COPY_IN) {
			size_t at = rows->items[from].at;

			r = pg_copy(ctx, conn, rows->text.data + at, rows->items[to - 1].end - at);
			if (r == 0)
				r = pg_copy_end(ctx, conn);
		}
		PQclear(result);
	}
	return r < 0 ? r : outcome;
}

/* 0: they are in; SL_REJECTED: none of them is, and why. */
static int copy(struct sl_context *ctx, PGconn *conn, const struct rows *rows, uint32_t from,
	uint32_t to, char *reason)
{
	const struct shape *shape = &rows->shapes[rows->items[from].shape];
	PGresult *refusal = NULL;
	int r = pg_sent(ctx, conn, PQsendQuery(conn, shape->sql));

	if (r == 0)
		r = read_answers(ctx, conn, rows, from, to, &refusal);
	if (r == SL_REJECTED)
		pg_reason(refusal, reason, REASON_SIZE);
	PQclear(refusal);
	if (r != SL_REJECTED)
		return r;
	r = pg_run(ctx, conn, "ROLLBACK TO SAVEPOINT sluice; RELEASE SAVEPOINT sluice", NULL);
	return r < 0 ? r : SL_REJECTED;
}

/* Rows of one shape, whose text lies together. */
static int64_t load_stretch(struct sl_context *ctx, PGconn *conn, const struct rows *rows,
	uint32_t from, uint32_t to, const struct sl_batch *in)
{
	uint32_t middle = from + (to - from) / 2;
	char reason[REASON_SIZE];
	int64_t first, second;
	int r = copy(ctx, conn, rows, from, to, reason);

	if (r != SL_REJECTED)
		return r;
	if (to - from == 1) {
		(void)sl_reject(
			ctx, NULL, sl_batch_record(in, rows->items[from].index), "%s", reason);
		return 1;
	}
	first = load_stretch(ctx, conn, rows, from, middle, in);
	second = first < 0 ? first : load_stretch(ctx, conn, rows, middle, to, in);
	return second < 0 ? second : first + second;
}

int64_t load_rows(struct sl_context *ctx, PGconn *conn, const struct table *table, enum mode mode,
	struct rows *rows, const struct sl_batch *in)
{
	int64_t refused = 0, r = 0;
	uint32_t to;

	for (uint32_t from = 0; from < rows->count && r >= 0; from = to) {
		struct shape *shape = &rows->shapes[rows->items[from].shape];

		to = from + 1;
		while (to < rows->count && rows->items[to].shape == rows->items[from].shape)
			to++;
		if (!shape->sql)
			r = make_sql(table, shape, mode);
		if (r >= 0)
			r = load_stretch(ctx, conn, rows, from, to, in);
		refused += r;
	}
	return r < 0 ? r : refused;
}
