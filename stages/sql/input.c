/* SPDX-License-Identifier: MIT */
/*
 * See input.h. A row is walked once, when the cursor comes to it. Records of one source have nearly always the same keys in
 * the same order, so each key is first compared with the one that stood at its place in the row before.
 */
#include "input.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <msgpuck.h>
#include <uthash.h>

#include "key_text.h"

#define KEYS_MAX 4096 /* different keys that are remembered; others are looked at each time */
#define PLACES_MAX 256
#define COLUMNS_MAX 1500 /* of the 2000 that SQLite has: the query may name others, and make more */

/* A key that was seen, column or not. */
struct key {
	struct key_text name;
	int column;   /* -1: none */
	bool is_name; /* the column's own name, not another case of it */
	UT_hash_handle hh;
};

struct input {
	sqlite3_vtab base; /* first: SQLite hands it around */
	sqlite3 *db;
	struct key *keys;     /* by name */
	struct key **columns; /* by index */
	int column_count;
	int learned; /* the first columns, which input_learn made; -1: it made none */
	struct key *places[PLACES_MAX]; /* the key at each place of the last row */
	struct key stranger;            /* one that is not remembered */
	struct sl_value *fields;        /* of the current row, by column */
	uint64_t *stamps;               /* the row that the field is of; 0: no row had it so far */
	uint64_t stamp;
	const struct sl_batch *batch;
	uint32_t first, count;
	unsigned opened;
	struct sl_writer json; /* text of nested values of this row */
	bool is_created;
};

struct cursor {
	sqlite3_vtab_cursor base;
	uint32_t at;
};

/* --- keys and columns --------------------------------------------------------------------------- */

static struct key *find_key(const struct input *input, const char *name, size_t size)
{
	struct key *key = NULL;

	HASH_FIND(hh, input->keys, name, size, key);
	return key;
}

int input_column(const struct input *input, const char *name)
{
	for (int i = 0; i < input->column_count; i++)
		if (strcasecmp(input->columns[i]->name.text, name) == 0)
			return i;
	return -1;
}

/* As input_column, of a name that need not be 0-terminated. SQL has no names with a zero byte in them. */
static int column_of(const struct input *input, const char *name, size_t size)
{
	for (int i = 0; i < input->column_count; i++)
		if (input->columns[i]->name.size == size &&
			strncasecmp(input->columns[i]->name.text, name, size) == 0 &&
			!memchr(name, '\0', size))
			return i;
	return -1;
}

static struct key *get_key(struct input *input, const char *name, size_t size)
{
	struct key *key = find_key(input, name, size);

	if (key)
		return key;
	key = calloc(1, sizeof(*key));
	if (!key || !key_text_init(&key->name, name, size)) {
		free(key);
		return NULL;
	}
	key->column = column_of(input, name, size);
	HASH_ADD_KEYPTR(hh, input->keys, key->name.text, key->name.size, key);
	if (!key->hh.tbl) {
		free(key->name.text);
		free(key);
		return NULL;
	}
	return key;
}

int input_add_column(struct input *input, const char *name, size_t size)
{
	struct key *key = get_key(input, name, size);
	size_t count = (size_t)input->column_count + 1;
	void *p;

	if (!key)
		return -ENOMEM;
	if (key->column >= 0 || memchr(name, '\0', size))
		return 0;
	p = reallocarray(input->columns, count, sizeof(struct key *));
	if (!p)
		return -ENOMEM;
	input->columns = p;
	p = reallocarray(input->fields, count, sizeof(*input->fields));
	if (!p)
		return -ENOMEM;
	input->fields = p;
	p = reallocarray(input->stamps, count, sizeof(*input->stamps));
	if (!p)
		return -ENOMEM;
	input->stamps = p;
	input->stamps[count - 1] = 0;
	for (struct key *other = input->keys; other; other = other->hh.next)
		if (other->name.size == size && strcasecmp(other->name.text, key->name.text) == 0)
			other->column = input->column_count;
	key->is_name = true;
	input->columns[input->column_count++] = key;
	return 1;
}

static void forget_keys(struct input *input)
{
	struct key *key, *next;

	HASH_ITER (hh, input->keys, key, next) {
		HASH_DEL(input->keys, key);
		free(key->name.text);
		free(key);
	}
	memset(input->places, 0, sizeof(input->places));
	input->column_count = 0;
}

/* --- the columns of a batch ----------------------------------------------------------------------- */

/* Calls `each` for all keys of a record, in order, until it is not 0. */
typedef int key_fn(struct input *input, const char *name, size_t size, int *count);
static int walk_keys(struct input *input, struct sl_value record, key_fn *each, int *count)
{
	struct sl_cursor cursor = sl_walk(record);
	struct sl_value k, v;
	const char *name;
	size_t size;
	int r = 0;

	if (sl_kind(record) != SL_MAP)
		return each(input, "value", 5, count);
	while (r == 0 && sl_next(&cursor, &k, &v))
		if (sl_get_str(k, &name, &size) && !memchr(name, '\0', size))
			r = each(input, name, size, count);
	return r;
}

/* 1: in a table made anew this would be another column. `count`: how many that has. */
static int compare_column(struct input *input, const char *name, size_t size, int *count)
{
	const struct key *key = find_key(input, name, size);

	if (!key || key->column < 0 || key->column > *count)
		return 1;
	if (key->column < *count)
		return 0;
	++*count;
	return !key->is_name;
}

/* 1: that is one too many. */
static int learn_column(struct input *input, const char *name, size_t size, int *count)
{
	int r = input_add_column(input, name, size);

	(void)count;
	return r <= 0 ? r : input->column_count > COLUMNS_MAX;
}

static bool has_columns(struct input *input, const struct sl_batch *batch, uint32_t first)
{
	int count = 0;

	for (uint32_t i = first; i < sl_batch_count(batch); i++)
		if (walk_keys(input, sl_batch_record(batch, i), compare_column, &count) != 0)
			return false;
	return count == input->learned;
}

int input_learn(
	struct input *input, const struct sl_batch *batch, uint32_t first, uint32_t *ret_count)
{
	uint32_t i = first;
	int r = 0;

	*ret_count = sl_batch_count(batch) - first;
	if (has_columns(input, batch, first))
		return 0;
	forget_keys(input);
	while (i < sl_batch_count(batch) && r == 0) {
		r = walk_keys(input, sl_batch_record(batch, i), learn_column, NULL);
		i += r == 0;
	}
	/* What is not used is not known. */
	input->learned = i > first ? input->column_count : -1;
	*ret_count = i - first;
	return r < 0 ? r : 1;
}

/* --- rows --------------------------------------------------------------------------------------- */

static void set_field(
	struct input *input, const struct key *key, const char *begin, const char *end)
{
	if (!key || key->column < 0)
		return;
	/* SQL knows no case, records do: a field that is named just so goes before `ID` for `id`. */
	if (!key->is_name && input->stamps[key->column] == input->stamp)
		return;
	input->fields[key->column] = (struct sl_value){ begin, (size_t)(end - begin) };
	input->stamps[key->column] = input->stamp;
}

static struct key *key_at(
	struct input *input, uint32_t place, const char *name, uint32_t size, const char *end)
{
	struct key *key = place < PLACES_MAX ? input->places[place] : NULL;

	if (key && key_text_is(&key->name, name, size, end))
		return key;
	key = HASH_COUNT(input->keys) < KEYS_MAX ? get_key(input, name, size)
						 : find_key(input, name, size);
	if (place < PLACES_MAX)
		input->places[place] = key;
	if (key)
		return key;
	input->stranger = (struct key){ .column = column_of(input, name, size) };
	return &input->stranger;
}

static void load_row(struct input *input, uint32_t row)
{
	struct sl_value record = sl_batch_record(input->batch, input->first + row);
	const char *at = record.data;
	uint32_t count, size;

	input->stamp++;
	sl_writer_reset(&input->json);
	if (mp_typeof(*at) != MP_MAP) {
		set_field(input, find_key(input, "value", 5), at, at + record.size);
		return;
	}
	count = mp_decode_map(&at);
	for (uint32_t i = 0; i < count; i++) {
		struct key *key = NULL;
		const char *name, *value;

		if (mp_typeof(*at) == MP_STR) {
			name = mp_decode_str(&at, &size);
			key = key_at(input, i, name, size, record.data + record.size);
		} else {
			mp_next(&at);
		}
		value = at;
		mp_next(&at);
		set_field(input, key, value, at);
	}
}

struct sl_value input_field(const struct input *input, int column)
{
	if (input->stamps[column] != input->stamp)
		return (struct sl_value){ 0 };
	return input->fields[column];
}

bool input_has_seen(const struct input *input, int column)
{
	return input->stamps[column] != 0;
}

void input_set(struct input *input, const struct sl_batch *batch, uint32_t first, uint32_t count)
{
	input->batch = batch;
	input->first = first;
	input->count = count;
	input->opened = 0;
}

unsigned input_opened(const struct input *input)
{
	return input->opened;
}

enum input_common input_common(struct input *input, int column)
{
	uint64_t bools = 0, nested = 0, others = 0;

	for (uint32_t i = 0; i < input->count; i++) {
		struct sl_value v;

		load_row(input, i);
		v = input_field(input, column);
		if (!v.data || sl_kind(v) == SL_NIL)
			continue;
		bools += sl_kind(v) == SL_BOOL;
		nested += sl_kind(v) == SL_MAP || sl_kind(v) == SL_ARRAY;
		others += sl_kind(v) != SL_BOOL && sl_kind(v) != SL_MAP && sl_kind(v) != SL_ARRAY;
	}
	if (bools > 0 && nested + others == 0)
		return INPUT_BOOLS;
	return nested > 0 && bools + others == 0 ? INPUT_NESTED : INPUT_MIXED;
}

/* --- the module --------------------------------------------------------------------------------- */

static int table_connect(
	sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **ret, char **error)
{
	struct input *input = aux;
	sqlite3_str *text = sqlite3_str_new(db);
	char *sql;
	int r;

	(void)argc;
	(void)argv;
	(void)error;
	sqlite3_str_appendall(text, "CREATE TABLE x(");
	for (int i = 0; i < input->column_count; i++)
		sqlite3_str_appendf(text, "\"%w\",", input->columns[i]->name.text);
	sqlite3_str_appendf(text, "\"%w\")", INPUT_ANY);
	sql = sqlite3_str_finish(text);
	if (!sql)
		return SQLITE_NOMEM;
	r = sqlite3_declare_vtab(db, sql);
	sqlite3_free(sql);
	input->base = (sqlite3_vtab){ 0 };
	*ret = &input->base;
	return r;
}

static int table_disconnect(sqlite3_vtab *table)
{
	(void)table;
	return SQLITE_OK;
}

static int table_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	info->estimatedRows = 1000;
	info->estimatedCost = 1000;
	return SQLITE_OK;
}

static int table_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret)
{
	struct input *input = (struct input *)table;
	struct cursor *cursor = sqlite3_malloc(sizeof(*cursor));

	if (!cursor)
		return SQLITE_NOMEM;
	*cursor = (struct cursor){ 0 };
	input->opened++;
	*ret = &cursor->base;
	return SQLITE_OK;
}

static int table_close(sqlite3_vtab_cursor *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

static int table_filter(
	sqlite3_vtab_cursor *base, int index, const char *name, int argc, sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	struct input *input = (struct input *)base->pVtab;

	(void)index;
	(void)name;
	(void)argc;
	(void)argv;
	cursor->at = 0;
	if (input->count > 0)
		load_row(input, 0);
	return SQLITE_OK;
}

static int table_next(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	struct input *input = (struct input *)base->pVtab;

	cursor->at++;
	/* Several cursors share the current row: each loads it when it reads a column. */
	if (cursor->at < input->count && input->opened == 1)
		load_row(input, cursor->at);
	return SQLITE_OK;
}

static int table_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->at >= ((struct input *)base->pVtab)->count;
}

static int table_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = ((struct cursor *)base)->at;
	return SQLITE_OK;
}

static void result_number(sqlite3_context *context, const char *at)
{
	uint64_t u;

	if (mp_typeof(*at) == MP_INT) {
		sqlite3_result_int64(context, mp_decode_int(&at));
		return;
	}
	u = mp_decode_uint(&at);
	if (u <= INT64_MAX)
		sqlite3_result_int64(context, (sqlite3_int64)u);
	else
		sqlite3_result_double(context, (double)u);
}

static int result_nested(struct input *input, sqlite3_context *context, struct sl_value v)
{
	size_t begin = input->json.size;
	const char *reason;
	int r = sl_json_print(&input->json, v, &reason);

	if (r < 0) {
		sqlite3_result_error(context, reason, -1);
		return SQLITE_ERROR;
	}
	sqlite3_result_text64(context, input->json.data + begin, input->json.size - begin,
		SQLITE_TRANSIENT, SQLITE_UTF8);
	return SQLITE_OK;
}

static int result(struct input *input, sqlite3_context *context, struct sl_value v)
{
	const char *at = v.data;
	uint32_t size;
	double x;

	switch (mp_typeof(*at)) {
	case MP_STR:
		at = mp_decode_str(&at, &size);
		sqlite3_result_text64(context, at, size, SQLITE_STATIC, SQLITE_UTF8);
		break;
	case MP_UINT:
	case MP_INT:
		result_number(context, at);
		break;
	case MP_FLOAT:
	case MP_DOUBLE:
		(void)sl_get_double(v, &x);
		sqlite3_result_double(context, x);
		break;
	case MP_BOOL:
		sqlite3_result_int(context, mp_decode_bool(&at));
		break;
	case MP_BIN:
		at = mp_decode_bin(&at, &size);
		sqlite3_result_blob64(context, at, size, SQLITE_STATIC);
		break;
	case MP_MAP:
	case MP_ARRAY:
		return result_nested(input, context, v);
	default:
		sqlite3_result_null(context);
	}
	return SQLITE_OK;
}

static int table_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	struct input *input = (struct input *)base->pVtab;
	struct sl_value v;

	if (input->opened > 1)
		load_row(input, ((struct cursor *)base)->at);
	if (column >= input->column_count)
		return SQLITE_OK;
	v = input_field(input, column);
	return v.data ? result(input, context, v) : SQLITE_OK;
}

static const sqlite3_module module = {
	.xCreate = table_connect,
	.xConnect = table_connect,
	.xBestIndex = table_best_index,
	.xDisconnect = table_disconnect,
	.xDestroy = table_disconnect,
	.xOpen = table_open,
	.xClose = table_close,
	.xFilter = table_filter,
	.xNext = table_next,
	.xEof = table_eof,
	.xColumn = table_column,
	.xRowid = table_rowid,
};

int input_new(sqlite3 *db, struct input **ret_input)
{
	struct input *input = calloc(1, sizeof(*input));

	if (!input)
		return -ENOMEM;
	input->db = db;
	input->learned = -1;
	sl_writer_init(&input->json);
	if (sqlite3_create_module(db, "sluice_input", &module, input) != SQLITE_OK) {
		free(input);
		return -ENOMEM;
	}
	*ret_input = input;
	return 0;
}

static int execute(sqlite3 *db, const char *format, const char *table)
{
	char *text = sqlite3_mprintf(format, table);
	int r = text && sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;

	sqlite3_free(text);
	return r;
}

int input_declare(struct input *input, const char *table)
{
	if (input->is_created && execute(input->db, "DROP TABLE temp.\"%w\"", table) < 0)
		return -EIO;
	input->is_created =
		execute(input->db, "CREATE VIRTUAL TABLE temp.\"%w\" USING sluice_input", table) ==
		0;
	return input->is_created ? 0 : -EIO;
}

void input_free(struct input *input)
{
	if (!input)
		return;
	forget_keys(input);
	free(input->columns);
	free(input->fields);
	free(input->stamps);
	sl_writer_fini(&input->json);
	free(input);
}
