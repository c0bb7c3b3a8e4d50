/* SPDX-License-Identifier: MIT */
/* See values.h. */
#include "values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUBTYPE_JSON 'J' /* SQLite's own */
#define SUBTYPE_BOOL 'B'

#ifdef SQLITE_RESULT_SUBTYPE
#define FLAGS (SQLITE_UTF8 | SQLITE_SUBTYPE | SQLITE_RESULT_SUBTYPE)
#else
#define FLAGS (SQLITE_UTF8 | SQLITE_SUBTYPE)
#endif

struct expression {
	int field;        /* the column of `input` that it is; -1: something else */
	unsigned subtype; /* of its value for the row at hand */
};

/* --- functions ---------------------------------------------------------------------------------- */

/* sluice_value(i, x): x. */
static void sql_value(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	const struct values *values = sqlite3_user_data(context);
	uint32_t i = (uint32_t)sqlite3_value_int(argv[0]);

	(void)argc;
	/* Somebody may have written its name into an expression. */
	if (i < values->count)
		values->each[i].subtype = sqlite3_value_subtype(argv[1]);
	sqlite3_result_value(context, argv[1]);
}

/* bool(x): true or false as a condition is, NULL of NULL. */
static void sql_bool(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	int type = sqlite3_value_type(argv[0]);

	(void)argc;
	if (type == SQLITE_NULL)
		return;
	if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
		sqlite3_result_error(context,
			"bool() of a text or of binary, which is neither true nor false", -1);
		return;
	}
	sqlite3_result_int(context, sqlite3_value_double(argv[0]) != 0);
	sqlite3_result_subtype(context, SUBTYPE_BOOL);
}

/* --- preparing ---------------------------------------------------------------------------------- */

int values_open(struct values *values, sqlite3 *db, uint32_t count)
{
	values->each = calloc(count, sizeof(*values->each));
	if (!values->each)
		return -ENOMEM;
	values->count = count;
	/* VALUES_FUNCTION is called for each row: not deterministic. */
	if (sqlite3_create_function(db, VALUES_FUNCTION, 2, FLAGS, values, sql_value, NULL, NULL) !=
			SQLITE_OK ||
		sqlite3_create_function(db, "bool", 1, FLAGS | SQLITE_DETERMINISTIC, NULL, sql_bool,
			NULL, NULL) != SQLITE_OK)
		return -ENOMEM;
	return 0;
}

void values_close(struct values *values)
{
	free(values->each);
	*values = (struct values){ 0 };
}

bool values_want_function(const char *expression)
{
	return strcasestr(expression, "json") || strcasestr(expression, "bool") ||
	       strstr(expression, "->");
}

void values_find_fields(
	struct values *values, sqlite3_stmt *stmt, const struct input *input, const char *table)
{
	for (uint32_t i = 0; i < values->count; i++) {
		const char *from = sqlite3_column_table_name(stmt, (int)i);
		const char *origin = sqlite3_column_origin_name(stmt, (int)i);

		values->each[i].field = from && origin && strcmp(from, table) == 0
						? input_column(input, origin)
						: -1;
	}
}

/* --- rows --------------------------------------------------------------------------------------- */

static void put_text(
	const struct values *values, sqlite3_stmt *stmt, uint32_t i, struct sl_writer *out)
{
	const char *text = (const char *)sqlite3_column_text(stmt, (int)i);
	size_t size = (size_t)sqlite3_column_bytes(stmt, (int)i);
	const char *reason;

	if (values->each[i].subtype == SUBTYPE_JSON && sl_json_parse(out, text, size, &reason) == 0)
		return;
	sl_put_str(out, text, size);
}

static void put_integer(
	const struct values *values, sqlite3_stmt *stmt, uint32_t i, struct sl_writer *out)
{
	sqlite3_int64 x = sqlite3_column_int64(stmt, (int)i);

	if (values->each[i].subtype == SUBTYPE_BOOL)
		sl_put_bool(out, x != 0);
	else
		sl_put_int(out, x);
}

void values_put(const struct values *values, sqlite3_stmt *stmt, const struct input *input,
	uint32_t i, struct sl_writer *out)
{
	int field = values->each[i].field;
	struct sl_value plain = { 0 };

	if (field >= 0)
		plain = input_field(input, field);
	if (plain.data) {
		sl_put_value(out, plain);
		return;
	}
	switch (sqlite3_column_type(stmt, (int)i)) {
	case SQLITE_INTEGER:
		put_integer(values, stmt, i, out);
		break;
	case SQLITE_FLOAT:
		sl_put_double(out, sqlite3_column_double(stmt, (int)i));
		break;
	case SQLITE_TEXT:
		put_text(values, stmt, i, out);
		break;
	case SQLITE_BLOB:
		sl_put_bin(out, sqlite3_column_blob(stmt, (int)i),
			(size_t)sqlite3_column_bytes(stmt, (int)i));
		break;
	default:
		sl_put_nil(out);
	}
}
