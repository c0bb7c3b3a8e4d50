/* SPDX-License-Identifier: MIT */
/* Transform "upper": writes chosen fields in upper case. ASCII letters only; all other bytes stay as they are. */
#include <sluice/stage.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One per process: what the config says. Constant once the workers run. */
struct shared {
	struct sl_strings fields;
	bool first_only;
};

/* One per worker, and no other worker sees it: no lock. */
struct worker {
	char *text;
	size_t capacity;
	uint64_t changed;
};

/* Also `sluice check` calls this. A name in `backticks` makes the message point at that option's line. */
static int upper_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (o->fields.count == 0)
		return sl_error(ctx, -EINVAL, "`fields` is empty: name at least one field");
	return 0;
}

static bool is_chosen(const struct shared *o, struct sl_value key)
{
	const char *name;
	size_t size;

	if (!sl_get_str(key, &name, &size))
		return false;
	for (uint32_t i = 0; i < o->fields.count; i++)
		if (strlen(o->fields.items[i]) == size &&
			memcmp(o->fields.items[i], name, size) == 0)
			return true;
	return false;
}

/* The worker's own room for `size` bytes. */
static char *make_room(struct worker *w, size_t size)
{
	char *text;

	if (size <= w->capacity)
		return w->text;
	text = realloc(w->text, size);
	if (!text)
		return NULL;
	w->text = text;
	w->capacity = size;
	return text;
}

static int put_upper(const struct shared *o, struct worker *w, const char *text, size_t size,
	struct sl_writer *out)
{
	char *copy = make_room(w, size + 1);

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++)
		copy[i] = o->first_only && i > 0 ? text[i] : (char)toupper((unsigned char)text[i]);
	sl_put_str(out, copy, size);
	w->changed++;
	return 0;
}

static int upper_transform(struct sl_context *ctx, void *shared, void *worker,
	struct sl_value record, struct sl_writer *const *out)
{
	struct sl_value key, value;
	struct sl_cursor c;

	if (sl_kind(record) != SL_MAP)
		return sl_reject(ctx, NULL, record, "it is no map, so it has no fields");
	sl_put_map(out[0], sl_count(record));
	for (c = sl_walk(record); sl_next(&c, &key, &value);) {
		const char *text;
		size_t size;
		int r = 0;

		sl_put_value(out[0], key);
		if (!is_chosen(shared, key))
			sl_put_value(out[0], value);
		else if (sl_get_str(value, &text, &size))
			r = put_upper(shared, worker, text, size, out[0]);
		else
			return sl_reject(ctx, NULL, record, "a chosen field is no string");
		if (r < 0)
			return r;
	}
	return sl_record_done(out[0]);
}

/* After the worker's last record. */
static int upper_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	const struct worker *w = worker;

	(void)shared;
	(void)complete;
	sl_log(ctx, SL_LOG_INFO, "%" PRIu64 " fields written in upper case", w->changed);
	return 0;
}

static void upper_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	free(w->text);
}

static const struct sl_option options[];

static const struct sl_stage upper = {
	.abi = SL_ABI,
	.name = "upper",
	.role = SL_TRANSFORM,
	.summary = "writes chosen fields in upper case",
	.flags = SL_RESUMES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = upper_check,
	.transform = upper_transform,
	.finish = upper_finish,
	.stop = upper_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("fields", STRINGS, struct shared, fields), .required = true,
	  .help = "the fields to write in upper case", .example = "[ \"name\" ]" },
	{ SL_OPTION("first_only", BOOL, struct shared, first_only), .fallback = "false",
	  .help = "only the first letter of each", .example = "true" },
	{ 0 },
};
/* clang-format on */

SL_MODULE(&upper);
