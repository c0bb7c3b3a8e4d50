/* SPDX-License-Identifier: MIT */
/* What a program answered, as records. */
#include <errno.h>
#include <string.h>

#include "transform.h"

#define EXCERPT 200

static int put_record(struct sl_writer *out, struct sl_value record)
{
	sl_put_value(out, record);
	return sl_record_done(out);
}

int answer_put(struct sl_writer *out, struct sl_value answer)
{
	struct sl_cursor cursor;
	struct sl_value key, value;
	int r = 0;

	if (sl_kind(answer) == SL_NIL)
		return 0;
	if (sl_kind(answer) != SL_ARRAY)
		return put_record(out, answer);
	cursor = sl_walk(answer);
	while (r == 0 && sl_next(&cursor, &key, &value))
		r = put_record(out, value);
	return r;
}

static bool is_named(struct sl_value key, const char *name)
{
	const char *text;
	size_t size;

	return sl_get_str(key, &text, &size) && size == strlen(name) &&
	       memcmp(text, name, size) == 0;
}

/* All pairs but those with that name; how many. `out` may be NULL. */
static uint32_t put_others(struct sl_writer *out, struct sl_value map, const char *name)
{
	struct sl_cursor cursor = sl_walk(map);
	struct sl_value key, value;
	uint32_t count = 0;

	while (sl_next(&cursor, &key, &value)) {
		if (is_named(key, name))
			continue;
		count++;
		if (out) {
			sl_put_value(out, key);
			sl_put_value(out, value);
		}
	}
	return count;
}

int answer_put_field(
	struct sl_writer *out, struct sl_value record, const char *name, struct sl_value value)
{
	bool is_map = sl_kind(record) == SL_MAP;
	bool is_kept = !is_map && strcmp(name, "value") != 0;

	/* A bare record is the field `value`, as in the transform "sql". */
	sl_put_map(out, (is_map ? put_others(NULL, record, name) : is_kept) + 1);
	if (is_map)
		(void)put_others(out, record, name);
	if (is_kept) {
		sl_put_cstr(out, "value");
		sl_put_value(out, record);
	}
	sl_put_cstr(out, name);
	sl_put_value(out, value);
	return sl_record_done(out);
}

static bool is_blank(const char *text, size_t size)
{
	while (size > 0 && strchr(" \t\r\n", text[size - 1]) && text[size - 1])
		size--;
	return size == 0;
}

int answer_parse(struct sl_context *ctx, const char *name, struct sl_value record, const char *text,
	size_t size, struct sl_writer *row, struct sl_value *ret_value)
{
	const char *reason = "";
	int r = 0;

	sl_writer_reset(row);
	if (is_blank(text, size))
		sl_put_nil(row);
	else
		r = sl_json_parse(row, text, size, &reason);
	if (r == -EINVAL)
		return sl_reject(ctx, NULL, record, "the answer of %s is no JSON (%s): %.*s%s",
			name, reason, (int)(size < EXCERPT ? size : EXCERPT), text,
			size > EXCERPT ? "..." : "");
	if (r < 0 || row->error)
		return r < 0 ? r : row->error;
	*ret_value = (struct sl_value){ row->data, row->size };
	return 0;
}
