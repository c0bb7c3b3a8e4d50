/* SPDX-License-Identifier: MIT */
/*
 * See conditions.h. The table of records has a name that nobody writes, and `input` is its alias: a condition can say input.amount, but a SELECT
 * in it finds no table `input`, so that what holds for a record never depends on its batch.
 */
#include "conditions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

#define TABLE "sluice:records"
#define FROM "FROM \"" TABLE "\" AS input"
#define HEAD "SELECT 1 " FROM " WHERE ("
#define SHOWN_MAX 60 /* bytes of a text in a message */

/* --- preparing ---------------------------------------------------------------------------------- */

/* "`where`", "`routes.big`" */
static void print_name(const struct conditions *c, uint32_t i, char *text, size_t size)
{
	if (c->names)
		(void)snprintf(text, size, "`%s.%s`", c->option, c->names[i]);
	else
		(void)snprintf(text, size, "`%s`", c->option);
}

static int bad_expression(const struct conditions *c, uint32_t i, const char *expression, int error)
{
	const char *message = sqlite3_errmsg(c->box.db);
	int at = sqlite3_error_offset(c->box.db) - (int)strlen(HEAD);
	int size = (int)strcspn(
		message, "\n"); /* a string that never ends takes in what stands behind */
	char name[96], hint[NAMES_HINT_SIZE];

	print_name(c, i, name, sizeof(name));
	if (error == -E2BIG)
		return sl_error(c->ctx, -EINVAL, "%s: too many fields", name);
	if (error != -EINVAL && error != -EIO)
		return error;
	if (strcmp(message, "no such table: input") == 0)
		return sl_error(c->ctx, error,
			"%s: %s sees one record, so there is no table `input`: write only "
			"%s, or use the transform \"sql\"",
			name, c->is_values ? "an expression" : "a condition",
			c->is_values ? "what gives its value" : "what stands behind WHERE");
	if (at >= (int)strlen(expression))
		return sl_error(c->ctx, error, "%s: it ends too early: %.60s", name, expression);
	if (at >= 0) {
		names_hint(message, expression, (size_t)at, hint, sizeof(hint));
		return sl_error(c->ctx, error, "%s: %.*s, at: %.60s%s", name, size, message,
			expression + at, hint);
	}
	return sl_error(c->ctx, error, "%s: %.*s: %.60s", name, size, message, expression);
}

static bool is_blank(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0';
}

/* Alone, behind WHERE, where SQLite allows no aggregates; its place in a message is its own then, too. */
static int check_expression(struct conditions *c, uint32_t i, const char *expression)
{
	char name[96];
	char *query;
	int r;

	print_name(c, i, name, sizeof(name));
	if (is_blank(expression))
		return sl_error(c->ctx, -EINVAL,
			"%s is empty: write an expression, for instance %s", name,
			c->is_values ? "amount * 2" : "amount > 0");
	query = sqlite3_mprintf(HEAD "%s\n)", expression);
	if (!query)
		return -ENOMEM;
	r = sandbox_prepare(&c->box, query, &c->stmt, NULL);
	if (r < 0)
		r = bad_expression(c, i, expression, r);
	(void)sqlite3_finalize(c->stmt);
	c->stmt = NULL;
	sqlite3_free(query);
	return r;
}

static void append_column(
	sqlite3_str *text, const struct conditions *c, uint32_t i, const char *expression)
{
	const char *comma = i > 0 ? "," : "";

	if (c->is_values && values_want_function(expression))
		sqlite3_str_appendf(
			text, "%s " VALUES_FUNCTION "(%u, (%s\n))", comma, i, expression);
	else
		sqlite3_str_appendf(text, "%s (%s\n)", comma, expression);
}

/* Each a column; or the index of the first that is true in one, where SQLite looks at no more than it must. */
static char *make_query(const struct conditions *c, const char *const *expressions)
{
	sqlite3_str *text = sqlite3_str_new(c->box.db);

	sqlite3_str_appendall(text, c->is_first ? "SELECT CASE" : "SELECT");
	for (uint32_t i = 0; i < c->count; i++)
		if (c->is_first)
			sqlite3_str_appendf(text, " WHEN sluice_true(%u, (%s\n)) THEN %u", i,
				expressions[i], i);
		else
			append_column(text, c, i, expressions[i]);
	if (c->is_first)
		sqlite3_str_appendf(text, " ELSE %u END", c->count);
	sqlite3_str_appendall(text, " " FROM);
	return sqlite3_str_finish(text);
}

static int prepare(struct conditions *c, const char *const *expressions)
{
	char *query = make_query(c, expressions);
	int columns = c->is_first ? 1 : (int)c->count;
	int r = query ? sandbox_prepare(&c->box, query, &c->stmt, NULL) : -ENOMEM;

	sqlite3_free(query);
	if (r == -ENOMEM)
		return r;
	/* Each alone was right: parentheses that pair with those around it. */
	if (r < 0)
		return sl_error(c->ctx, -EINVAL, "`%s`: %s", c->option, sqlite3_errmsg(c->box.db));
	if (sqlite3_column_count(c->stmt) != columns)
		return sl_error(c->ctx, -EINVAL, "`%s`: more than one expression", c->option);
	if (c->is_values)
		values_find_fields(&c->values, c->stmt, c->box.input, TABLE);
	return 0;
}

/* --- true or not -------------------------------------------------------------------------------- */

/* The size of what a message shows of a text: whole characters. */
static int shown_size(const char *text)
{
	size_t size = strnlen(text, SHOWN_MAX + 1);

	if (size <= SHOWN_MAX)
		return (int)size;
	for (size = SHOWN_MAX; size > 0 && (text[size] & 0xc0) == 0x80;)
		size--;
	return (int)size;
}

/* What is neither true nor false, as the reason of a dead letter. */
static void print_odd(
	const struct conditions *c, uint32_t i, sqlite3_value *value, char *text, size_t size)
{
	const char *is = c->names ? " is " : "";
	const char *name = c->names ? c->names[i] : "";
	const char *odd;

	if (sqlite3_value_type(value) != SQLITE_TEXT) {
		(void)snprintf(text, size, "%s%sneither true nor false, but binary", name, is);
		return;
	}
	odd = (const char *)sqlite3_value_text(value);
	odd = odd ? odd : "";
	(void)snprintf(text, size, "%s%sneither true nor false, but the text '%.*s'", name, is,
		shown_size(odd), odd);
}

static bool is_odd(int type)
{
	return type == SQLITE_TEXT || type == SQLITE_BLOB;
}

/* sluice_true(i, x): x, for CASE; not for what is odd. */
static void sql_true(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	const struct conditions *c = sqlite3_user_data(context);
	uint32_t i = (uint32_t)sqlite3_value_int(argv[0]);
	char reason[256];

	(void)argc;
	if (!is_odd(sqlite3_value_type(argv[1]))) {
		sqlite3_result_value(context, argv[1]);
		return;
	}
	/* Somebody may have written its name into a condition. */
	i = i < c->count ? i : 0;
	print_odd(c, i, argv[1], reason, sizeof(reason));
	sqlite3_result_error(context, reason, -1);
}

bool conditions_hold(const struct conditions *c, uint32_t condition)
{
	int i = (int)condition;

	if (sqlite3_column_type(c->stmt, i) == SQLITE_FLOAT)
		return sqlite3_column_double(c->stmt, i) != 0;
	return sqlite3_column_int64(c->stmt, i) != 0;
}

uint32_t conditions_first(const struct conditions *c)
{
	return (uint32_t)sqlite3_column_int(c->stmt, 0);
}

void conditions_put(const struct conditions *c, uint32_t expression, struct sl_writer *out)
{
	values_put(&c->values, c->stmt, c->box.input, expression, out);
}

/* --- records ------------------------------------------------------------------------------------ */

static void reject(struct conditions *c, const char *reason)
{
	char name[96];

	/* Which of several it was, SQLite does not say. */
	if (c->is_values && c->count == 1)
		print_name(c, 0, name, sizeof(name));
	else
		(void)snprintf(name, sizeof(name), "`%s`", c->option);
	(void)sl_reject(c->ctx, NULL, sl_batch_record(c->batch, c->at), "%s: %s", name, reason);
	c->rejected++;
	c->at++;
}

/* Has a condition given what is neither true nor false? Then the record is rejected. */
static bool reject_odd(struct conditions *c)
{
	for (uint32_t i = 0; i < c->count && !c->is_first && !c->is_values && !c->takes_any; i++) {
		char reason[256];

		if (!is_odd(sqlite3_column_type(c->stmt, (int)i)))
			continue;
		print_odd(c, i, sqlite3_column_value(c->stmt, (int)i), reason, sizeof(reason));
		reject(c, reason);
		return true;
	}
	return false;
}

/* Runs the statement from the record `at` on. */
static void restart(struct conditions *c)
{
	(void)sqlite3_reset(c->stmt);
	c->begin = c->at;
	c->box.timed_out = false;
	c->box.deadline = sl_now() + c->timeout_ns;
	input_set(c->box.input, c->batch, c->at, c->end - c->at);
}

/* The statement broke off at the record `at`. */
static void fail(struct conditions *c)
{
	/* It may have been those before it that took the time: it is given all of it, alone. */
	if (!c->box.timed_out)
		reject(c, sqlite3_errmsg(c->box.db));
	else if (c->at == c->begin)
		reject(c, "it took longer than `timeout`");
	restart(c);
}

void conditions_begin(struct conditions *c, struct sl_context *ctx, const struct sl_batch *batch)
{
	c->ctx = ctx;
	c->batch = batch;
	c->at = 0;
	c->end = sl_batch_count(batch);
	c->rejected = 0;
	restart(c);
}

int conditions_next(struct conditions *c, struct sl_value *ret_record)
{
	while (c->at < c->end) {
		int status = sqlite3_step(c->stmt);

		if (status == SQLITE_NOMEM)
			return -ENOMEM;
		if (status != SQLITE_ROW) {
			fail(c);
		} else if (!reject_odd(c)) {
			*ret_record = sl_batch_record(c->batch, c->at++);
			return 1;
		}
	}
	(void)sqlite3_reset(c->stmt);
	return 0;
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int add_functions(struct conditions *c)
{
	if (sqlite3_create_function(c->box.db, "sluice_true", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
		    c, sql_true, NULL, NULL) != SQLITE_OK)
		return -ENOMEM;
	return c->is_values ? values_open(&c->values, c->box.db, c->count) : 0;
}

int conditions_open(struct conditions *c, struct sl_context *ctx, const char *const *expressions)
{
	int r;

	c->ctx = ctx;
	c->box.table = TABLE;
	r = sandbox_open(&c->box);
	if (r == 0)
		r = add_functions(c);
	for (uint32_t i = 0; i < c->count && r == 0; i++) {
		bool is_compound;

		r = names_add(c->box.input, expressions[i], &is_compound);
	}
	for (uint32_t i = 0; i < c->count && r == 0; i++)
		r = check_expression(c, i, expressions[i]);
	return r < 0 ? r : prepare(c, expressions);
}

void conditions_close(struct conditions *c)
{
	(void)sqlite3_finalize(c->stmt);
	c->stmt = NULL;
	sandbox_close(&c->box);
	values_close(&c->values);
}
