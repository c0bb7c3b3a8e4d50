/* SPDX-License-Identifier: MIT */
/*
 * Transform "sql": one SELECT over the records of a batch, as the table `input` (input.h). One connection and statement per
 * worker, in memory, with nothing allowed but reading.
 *
 * A column that is a plain field keeps its MessagePack bytes. Where every output row belongs to the row at which the cursor
 * stands (`is_scan`: no sorter, no grouping, one cursor) they are copied from there; elsewhere booleans and nested
 * values are turned back by what their column has in common. See README.md.
 */
#include <sluice/stage.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msgpuck.h>
#include <sqlite3.h>

#include "names.h"
#include "sandbox.h"

struct shared {
	const char *query;
	int64_t timeout_ns;
};

/* One column of the result. */
struct output {
	char *key; /* its name as MessagePack, ready to copy */
	size_t key_size;
	int field;    /* the column of `input` that it is; -1: an expression */
	bool is_mark; /* INPUT_ANY: not for the user */
	enum input_common common;
};

struct worker {
	struct sl_context *ctx;
	struct sandbox box;
	sqlite3_stmt *stmt;
	struct output *outputs;
	int output_count;
	bool wants_all;   /* the query has a `*` */
	bool is_compound; /* UNION and the like: a column of the result is not one of `input` */
	bool may_scan;    /* every output row belongs to the row at which the one cursor stands */
	bool is_scan;     /* ... as far as was seen in this batch */
	bool is_bare;     /* one column named `value`: bare values come out */
};

/* --- preparing ---------------------------------------------------------------------------------- */

static void free_outputs(struct worker *w)
{
	for (int i = 0; i < w->output_count; i++)
		free(w->outputs[i].key);
	free(w->outputs);
	w->outputs = NULL;
	w->output_count = 0;
}

static void forget_statement(struct worker *w)
{
	(void)sqlite3_finalize(w->stmt);
	w->stmt = NULL;
	free_outputs(w);
}

static bool is_blank(const char *text)
{
	while (isspace((unsigned char)*text) || *text == ';')
		text++;
	return *text == '\0';
}

/* Says why the query could not be prepared: SQLite's message, and where in the query. Returns `error`. */
static int bad_query(struct worker *w, const char *query, int error)
{
	int at = sqlite3_error_offset(w->box.db);
	char hint[NAMES_HINT_SIZE];

	if (error == -EIO)
		return sl_error(w->ctx, error, "sql: cannot make the table of records: %s",
			sqlite3_errmsg(w->box.db));
	if (error == -E2BIG)
		return sl_error(w->ctx, -EINVAL, "`query`: too many columns");
	if (error != -EINVAL)
		return error;
	if (at >= 0 && (size_t)at < strlen(query)) {
		names_hint(sqlite3_errmsg(w->box.db), query, (size_t)at, hint, sizeof(hint));
		return sl_error(w->ctx, -EINVAL, "`query`: %s, at: %.60s%s",
			sqlite3_errmsg(w->box.db), query + at, hint);
	}
	return sl_error(w->ctx, -EINVAL, "`query`: %s", sqlite3_errmsg(w->box.db));
}

/* Does every output row belong to the row at which the one cursor stands? Asked of the program that SQLite made. */
static bool find_scan(struct worker *w, const char *query)
{
	static const char *const breakers[] = { "SorterOpen", "OpenEphemeral", "OpenAutoindex",
		"OpenPseudo", "AggStep", "AggFinal", "InitCoroutine", "Yield", "RowSetAdd", "Gosub",
		"NullRow" };
	char *text = sqlite3_mprintf("EXPLAIN %s", query);
	sqlite3_stmt *stmt = NULL;
	bool is_scan = !w->is_compound;

	if (!is_scan || !text || sqlite3_prepare_v2(w->box.db, text, -1, &stmt, NULL) != SQLITE_OK)
		is_scan = false;
	while (is_scan && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *op = (const char *)sqlite3_column_text(stmt, 1);

		for (size_t i = 0; i < sizeof(breakers) / sizeof(breakers[0]); i++)
			if (op && strcmp(op, breakers[i]) == 0)
				is_scan = false;
	}
	(void)sqlite3_finalize(stmt);
	sqlite3_free(text);
	return is_scan;
}

static int describe_output(struct worker *w, int i)
{
	struct output *output = &w->outputs[i];
	const char *name = sqlite3_column_name(w->stmt, i);
	const char *table = sqlite3_column_table_name(w->stmt, i);
	const char *origin = sqlite3_column_origin_name(w->stmt, i);
	uint32_t size = (uint32_t)strlen(name);

	output->key = malloc(size + 5);
	if (!output->key)
		return -ENOMEM;
	output->key_size = (size_t)(mp_encode_str(output->key, name, size) - output->key);
	output->field = !w->is_compound && table && origin && strcmp(table, "input") == 0
				? input_column(w->box.input, origin)
				: -1;
	output->is_mark = origin && strcmp(origin, INPUT_ANY) == 0;
	w->wants_all = w->wants_all || output->is_mark;
	return 0;
}

static int describe_outputs(struct worker *w)
{
	int count = sqlite3_column_count(w->stmt);
	int r = 0;

	w->outputs = calloc((size_t)count, sizeof(*w->outputs));
	if (!w->outputs)
		return -ENOMEM;
	w->output_count = count;
	for (int i = 0; i < count && r == 0; i++)
		r = describe_output(w, i);
	/* Under `*` the mark stands behind the columns. */
	count -= count > 1 && w->outputs[count - 1].is_mark;
	w->is_bare = count == 1 && strcmp(sqlite3_column_name(w->stmt, 0), "value") == 0;
	return r;
}

static int prepare(struct worker *w, const char *query)
{
	const char *tail = "";
	int r;

	forget_statement(w);
	r = sandbox_prepare(&w->box, query, &w->stmt, &tail);
	if (r < 0)
		return bad_query(w, query, r);
	if (!w->stmt)
		return sl_error(w->ctx, -EINVAL,
			"`query` is empty: write for instance SELECT * FROM input");
	if (!is_blank(tail))
		return sl_error(w->ctx, -EINVAL,
			"`query` has a second statement: only one SELECT is possible, found: %.60s",
			tail);
	if (sqlite3_column_count(w->stmt) == 0)
		return sl_error(w->ctx, -EINVAL, "`query` gives no columns: it must be a SELECT");
	w->may_scan = find_scan(w, query);
	return describe_outputs(w);
}

/* --- rows out ----------------------------------------------------------------------------------- */

static void put_text(struct worker *w, struct sl_writer *out, int i, enum input_common common)
{
	const char *text = (const char *)sqlite3_column_text(w->stmt, i);
	size_t size = (size_t)sqlite3_column_bytes(w->stmt, i);
	const char *reason;

	/* Text of a column whose every value was nested is JSON that we made; so is what json functions return. */
	if (common == INPUT_NESTED && sl_json_parse(out, text, size, &reason) == 0)
		return;
	sl_put_str(out, text, size);
}

static void put_sql_value(struct worker *w, struct sl_writer *out, int i)
{
	enum input_common common = w->outputs[i].common;

	switch (sqlite3_column_type(w->stmt, i)) {
	case SQLITE_INTEGER:
		if (common == INPUT_BOOLS)
			sl_put_bool(out, sqlite3_column_int64(w->stmt, i) != 0);
		else
			sl_put_int(out, sqlite3_column_int64(w->stmt, i));
		break;
	case SQLITE_FLOAT:
		sl_put_double(out, sqlite3_column_double(w->stmt, i));
		break;
	case SQLITE_TEXT:
		put_text(w, out, i, common);
		break;
	case SQLITE_BLOB:
		sl_put_bin(out, sqlite3_column_blob(w->stmt, i),
			(size_t)sqlite3_column_bytes(w->stmt, i));
		break;
	default:
		sl_put_nil(out);
	}
}

/* The bytes of a plain field; absent for an expression, or when rows are not what the cursor shows. */
static struct sl_value plain_field(const struct worker *w, const struct output *output)
{
	if (!w->is_scan || output->field < 0)
		return (struct sl_value){ 0 };
	return input_field(w->box.input, output->field);
}

static void put_key(struct sl_writer *out, const struct output *output)
{
	sl_put_value(out, (struct sl_value){ output->key, output->key_size });
}

/* Under `*` a field that a record lacks stays away; one that the query names is null. */
static bool is_left_out(const struct worker *w, const struct output *output)
{
	if (output->is_mark || !w->wants_all || output->field < 0)
		return output->is_mark;
	return w->is_scan ? !input_field(w->box.input, output->field).data
			  : !input_has_seen(w->box.input, output->field);
}

static int put_row(struct worker *w, struct sl_writer *out)
{
	uint32_t count = 0;

	for (int i = 0; i < w->output_count; i++)
		count += !is_left_out(w, &w->outputs[i]);
	if (!w->is_bare)
		sl_put_map(out, count);
	for (int i = 0; i < w->output_count; i++) {
		const struct output *output = &w->outputs[i];
		struct sl_value field = plain_field(w, output);

		if (output->is_mark || (is_left_out(w, output) && !w->is_bare))
			continue;
		if (!w->is_bare)
			put_key(out, output);
		if (field.data)
			sl_put_value(out, field);
		else
			put_sql_value(w, out, i);
	}
	return sl_record_done(out);
}

/* --- running ------------------------------------------------------------------------------------ */

static void find_common(struct worker *w, const struct sl_batch *in, uint32_t first, uint32_t count)
{
	if (w->is_scan)
		return;
	input_set(w->box.input, in, first, count);
	for (int i = 0; i < w->output_count; i++)
		w->outputs[i].common = w->outputs[i].field >= 0
					       ? input_common(w->box.input, w->outputs[i].field)
					       : INPUT_MIXED;
}

/* Runs the query over rows [first, first + count). 0; -EINVAL: SQLite refused, nothing was put; -ENOMEM. */
static int run_rows(struct worker *w, const struct sl_batch *in, uint32_t first, uint32_t count,
	struct sl_writer *out)
{
	size_t mark = out->mark;
	uint32_t records = out->count;
	int r, status;

	input_set(w->box.input, in, first, count);
	do {
		status = sqlite3_step(w->stmt);
		/* A second cursor: rows do not belong to one record any more. */
		if (w->is_scan && input_opened(w->box.input) > 1) {
			w->is_scan = false;
			(void)sqlite3_reset(w->stmt);
			out->size = out->mark = mark;
			out->count = records;
			find_common(w, in, first, count);
			return run_rows(w, in, first, count, out);
		}
		r = status == SQLITE_ROW ? put_row(w, out) : 0;
	} while (status == SQLITE_ROW && r == 0);
	if (status == SQLITE_DONE || r < 0) {
		(void)sqlite3_reset(w->stmt);
		return r;
	}
	out->size = out->mark = mark;
	out->count = records;
	return -EINVAL;
}

/* The reason of the last refusal, after which the statement is ready again. */
static const char *take_reason(struct worker *w, char *text, size_t size)
{
	(void)snprintf(text, size, "%s",
		w->box.timed_out ? "the query took longer than `timeout`"
				 : sqlite3_errmsg(w->box.db));
	(void)sqlite3_reset(w->stmt);
	return text;
}

/* A record at a time, so that only those that SQLite refuses are given up. */
static int64_t run_single(struct worker *w, const struct shared *o, const struct sl_batch *in,
	uint32_t first, uint32_t count, struct sl_writer *out)
{
	int64_t consumed = 0;
	char reason[256];

	for (uint32_t i = first; i < first + count; i++) {
		int r;

		w->box.deadline = sl_now() + o->timeout_ns;
		r = run_rows(w, in, i, 1, out);
		if (r == -EINVAL)
			(void)sl_reject(w->ctx, NULL, sl_batch_record(in, i), "sql: %s",
				take_reason(w, reason, sizeof(reason)));
		else if (r < 0)
			return r;
		else
			consumed++;
	}
	return consumed;
}

static int64_t reject_all(
	struct worker *w, const struct sl_batch *in, uint32_t first, uint32_t count)
{
	char reason[256];

	(void)take_reason(w, reason, sizeof(reason));
	for (uint32_t i = first; i < first + count; i++)
		(void)sl_reject(w->ctx, NULL, sl_batch_record(in, i), "sql: %s", reason);
	return 0;
}

/* How many of the rows [first, first + count) were consumed, or -ENOMEM. */
static int64_t run_part(struct worker *w, const struct shared *o, const struct sl_batch *in,
	uint32_t first, uint32_t count, struct sl_writer *out)
{
	int r;

	w->is_scan = w->may_scan;
	find_common(w, in, first, count);
	w->box.timed_out = false;
	w->box.deadline = sl_now() + o->timeout_ns;
	r = run_rows(w, in, first, count, out);
	if (r == 0)
		return count;
	if (r != -EINVAL)
		return r;
	if (!w->is_scan || w->box.timed_out)
		return reject_all(w, in, first, count);
	(void)sqlite3_reset(w->stmt);
	return run_single(w, o, in, first, count, out);
}

/* Under `*` the columns are the keys of these records. *ret_count: of so many. */
static int learn_columns(struct worker *w, const struct shared *o, const struct sl_batch *in,
	uint32_t first, uint32_t *ret_count)
{
	int r;

	*ret_count = sl_batch_count(in) - first;
	if (!w->wants_all)
		return 0;
	r = input_learn(w->box.input, in, first, ret_count);
	if (r <= 0 || *ret_count == 0)
		return r < 0 ? r : 0;
	r = names_add(w->box.input, o->query, &w->is_compound);
	return r < 0 ? r : prepare(w, o->query);
}

/* In one part, unless its records have more different fields than a table can have columns. */
static int64_t sql_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int64_t consumed = 0;
	uint32_t count;

	w->ctx = ctx;
	for (uint32_t first = 0; first < sl_batch_count(in); first += count) {
		int64_t r = learn_columns(w, o, in, first, &count);

		if (r == 0 && count > 0)
			r = run_part(w, o, in, first, count, out[0]);
		if (r < 0)
			return r;
		consumed += r;
		if (count > 0)
			continue;
		(void)sl_reject(ctx, NULL, sl_batch_record(in, first),
			"sql: it has more fields than a table can have columns");
		count = 1;
	}
	return consumed;
}

/* --- beginning and end -------------------------------------------------------------------------- */

static void sql_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	forget_statement(w);
	sandbox_close(&w->box);
}

static int sql_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r;

	w->ctx = ctx;
	w->box.table = "input";
	r = sandbox_open(&w->box);
	if (r == 0)
		r = names_add(w->box.input, o->query, &w->is_compound);
	return r < 0 ? r : prepare(w, o->query);
}

static int sql_check(struct sl_context *ctx, const void *shared)
{
	struct worker w = { 0 };
	int r = sql_start(ctx, (void *)shared, &w);

	if (r == 0 && !w.box.reads_input &&
		!strcasestr(((const struct shared *)shared)->query, "input"))
		r = sl_error(ctx, -EINVAL, "`query` reads no records: SELECT ... FROM input");
	sql_stop(ctx, NULL, &w);
	return r;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_sql = {
	.abi = SL_ABI,
	.name = "sql",
	.role = SL_TRANSFORM,
	.summary = "one SELECT over the records of each batch, by SQLite",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = sql_check,
	.start = sql_start,
	.transform_batch = sql_transform,
	.stop = sql_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("query", STRING, struct shared, query), .required = true,
	  .help = "a SELECT from the table `input`, whose columns are the records' fields",
	  .example = "\"SELECT id, amount * 1.2 AS gross FROM input WHERE paid\"" },
	{ SL_OPTION("timeout", DURATION, struct shared, timeout_ns), .fallback = "10s",
	  .min = 1000000, .max = INT64_C(86400000000000),
	  .help = "the time limit for one batch", .example = "\"1s\"" },
	{ 0 },
};
/* clang-format on */
