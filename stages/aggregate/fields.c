/* SPDX-License-Identifier: MIT */
/* See fields.h. */
#include "fields.h"

#include <errno.h>
#include <string.h>

#include <msgpuck.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53: up to here each whole number has its own float */

int fields_add(struct fields *fields, const char *name, size_t size)
{
	for (uint32_t i = 0; i < fields->count; i++)
		if (fields->sizes[i] == size && memcmp(fields->names[i], name, size) == 0)
			return (int)i;
	if (fields->count == FIELDS_MAX)
		return -E2BIG;
	fields->names[fields->count] = name;
	fields->sizes[fields->count] = size;
	return (int)fields->count++;
}

static int find(const struct fields *fields, const char *name, size_t size)
{
	for (uint32_t i = 0; i < fields->count; i++)
		if (fields->sizes[i] == size && memcmp(fields->names[i], name, size) == 0)
			return (int)i;
	return -1;
}

static void read_map(const struct fields *fields, const char *at, struct sl_value *ret)
{
	uint32_t pairs = mp_decode_map(&at);

	for (uint32_t i = 0; i < pairs; i++) {
		const char *begin;
		uint32_t size = 0;
		int field = -1;

		if (mp_typeof(*at) == MP_STR) {
			const char *name = mp_decode_str(&at, &size);

			field = find(fields, name, size);
		} else {
			mp_next(&at);
		}
		begin = at;
		mp_next(&at);
		if (field >= 0)
			ret[field] = (struct sl_value){ begin, (size_t)(at - begin) };
	}
}

void fields_read(const struct fields *fields, struct sl_value record, struct sl_value *ret)
{
	int value;

	memset(ret, 0, fields->count * sizeof(*ret));
	if (mp_typeof(*record.data) == MP_MAP) {
		read_map(fields, record.data, ret);
		return;
	}
	value = find(fields, "value", 5);
	if (value >= 0)
		ret[value] = record;
}

static void put_number(struct sl_writer *w, struct sl_value value)
{
	double real = 0;

	(void)sl_get_double(value, &real);
	if (real > -WHOLE_MAX && real < WHOLE_MAX && real == (double)(int64_t)real)
		sl_put_int(w, (int64_t)real);
	else
		sl_put_double(w, real);
}

void fields_put_key(struct sl_writer *w, struct sl_value value)
{
	const char *text;
	size_t size;
	int64_t whole;
	uint64_t large;

	if (!value.data)
		sl_put_nil(w);
	else if (sl_get_str(value, &text, &size))
		sl_put_str(w, text, size);
	else if (sl_get_int(value, &whole))
		sl_put_int(w, whole);
	else if (sl_get_uint(value, &large))
		sl_put_uint(w, large);
	else if (sl_kind(value) == SL_FLOAT)
		put_number(w, value);
	else
		sl_put_value(w, value);
}
