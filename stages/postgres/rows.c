/* SPDX-License-Identifier: MIT */
/* See rows.h. */
#include "rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

void rows_init(struct rows *rows)
{
	*rows = (struct rows){ 0 };
	sl_writer_init(&rows->text);
	sl_writer_init(&rows->scratch);
}

void rows_fini(struct rows *rows)
{
	for (uint32_t i = 0; i < rows->shape_count; i++) {
		free(rows->shapes[i].names);
		free(rows->shapes[i].sql);
	}
	free(rows->shapes);
	free(rows->items);
	free(rows->values);
	free(rows->names);
	sl_writer_fini(&rows->text);
	sl_writer_fini(&rows->scratch);
}

int rows_begin(struct rows *rows, const struct table *table, uint32_t count)
{
	struct row *grown;

	if (!rows->values)
		rows->values = calloc(table->count, sizeof(*rows->values));
	if (!rows->names)
		rows->names = calloc(table->count, sizeof(*rows->names));
	if (!rows->values || !rows->names)
		return -ENOMEM;
	sl_writer_reset(&rows->text);
	rows->count = 0;
	if (count <= rows->capacity)
		return 0;
	grown = reallocarray(rows->items, count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	rows->items = grown;
	rows->capacity = count;
	return 0;
}

/* --- shapes ------------------------------------------------------------------------------------- */

static bool is_named(
	const struct rows *rows, const struct column *column, uint32_t at, enum mode mode)
{
	bool is_there = rows->values[at].data != NULL;

	switch (mode) {
	case MODE_DELETE:
		return column->is_key;
	case MODE_UPSERT:
		return is_there;
	default:
		return is_there || !column->has_default;
	}
}

/* The same as the last row's, nearly always. */
static int find_shape(struct rows *rows, const struct table *table, uint32_t *ret_shape)
{
	uint32_t last = rows->count > 0 ? rows->items[rows->count - 1].shape : 0;
	struct shape *grown;

	for (uint32_t n = 0; n < rows->shape_count; n++) {
		uint32_t i = (last + n) % rows->shape_count;

		if (memcmp(rows->shapes[i].names, rows->names, table->count) == 0) {
			*ret_shape = i;
			return 0;
		}
	}
	grown = reallocarray(rows->shapes, rows->shape_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	rows->shapes = grown;
	grown[rows->shape_count] = (struct shape){ .names = malloc(table->count) };
	if (!grown[rows->shape_count].names)
		return -ENOMEM;
	memcpy(grown[rows->shape_count].names, rows->names, table->count);
	*ret_shape = rows->shape_count++;
	return 0;
}

/* --- one record --------------------------------------------------------------------------------- */

/* Puts the values where their columns are. 0; SL_REJECTED. */
static int find_values(struct sl_context *ctx, struct rows *rows, const struct table *table,
	const struct rows_options *options, struct sl_value record)
{
	struct sl_cursor c = sl_walk(record);
	struct sl_value key, value;
	uint32_t hint = 0;

	while (sl_next(&c, &key, &value)) {
		const char *name, *text;
		size_t size;
		uint32_t at;

		if (!sl_get_str(key, &name, &size))
			return sl_reject(ctx, NULL, record, "it has a key that is no string");
		at = table_find(table, name, size, hint);
		if (at == UINT32_MAX && !options->ignores_extra && options->mode != MODE_DELETE)
			return sl_reject(ctx, NULL, record,
				"the table %s has no column `%.*s`: add it, or write extra = "
				"\"ignore\"",
				table->quoted, (int)(size < 100 ? size : 100), name);
		if (at == UINT32_MAX)
			continue;
		hint = at + 1 < table->count ? at + 1 : 0;
		rows->values[at] = value;
		if (options->empty_is_null && sl_get_str(value, &text, &size) && size == 0)
			rows->values[at] = (struct sl_value){ .data = "\xc0", .size = 1 };
	}
	return 0;
}

static int find_bare(struct sl_context *ctx, struct rows *rows, const struct table *table,
	struct sl_value record)
{
	uint32_t at = table_find(table, TABLE_BARE, sizeof(TABLE_BARE) - 1, 0);

	if (at == UINT32_MAX)
		return sl_reject(ctx, NULL, record,
			"a row is made of a map, not of this (%s): the table has no column `value`",
			sl_kind_name(sl_kind(record)));
	rows->values[at] = record;
	return 0;
}

/* Which columns it names; by its key it must be known. */
static int name_columns(struct sl_context *ctx, struct rows *rows, const struct table *table,
	enum mode mode, struct sl_value record)
{
	for (uint32_t i = 0; i < table->count; i++) {
		const struct column *column = &table->columns[i];
		struct sl_value v = rows->values[i];

		rows->names[i] = is_named(rows, column, i, mode);
		if ((mode == MODE_UPSERT || mode == MODE_DELETE) && column->is_key &&
			(!v.data || sl_kind(v) == SL_NIL))
			return sl_reject(ctx, NULL, record,
				"a row is known by `%s`, and this record has none", column->name);
	}
	return 0;
}

static int put_line(struct sl_context *ctx, struct rows *rows, const struct table *table,
	struct sl_value record)
{
	bool is_first = true;

	for (uint32_t i = 0; i < table->count; i++) {
		struct sl_value v = rows->values[i];
		const char *reason = NULL;
		int r = 0;

		if (!rows->names[i])
			continue;
		if (!is_first)
			text_bytes(&rows->text, "\t", 1);
		is_first = false;
		if (!v.data)
			text_bytes(&rows->text, "\\N", 2);
		else
			r = literal_put(
				&rows->text, &rows->scratch, v, table->columns[i].target, &reason);
		if (r == -EINVAL)
			return sl_reject(
				ctx, NULL, record, "`%s`: %s", table->columns[i].name, reason);
		if (r < 0)
			return r;
	}
	text_bytes(&rows->text, "\n", 1);
	return rows->text.error;
}

static int read_record(struct sl_context *ctx, struct rows *rows, const struct table *table,
	const struct rows_options *options, struct sl_value record)
{
	int r;

	memset(rows->values, 0, table->count * sizeof(*rows->values));
	r = sl_kind(record) == SL_MAP ? find_values(ctx, rows, table, options, record)
				      : find_bare(ctx, rows, table, record);
	if (r == 0)
		r = name_columns(ctx, rows, table, options->mode, record);
	return r == 0 ? put_line(ctx, rows, table, record) : r;
}

int rows_add(struct sl_context *ctx, struct rows *rows, const struct table *table,
	const struct rows_options *options, const struct sl_batch *in, uint32_t index)
{
	struct row *row = &rows->items[rows->count];
	int r;

	row->at = rows->text.size;
	row->index = index;
	r = read_record(ctx, rows, table, options, sl_batch_record(in, index));
	if (r == 0)
		r = find_shape(rows, table, &row->shape);
	row->end = rows->text.size;
	if (r == SL_REJECTED)
		rows->text.size = row->at;
	else
		rows->count++;
	return r;
}
