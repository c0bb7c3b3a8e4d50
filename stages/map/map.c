/* SPDX-License-Identifier: MIT */
/*
 * Transform "map": drops, keeps, renames and sets fields; what is not named is copied as it is. Which bytes of a record go where: fields.h. What
 * expressions give: the rooms of the stage `sql`, conditions.h; without `set` there is no SQLite.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <string.h>

#include "../sql/conditions.h"
#include "fields.h"

#define SETS_MAX 500

struct shared {
	struct sl_pairs set;
	struct sl_pairs rename;
	struct sl_strings drop;
	struct sl_strings keep;
	int64_t timeout_ns;
};

struct worker {
	struct fields *fields;
	struct conditions values;
	uint32_t rejected; /* records of the batch, for their names */
};

/* --- what fits together ------------------------------------------------------------------------- */

static bool is_listed(const char *const *names, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* No name twice, none empty. */
static int check_names(
	struct sl_context *ctx, const char *option, const char *const *names, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (names[i][0] == '\0')
			return sl_error(ctx, -EINVAL,
				"`%s` has an empty name: write the name of a field", option);
		if (is_listed(names, i, names[i]))
			return sl_error(ctx, -EINVAL, "`%s` has \"%s\" twice: write it once",
				option, names[i]);
	}
	return 0;
}

static int check_rename(struct sl_context *ctx, const struct shared *o)
{
	int r = check_names(ctx, "rename", o->rename.names, o->rename.count);

	for (uint32_t i = 0; i < o->rename.count && r == 0; i++) {
		const char *name = o->rename.names[i];

		if (o->rename.values[i][0] == '\0')
			r = sl_error(
				ctx, -EINVAL, "`rename`: the new name of \"%s\" is empty", name);
		else if (is_listed(o->rename.values, i, o->rename.values[i]))
			r = sl_error(ctx, -EINVAL,
				"`rename`: two fields cannot both be named \"%s\": drop one, or "
				"write "
				"set = { %s = \"coalesce(...)\"; }",
				o->rename.values[i], o->rename.values[i]);
		else if (is_listed(o->drop.items, o->drop.count, name))
			r = sl_error(ctx, -EINVAL,
				"`rename`: \"%s\" is in `drop`, too: write it in one of them",
				name);
		else if (o->keep.count > 0 && !is_listed(o->keep.items, o->keep.count, name))
			r = sl_error(ctx, -EINVAL,
				"`rename`: \"%s\" is not in `keep`, which has the names as they "
				"come "
				"in: add it there",
				name);
	}
	return r;
}

static int check_options(struct sl_context *ctx, const struct shared *o)
{
	int r;

	if (o->set.count + o->rename.count + o->drop.count + o->keep.count == 0)
		return sl_error(ctx, -EINVAL,
			"`map` changes nothing: write for instance set = { total = \"price * "
			"qty\"; }");
	if (o->set.count > SETS_MAX)
		return sl_error(ctx, -EINVAL, "`set` has %u expressions: %d are the most",
			o->set.count, SETS_MAX);
	if (o->drop.count > 0 && o->keep.count > 0)
		return sl_error(ctx, -EINVAL,
			"`drop` and `keep`: what is not in `keep` goes: write one of them");
	r = check_names(ctx, "set", o->set.names, o->set.count);
	if (r == 0)
		r = check_names(ctx, "drop", o->drop.items, o->drop.count);
	if (r == 0)
		r = check_names(ctx, "keep", o->keep.items, o->keep.count);
	return r < 0 ? r : check_rename(ctx, o);
}

/* --- beginning and end -------------------------------------------------------------------------- */

static void map_stop(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;

	(void)ctx;
	fields_free(w->fields);
	if (o->set.count > 0)
		conditions_close(&w->values);
}

static int map_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	struct conditions *c = &w->values;
	int r = 0;

	w->fields = fields_new(&o->set, &o->rename, &o->drop, &o->keep);
	if (!w->fields)
		return -ENOMEM;
	if (o->set.count > 0) {
		c->option = "set";
		c->names = o->set.names;
		c->count = o->set.count;
		c->is_values = true;
		c->timeout_ns = o->timeout_ns;
		r = conditions_open(c, ctx, o->set.values);
	}
	if (r < 0)
		map_stop(ctx, shared, w);
	return r;
}

static int map_check(struct sl_context *ctx, const void *shared)
{
	struct worker w = { 0 };
	int r = check_options(ctx, shared);

	if (r == 0)
		r = map_start(ctx, (void *)shared, &w);
	if (r == 0)
		map_stop(ctx, (void *)shared, &w);
	return r;
}

/* --- records ------------------------------------------------------------------------------------ */

static int put_record(
	struct sl_context *ctx, struct worker *w, struct sl_value record, struct sl_writer *out)
{
	const struct piece *at;
	const char *name;
	uint32_t pieces, count;
	int r = fields_cut(w->fields, record, &at, &pieces, &count, &name);

	if (r == -EEXIST) {
		(void)sl_reject(
			ctx, NULL, record, "`rename`: two fields would be named \"%s\"", name);
		w->rejected++;
		return 0;
	}
	if (r < 0)
		return r;
	sl_put_map(out, count);
	for (; pieces > 0; pieces--, at++)
		if (at->data)
			sl_put_value(out, (struct sl_value){ at->data, at->size });
		else
			conditions_put(&w->values, at->value, out);
	return sl_record_done(out);
}

static int put_plain(
	struct sl_context *ctx, struct worker *w, const struct sl_batch *in, struct sl_writer *out)
{
	uint32_t count = sl_batch_count(in);
	int r = 0;

	for (uint32_t i = 0; i < count && r == 0; i++)
		r = put_record(ctx, w, sl_batch_record(in, i), out);
	return r;
}

static int put_with_values(
	struct sl_context *ctx, struct worker *w, const struct sl_batch *in, struct sl_writer *out)
{
	struct sl_value record;
	int r;

	conditions_begin(&w->values, ctx, in);
	while ((r = conditions_next(&w->values, &record)) > 0) {
		r = put_record(ctx, w, record, out);
		if (r < 0)
			break;
	}
	return r;
}

static int64_t map_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r;

	w->rejected = 0;
	r = o->set.count > 0 ? put_with_values(ctx, w, in, out[0]) : put_plain(ctx, w, in, out[0]);
	return r < 0 ? r : (int64_t)sl_batch_count(in) - w->rejected - w->values.rejected;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_map = {
	.abi = SL_ABI,
	.name = "map",
	.role = SL_TRANSFORM,
	.summary = "drops, keeps, renames and sets fields; the others stay as they are",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = map_check,
	.start = map_start,
	.transform_batch = map_transform,
	.stop = map_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("drop", STRINGS, struct shared, drop),
	  .help = "the fields that go", .example = "[ \"password\", \"note\" ]" },
	{ SL_OPTION("keep", STRINGS, struct shared, keep),
	  .help = "the fields that stay; all others go", .example = "[ \"id\", \"amount\" ]" },
	{ SL_OPTION("rename", PAIRS, struct shared, rename),
	  .help = "a field's name and its new name, each",
	  .example = "{ user = \"customer\"; }" },
	{ SL_OPTION("set", PAIRS, struct shared, set),
	  .help = "a field's name and, as an expression of SQL over the fields of the record that came in, its value, each",
	  .example = "{ total = \"price * qty\"; }" },
	{ SL_OPTION("timeout", DURATION, struct shared, timeout_ns), .fallback = "10s",
	  .min = 1000000, .max = INT64_C(86400000000000),
	  .help = "the time limit for the expressions of one record", .example = "\"1s\"" },
	{ 0 },
};
/* clang-format on */
