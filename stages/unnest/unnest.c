/* SPDX-License-Identifier: MIT */
/*
 * Transform "unnest": one record for each element of an array in a field; the other fields are copied, as the bytes before and behind
 * that one.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <string.h>

#define GROWTH_MAX (UINT64_C(256) << 20) /* bytes that one record may become */

struct shared {
	const char *field;
	const char *as;
	const char *index;
	bool keep_empty;
};

/* A record, cut where the field stands. */
struct cut {
	struct sl_value before, array, behind; /* pairs; the field's value; pairs */
	uint32_t others;
	bool is_twice;
	bool has_as, has_index; /* it has other fields of those names */
};

static bool is_named(struct sl_value key, const char *name)
{
	const char *text;
	size_t size;

	return name && sl_get_str(key, &text, &size) && strlen(name) == size &&
	       memcmp(text, name, size) == 0;
}

static struct sl_value between(const char *begin, const char *end)
{
	return (struct sl_value){ begin, (size_t)(end - begin) };
}

static void cut_record(const struct shared *o, struct sl_value record, struct cut *ret)
{
	struct sl_cursor cursor = sl_walk(record);
	struct sl_value key, value;
	const char *end = record.data + record.size;
	const char *begin = cursor.at;

	*ret = (struct cut){ .before = between(begin, end), .others = sl_count(record) };
	while (sl_next(&cursor, &key, &value)) {
		ret->has_as = ret->has_as || (o->as && is_named(key, o->as));
		ret->has_index = ret->has_index || is_named(key, o->index);
		if (!is_named(key, o->field))
			continue;
		ret->is_twice = ret->array.data != NULL;
		ret->before = between(begin, key.data);
		ret->array = value;
		ret->behind = between(value.data + value.size, end);
		ret->others--;
	}
}

/* --- records ------------------------------------------------------------------------------------ */

static int put_element(const struct shared *o, const struct cut *cut, struct sl_value element,
	int64_t place, struct sl_writer *out)
{
	sl_put_map(out, cut->others + 1 + (o->index != NULL));
	sl_put_value(out, cut->before);
	sl_put_cstr(out, o->as ? o->as : o->field);
	if (element.data)
		sl_put_value(out, element);
	else
		sl_put_nil(out);
	if (cut->behind.data)
		sl_put_value(out, cut->behind);
	if (o->index) {
		sl_put_cstr(out, o->index);
		if (place >= 0)
			sl_put_int(out, place);
		else
			sl_put_nil(out);
	}
	return sl_record_done(out);
}

/* Why the record cannot be unnested, said; 0: it can. */
static int check_cut(struct sl_context *ctx, const struct shared *o, struct sl_value record,
	const struct cut *cut)
{
	enum sl_kind kind = cut->array.data ? sl_kind(cut->array) : SL_NIL;
	uint64_t others = cut->before.size + cut->behind.size;

	if (kind != SL_NIL && kind != SL_ARRAY)
		return sl_reject(ctx, NULL, record, "`field`: \"%s\" is no array but of type %s",
			o->field, sl_kind_name(kind));
	if (cut->is_twice)
		return sl_reject(ctx, NULL, record, "`field`: it has \"%s\" twice", o->field);
	if (cut->has_as)
		return sl_reject(ctx, NULL, record, "`as`: it has a field \"%s\"", o->as);
	if (cut->has_index)
		return sl_reject(ctx, NULL, record, "`index`: it has a field \"%s\"", o->index);
	if (cut->array.data && sl_count(cut->array) * others > GROWTH_MAX)
		return sl_reject(ctx, NULL, record,
			"it would become more than 256 MiB: %u elements, and %llu bytes beside "
			"each",
			sl_count(cut->array), (unsigned long long)others);
	return 0;
}

static int put_record(struct sl_context *ctx, const struct shared *o, struct sl_value record,
	struct sl_writer *out)
{
	struct sl_cursor cursor;
	struct sl_value key, element;
	struct cut cut;
	int r;

	if (sl_kind(record) != SL_MAP)
		return sl_reject(ctx, NULL, record, "it has no fields, being of type %s",
			sl_kind_name(sl_kind(record)));
	cut_record(o, record, &cut);
	r = check_cut(ctx, o, record, &cut);
	if (r != 0)
		return r;
	if (sl_count(cut.array) == 0 && o->keep_empty)
		return put_element(o, &cut, (struct sl_value){ 0 }, -1, out);
	cursor = sl_walk(cut.array);
	for (int64_t i = 0; r == 0 && sl_next(&cursor, &key, &element); i++)
		r = put_element(o, &cut, element, i, out);
	return r;
}

static int64_t unnest_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	int64_t consumed = 0;

	(void)worker;
	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		int r = put_record(ctx, shared, sl_batch_record(in, i), out[0]);

		if (r < 0)
			return r;
		consumed += r == 0;
	}
	return consumed;
}

static int unnest_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (o->field[0] == '\0')
		return sl_error(ctx, -EINVAL, "`field` is empty: write the name of a field");
	if (o->as && o->as[0] == '\0')
		return sl_error(ctx, -EINVAL, "`as` is empty: write the name of a field");
	if (o->index && o->index[0] == '\0')
		return sl_error(ctx, -EINVAL, "`index` is empty: write the name of a field");
	if (o->index && strcmp(o->index, o->as ? o->as : o->field) == 0)
		return sl_error(ctx, -EINVAL,
			"`index` is \"%s\", which the element is named: write another name",
			o->index);
	return 0;
}

/* The field's own name again is none. */
static int unnest_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	(void)ctx;
	if (o->as && strcmp(o->as, o->field) == 0)
		o->as = NULL;
	return 0;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_unnest = {
	.abi = SL_ABI,
	.name = "unnest",
	.role = SL_TRANSFORM,
	.summary = "one record for each element of an array in a field",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.check = unnest_check,
	.open = unnest_open,
	.transform_batch = unnest_transform,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("field", STRING, struct shared, field), .required = true,
	  .help = "the field that has the array", .example = "\"items\"" },
	{ SL_OPTION("as", STRING, struct shared, as),
	  .help = "the name of the field that has the element; none: that of the array", .example = "\"item\"" },
	{ SL_OPTION("index", STRING, struct shared, index),
	  .help = "the name of a field for the element's place in the array, 0 the first; none: no such field",
	  .example = "\"position\"" },
	{ SL_OPTION("keep_empty", BOOL, struct shared, keep_empty), .fallback = "false",
	  .help = "a record whose array is empty, null or not there becomes one record with null, instead of none",
	  .example = "true" },
	{ 0 },
};
/* clang-format on */
