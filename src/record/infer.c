/* SPDX-License-Identifier: MIT */
/* See infer.h. */
#include "record/infer.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BARE "value"

static const char *const names[] = {
	[INFER_NONE] = "",
	[INFER_NULL] = "null",
	[INFER_BOOLEAN] = "boolean",
	[INFER_INTEGER] = "integer",
	[INFER_NUMBER] = "number",
	[INFER_TIMESTAMP] = "timestamp",
	[INFER_STRING] = "string",
	[INFER_BINARY] = "binary",
	[INFER_ARRAY] = "array",
	[INFER_MAP] = "map",
	[INFER_MIXED] = "mixed",
};

const char *infer_name(enum infer_type type)
{
	return names[type];
}

/* --- timestamps ----------------------------------------------------------------------------------- */

struct scan {
	const char *at;
	const char *end;
};

/* `digits` digits, a number within [min, max]. */
static bool take_number(struct scan *scan, int digits, int min, int max)
{
	int x = 0;

	if (scan->end - scan->at < digits)
		return false;
	for (int i = 0; i < digits; i++) {
		if (!isdigit((unsigned char)scan->at[i]))
			return false;
		x = 10 * x + (scan->at[i] - '0');
	}
	scan->at += digits;
	return x >= min && x <= max;
}

static bool take_one(struct scan *scan, const char *of)
{
	if (scan->at == scan->end || !*scan->at || !strchr(of, *scan->at))
		return false;
	scan->at++;
	return true;
}

static bool take_date(struct scan *scan)
{
	return take_number(scan, 4, 0, 9999) && take_one(scan, "-") &&
	       take_number(scan, 2, 1, 12) && take_one(scan, "-") && take_number(scan, 2, 1, 31);
}

/* ":30" and ":30.25" behind the minutes, or nothing. */
static bool take_seconds(struct scan *scan)
{
	if (!take_one(scan, ":"))
		return true;
	if (!take_number(scan, 2, 0, 60))
		return false;
	if (!take_one(scan, ".,"))
		return true;
	if (!take_number(scan, 1, 0, 9))
		return false;
	while (take_number(scan, 1, 0, 9))
		;
	return true;
}

/* "Z", "+01:00", "+0100", "+01", or nothing. */
static bool take_zone(struct scan *scan)
{
	if (take_one(scan, "Zz"))
		return true;
	if (!take_one(scan, "+-"))
		return true;
	if (!take_number(scan, 2, 0, 14))
		return false;
	if (scan->at == scan->end)
		return true;
	(void)take_one(scan, ":");
	return take_number(scan, 2, 0, 59);
}

static bool is_timestamp(const char *text, size_t size)
{
	struct scan scan = { text, text + size };

	if (!take_date(&scan))
		return false;
	if (scan.at == scan.end)
		return true;
	if (!take_one(&scan, "Tt ") || !take_number(&scan, 2, 0, 24) || !take_one(&scan, ":") ||
		!take_number(&scan, 2, 0, 59) || !take_seconds(&scan) || !take_zone(&scan))
		return false;
	return scan.at == scan.end;
}

/* --- types ---------------------------------------------------------------------------------------- */

enum infer_type infer_of(struct sl_value v)
{
	const char *text;
	size_t size;

	switch (sl_kind(v)) {
	case SL_NIL:
		return INFER_NULL;
	case SL_BOOL:
		return INFER_BOOLEAN;
	case SL_INT:
		return INFER_INTEGER;
	case SL_FLOAT:
		return INFER_NUMBER;
	case SL_STR:
		return sl_get_str(v, &text, &size) && is_timestamp(text, size) ? INFER_TIMESTAMP
									       : INFER_STRING;
	case SL_ARRAY:
		return INFER_ARRAY;
	case SL_MAP:
		return INFER_MAP;
	default:
		return INFER_BINARY;
	}
}

static bool is_pair(enum infer_type a, enum infer_type b, enum infer_type x, enum infer_type y)
{
	return (a == x && b == y) || (a == y && b == x);
}

enum infer_type infer_join(enum infer_type a, enum infer_type b)
{
	if (a == b || b == INFER_NONE || (b == INFER_NULL && a != INFER_NONE))
		return a;
	if (a == INFER_NONE || a == INFER_NULL)
		return b;
	if (is_pair(a, b, INFER_INTEGER, INFER_NUMBER))
		return INFER_NUMBER;
	if (is_pair(a, b, INFER_TIMESTAMP, INFER_STRING))
		return INFER_STRING;
	return INFER_MIXED;
}

/* --- fields --------------------------------------------------------------------------------------- */

static struct infer_field *find_field(struct infer *infer, const char *name, size_t size)
{
	for (uint32_t i = 0; i < infer->count; i++)
		if (infer->fields[i].name_size == size &&
			memcmp(infer->fields[i].name, name, size) == 0)
			return &infer->fields[i];
	if (infer->count == infer->room) {
		uint32_t room = 2 * infer->room + 16;
		struct infer_field *fields = realloc(infer->fields, room * sizeof(*fields));

		if (!fields)
			return NULL;
		infer->fields = fields;
		infer->room = room;
	}
	infer->fields[infer->count] = (struct infer_field){ .name = name, .name_size = size };
	return &infer->fields[infer->count++];
}

static int add(struct infer *infer, const char *name, size_t size, struct sl_value v)
{
	struct infer_field *field = find_field(infer, name, size);
	enum infer_type type = infer_of(v);

	if (!field)
		return -ENOMEM;
	field->type = infer_join(field->type, type);
	field->is_optional = field->is_optional || type == INFER_NULL;
	field->count++;
	return 0;
}

int infer_add(struct infer *infer, struct sl_value record)
{
	struct sl_cursor cursor;
	struct sl_value key, value;
	const char *name;
	size_t size;
	int r = 0;

	infer->records++;
	if (sl_kind(record) != SL_MAP)
		return add(infer, BARE, sizeof(BARE) - 1, record);
	cursor = sl_walk(record);
	while (r == 0 && sl_next(&cursor, &key, &value))
		if (sl_get_str(key, &name, &size))
			r = add(infer, name, size, value);
	return r;
}

void infer_end(struct infer *infer)
{
	for (uint32_t i = 0; i < infer->count; i++) {
		struct infer_field *field = &infer->fields[i];

		field->is_optional = (field->is_optional && field->type != INFER_NULL) ||
				     field->count < infer->records;
	}
}

void infer_fini(struct infer *infer)
{
	free(infer->fields);
	*infer = (struct infer){ 0 };
}

struct sl_value infer_cell(const struct infer_field *field, struct sl_value record)
{
	if (sl_kind(record) == SL_MAP)
		return sl_find(record, field->name, field->name_size);
	if (field->name_size == sizeof(BARE) - 1 &&
		memcmp(field->name, BARE, sizeof(BARE) - 1) == 0)
		return record;
	return (struct sl_value){ 0 };
}
