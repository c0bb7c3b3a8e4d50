/* SPDX-License-Identifier: MIT */
/*
 * Sink "postgres": each record is a row, by COPY. The name of a batch is inserted in the transaction of its rows (ledger.h), so a batch that is
 * given again, to this process or to another, is there once: whoever dies, exactly once. A process that loses its connection ends, and its successor
 * is given again what was not committed. Each worker has a connection of its own.
 */
#include "stages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "files.h"
#include "ledger.h"
#include "load.h"
#include "needs.h"

struct shared {
	const char *connection;
	const char *table;
	int mode;
	struct sl_strings key;
	bool create;
	int extra;
	int json;
	int empty;
};

struct worker {
	PGconn *conn;
	struct ledger ledger;
	struct table table; /* count 0: not read yet */
	struct rows rows;
	bool is_open; /* a transaction */
};

enum extra { EXTRA_REJECT, EXTRA_IGNORE };
enum json { JSON_VALUE, JSON_TEXT };
enum empty { EMPTY_KEEP, EMPTY_NULL };

/* --- beginning and end -------------------------------------------------------------------------- */

static int postgres_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (*o->table == '\0' || strcmp(o->table, LEDGER) == 0)
		return sl_error(
			ctx, -EINVAL, "`table` cannot be \"%s\": choose another name", o->table);
	if ((o->mode == MODE_UPSERT || o->mode == MODE_DELETE) && o->key.count == 0)
		return sl_error(ctx, -EINVAL,
			"mode = \"%s\" wants the columns by which a row is known: write key = [ "
			"\"id\" ];",
			o->mode == MODE_UPSERT ? "upsert" : "delete");
	if ((o->mode == MODE_INSERT || o->mode == MODE_IGNORE) && o->key.count > 0 && !o->create)
		return sl_error(ctx, -EINVAL,
			"`key` is for mode = \"upsert\" or \"delete\", or for a table to be "
			"created: remove it");
	return check_connection(ctx, o->connection);
}

static int postgres_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r;

	rows_init(&w->rows);
	r = pg_connect(ctx, o->connection, &w->conn);
	return r == 0 ? ledger_begin(ctx, w->conn, &w->ledger) : r;
}

static void postgres_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	PQfinish(w->conn);
	table_fini(&w->table);
	rows_fini(&w->rows);
}

/* --- batches ------------------------------------------------------------------------------------ */

static void set_json(struct table *table, bool is_text)
{
	for (uint32_t i = 0; i < table->count; i++)
		table->columns[i].target.json_is_text = is_text;
}

/* Reads what columns the table has, or makes it. Outside of a transaction. */
static int meet_table(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_batch *first)
{
	int r = table_read(ctx, w->conn, o->table, &o->key, &w->table);

	if (r == -ENOENT && o->create) {
		r = table_create(ctx, w->conn, o->table, &o->key, first);
		if (r == 0)
			r = table_read(ctx, w->conn, o->table, &o->key, &w->table);
	}
	if (r == -ENOENT)
		return sl_error(ctx, r,
			"database %s has no table %s that this user may see: create it, or write "
			"create = true",
			PQdb(w->conn), o->table);
	if (r == 0 && o->mode == MODE_UPSERT)
		r = needs_key(ctx, w->conn, o->table, &o->key);
	if (r < 0)
		return r;
	set_json(&w->table, o->json == JSON_TEXT);
	return load_begin(ctx, w->conn, &w->table, (enum mode)o->mode);
}

/* Constraints that could wait for the commit would refuse a whole group there, and nobody could say which row did it. */
static int begin(struct sl_context *ctx, struct worker *w)
{
	int r = 0;

	if (!w->is_open)
		r = pg_run(ctx, w->conn,
			"BEGIN ISOLATION LEVEL READ COMMITTED; SET CONSTRAINTS ALL IMMEDIATE",
			NULL);
	w->is_open = w->is_open || r == 0;
	return r;
}

static int64_t load(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_batch *in, const struct sl_identity *id)
{
	const struct rows_options options = {
		.mode = (enum mode)o->mode,
		.ignores_extra = o->extra == EXTRA_IGNORE,
		.empty_is_null = o->empty == EMPTY_NULL,
	};
	int64_t dead = load_batch(ctx, w->conn, &w->table, &options, &w->rows, in);
	int r = 0;

	if (dead > 0)
		r = ledger_note_dead(ctx, w->conn, id, (uint64_t)dead);
	return dead < 0 ? dead : r < 0 ? r : (int64_t)sl_batch_count(in) - dead;
}

static int64_t postgres_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	struct sl_identity id = sl_batch_identity(in);
	uint64_t dead = 0;
	int r = 0;

	if (w->table.count == 0)
		r = meet_table(ctx, o, w, in);
	if (r == 0)
		r = begin(ctx, w);
	if (r == 0)
		r = ledger_note(ctx, w->conn, &w->ledger, &id, &dead);
	if (r < 0)
		return r;
	if (r > 0)
		return load(ctx, o, w, in, &id);
	sl_rejected_before(ctx, dead);
	return (int64_t)(sl_batch_count(in) - dead);
}

/* A transaction that had failed answers COMMIT with ROLLBACK. */
static int postgres_commit(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;
	PGresult *result;
	int r;

	(void)shared;
	if (!w->is_open)
		return 0;
	w->is_open = false;
	r = pg_run(ctx, w->conn, "COMMIT", &result);
	if (r == SL_REJECTED)
		r = pg_failed(ctx, w->conn, result);
	if (r == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0)
		r = sl_error(ctx, -EIO, "PostgreSQL, database %s: a commit was answered by %s",
			PQdb(w->conn), PQcmdStatus(result));
	PQclear(result);
	return r == 0 ? ledger_tidy(ctx, w->conn, &w->ledger, false) : r;
}

static int postgres_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	struct worker *w = worker;

	(void)shared;
	(void)complete;
	return ledger_tidy(ctx, w->conn, &w->ledger, true);
}

/* Its commits are synced by the server itself, so it may know more than any other after a power cut. */
static int postgres_known(struct sl_context *ctx, const void *shared, sl_known_fn *tell, void *user)
{
	const struct shared *o = shared;
	PGconn *conn;
	int r = pg_connect(ctx, o->connection, &conn);

	if (r < 0)
		return r;
	r = ledger_tell(ctx, conn, tell, user);
	PQfinish(conn);
	return r;
}

static void postgres_files(
	struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	(void)ctx;
	files_tell(((const struct shared *)shared)->connection, tell, user);
}

static const struct sl_option options[];
static const char *const modes[] = { "insert", "upsert", "ignore", "delete", NULL };
static const char *const extras[] = { "reject", "ignore", NULL };
static const char *const jsons[] = { "value", "text", NULL };
static const char *const empties[] = { "keep", "null", NULL };

const struct sl_stage postgres_sink = {
	.abi = SL_ABI,
	.name = "postgres",
	.role = SL_SINK,
	.summary = "rows of a PostgreSQL table: insert, upsert, delete, each exactly once",
	.flags = SL_RESUMES | SL_CONFINED | SL_NEEDS_NETWORK | SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = postgres_check,
	.start = postgres_start,
	.write = postgres_write,
	.commit = postgres_commit,
	.finish = postgres_finish,
	.stop = postgres_stop,
	.known = postgres_known,
	.options = options,
	.files = postgres_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("connection", STRING, struct shared, connection), .required = true,
	  .help = "the server, as libpq understands it: words or an URL", .example = "\"host=db.example.org dbname=shop user=sluice\"" },
	{ SL_OPTION("table", STRING, struct shared, table), .required = true,
	  .help = "the table, written as in SQL; fields go into the columns of their name", .example = "\"sales.orders\"" },
	{ SL_OPTION("mode", CHOICE, struct shared, mode), .fallback = "insert", .choices = modes,
	  .help = "\"insert\": a row that is there already is refused; \"upsert\": it is changed; \"ignore\": it stays as it was; "
		  "\"delete\": it is deleted",
	  .example = "\"upsert\"" },
	{ SL_OPTION("key", STRINGS, struct shared, key),
	  .help = "columns by which a row is known, for \"upsert\" and \"delete\"; the primary key of a table that is created",
	  .example = "[ \"id\" ]" },
	{ SL_OPTION("create", BOOL, struct shared, create), .fallback = "false",
	  .help = "make the table, when there is none, with the fields and types of the first batch", .example = "true" },
	{ SL_OPTION("extra", CHOICE, struct shared, extra), .fallback = "reject", .choices = extras,
	  .help = "what becomes of a record with a field that is no column: it is refused, or the field is left out",
	  .example = "\"ignore\"" },
	{ SL_OPTION("json", CHOICE, struct shared, json), .fallback = "value", .choices = jsons,
	  .help = "what a string is that goes into a json column: a string of JSON, or JSON text", .example = "\"text\"" },
	{ SL_OPTION("empty", CHOICE, struct shared, empty), .fallback = "keep", .choices = empties,
	  .help = "what an empty string is, as CSV has them: itself, or NULL", .example = "\"null\"" },
	{ 0 },
};
/* clang-format on */
