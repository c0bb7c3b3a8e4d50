/* SPDX-License-Identifier: MIT */
/*
 * Source "postgres": the rows of a table or query. With a `key` they are read in its order, a page at a time, each page with a snapshot of its own, and a
 * position is a key: an integer, or a time in microseconds, moved up by 2^62 so that it is never negative. Rows of one key are never parted, so
 * a key need not be unique. Without it all rows are one query with one snapshot, which cannot be read again.
 */
#include "stages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "check.h"
#include "files.h"
#include "stream.h"
#include "text.h"

#define PAGE_ROWS 100000
#define PATIENCE (10 * SL_MILLISECOND)
#define OFFSET (INT64_C(1) << 62)

struct shared {
	const char *connection;
	const char *table;
	const char *query;
	const char *key;
	int numeric;
	bool follow;
	int64_t poll;
};

struct worker {
	PGconn *conn;
	struct stream stream;
	struct sl_writer from; /* the table, or the query in brackets; 0-terminated */
	struct sl_writer sql;
	char *key; /* quoted */
	bool is_time;
	bool is_unique;
	bool is_new;    /* it has not asked where to go on */
	bool is_broken; /* a query was left in the middle */
	uint64_t origin;
	uint64_t position;
	uint64_t done;   /* rows, for people */
	int64_t send_at; /* the cut at hand, as it is then */
};

enum numeric { NUMERIC_STRING, NUMERIC_FLOAT };
enum { OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TIMESTAMP = 1114, OID_TIMESTAMPTZ = 1184 };

/* --- beginning ---------------------------------------------------------------------------------- */

static int source_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (!o->table == !o->query)
		return sl_error(ctx, -EINVAL,
			"write either `table` or `query`: table = \"orders\"; or query = \"SELECT "
			"...\";");
	if (o->follow && !o->key)
		return sl_error(ctx, -EINVAL,
			"`follow` wants a `key` that grows with each new row: write for instance "
			"key = \"id\";");
	return check_connection(ctx, o->connection);
}

static bool source_is_live(const void *shared)
{
	const struct shared *o = shared;

	return !o->key;
}

/* A query may end with a semicolon; it stands in brackets here. */
static int write_from(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	size_t size = o->query ? strlen(o->query) : 0;
	PGresult *result = NULL;
	int r = 0;

	while (size > 0 && strchr("; \t\n", o->query[size - 1]))
		size--;
	if (o->query) {
		text_add(&w->from, "(");
		text_bytes(&w->from, o->query, size);
		text_add(&w->from, "\n) AS page");
	} else {
		r = pg_ask(ctx, w->conn, "SELECT to_regclass($1)", 1, &o->table, &result);
		if (r == 0 && PQgetisnull(result, 0, 0))
			r = sl_error(ctx, -ENOENT,
				"database %s has no table %s that this user may see", PQdb(w->conn),
				o->table);
		text_add(&w->from, r == 0 ? PQgetvalue(result, 0, 0) : "");
		text_add(&w->from, " AS page");
		PQclear(result);
	}
	if (r == 0 && !text_end(&w->from))
		r = -ENOMEM;
	return r > 0 ? -EIO : r;
}

/* One SQL text from its parts, NULL behind the last. */
#define write_sql(w, ...) write_parts(w, (const char *[]){ __VA_ARGS__, NULL })
static const char *write_parts(struct worker *w, const char *const *parts)
{
	sl_writer_reset(&w->sql);
	for (; *parts; parts++)
		text_add(&w->sql, *parts);
	return text_end(&w->sql);
}

static int ask_sql(struct sl_context *ctx, struct worker *w, const char *sql, PGresult **ret)
{
	int r = sql ? pg_run(ctx, w->conn, sql, ret) : -ENOMEM;

	if (r == SL_REJECTED) {
		r = pg_failed(ctx, w->conn, *ret);
		PQclear(*ret);
		*ret = NULL;
	}
	return r;
}

static int judge_type(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	PGresult *result = NULL;
	int r = ask_sql(ctx, w, write_sql(w, "SELECT ", w->key, " FROM ", w->from.data, " LIMIT 0"),
		&result);
	unsigned oid = r == 0 ? PQftype(result, 0) : 0;

	PQclear(result);
	w->is_time = oid == OID_TIMESTAMP || oid == OID_TIMESTAMPTZ;
	if (r == 0 && !w->is_time && oid != OID_INT2 && oid != OID_INT4 && oid != OID_INT8)
		r = sl_error(ctx, -EINVAL,
			"`key` = \"%s\" is no integer and no timestamp: take a column that is, or "
			"leave `key` out and read all rows in one query",
			o->key);
	return r;
}

static const char unique_query[] =
	"SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = $2"
	" WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate"
	" AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND a.attnotnull";

/* Of a query, or without an index, nobody knows: then rows without a key would be passed over in silence. */
static int judge_values(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	const char *const names[] = { o->table, o->key };
	PGresult *result = NULL;
	int r = o->table ? pg_ask(ctx, w->conn, unique_query, 2, names, &result) : 0;

	w->is_unique = r == 0 && result && PQntuples(result) > 0;
	PQclear(result);
	if (r != 0 || w->is_unique)
		return r > 0 ? -EIO : r;
	r = ask_sql(ctx, w,
		write_sql(w, "SELECT 1 FROM ", w->from.data, " WHERE ", w->key, " IS NULL LIMIT 1"),
		&result);
	if (r == 0 && PQntuples(result) > 0)
		r = sl_error(ctx, -EINVAL,
			"there are rows whose `%s` is NULL, and they would never be read: choose "
			"another `key`, or leave them out with a `query`",
			o->key);
	if (r == 0)
		PQclear(result);
	return r;
}

static int meet_key(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	char *quoted = PQescapeIdentifier(w->conn, o->key, strlen(o->key));
	int r;

	w->key = quoted ? strdup(quoted) : NULL;
	PQfreemem(quoted);
	if (!w->key)
		return -ENOMEM;
	r = judge_type(ctx, o, w);
	return r == 0 ? judge_values(ctx, o, w) : r;
}

static int meet(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	const char *sql;
	int r = pg_connect(ctx, o->connection, &w->conn);

	if (r == 0 && !w->from.data)
		r = write_from(ctx, o, w);
	if (r == 0 && o->key && !w->key)
		r = meet_key(ctx, o, w);
	if (r < 0 || w->stream.columns)
		return r;
	sql = write_sql(w, "SELECT * FROM ", w->from.data, " LIMIT 0");
	return sql ? stream_describe(ctx, w->conn, sql, o->numeric == NUMERIC_FLOAT, &w->stream)
		   : -ENOMEM;
}

static int source_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	const char *what = o->table ? o->table : o->query;

	sl_writer_init(&w->from);
	sl_writer_init(&w->sql);
	w->is_new = true;
	w->origin = XXH3_64bits_withSeed(what, strlen(what), 4);
	if (o->key)
		w->origin = XXH3_64bits_withSeed(o->key, strlen(o->key), w->origin);
	w->origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), w->origin);
	return meet(ctx, o, w);
}

static void source_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	stream_fini(&w->stream);
	PQfinish(w->conn);
	free(w->key);
	sl_writer_fini(&w->from);
	sl_writer_fini(&w->sql);
}

/* --- pages -------------------------------------------------------------------------------------- */

/* A position as SQL has it; `text` is 100 bytes. */
static const char *print_bound(const struct worker *w, uint64_t position, char *text)
{
	int64_t key = (int64_t)position - OFFSET;

	(void)snprintf(text, 100,
		w->is_time ? "timestamptz 'epoch' + %" PRId64 " * interval '1 microsecond'"
			   : "%" PRId64,
		key);
	return text;
}

/*
 * Rows from the position on, in the order of the key: a page of them, or all before `until`. Those of one key come in the order of their text, so that they
 * read the same again.
 */
static const char *page_sql(struct worker *w, uint64_t until)
{
	char from[100], to[100], limit[64];
	const char *order = w->is_unique ? "" : ", (page.*)::text";

	(void)print_bound(w, w->position, from);
	(void)print_bound(w, until, to);
	(void)snprintf(limit, sizeof(limit), " FETCH FIRST %d ROWS WITH TIES", PAGE_ROWS);
	return write_sql(w, "COPY (SELECT ", w->is_time ? "(extract(epoch FROM page." : "(page.",
		w->key, w->is_time ? ") * 1000000)::bigint" : ")::bigint",
		", page.* FROM (SELECT * FROM ", w->from.data, " WHERE ",
		w->position == 0 ? "true" : w->key,
		w->position == 0 ? "" : " >= ", w->position == 0 ? "" : from, until ? " AND " : "",
		until ? w->key : "", until ? " < " : "", until ? to : "", " ORDER BY ", w->key,
		until ? "" : limit, ") AS page ORDER BY page.", w->key, order, ") TO STDOUT");
}

static int open_page(
	struct sl_context *ctx, const struct shared *o, struct worker *w, uint64_t until)
{
	const char *sql = o->key ? page_sql(w, until)
				 : write_sql(w, "COPY (SELECT 0::bigint, page.* FROM ",
					   w->from.data, ") TO STDOUT");

	return sql ? stream_open(ctx, w->conn, sql, &w->stream) : -ENOMEM;
}

/* What was left in the middle cannot be gone on with on this connection. */
static int mend(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	if (!w->is_broken)
		return 0;
	PQfreemem(w->stream.line);
	w->stream.line = NULL;
	w->stream.is_open = false;
	PQfinish(w->conn);
	w->conn = NULL;
	w->is_broken = false;
	return meet(ctx, o, w);
}

/* --- cuts --------------------------------------------------------------------------------------- */

/* Whether the key of the row at hand can be a position. */
static int check_key(struct sl_context *ctx, const struct shared *o, const struct worker *w)
{
	if (o->key && (w->stream.key < -OFFSET || w->stream.key >= OFFSET - 1))
		return sl_error(ctx, -ERANGE,
			"`%s` = %" PRId64 " is too large for a position: it must be within 2^62",
			o->key, w->stream.key);
	return 0;
}

static int take(const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	cut->end = o->key ? (uint64_t)(w->stream.key + OFFSET) + 1 : cut->end + 1;
	w->done++;
	return stream_take(&w->stream, cut->out);
}

/* A cut that was made before: all rows up to its end. */
static int cut_again(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	int r;

	w->is_broken = w->stream.is_open;
	r = mend(ctx, o, w);
	if (r == 0)
		r = open_page(ctx, o, w, cut->until);
	while (r == 0 && (r = stream_look(ctx, w->conn, &w->stream, SL_NEVER)) > 0)
		r = take(o, w, cut);
	cut->end = cut->until;
	return r;
}

enum { ROW = 1, NO_ROW = 0, NOT_NOW = 2, PAGE_END = 3 };

/*
 * Whether there is a row to be looked at. It waits for the first row of a cut, or to know that those of one key are all there. A server sends its rows 8 KiB at
 * a time, and a cut for each of these would cost more than the rows: for the next ones it waits a moment, too.
 */
static int look(struct sl_context *ctx, const struct shared *o, struct worker *w, bool is_first)
{
	bool may_wait = is_first || (o->key && !w->is_unique);
	int r = 0;

	if (!w->stream.is_open && !is_first)
		return PAGE_END;
	if (!w->stream.is_open)
		r = open_page(ctx, o, w, 0);
	if (r == 0)
		r = stream_look(ctx, w->conn, &w->stream, may_wait ? SL_NEVER : w->send_at);
	if (r > 0 && is_first)
		w->send_at = sl_now() + PATIENCE;
	if (r == 0 && o->key && w->stream.rows >= PAGE_ROWS)
		return is_first ? look(ctx, o, w, is_first) : PAGE_END;
	if (r == -ETIMEDOUT || (r == -ECANCELED && !may_wait))
		return NOT_NOW;
	return r;
}

/* New rows, in the order of their keys. */
static int cut_on(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	uint64_t bound = sl_bound(ctx, w->origin, w->position);
	int64_t last = 0;
	int r;

	for (;;) {
		bool is_first = cut->out->count == 0;
		bool is_full = cut->out->count >= cut->want || cut->out->size >= cut->size_max;

		if (is_full && !(o->key && !w->is_unique))
			return SL_MORE;
		r = look(ctx, o, w, is_first);
		if (r < 0)
			return r;
		if (r == NO_ROW)
			return SL_END;
		if (r != ROW)
			return SL_MORE;
		r = check_key(ctx, o, w);
		if (r < 0)
			return r;
		if (bound > 0 && o->key && (uint64_t)(w->stream.key + OFFSET) >= bound) {
			cut->end = bound;
			return SL_MORE;
		}
		if (is_full && w->stream.key != last)
			return SL_MORE;
		last = w->stream.key;
		r = take(o, w, cut);
		if (r < 0)
			return r;
	}
}

static int cut_or_wait(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	int r = cut_on(ctx, o, w, cut);

	while (r == SL_END && o->follow) {
		if (cut->out->count > 0)
			return SL_MORE;
		r = sl_sleep_until(ctx, sl_now() + o->poll);
		if (r == 0)
			r = cut_on(ctx, o, w, cut);
	}
	return r;
}

static void go_on(struct sl_context *ctx, struct worker *w)
{
	struct sl_place place;

	w->is_new = false;
	if (sl_checkpoint(ctx, w->origin, &place))
		w->position = place.position;
}

static int source_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r;

	if (w->is_new && o->key)
		go_on(ctx, w);
	cut->origin = w->origin;
	cut->name = o->table ? o->table : "query";
	cut->start = w->position;
	cut->end = w->position;
	r = mend(ctx, o, w);
	if (r == 0)
		r = cut->until ? cut_again(ctx, o, w, cut) : cut_or_wait(ctx, o, w, cut);
	if (r < 0) {
		w->is_broken = true;
		return r;
	}
	w->position = cut->end;
	cut->origin_done = r == SL_END;
	sl_progress(ctx, w->done, 0, "records");
	return r;
}

static void source_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	(void)ctx;
	files_tell(((const struct shared *)shared)->connection, tell, user);
}

static const struct sl_option options[];
static const char *const numerics[] = { "string", "float", NULL };

const struct sl_stage postgres_source = {
	.abi = SL_ABI,
	.name = "postgres",
	.role = SL_SOURCE,
	.summary = "rows of a PostgreSQL table or query, also those that come later",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES | SL_WAITS | SL_CONFINED |
		 SL_NEEDS_NETWORK | SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = source_check,
	.is_live = source_is_live,
	.start = source_start,
	.produce = source_produce,
	.stop = source_stop,
	.options = options,
	.files = source_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("connection", STRING, struct shared, connection), .required = true,
	  .help = "the server, as libpq understands it: words or an URL", .example = "\"host=db.example.org dbname=shop user=sluice\"" },
	{ SL_OPTION("table", STRING, struct shared, table),
	  .help = "the table, written as in SQL; instead of `query`", .example = "\"sales.orders\"" },
	{ SL_OPTION("query", STRING, struct shared, query),
	  .help = "a SELECT; instead of `table`", .example = "\"SELECT id, amount FROM orders WHERE paid\"" },
	{ SL_OPTION("key", STRING, struct shared, key),
	  .help = "a column of integers or times, by which the rows are read in order, and reading goes on after a death",
	  .example = "\"id\"" },
	{ SL_OPTION("numeric", CHOICE, struct shared, numeric), .fallback = "string", .choices = numerics,
	  .help = "what a numeric becomes: an exact string, or a number that may be rounded", .example = "\"float\"" },
	{ SL_OPTION("follow", BOOL, struct shared, follow), .fallback = "false",
	  .help = "at the end go on with rows whose key is higher, when there are some", .example = "true" },
	{ SL_OPTION("poll", DURATION, struct shared, poll), .fallback = "5s", .min = 1000000, .max = INT64_MAX,
	  .help = "how often `follow` looks for them", .example = "\"500ms\"" },
	{ 0 },
};
/* clang-format on */
