/* SPDX-License-Identifier: MIT */
/* See statement.h. */
#include "statement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BARE "value"

/* --- columns ------------------------------------------------------------------------------------ */

void columns_fini(struct columns *columns)
{
	for (uint32_t i = 0; i < columns->count; i++)
		free(columns->names[i]);
	free(columns->names);
	*columns = (struct columns){ 0 };
}

static int add_column(struct columns *columns, const char *name)
{
	char **names = reallocarray(columns->names, columns->count + 1, sizeof(char *));

	if (!names)
		return -ENOMEM;
	columns->names = names;
	names[columns->count] = strdup(name);
	if (!names[columns->count])
		return -ENOMEM;
	columns->count++;
	return 0;
}

int columns_read(sqlite3 *db, const char *table, struct columns *columns)
{
	sqlite3_stmt *s;
	int code, r = 0;

	/* Hidden ones (generated, or of a virtual table) cannot be written. */
	if (sqlite3_prepare_v2(db,
		    "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid", -1, &s,
		    NULL) != SQLITE_OK)
		return -EIO;
	(void)sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
	while ((code = sqlite3_step(s)) == SQLITE_ROW && r == 0)
		r = add_column(columns, (const char *)sqlite3_column_text(s, 0));
	(void)sqlite3_finalize(s);
	if (r == 0 && code != SQLITE_DONE)
		r = -EIO;
	if (r < 0)
		columns_fini(columns);
	return r;
}

/* --- statements ----------------------------------------------------------------------------------- */

/* Text that grows by SQLite's own printf: %w and \"%w\" quote names. */
static char *finish(sqlite3_str *text)
{
	char *sql = sqlite3_str_finish(text);
	char *copy = sql ? strdup(sql) : NULL;

	sqlite3_free(sql);
	return copy;
}

static const char *type_of(struct sl_value v)
{
	switch (sl_kind(v)) {
	case SL_BOOL:
	case SL_INT:
		return " INTEGER";
	case SL_FLOAT:
		return " REAL";
	case SL_STR:
	case SL_ARRAY:
	case SL_MAP:
		return " TEXT";
	case SL_BIN:
		return " BLOB";
	default:
		return "";
	}
}

char *statement_create(const char *table, struct sl_value first, const struct sl_strings *key)
{
	sqlite3_str *text = sqlite3_str_new(NULL);
	struct sl_cursor c = sl_walk(first);
	struct sl_value name, value;
	const char *separator = "";

	sqlite3_str_appendf(text, "CREATE TABLE \"%w\" (", table);
	if (sl_kind(first) != SL_MAP)
		sqlite3_str_appendf(text, "\"" BARE "\"%s", type_of(first));
	while (sl_kind(first) == SL_MAP && sl_next(&c, &name, &value)) {
		const char *bytes;
		size_t size;

		if (!sl_get_str(name, &bytes, &size))
			continue;
		sqlite3_str_appendf(
			text, "%s\"%.*w\"%s", separator, (int)size, bytes, type_of(value));
		separator = ", ";
	}
	for (uint32_t i = 0; i < key->count; i++)
		sqlite3_str_appendf(
			text, "%s\"%w\"", i == 0 ? ", PRIMARY KEY (" : ", ", key->items[i]);
	sqlite3_str_appendall(text, key->count > 0 ? "))" : ")");
	return finish(text);
}

static bool is_key(const char *name, const struct sl_strings *key)
{
	for (uint32_t i = 0; i < key->count; i++)
		if (strcmp(key->items[i], name) == 0)
			return true;
	return false;
}

static void append_conflict(
	sqlite3_str *text, const struct columns *columns, const struct sl_strings *key)
{
	const char *separator = " DO UPDATE SET ";

	for (uint32_t i = 0; i < key->count; i++)
		sqlite3_str_appendf(
			text, "%s\"%w\"", i == 0 ? " ON CONFLICT (" : ", ", key->items[i]);
	sqlite3_str_appendall(text, ")");
	for (uint32_t i = 0; i < columns->count; i++) {
		const char *name = columns->names[i];

		if (is_key(name, key))
			continue;
		sqlite3_str_appendf(text, "%s\"%w\" = excluded.\"%w\"", separator, name, name);
		separator = ", ";
	}
	if (separator[1] == 'D')
		sqlite3_str_appendall(text, " DO NOTHING");
}

char *statement_insert(const char *table, const struct columns *columns, enum statement_mode mode,
	const struct sl_strings *key)
{
	sqlite3_str *text = sqlite3_str_new(NULL);

	sqlite3_str_appendf(text, "INSERT %sINTO \"%w\" (",
		mode == STATEMENT_IGNORE ? "OR IGNORE " : "", table);
	for (uint32_t i = 0; i < columns->count; i++)
		sqlite3_str_appendf(text, "%s\"%w\"", i == 0 ? "" : ", ", columns->names[i]);
	sqlite3_str_appendall(text, ") VALUES (");
	for (uint32_t i = 0; i < columns->count; i++)
		sqlite3_str_appendall(text, i == 0 ? "?" : ", ?");
	sqlite3_str_appendall(text, ")");
	if (mode == STATEMENT_UPSERT)
		append_conflict(text, columns, key);
	return finish(text);
}

/* --- binding -------------------------------------------------------------------------------------- */

/* Begins with the column at `hint`: fields nearly always come in the same order. SQLite's names know no case. */
static uint32_t find_column(
	const struct columns *columns, const char *name, size_t size, uint32_t hint)
{
	for (uint32_t n = 0; n < columns->count; n++) {
		uint32_t i = hint + n < columns->count ? hint + n : hint + n - columns->count;

		/* A name may hold a zero byte, behind which SQLite would not look. */
		if (strlen(columns->names[i]) == size &&
			sqlite3_strnicmp(columns->names[i], name, (int)size) == 0)
			return i;
	}
	return UINT32_MAX;
}

static int bind_nested(sqlite3_stmt *s, int i, struct sl_value v, struct sl_writer *json)
{
	const char *reason;
	size_t before = json->size;
	int r = sl_json_print(json, v, &reason);

	/* Copied: the buffer may move with the next one. */
	if (r == 0)
		(void)sqlite3_bind_text64(s, i, json->data + before, json->size - before,
			SQLITE_TRANSIENT, SQLITE_UTF8);
	return r == -ENOMEM ? r : 0;
}

static int bind_value(sqlite3_stmt *s, int i, struct sl_value v, struct sl_writer *json)
{
	const char *bytes;
	size_t size;
	int64_t integer;
	double real;
	bool truth;

	if (sl_get_bool(v, &truth))
		(void)sqlite3_bind_int(s, i, truth);
	else if (sl_get_int(v, &integer))
		(void)sqlite3_bind_int64(s, i, integer);
	else if (sl_get_double(v, &real))
		(void)sqlite3_bind_double(s, i, real);
	else if (sl_get_str(v, &bytes, &size))
		(void)sqlite3_bind_text64(s, i, bytes, size, SQLITE_STATIC, SQLITE_UTF8);
	else if (sl_get_bin(v, &bytes, &size))
		(void)sqlite3_bind_blob64(s, i, bytes, size, SQLITE_STATIC);
	else if (sl_kind(v) == SL_MAP || sl_kind(v) == SL_ARRAY)
		return bind_nested(s, i, v, json);
	return 0;
}

int statement_bind(sqlite3_stmt *statement, const struct columns *columns, struct sl_value record,
	struct sl_writer *json, struct sl_value *ret_unknown)
{
	struct sl_cursor c = sl_walk(record);
	struct sl_value key, value;
	uint32_t hint = 0;
	int r = 0;

	(void)sqlite3_clear_bindings(statement);
	sl_writer_reset(json);
	if (sl_kind(record) != SL_MAP) {
		uint32_t at = find_column(columns, BARE, sizeof(BARE) - 1, 0);

		return at == UINT32_MAX ? -EINVAL
					: bind_value(statement, (int)at + 1, record, json);
	}
	while (r == 0 && sl_next(&c, &key, &value)) {
		const char *name;
		size_t size;
		uint32_t at;

		if (!sl_get_str(key, &name, &size))
			return -EINVAL;
		at = find_column(columns, name, size, hint);
		if (at == UINT32_MAX) {
			*ret_unknown = key;
			continue;
		}
		hint = at + 1 < columns->count ? at + 1 : 0;
		r = bind_value(statement, (int)at + 1, value, json);
	}
	return r;
}
