/* SPDX-License-Identifier: MIT */
/*
 * Arguments that are templates: `{name}` is the field of that name, `{{name}}` the text {name}. All other braces stand for
 * themselves, so that most of what programs take (jq, awk) can be written as it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transform.h"

static bool append(struct sl_writer *text, const char *data, size_t size)
{
	char *at = sl_writer_reserve(text, size);

	if (!at)
		return false;
	memcpy(at, data, size);
	text->size += size;
	return true;
}

/* The size of a field's name that stands between braces at `text`; 0: none does. */
static size_t name_size(const char *text)
{
	size_t size = text[0] == '{' ? strcspn(text + 1, " \t\n{}:;,\"'$()[]|=.") : 0;

	return size > 0 && text[1 + size] == '}' ? size : 0;
}

static struct sl_value find_field(struct sl_value record, const char *name, size_t size)
{
	if (sl_kind(record) == SL_MAP)
		return sl_find(record, name, size);
	/* A bare record is the field `value`, as in the transform "sql". */
	if (size == 5 && memcmp(name, "value", 5) == 0)
		return record;
	return (struct sl_value){ 0 };
}

static int append_field(struct sl_context *ctx, struct sl_value record, const char *name,
	size_t name_length, struct sl_writer *text)
{
	struct sl_value field = find_field(record, name, name_length);
	const char *string, *reason;
	size_t size;
	int r;

	if (!field.data)
		return sl_reject(ctx, NULL, record,
			"`command` takes the field {%.*s}, and it has none (the text is written "
			"{{%.*s}})",
			(int)name_length, name, (int)name_length, name);
	if (sl_kind(field) == SL_NIL)
		return 0;
	if (!sl_get_str(field, &string, &size)) {
		r = sl_json_print(text, field, &reason);
		return r == -EINVAL ? sl_reject(ctx, NULL, record, "the field `%.*s`: %s",
					      (int)name_length, name, reason)
				    : r;
	}
	if (memchr(string, '\0', size))
		return sl_reject(ctx, NULL, record,
			"the field `%.*s` holds a zero byte, which no argument can",
			(int)name_length, name);
	return append(text, string, size) ? 0 : -ENOMEM;
}

static int fill_one(
	struct sl_context *ctx, const char *from, struct sl_value record, struct sl_writer *text)
{
	while (*from) {
		size_t plain = 1 + strcspn(from + 1, "{");
		size_t quoted = from[0] == '{' ? name_size(from + 1) : 0;
		size_t name = name_size(from);
		int r = 0;

		if (quoted > 0 && from[quoted + 3] == '}') {
			r = append(text, from + 1, quoted + 2) ? 0 : -ENOMEM;
			plain = quoted + 4;
		} else if (name > 0) {
			r = append_field(ctx, record, from + 1, name, text);
			plain = name + 2;
		} else if (!append(text, from, plain)) {
			r = -ENOMEM;
		}
		if (r != 0)
			return r;
		from += plain;
	}
	return append(text, "", 1) ? 0 : -ENOMEM;
}

int arguments_fill(struct sl_context *ctx, const char *const *templates, struct sl_value record,
	struct sl_writer *text, const char ***ret_argv)
{
	const char **argv;
	const char *at;
	size_t count = 0;
	int r = append(text, templates[0], strlen(templates[0]) + 1) ? 0 : -ENOMEM;

	/* The program itself is the config's choice, never a record's. */
	for (count = 1; r == 0 && templates[count]; count++)
		r = fill_one(ctx, templates[count], record, text);
	if (r != 0)
		return r;
	argv = calloc(count + 1, sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	at = text->data;
	for (size_t i = 0; i < count; i++) {
		argv[i] = at;
		at += strlen(at) + 1;
	}
	*ret_argv = argv;
	return 0;
}
