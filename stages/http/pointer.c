/* SPDX-License-Identifier: MIT */
/* See pointer.h. */
#include "pointer.h"

#include <errno.h>
#include <string.h>

static const struct sl_value absent;

int pointer_check(const char *pointer, struct reason *reason)
{
	const char *tilde = pointer;

	if (*pointer != '\0' && *pointer != '/')
		return reason_set(reason, -EINVAL,
			"a JSON pointer begins with a slash: write \"/%.100s\"", pointer);
	while ((tilde = strchr(tilde, '~'))) {
		if (tilde[1] != '0' && tilde[1] != '1')
			return reason_set(reason, -EINVAL,
				"in a JSON pointer ~ is written ~0, and a slash inside a name ~1");
		tilde += 2;
	}
	return 0;
}

/* Is the key the name that stands in the pointer, with its ~0 and ~1? */
static bool is_named(struct sl_value key, const char *name, size_t size)
{
	const char *text;
	size_t length, at = 0;

	if (!sl_get_str(key, &text, &length))
		return false;
	for (size_t i = 0; i < size; i++, at++) {
		char c = name[i];

		if (c == '~')
			c = name[++i] == '1' ? '/' : '~';
		if (at >= length || text[at] != c)
			return false;
	}
	return at == length;
}

/* As in sl_find the last one wins. */
static struct sl_value find_named(struct sl_value map, const char *name, size_t size)
{
	struct sl_cursor c = sl_walk(map);
	struct sl_value key, value, found = absent;

	while (sl_next(&c, &key, &value))
		if (is_named(key, name, size))
			found = value;
	return found;
}

static struct sl_value find_index(struct sl_value array, const char *digits, size_t size)
{
	struct sl_cursor c = sl_walk(array);
	struct sl_value key, value;
	uint64_t index = 0;

	if (size == 0 || size > 10 || (size > 1 && digits[0] == '0'))
		return absent;
	for (size_t i = 0; i < size; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return absent;
		index = index * 10 + (uint64_t)(digits[i] - '0');
	}
	while (sl_next(&c, &key, &value))
		if (index-- == 0)
			return value;
	return absent;
}

struct sl_value pointer_find(struct sl_value value, const char *pointer)
{
	while (*pointer == '/' && value.data) {
		const char *name = pointer + 1;
		size_t size = strcspn(name, "/");
		enum sl_kind kind = sl_kind(value);

		if (kind == SL_MAP)
			value = find_named(value, name, size);
		else
			value = kind == SL_ARRAY ? find_index(value, name, size) : absent;
		pointer = name + size;
	}
	return value;
}

static struct sl_value member(struct sl_value value, const char *name, size_t size)
{
	enum sl_kind kind = sl_kind(value);

	if (kind == SL_MAP)
		return sl_find(value, name, size);
	return kind == SL_ARRAY ? find_index(value, name, size) : absent;
}

struct sl_value field_find(struct sl_value record, const char *path, size_t size)
{
	const char *end = path + size;

	if (sl_kind(record) != SL_MAP && size == 5 && memcmp(path, "value", 5) == 0)
		return record;
	while (record.data) {
		struct sl_value whole = member(record, path, (size_t)(end - path));
		const char *dot = memchr(path, '.', (size_t)(end - path));

		if (whole.data || !dot)
			return whole;
		record = member(record, path, (size_t)(dot - path));
		path = dot + 1;
	}
	return absent;
}
