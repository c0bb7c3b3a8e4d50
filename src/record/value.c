/* SPDX-License-Identifier: MIT */
/* Reading MessagePack values: see include/sluice/record.h. */
#include <sluice/record.h>

#include <string.h>

#include <msgpuck.h>

#include "record/value.h"

#define DEPTH_MAX 64

/* How sl_kind calls what msgpuck finds. */
static const enum sl_kind kinds[] = {
	[MP_NIL] = SL_NIL,
	[MP_UINT] = SL_INT,
	[MP_INT] = SL_INT,
	[MP_STR] = SL_STR,
	[MP_BIN] = SL_BIN,
	[MP_ARRAY] = SL_ARRAY,
	[MP_MAP] = SL_MAP,
	[MP_BOOL] = SL_BOOL,
	[MP_FLOAT] = SL_FLOAT,
	[MP_DOUBLE] = SL_FLOAT,
	[MP_EXT] = SL_EXT,
};

static const char *const kind_names[] = {
	[SL_NIL] = "null",
	[SL_BOOL] = "boolean",
	[SL_INT] = "integer",
	[SL_FLOAT] = "number",
	[SL_STR] = "string",
	[SL_BIN] = "binary",
	[SL_ARRAY] = "array",
	[SL_MAP] = "map",
	[SL_EXT] = "extension",
};

enum sl_kind sl_kind(struct sl_value v)
{
	return kinds[mp_typeof(*v.data)];
}

const char *sl_kind_name(enum sl_kind kind)
{
	return kind_names[kind];
}

bool sl_get_bool(struct sl_value v, bool *ret_x)
{
	const char *at = v.data;

	if (!at || mp_typeof(*at) != MP_BOOL)
		return false;
	*ret_x = mp_decode_bool(&at);
	return true;
}

bool sl_get_int(struct sl_value v, int64_t *ret_x)
{
	const char *at = v.data;
	uint64_t x;

	if (!at)
		return false;
	if (mp_typeof(*at) == MP_INT) {
		*ret_x = mp_decode_int(&at);
		return true;
	}
	if (mp_typeof(*at) != MP_UINT)
		return false;
	x = mp_decode_uint(&at);
	if (x > INT64_MAX)
		return false;
	*ret_x = (int64_t)x;
	return true;
}

bool sl_get_uint(struct sl_value v, uint64_t *ret_x)
{
	const char *at = v.data;

	if (!at || mp_typeof(*at) != MP_UINT)
		return false;
	*ret_x = mp_decode_uint(&at);
	return true;
}

bool sl_get_double(struct sl_value v, double *ret_x)
{
	const char *at = v.data;

	if (!at)
		return false;
	switch (mp_typeof(*at)) {
	case MP_DOUBLE:
		*ret_x = mp_decode_double(&at);
		return true;
	case MP_FLOAT:
		*ret_x = (double)mp_decode_float(&at);
		return true;
	case MP_UINT:
		*ret_x = (double)mp_decode_uint(&at);
		return true;
	case MP_INT:
		*ret_x = (double)mp_decode_int(&at);
		return true;
	default:
		return false;
	}
}

bool sl_get_str(struct sl_value v, const char **ret_text, size_t *ret_size)
{
	const char *at = v.data;
	uint32_t size;

	if (!at || mp_typeof(*at) != MP_STR)
		return false;
	*ret_text = mp_decode_str(&at, &size);
	*ret_size = size;
	return true;
}

bool sl_get_bin(struct sl_value v, const char **ret_data, size_t *ret_size)
{
	const char *at = v.data;
	uint32_t size;

	if (!at || mp_typeof(*at) != MP_BIN)
		return false;
	*ret_data = mp_decode_bin(&at, &size);
	*ret_size = size;
	return true;
}

uint32_t sl_count(struct sl_value v)
{
	const char *at = v.data;

	if (at && mp_typeof(*at) == MP_MAP)
		return mp_decode_map(&at);
	if (at && mp_typeof(*at) == MP_ARRAY)
		return mp_decode_array(&at);
	return 0;
}

struct sl_value sl_find(struct sl_value map, const char *key, size_t key_size)
{
	struct sl_cursor cursor = sl_walk(map);
	struct sl_value k, v, found = { 0 };
	const char *text;
	size_t size;

	while (sl_next(&cursor, &k, &v))
		if (k.data && sl_get_str(k, &text, &size) && size == key_size &&
			memcmp(text, key, size) == 0)
			found = v;
	return found;
}

struct sl_cursor sl_walk(struct sl_value v)
{
	struct sl_cursor cursor = { .at = v.data };

	if (v.data && mp_typeof(*v.data) == MP_MAP) {
		cursor.map = true;
		cursor.left = mp_decode_map(&cursor.at);
	} else if (v.data && mp_typeof(*v.data) == MP_ARRAY) {
		cursor.left = mp_decode_array(&cursor.at);
	}
	return cursor;
}

static struct sl_value take(struct sl_cursor *c)
{
	struct sl_value v = { .data = c->at };

	mp_next(&c->at);
	v.size = (size_t)(c->at - v.data);
	return v;
}

bool sl_next(struct sl_cursor *c, struct sl_value *ret_key, struct sl_value *ret_value)
{
	if (c->left == 0)
		return false;
	c->left--;
	*ret_key = c->map ? take(c) : (struct sl_value){ 0 };
	*ret_value = take(c);
	return true;
}

/* A container's head, checked: how many values follow in it. */
static bool check_head(const char **at, const char *end, enum mp_type type, uint64_t *ret_left)
{
	ptrdiff_t missing = type == MP_MAP ? mp_check_map(*at, end) : mp_check_array(*at, end);

	if (missing > 0)
		return false;
	*ret_left = type == MP_MAP ? 2 * (uint64_t)mp_decode_map(at) : mp_decode_array(at);
	/* Each is at least one byte. */
	return *ret_left <= (uint64_t)(end - *at);
}

/* How long a value is that begins with such a byte; 0: its head says so, or it has members. */
/* clang-format off */
static const uint8_t sizes[256] = {
	[0x00 ... 0x7f] = 1, /* small integers */
	[0xa0] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, /* short strings */
	[0xc0] = 1, /* nil */
	[0xc2] = 1, 1, /* booleans */
	[0xca] = 5, 9, /* floats */
	[0xcc] = 2, 3, 5, 9, 2, 3, 5, 9, /* integers */
	[0xe0 ... 0xff] = 1, /* small negative integers */
};
/* clang-format on */

bool value_check(const char **at, const char *end)
{
	uint64_t left[DEPTH_MAX + 1];
	unsigned depth = 0;
	const char *p = *at;

	left[0] = 1;
	for (;;) {
		enum mp_type type;
		uint8_t size;

		while (left[depth] == 0) {
			if (depth == 0) {
				*at = p;
				return true;
			}
			depth--;
		}
		if (p >= end)
			return false;
		left[depth]--;
		size = sizes[(unsigned char)*p];
		if (size > 0) {
			if (size > end - p)
				return false;
			p += size;
			continue;
		}
		type = mp_typeof(*p);
		if (type != MP_MAP && type != MP_ARRAY) {
			if (mp_check(&p, end) != 0)
				return false;
		} else if (depth == DEPTH_MAX || !check_head(&p, end, type, &left[++depth])) {
			return false;
		}
	}
}

bool sl_check(const char *data, size_t size)
{
	const char *at = data;

	return value_check(&at, data + size) && at == data + size;
}
