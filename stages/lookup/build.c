/* SPDX-License-Identifier: MIT */
/* See build.h. */
#include "build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"

int problem_say(struct problem *problem, int error, const char *format, ...)
{
	va_list args;

	problem->error = error;
	va_start(args, format);
	(void)vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	return error;
}

int build_init(struct build *build, const struct lookup *options, struct problem *problem)
{
	*build = (struct build){ .options = options, .problem = problem };
	sl_writer_init(&build->key);
	sl_writer_init(&build->fields);
	sl_writer_init(&build->name);
	build->table = table_new(options->table_max);
	build->seen = calloc(lookup_key_count(options) + options->take.count, sizeof(bool));
	return build->table && build->seen ? 0 : problem_say(problem, -ENOMEM, "no memory");
}

void build_fini(struct build *build)
{
	sl_writer_fini(&build->key);
	sl_writer_fini(&build->fields);
	sl_writer_fini(&build->name);
	table_free(build->table);
	free(build->seen);
}

static void append(struct sl_writer *name, const char *text, size_t size)
{
	char *at = sl_writer_reserve(name, size);

	if (!at)
		return;
	memcpy(at, text, size);
	name->size += size;
}

static bool is_text(const char *text, const char *bytes, size_t size)
{
	return strlen(text) == size && memcmp(text, bytes, size) == 0;
}

const char *build_name(
	const struct lookup *options, struct sl_writer *name, const char *column, size_t size)
{
	const struct sl_pairs *rename = &options->rename;

	sl_writer_reset(name);
	for (uint32_t i = 0; i < rename->count; i++)
		if (is_text(rename->names[i], column, size)) {
			append(name, rename->values[i], strlen(rename->values[i]) + 1);
			return name->error ? NULL : name->data;
		}
	if (options->prefix)
		append(name, options->prefix, strlen(options->prefix));
	append(name, column, size);
	append(name, "", 1);
	return name->error ? NULL : name->data;
}

static void put_field(struct build *build, const char *column, size_t size, struct sl_value value)
{
	const char *name = build_name(build->options, &build->name, column, size);

	sl_put_cstr(&build->fields, name ? name : "");
	if (value.data)
		sl_put_value(&build->fields, value);
	else
		sl_put_nil(&build->fields);
}

static void put_taken(struct build *build, struct sl_value row)
{
	const struct sl_strings *take = &build->options->take;
	bool *seen = build->seen + lookup_key_count(build->options);

	sl_put_map(&build->fields, take->count);
	for (uint32_t i = 0; i < take->count; i++) {
		size_t size = strlen(take->items[i]);
		struct sl_value value = sl_find(row, take->items[i], size);

		seen[i] = seen[i] || value.data;
		put_field(build, take->items[i], size, value);
	}
}

static bool is_key(const struct lookup *o, const char *name, size_t size)
{
	for (uint32_t i = 0; i < lookup_key_count(o); i++)
		if (is_text(lookup_column(o, i), name, size))
			return true;
	return false;
}

/* All columns but those of the key, which the record has already. */
static void put_all(struct build *build, struct sl_value row)
{
	struct sl_value key, value;
	struct sl_cursor c;
	uint32_t count = 0;
	const char *name;
	size_t size;

	for (c = sl_walk(row); sl_next(&c, &key, &value);)
		count += sl_get_str(key, &name, &size) && !is_key(build->options, name, size);
	sl_put_map(&build->fields, count);
	for (c = sl_walk(row); sl_next(&c, &key, &value);)
		if (sl_get_str(key, &name, &size) && !is_key(build->options, name, size))
			put_field(build, name, size, value);
}

/* False: a value of the key equals nothing, so the row can never be found. */
static bool put_key(struct build *build, struct sl_value row)
{
	const struct lookup *o = build->options;
	bool is_good = true;

	sl_writer_reset(&build->key);
	for (uint32_t i = 0; i < lookup_key_count(o); i++) {
		const char *column = lookup_column(o, i);
		struct sl_value value = sl_find(row, column, strlen(column));

		build->seen[i] = build->seen[i] || value.data;
		is_good = key_put(&build->key, value, lookup_is_loose(o)) && is_good;
	}
	return is_good;
}

static int say_twice(struct build *build, struct sl_value row)
{
	const char *column = lookup_column(build->options, 0);
	char text[100];

	sl_print(sl_find(row, column, strlen(column)), text, sizeof(text));
	return problem_say(build->problem, -EINVAL,
		"row %" PRIu64 " has the key of a row before it (%s = %s%s): write duplicates = "
		"\"first\" or \"last\" where that may be",
		build->rows, column, text, lookup_key_count(build->options) > 1 ? ", ..." : "");
}

int build_add(struct build *build, struct sl_value row)
{
	bool has_key;
	int r;

	build->rows++;
	if (sl_kind(row) != SL_MAP)
		return problem_say(build->problem, -EINVAL,
			"row %" PRIu64 " is no map, but of kind %s", build->rows,
			sl_kind_name(sl_kind(row)));
	has_key = put_key(build, row);
	sl_writer_reset(&build->fields);
	if (build->options->take.count > 0)
		put_taken(build, row);
	else
		put_all(build, row);
	if (build->key.error || build->fields.error || build->name.error)
		return problem_say(build->problem, -ENOMEM, "no memory");
	if (!has_key)
		return 0;
	r = table_add(build->table, build->key.data, build->key.size,
		(struct sl_value){ build->fields.data, build->fields.size },
		(enum duplicates)build->options->duplicates);
	if (r == -EEXIST)
		return say_twice(build, row);
	if (r == -EFBIG)
		return problem_say(build->problem, r,
			"it is larger than `table_max`: raise that, or take fewer columns");
	return r < 0 ? problem_say(build->problem, r, "no memory") : 0;
}

int build_end(struct build *build, struct table **ret)
{
	const struct lookup *o = build->options;
	uint32_t keys = lookup_key_count(o);

	for (uint32_t i = 0; i < keys + o->take.count && build->rows > 0; i++)
		if (!build->seen[i])
			return problem_say(build->problem, -EINVAL, "no row has the column `%s`",
				i < keys ? lookup_column(o, i) : o->take.items[i - keys]);
	*ret = build->table;
	build->table = NULL;
	return 0;
}
