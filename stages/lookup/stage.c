/* SPDX-License-Identifier: MIT */
/*
 * Transform "lookup": joins each record with the row of a table that has its key. The table is kept in memory and is read again when it has changed, see
 * keeper.h; a batch is joined with one version of it.
 */
#include "lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "keeper.h"
#include "key.h"
#include "server.h"

#define LOOK_EVERY (2 * SL_MILLISECOND)

struct worker {
	struct sl_writer key;
	struct sl_writer nothing; /* the fields of a row that there is not: a map of nulls */
};

/* --- beginning and end -------------------------------------------------------------------------- */

static int lookup_open(struct sl_context *ctx, void *shared)
{
	struct lookup *o = shared;

	(void)ctx;
	o->keeper = keeper_new(o);
	return o->keeper ? 0 : -ENOMEM;
}

static void lookup_close(struct sl_context *ctx, void *shared)
{
	struct lookup *o = shared;

	(void)ctx;
	keeper_free(o->keeper);
}

static int wait_for_table(struct sl_context *ctx, const struct lookup *o)
{
	struct problem problem = { 0 };
	int r = keeper_start(o->keeper);

	while (r == 0 && (r = keeper_look(o->keeper, &problem)) == 0)
		r = sl_sleep_until(ctx, sl_now() + LOOK_EVERY);
	if (r < 0 && problem.text[0] && r == problem.error)
		return sl_error(ctx, r, "the table %s: %s", lookup_name(o), problem.text);
	return r < 0 ? r : 0;
}

static int make_nothing(const struct lookup *o, struct sl_writer *nothing)
{
	struct sl_writer name;

	sl_writer_init(&name);
	sl_put_map(nothing, o->take.count);
	for (uint32_t i = 0; i < o->take.count; i++) {
		const char *text = build_name(o, &name, o->take.items[i], strlen(o->take.items[i]));

		sl_put_cstr(nothing, text ? text : "");
		sl_put_nil(nothing);
	}
	sl_writer_fini(&name);
	return sl_record_done(nothing);
}

static void lookup_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	sl_writer_fini(&w->key);
	sl_writer_fini(&w->nothing);
}

static int lookup_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;
	int r;

	sl_writer_init(&w->key);
	sl_writer_init(&w->nothing);
	r = make_nothing(shared, &w->nothing);
	if (r == 0)
		r = wait_for_table(ctx, shared);
	if (r < 0)
		lookup_stop(ctx, shared, worker);
	return r;
}

/* --- records ------------------------------------------------------------------------------------ */

/* How many of the record's fields the row has, too: those are the row's. */
static uint32_t count_common(struct sl_value record, struct sl_value row)
{
	struct sl_value key, value;
	uint32_t count = 0;
	const char *name;
	size_t size;

	for (struct sl_cursor c = sl_walk(row); sl_next(&c, &key, &value);)
		if (sl_get_str(key, &name, &size) && sl_find(record, name, size).data)
			count++;
	return count;
}

static void put_members(struct sl_writer *out, struct sl_value map)
{
	struct sl_cursor c = sl_walk(map);
	size_t size = (size_t)(map.data + map.size - c.at);
	char *at = sl_writer_reserve(out, size);

	if (!at)
		return;
	memcpy(at, c.at, size);
	out->size += size;
}

/* The record with a row's fields behind its own. */
static int put_joined(struct sl_writer *out, struct sl_value record, struct sl_value row)
{
	uint32_t common = count_common(record, row);
	struct sl_value key, value;
	uint32_t kept = sl_count(record);
	struct sl_cursor c;
	const char *name;
	size_t size;

	if (common == 0) {
		sl_put_map(out, kept + sl_count(row));
		put_members(out, record);
		put_members(out, row);
		return sl_record_done(out);
	}
	/* A key may stand twice in the record. */
	for (c = sl_walk(record); sl_next(&c, &key, &value);)
		kept -= sl_get_str(key, &name, &size) && sl_find(row, name, size).data;
	sl_put_map(out, kept + sl_count(row));
	for (c = sl_walk(record); sl_next(&c, &key, &value);)
		if (!sl_get_str(key, &name, &size) || !sl_find(row, name, size).data) {
			sl_put_value(out, key);
			sl_put_value(out, value);
		}
	put_members(out, row);
	return sl_record_done(out);
}

static int reject_missing(struct sl_context *ctx, const struct lookup *o, struct sl_value record)
{
	const char *field = lookup_field(o, 0);
	struct sl_value value = sl_find(record, field, strlen(field));
	char text[100] = "nothing";

	if (value.data)
		sl_print(value, text, sizeof(text));
	return sl_reject(ctx, NULL, record, "the table %s has no row for %s = %s%s", lookup_name(o),
		field, text, lookup_key_count(o) > 1 ? ", ..." : "");
}

static int put_missing(struct sl_context *ctx, const struct lookup *o, const struct worker *w,
	struct sl_value record, struct sl_writer *out)
{
	switch ((enum missing)o->missing) {
	case MISSING_NULL:
		return put_joined(
			out, record, (struct sl_value){ w->nothing.data, w->nothing.size });
	case MISSING_DEAD_LETTER:
		return reject_missing(ctx, o, record);
	case MISSING_DROP:
		return 0;
	default:
		sl_put_value(out, record);
		return sl_record_done(out);
	}
}

static int join(struct sl_context *ctx, const struct lookup *o, struct worker *w,
	const struct table *table, struct sl_value record, struct sl_writer *out)
{
	struct sl_value row = { 0 };
	bool is_good = true;

	if (sl_kind(record) != SL_MAP)
		return sl_reject(ctx, NULL, record, "it is no map, so it has no fields");
	sl_writer_reset(&w->key);
	for (uint32_t i = 0; i < lookup_key_count(o) && is_good; i++) {
		const char *field = lookup_field(o, i);

		is_good =
			key_put(&w->key, sl_find(record, field, strlen(field)), lookup_is_loose(o));
	}
	if (w->key.error)
		return -ENOMEM;
	if (is_good)
		row = table_find(table, w->key.data, w->key.size);
	return row.data ? put_joined(out, record, row) : put_missing(ctx, o, w, record, out);
}

static int64_t lookup_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	const struct lookup *o = shared;
	struct version *version = keeper_take(o->keeper);
	uint32_t count = sl_batch_count(in);
	struct message message;
	int64_t consumed = 0;
	int r = 0;

	if (keeper_hear(o->keeper, &message))
		sl_log(ctx, message.level, "%s", message.text);
	for (uint32_t i = 0; i < count && r >= 0; i++) {
		r = join(ctx, o, worker, version_table(version), sl_batch_record(in, i), out[0]);
		consumed += r == 0;
	}
	keeper_give(o->keeper, version);
	return r < 0 ? r : consumed;
}

/* --- the stage ---------------------------------------------------------------------------------- */

static int lookup_check(struct sl_context *ctx, const void *shared)
{
	return check_options(ctx, shared);
}

static void lookup_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	const struct lookup *o = shared;

	(void)ctx;
	/* An SQLite database in WAL mode is read with what stands beside it. */
	if (o->path)
		tell(user, o->path, lookup_home(o) == HOME_SQLITE ? SL_FILES_WRITE : SL_FILES_READ);
	if (o->connection)
		server_files(o->connection, tell, user);
}

static const struct sl_option options[];
static const char *const missings[] = { "keep", "null", "dead-letter", "drop", NULL };
static const char *const duplicates[] = { "error", "first", "last", NULL };

static const struct sl_stage lookup = {
	.abi = SL_ABI,
	.name = "lookup",
	.role = SL_TRANSFORM,
	.summary = "joins each record with a row of a table: a file, SQLite, PostgreSQL",
	.flags = SL_RESUMES | SL_CONFINED | SL_NEEDS_FILES | SL_NEEDS_NETWORK,
	.shared_size = sizeof(struct lookup),
	.worker_size = sizeof(struct worker),
	.check = lookup_check,
	.open = lookup_open,
	.start = lookup_start,
	.transform_batch = lookup_transform,
	.stop = lookup_stop,
	.close = lookup_close,
	.options = options,
	.files = lookup_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("path", STRING, struct lookup, path),
	  .help = "the file with the table (csv, ndjson, json, msgpack; gzip, zstd); with `table` or `query` an SQLite database", .example = "\"/var/lib/shop/prices.csv\"" },
	{ SL_OPTION("format", CHOICE, struct lookup, format), .fallback = "auto", .choices = sl_format_names,
	  .help = "of the file; \"auto\": as its name ends", .example = "\"csv\"" },
	{ SL_OPTION("delimiter", CHAR, struct lookup, delimiter),
	  .help = "between the columns of CSV, if it is no comma", .example = "\";\"" },
	{ SL_OPTION("connection", STRING, struct lookup, connection),
	  .help = "the PostgreSQL server, as libpq understands it: words or an URL", .example = "\"host=db.example.org dbname=shop user=sluice\"" },
	{ SL_OPTION("table", STRING, struct lookup, table),
	  .help = "the table in the database", .example = "\"prices\"" },
	{ SL_OPTION("query", STRING, struct lookup, query),
	  .help = "a SELECT; instead of `table`", .example = "\"SELECT id, price FROM prices WHERE valid\"" },
	{ SL_OPTION("on", STRINGS, struct lookup, on),
	  .help = "fields of the record that the table has as columns of the same name", .example = "[ \"id\" ]" },
	{ SL_OPTION("key", PAIRS, struct lookup, key),
	  .help = "a field of the record, and the column of the table that it must equal", .example = "{ article = \"id\"; }" },
	{ SL_OPTION("take", STRINGS, struct lookup, take),
	  .help = "the columns that the record gets; absent: all but those of the key", .example = "[ \"price\", \"name\" ]" },
	{ SL_OPTION("rename", PAIRS, struct lookup, rename),
	  .help = "a column, and the field that it becomes", .example = "{ name = \"article_name\"; }" },
	{ SL_OPTION("prefix", STRING, struct lookup, prefix),
	  .help = "stands before the names of all others", .example = "\"article_\"" },
	{ SL_OPTION("missing", CHOICE, struct lookup, missing), .fallback = "keep", .choices = missings,
	  .help = "a record for which there is no row: it stays as it is, gets nulls, becomes a dead letter, or is dropped", .example = "\"dead-letter\"" },
	{ SL_OPTION("duplicates", CHOICE, struct lookup, duplicates), .fallback = "error", .choices = duplicates,
	  .help = "rows of one key: the table is refused, or the first or last one counts", .example = "\"last\"" },
	{ SL_OPTION("loose", BOOL, struct lookup, loose), .fallback = "false",
	  .help = "numbers and booleans equal the text that says them, as always with CSV", .example = "true" },
	{ SL_OPTION("table_max", SIZE, struct lookup, table_max), .fallback = "256MiB", .min = 4096, .max = INT64_MAX,
	  .help = "what the table may take of memory; while it is read again there are two of them", .example = "\"1GiB\"" },
	{ SL_OPTION("reload", DURATION, struct lookup, reload), .min = 1000000, .max = INT64_MAX,
	  .help = "how often to look whether it has changed, and then to read it again; absent: it is read once", .example = "\"10s\"" },
	{ 0 },
};
/* clang-format on */

SL_MODULE(&lookup);
