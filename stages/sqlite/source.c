/* SPDX-License-Identifier: MIT */
/*
 * Source "sqlite": the rows of a table or query. With a `key` they are read in its order, a page at a time, each page a snapshot of its own, and a position
 * is a key, moved up by 2^62 so that it is never negative. Rows of one key are never parted, so a key need not be unique. Without it all rows are one query, and
 * a position counts them: a successor reads those before it again, and looks whether they are what they were.
 */
#include "source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define PAGE_ROWS 20000
#define OFFSET (INT64_C(1) << 62)

/* --- beginning ---------------------------------------------------------------------------------- */

static int source_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (*o->path == '\0')
		return sl_error(
			ctx, -EINVAL, "`path` names no file: write for instance \"shop.db\"");
	if (!o->table == !o->query)
		return sl_error(ctx, -EINVAL,
			"write either `table` or `query`: table = \"orders\"; or query = \"SELECT "
			"...\";");
	if (o->follow && !o->key)
		return sl_error(ctx, -EINVAL,
			"`follow` wants a `key` that grows with each new row: write for instance "
			"key = \"id\";");
	return 0;
}

static void source_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	page_fini(&w->page);
	(void)sqlite3_finalize(w->rows);
	sqlite3_free(w->from);
	(void)sqlite3_close_v2(w->db);
}

static int source_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	const char *const names[] = { o->path, o->table ? o->table : o->query, o->key ? o->key : "",
		sl_stage_name(ctx) };
	int r;

	sl_writer_init(&w->page.records);
	w->page.has_keys = o->key != NULL;
	w->is_new = true;
	w->origin = 5;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		w->origin = XXH3_64bits_withSeed(names[i], strlen(names[i]), w->origin);
	r = source_meet(ctx, o, w);
	if (r < 0)
		source_stop(ctx, shared, worker);
	return r;
}

/* --- pages -------------------------------------------------------------------------------------- */

static void forget_page(struct worker *w)
{
	w->page.count = w->page.at = 0;
	w->page.is_last = false;
}

/* Rows from the position on, and before `until`, 0: as many as a page has, and one that says that there are more. */
static char *page_sql(const struct shared *o, const struct worker *w, uint64_t until)
{
	sqlite3_str *text = sqlite3_str_new(w->db);

	if (!o->key) {
		sqlite3_str_appendf(text, "SELECT * FROM %s", w->from);
		return sqlite3_str_finish(text);
	}
	sqlite3_str_appendf(text, "SELECT page.\"%w\", page.* FROM %s WHERE 1", o->key, w->from);
	if (w->position > 0)
		sqlite3_str_appendf(
			text, " AND page.\"%w\" >= %lld", o->key, (long long)w->position - OFFSET);
	if (until > 0)
		sqlite3_str_appendf(
			text, " AND page.\"%w\" < %lld", o->key, (long long)until - OFFSET);
	sqlite3_str_appendf(text, " ORDER BY page.\"%w\"", o->key);
	if (until == 0)
		sqlite3_str_appendf(text, " LIMIT %d", PAGE_ROWS + 1);
	return sqlite3_str_finish(text);
}

static int fill_page(
	struct sl_context *ctx, const struct shared *o, struct worker *w, int code, uint32_t limit)
{
	code = page_fill(&w->page, w->rows, code, limit);
	if (code == SQLITE_MISMATCH)
		return sl_error(ctx, -EINVAL,
			"`key` = \"%s\" is no integer, but holds %s: take a column that is, or "
			"leave "
			"`key` out and read all rows in one query",
			o->key, page_kind(w->rows));
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return code == SQLITE_NOMEM ? -ENOMEM : source_failed(ctx, o, w);
	if (o->key || code == SQLITE_DONE) {
		(void)sqlite3_finalize(w->rows);
		w->rows = NULL;
	}
	if (o->key && !w->is_unique)
		page_sort(&w->page);
	return 0;
}

static int read_page(
	struct sl_context *ctx, const struct shared *o, struct worker *w, uint64_t until)
{
	int code = SQLITE_ROW;

	if (!w->rows)
		code = source_begin(ctx, o, w, page_sql(o, w, until), &w->rows);
	if (code < 0)
		return code;
	return fill_page(ctx, o, w, code, until ? 0 : PAGE_ROWS);
}

/* The next page, whose rows of one key are all there. */
static int next_page(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r = read_page(ctx, o, w, 0);

	if (r < 0 || w->page.is_last || !o->key || w->is_unique)
		return r;
	if (!page_is_one_key(&w->page)) {
		page_drop_last_key(&w->page);
		return 0;
	}
	r = read_page(ctx, o, w, (uint64_t)(w->page.rows[0].key + OFFSET) + 1);
	w->page.is_last = false;
	return r;
}

/* --- cuts --------------------------------------------------------------------------------------- */

/* Whether the key of the row at hand can be a position. */
static int check_key(struct sl_context *ctx, const struct shared *o, int64_t key)
{
	if (o->key && (key < -OFFSET || key >= OFFSET - 1))
		return sl_error(ctx, -ERANGE,
			"`%s` = %" PRId64 " is too large for a position: it must be within 2^62",
			o->key, key);
	return 0;
}

/* Goes over the row at hand; the position behind it. */
static uint64_t pass(
	const struct shared *o, struct worker *w, struct sl_value row, uint64_t position)
{
	int64_t key = w->page.rows[w->page.at++].key;

	w->done++;
	if (o->key)
		return (uint64_t)(key + OFFSET) + 1;
	w->mark = XXH3_64bits_withSeed(row.data, row.size, w->mark);
	return position + 1;
}

static int take(const struct shared *o, struct worker *w, struct sl_value row, struct sl_cut *cut)
{
	sl_put_value(cut->out, row);
	cut->end = pass(o, w, row, cut->end);
	return sl_record_done(cut->out);
}

static int changed(struct sl_context *ctx, const struct shared *o)
{
	return sl_error(ctx, -EIO,
		"%s: the rows that were read before are not what they were, and without a `key` "
		"nobody "
		"knows which are new: choose a `key`, or begin anew with --from-start",
		o->path);
}

/* Without a key: the next row of those that were read before. Absent: there is none, or *ret_error. */
static struct sl_value look_again(
	struct sl_context *ctx, const struct shared *o, struct worker *w, int *ret_error)
{
	*ret_error = 0;
	while (!page_look(&w->page).data && !w->page.is_last && *ret_error == 0)
		*ret_error = read_page(ctx, o, w, 0);
	return *ret_error == 0 ? page_look(&w->page) : (struct sl_value){ 0 };
}

/* A cut that was made before: all rows up to its end. */
static int cut_again(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	struct sl_value row;
	int r = 0;

	if (o->key) {
		forget_page(w);
		r = read_page(ctx, o, w, cut->until);
		while (r == 0 && (row = page_look(&w->page)).data)
			r = take(o, w, row, cut);
		forget_page(w);
	}
	while (!o->key && r == 0 && cut->end < cut->until) {
		row = look_again(ctx, o, w, &r);
		if (r == 0)
			r = row.data ? take(o, w, row, cut) : changed(ctx, o);
	}
	cut->end = cut->until;
	return r;
}

/* 1: there is a row at hand; 0: none that can be had for this cut; -ENODATA: there are no more; another error. */
static int look(
	struct sl_context *ctx, const struct shared *o, struct worker *w, const struct sl_cut *cut)
{
	while (!page_look(&w->page).data) {
		int r;

		if (w->page.is_last)
			return -ENODATA;
		if (cut->out->count > 0)
			return 0;
		r = next_page(ctx, o, w);
		if (r < 0)
			return r;
	}
	return check_key(ctx, o, w->page.rows[w->page.at].key) < 0 ? -ERANGE : 1;
}

/* New rows, in the order of their keys. */
static int cut_on(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	uint64_t bound = sl_bound(ctx, w->origin, w->position);
	int r;

	while ((r = look(ctx, o, w, cut)) > 0) {
		uint64_t at = o->key ? (uint64_t)(w->page.rows[w->page.at].key + OFFSET) : cut->end;
		bool is_full = cut->out->count >= cut->want || cut->out->size >= cut->size_max;

		if (bound > 0 && at >= bound) {
			cut->end = bound;
			return SL_MORE;
		}
		/* Behind the last one of its key a cut ends just there. */
		if (is_full && (!o->key || w->is_unique || at >= cut->end))
			return SL_MORE;
		r = take(o, w, page_look(&w->page), cut);
		if (r < 0)
			return r;
	}
	return r == -ENODATA ? SL_END : r;
}

static int cut_or_wait(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	int r = cut_on(ctx, o, w, cut);

	while (r == SL_END && o->follow) {
		if (cut->out->count > 0)
			return SL_MORE;
		r = sl_sleep_until(ctx, sl_now() + o->poll);
		forget_page(w);
		if (r == 0)
			r = cut_on(ctx, o, w, cut);
	}
	return r;
}

/* Without a key it comes to its place by going over all rows that stand before it. */
static int go_on(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	struct sl_place place;
	uint64_t position = 0;
	int r = 0;

	w->is_new = false;
	if (!sl_checkpoint(ctx, w->origin, &place))
		return 0;
	w->position = place.position;
	while (!o->key && position < place.position) {
		struct sl_value row = look_again(ctx, o, w, &r);

		if (r < 0)
			return r;
		if (!row.data)
			return changed(ctx, o);
		position = pass(o, w, row, position);
	}
	return !o->key && place.mark != 0 && place.mark != w->mark ? changed(ctx, o) : 0;
}

static int source_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r = w->is_new ? go_on(ctx, o, w) : 0;

	cut->origin = w->origin;
	cut->name = o->table ? o->table : "query";
	cut->start = w->position;
	cut->end = w->position;
	if (r == 0)
		r = cut->until ? cut_again(ctx, o, w, cut) : cut_or_wait(ctx, o, w, cut);
	if (r < 0)
		return r;
	w->position = cut->end;
	cut->mark = w->mark;
	cut->origin_done = r == SL_END;
	sl_progress(ctx, w->done, 0, "records");
	return r;
}

/* And the journals beside it: who reads from a WAL takes part in its index. */
static void source_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	(void)ctx;
	tell(user, ((const struct shared *)shared)->path, SL_FILES_WRITE);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_source_sqlite = {
	.abi = SL_ABI,
	.name = "sqlite",
	.role = SL_SOURCE,
	.summary = "rows of an SQLite table or query, also those that come later",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES | SL_WAITS | SL_CONFINED |
		 SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = source_check,
	.start = source_start,
	.produce = source_produce,
	.stop = source_stop,
	.options = options,
	.files = source_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("path", STRING, struct shared, path), .required = true,
	  .help = "the database file, which is only read", .example = "\"/var/lib/shop/shop.db\"" },
	{ SL_OPTION("table", STRING, struct shared, table),
	  .help = "a table or view; instead of `query`", .example = "\"orders\"" },
	{ SL_OPTION("query", STRING, struct shared, query),
	  .help = "a SELECT; instead of `table`", .example = "\"SELECT id, amount FROM orders WHERE paid\"" },
	{ SL_OPTION("key", STRING, struct shared, key),
	  .help = "a column of integers, by which the rows are read in order, a page at a time, and reading goes on after a death",
	  .example = "\"id\"" },
	{ SL_OPTION("follow", BOOL, struct shared, follow), .fallback = "false",
	  .help = "at the end go on with rows whose key is higher, when there are some", .example = "true" },
	{ SL_OPTION("poll", DURATION, struct shared, poll), .fallback = "1s", .min = 1000000, .max = INT64_MAX,
	  .help = "how often `follow` looks for them", .example = "\"200ms\"" },
	{ 0 },
};
/* clang-format on */
