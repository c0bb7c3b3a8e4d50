/* SPDX-License-Identifier: MIT */
/* See place.h. */
#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 128 /* bytes of a name in a reason */

static bool is_named(struct sl_value key, const char *name)
{
	const char *text;
	size_t size;

	return sl_get_str(key, &text, &size) && strlen(name) == size &&
	       memcmp(text, name, size) == 0;
}

static struct sl_value between(const char *begin, const char *end)
{
	return (struct sl_value){ begin, (size_t)(end - begin) };
}

int place_find(const struct place *place, struct sl_value record, struct place_cut *ret,
	char *reason, size_t size)
{
	struct sl_cursor cursor = sl_walk(record);
	const char *begin = cursor.at;
	const char *end = record.data + record.size;
	struct sl_value key, value;

	*ret = (struct place_cut){ .others = sl_count(record) };
	while (sl_next(&cursor, &key, &value)) {
		if (!is_named(key, place->field))
			continue;
		if (ret->value.data) {
			(void)snprintf(reason, size, "the record has it twice");
			return -EINVAL;
		}
		ret->value = value;
		ret->before = between(begin, place->keep ? value.data + value.size : key.data);
		ret->behind = between(value.data + value.size, end);
	}
	ret->others -= !place->keep;
	if (ret->value.data && sl_kind(ret->value) != SL_NIL)
		return 0;
	(void)snprintf(
		reason, size, ret->value.data ? "it is null" : "the record does not have it");
	return -EINVAL;
}

/* --- putting ------------------------------------------------------------------------------------ */

/* 0; -EINVAL: the record has a field of that name that stays. */
static int check_name(const struct place *place, struct sl_value record, const char *name,
	size_t name_size, char *reason, size_t size)
{
	if (!place->keep && strlen(place->field) == name_size &&
		memcmp(place->field, name, name_size) == 0)
		return 0;
	if (!sl_find(record, name, name_size).data)
		return 0;
	while (name_size > SHOWN_MAX ||
		(name_size == SHOWN_MAX && (name[name_size] & 0xc0) == 0x80))
		name_size--;
	(void)snprintf(reason, size, "two fields would be named \"%.*s\"", (int)name_size, name);
	return -EINVAL;
}

static void append(struct sl_writer *bytes, const char *text, size_t size)
{
	char *at = sl_writer_reserve(bytes, size);

	if (at) {
		memcpy(at, text, size);
		bytes->size += size;
	}
}

/* One pair of the value as a field of the record; its name is made in `name`. */
static int put_pair(const struct place *place, struct sl_value record, struct sl_value key,
	struct sl_value value, struct sl_writer *name, struct sl_writer *out, char *reason,
	size_t size)
{
	const char *text;
	size_t length;
	int r;

	if (!sl_get_str(key, &text, &length)) {
		(void)snprintf(reason, size, "it has a key that is no string");
		return -EINVAL;
	}
	sl_writer_reset(name);
	append(name, place->prefix, strlen(place->prefix));
	append(name, text, length);
	if (name->error)
		return -ENOMEM;
	r = check_name(place, record, name->data ? name->data : "", name->size, reason, size);
	sl_put_str(out, name->data, name->size);
	sl_put_value(out, value);
	return r;
}

static int put_merged(const struct place *place, struct sl_value record,
	const struct place_cut *cut, struct sl_value value, struct sl_writer *name,
	struct sl_writer *out, char *reason, size_t size)
{
	struct sl_cursor cursor = sl_walk(value);
	struct sl_value k, v;
	int r = 0;

	if (sl_kind(value) != SL_MAP) {
		(void)snprintf(reason, size, "`merge`: it is no map but of type %s",
			sl_kind_name(sl_kind(value)));
		return -EINVAL;
	}
	sl_put_map(out, cut->others + sl_count(value));
	sl_put_value(out, cut->before);
	while (r == 0 && sl_next(&cursor, &k, &v))
		r = put_pair(place, record, k, v, name, out, reason, size);
	sl_put_value(out, cut->behind);
	return r;
}

int place_put(const struct place *place, struct sl_value record, const struct place_cut *cut,
	struct sl_value value, struct sl_writer *name, struct sl_writer *out, char *reason,
	size_t size)
{
	const char *into = place->into ? place->into : place->field;
	int r;

	if (place->merge)
		return put_merged(place, record, cut, value, name, out, reason, size);
	r = check_name(place, record, into, strlen(into), reason, size);
	sl_put_map(out, cut->others + 1);
	sl_put_value(out, cut->before);
	sl_put_cstr(out, into);
	sl_put_value(out, value);
	sl_put_value(out, cut->behind);
	return r;
}

int place_check(struct sl_context *ctx, const struct place *place)
{
	if (place->field[0] == '\0')
		return sl_error(ctx, -EINVAL, "`field` is empty: write the name of a field");
	if (place->into && place->into[0] == '\0')
		return sl_error(ctx, -EINVAL, "`into` is empty: write the name of a field");
	if (place->into && place->merge)
		return sl_error(ctx, -EINVAL,
			"`into` and `merge`: the value is one field, or its fields are the "
			"record's: "
			"write one of them");
	if (place->prefix[0] != '\0' && !place->merge)
		return sl_error(ctx, -EINVAL, "`prefix` is for merge = true");
	if (place->keep && !place->merge &&
		(!place->into || strcmp(place->into, place->field) == 0))
		return sl_error(ctx, -EINVAL,
			"`keep`: the value has the name of the text: write into = \"...\"");
	return 0;
}
