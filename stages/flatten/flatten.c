/* SPDX-License-Identifier: MIT */
/*
 * Transform "flatten": the fields of maps inside a record become fields of the record, named by the way to them: a.b.c. A record without such maps is
 * copied as it is; so is every value.
 *
 * The pairs of a record are made in `pairs`, for a map's head, which has their number, goes before them. `names` is the set of the names there
 * so far, by open addressing; an entry of another record counts as empty.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define NAMES_FIRST 64
#define SHOWN_MAX 200

enum arrays { ARRAYS_KEEP, ARRAYS_INDEX };

static const char *const array_names[] = { "keep", "index", NULL };

struct shared {
	const char *separator;
	int64_t depth;
	int arrays;
	struct sl_strings fields;
};

/* A name in `pairs`. */
struct name {
	uint64_t stamp; /* of its record */
	uint64_t hash;
	size_t at, size;
	bool is_made; /* by joining others */
};

struct worker {
	const struct shared *o;
	struct sl_writer pairs;
	struct sl_writer path; /* plain bytes: the name so far */
	struct name *names;
	uint32_t capacity, used;
	uint32_t count; /* pairs of the record */
	uint64_t stamp;
	size_t clash_at, clash_size; /* in `pairs`: the name that stands twice */
};

/* --- names -------------------------------------------------------------------------------------- */

static struct name *find_slot(const struct worker *w, uint64_t hash, const char *text, size_t size)
{
	uint32_t mask = w->capacity - 1;

	for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
		struct name *name = &w->names[i];

		if (name->stamp != w->stamp ||
			(name->hash == hash && name->size == size &&
				memcmp(w->pairs.data + name->at, text, size) == 0))
			return name;
	}
}

static int grow_names(struct worker *w)
{
	struct name *old = w->names;
	uint32_t old_capacity = w->capacity;
	uint32_t capacity = old_capacity ? 2 * old_capacity : NAMES_FIRST;

	w->names = calloc(capacity, sizeof(*w->names));
	if (!w->names) {
		w->names = old;
		return -ENOMEM;
	}
	w->capacity = capacity;
	for (uint32_t i = 0; i < old_capacity; i++)
		if (old[i].stamp == w->stamp)
			*find_slot(w, old[i].hash, w->pairs.data + old[i].at, old[i].size) = old[i];
	free(old);
	return 0;
}

/* The name was put at the end of `pairs`. -EEXIST: it is there twice, and one of the two is made. */
static int add_name(struct worker *w, size_t size, bool is_made)
{
	size_t at = w->pairs.size - size;
	struct name *slot;
	uint64_t hash;

	if (2 * (w->used + 1) > w->capacity && grow_names(w) < 0)
		return -ENOMEM;
	hash = XXH3_64bits(w->pairs.data + at, size);
	slot = find_slot(w, hash, w->pairs.data + at, size);
	if (slot->stamp == w->stamp && (is_made || slot->is_made)) {
		w->clash_at = at;
		w->clash_size = size;
		return -EEXIST;
	}
	w->used += slot->stamp != w->stamp;
	*slot = (struct name){ w->stamp, hash, at, size, is_made };
	return 0;
}

/* --- fields ------------------------------------------------------------------------------------- */

static bool is_nested(const struct worker *w, struct sl_value v)
{
	enum sl_kind kind = sl_kind(v);

	return (kind == SL_MAP || (kind == SL_ARRAY && w->o->arrays == ARRAYS_INDEX)) &&
	       sl_count(v) > 0;
}

/* Is that field of the record to be flattened? */
static bool is_chosen(const struct worker *w, struct sl_value key, struct sl_value value)
{
	const struct sl_strings *fields = &w->o->fields;
	const char *text;
	size_t size;

	if (!is_nested(w, value))
		return false;
	if (fields->count == 0)
		return true;
	if (!sl_get_str(key, &text, &size))
		return false;
	for (uint32_t i = 0; i < fields->count; i++)
		if (strlen(fields->items[i]) == size && memcmp(fields->items[i], text, size) == 0)
			return true;
	return false;
}

static void append(struct sl_writer *bytes, const char *text, size_t size)
{
	char *at = sl_writer_reserve(bytes, size);

	if (at) {
		memcpy(at, text, size);
		bytes->size += size;
	}
}

/* A key of any kind, or the place in an array, as a part of a name. */
static void append_key(struct worker *w, struct sl_value key, uint32_t place)
{
	char shown[SHOWN_MAX];
	const char *text;
	size_t size;

	if (key.data && sl_get_str(key, &text, &size)) {
		append(&w->path, text, size);
		return;
	}
	if (key.data)
		sl_print(key, shown, sizeof(shown));
	else
		(void)snprintf(shown, sizeof(shown), "%u", place);
	append(&w->path, shown, strlen(shown));
}

static int put_leaf(struct worker *w, struct sl_value value)
{
	int r;

	sl_put_str(&w->pairs, w->path.data, w->path.size);
	if (w->pairs.error || w->path.error)
		return -ENOMEM;
	r = add_name(w, w->path.size, true);
	sl_put_value(&w->pairs, value);
	w->count++;
	return r;
}

/* The members of a map or array whose name is the path. */
static int put_members(struct worker *w, struct sl_value nested, int64_t depth)
{
	struct sl_cursor cursor = sl_walk(nested);
	struct sl_value key, value;
	size_t size = w->path.size;
	int r = 0;

	for (uint32_t i = 0; r == 0 && sl_next(&cursor, &key, &value); i++) {
		append(&w->path, w->o->separator, strlen(w->o->separator));
		append_key(w, key, i);
		if (is_nested(w, value) && (w->o->depth == 0 || depth < w->o->depth))
			r = put_members(w, value, depth + 1);
		else
			r = put_leaf(w, value);
		w->path.size = size;
	}
	return r;
}

static int put_field(struct worker *w, struct sl_value key, struct sl_value value)
{
	const char *text;
	size_t size;
	int r = 0;

	if (is_chosen(w, key, value)) {
		w->path.size = 0;
		append_key(w, key, 0);
		return put_members(w, value, 1);
	}
	sl_put_value(&w->pairs, key);
	if (!w->pairs.error && sl_get_str(key, &text, &size))
		r = add_name(w, size, false);
	sl_put_value(&w->pairs, value);
	w->count++;
	return r;
}

/* --- records ------------------------------------------------------------------------------------ */

static bool has_nested(const struct worker *w, struct sl_value record)
{
	struct sl_cursor cursor = sl_walk(record);
	struct sl_value key, value;

	if (sl_kind(record) != SL_MAP)
		return false;
	while (sl_next(&cursor, &key, &value))
		if (is_chosen(w, key, value))
			return true;
	return false;
}

static int put_record(struct worker *w, struct sl_value record, struct sl_writer *out)
{
	struct sl_cursor cursor = sl_walk(record);
	struct sl_value key, value;
	int r = 0;

	sl_writer_reset(&w->pairs);
	sl_writer_reset(&w->path);
	w->count = 0;
	w->used = 0;
	w->stamp++;
	while (r == 0 && sl_next(&cursor, &key, &value))
		r = put_field(w, key, value);
	if (r < 0)
		return r;
	if (w->pairs.error)
		return -ENOMEM;
	sl_put_map(out, w->count);
	append(out, w->pairs.data, w->pairs.size);
	return sl_record_done(out);
}

/* The size of what a message shows of a name: whole characters. */
static int shown_size(const char *text, size_t size)
{
	if (size <= SHOWN_MAX)
		return (int)size;
	for (size = SHOWN_MAX; size > 0 && (text[size] & 0xc0) == 0x80;)
		size--;
	return (int)size;
}

static void reject_clash(struct sl_context *ctx, const struct worker *w, struct sl_value record)
{
	const char *name = w->pairs.data + w->clash_at;

	(void)sl_reject(ctx, NULL, record, "two fields would be named \"%.*s\"",
		shown_size(name, w->clash_size), name);
}

static int64_t flatten_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	struct worker *w = worker;
	int64_t consumed = 0;

	(void)shared;
	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		struct sl_value record = sl_batch_record(in, i);
		int r;

		if (has_nested(w, record)) {
			r = put_record(w, record, out[0]);
		} else {
			sl_put_value(out[0], record);
			r = sl_record_done(out[0]);
		}
		if (r == -EEXIST)
			reject_clash(ctx, w, record);
		else if (r < 0)
			return r;
		else
			consumed++;
	}
	return consumed;
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int flatten_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	w->o = shared;
	sl_writer_init(&w->pairs);
	sl_writer_init(&w->path);
	return 0;
}

static void flatten_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	sl_writer_fini(&w->pairs);
	sl_writer_fini(&w->path);
	free(w->names);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_flatten = {
	.abi = SL_ABI,
	.name = "flatten",
	.role = SL_TRANSFORM,
	.summary = "makes the fields of maps inside a record fields of the record: a.b",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.start = flatten_start,
	.transform_batch = flatten_transform,
	.stop = flatten_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("separator", STRING, struct shared, separator), .fallback = ".",
	  .help = "what stands between the names", .example = "\"_\"" },
	{ SL_OPTION("depth", INT, struct shared, depth), .fallback = "0", .min = 0, .max = 64,
	  .help = "so many levels are flattened; 0: all", .example = "1" },
	{ SL_OPTION("arrays", CHOICE, struct shared, arrays), .fallback = "keep", .choices = array_names,
	  .help = "arrays stay as they are, or are flattened by the place of each member: a.0",
	  .example = "\"index\"" },
	{ SL_OPTION("fields", STRINGS, struct shared, fields),
	  .help = "the fields of the record that are flattened; none: all", .example = "[ \"address\" ]" },
	{ 0 },
};
/* clang-format on */
