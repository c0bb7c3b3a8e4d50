/* SPDX-License-Identifier: MIT */
/*
 * Sink "sqlite": each record is a row. The identity of a batch is inserted in the transaction that inserts its rows, so a batch
 * that is given again, to this process or to another, is there once: whoever dies, exactly once.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "statement.h"

#define BUSY_MS 30000
#define LEDGER "sluice_committed"

struct shared {
	const char *path;
	const char *table;
	int mode;
	struct sl_strings key;
	bool create;
	int extra;
};

struct worker {
	sqlite3 *db;
	struct columns columns; /* of the table; count 0: not known yet */
	sqlite3_stmt *insert;
	sqlite3_stmt *note;   /* inserts an identity */
	sqlite3_stmt *recall; /* how many records of it were refused */
	sqlite3_stmt *dead;   /* says so */
	sqlite3_stmt *forget;
	sqlite3_stmt *raise; /* an origin's floor */
	sqlite3_stmt *below; /* is a position below it? */
	struct sl_writer json;
	bool is_open; /* a transaction */
};

enum extra { EXTRA_REJECT, EXTRA_IGNORE };

/* A growing -shm for which there is no space is an I/O error to SQLite; the system call knew more. */
static bool is_out_of_space(const struct worker *w, int code)
{
	return code == SQLITE_IOERR && sqlite3_system_errno(w->db) == ENOSPC;
}

/* SQLite's own words name an ON CONFLICT that nobody wrote here. */
static const char *remedy_of(const char *message)
{
	return strstr(message, "ON CONFLICT clause does not match")
		       ? ": mode = \"upsert\" knows a row by `key`, so make a unique index of just "
			 "those columns, or name others"
		       : "";
}

static int failed(struct sl_context *ctx, const struct shared *o, const struct worker *w)
{
	int code = w->db ? sqlite3_errcode(w->db) : SQLITE_NOMEM;
	const char *message = w->db ? sqlite3_errmsg(w->db) : "out of memory";

	return sl_error(ctx,
		code == SQLITE_FULL || is_out_of_space(w, code) ? -ENOSPC
		: code == SQLITE_NOMEM                          ? -ENOMEM
								: -EIO,
		"%s: %s%s", o->path, message, remedy_of(message));
}

static int run(struct sl_context *ctx, const struct shared *o, struct worker *w, const char *sql)
{
	return sqlite3_exec(w->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(ctx, o, w);
}

static int prepare(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v3(w->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) == SQLITE_OK
		       ? 0
		       : failed(ctx, o, w);
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int sqlite_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (*o->path == '\0')
		return sl_error(
			ctx, -EINVAL, "`path` names no file: write for instance \"shop.db\"");
	if (*o->table == '\0' || strncmp(o->table, "sqlite_", 7) == 0 ||
		strcmp(o->table, LEDGER) == 0)
		return sl_error(
			ctx, -EINVAL, "`table` cannot be \"%s\": choose another name", o->table);
	if (o->mode == STATEMENT_UPSERT && o->key.count == 0)
		return sl_error(ctx, -EINVAL,
			"mode = \"upsert\" wants the columns by which a row is known: write key = "
			"[ \"id\" ];");
	if (o->mode != STATEMENT_UPSERT && o->key.count > 0 && !o->create)
		return sl_error(ctx, -EINVAL,
			"`key` is for mode = \"upsert\", or for a table to be created: remove it");
	return 0;
}

static const char ledger_table[] =
	"CREATE TABLE IF NOT EXISTS " LEDGER " (sink TEXT NOT NULL, run INTEGER NOT NULL,"
	" origin INTEGER NOT NULL, path INTEGER NOT NULL, start INTEGER NOT NULL,"
	" stop INTEGER NOT NULL, dead INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY (sink, run, origin, path, start)) WITHOUT ROWID";

static int prepare_ledger(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	const struct {
		sqlite3_stmt **statement;
		const char *sql;
	} all[] = {
		{ &w->note, "INSERT OR IGNORE INTO " LEDGER
			    " (sink, run, origin, path, start, stop) VALUES (?, ?, ?, ?, ?, ?)" },
		{ &w->recall,
			"SELECT dead FROM " LEDGER
			" WHERE sink = ? AND run = ? AND origin = ? AND path = ? AND start = ?" },
		{ &w->dead, "UPDATE " LEDGER " SET dead = ?6 WHERE sink = ?1 AND run = ?2"
			    " AND origin = ?3 AND path = ?4 AND start = ?5" },
		{ &w->forget, "DELETE FROM " LEDGER " WHERE sink = ?1 AND (run <> ?2 OR (origin = "
			      "?3 AND stop <= ?4 AND path <> 0))" },
		{ &w->raise, "INSERT INTO " LEDGER " (sink, run, origin, path, start, stop)"
			     " VALUES (?1, ?2, ?3, 0, 0, ?4) ON CONFLICT DO UPDATE SET stop = "
			     "max(stop, excluded.stop)" },
		/* Or it is a part of a larger one, which was cut otherwise before a power cut. */
		{ &w->below,
			"SELECT 1 FROM " LEDGER
			" WHERE sink = ?1 AND run = ?2 AND origin = ?3 AND path = 0 AND start = 0"
			" AND stop >= ?4 UNION ALL SELECT 1 FROM (SELECT start, stop FROM " LEDGER
			" WHERE sink = ?1 AND run = ?2 AND origin = ?3 AND path = ?5 AND start <= "
			"?6"
			" ORDER BY start DESC LIMIT 1) WHERE stop >= ?4 AND (start < ?6 OR stop > "
			"?4)" },
	};
	int r = run(ctx, o, w, ledger_table);

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && r == 0; i++)
		r = prepare(ctx, o, w, all[i].sql, all[i].statement);
	return r;
}

static int sqlite_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	struct stat st;
	bool is_new = stat(o->path, &st) < 0;
	int r = 0;

	sl_writer_init(&w->json);
	if (sqlite3_open_v2(o->path, &w->db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
		    NULL) != SQLITE_OK)
		return failed(ctx, o, w);
	(void)sqlite3_busy_timeout(w->db, BUSY_MS);
	/*
	 * Readers of a new file shall not wait for us. Whoever made the file decides about an old one; when another process makes it
	 * just now, it is that one that sets it.
	 */
	if (is_new)
		(void)sqlite3_exec(w->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	return r == 0 ? prepare_ledger(ctx, o, w) : r;
}

static void sqlite_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	(void)sqlite3_finalize(w->insert);
	(void)sqlite3_finalize(w->note);
	(void)sqlite3_finalize(w->recall);
	(void)sqlite3_finalize(w->dead);
	(void)sqlite3_finalize(w->forget);
	(void)sqlite3_finalize(w->raise);
	(void)sqlite3_finalize(w->below);
	(void)sqlite3_close_v2(w->db);
	columns_fini(&w->columns);
	sl_writer_fini(&w->json);
}

/* --- identities --------------------------------------------------------------------------------- */

static void bind_identity(struct sl_context *ctx, sqlite3_stmt *s, const struct sl_identity *id)
{
	(void)sqlite3_bind_text(s, 1, sl_full_name(ctx), -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 2, (int64_t)id->run);
	(void)sqlite3_bind_int64(s, 3, (int64_t)id->origin);
	(void)sqlite3_bind_int64(s, 4, (int64_t)id->path);
	(void)sqlite3_bind_int64(s, 5, (int64_t)id->start);
}

static int step_once(sqlite3_stmt *s)
{
	int code = sqlite3_step(s);

	(void)sqlite3_reset(s);
	return code;
}

static void bind_position(
	struct sl_context *ctx, sqlite3_stmt *s, const struct sl_identity *id, uint64_t position)
{
	(void)sqlite3_bind_text(s, 1, sl_full_name(ctx), -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 2, (int64_t)id->run);
	(void)sqlite3_bind_int64(s, 3, (int64_t)id->origin);
	(void)sqlite3_bind_int64(s, 4, (int64_t)position);
}

/* What lies below the floor is not needed again: its names are forgotten, the floor is not; nor what another run left behind. */
static int forget(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_identity *id)
{
	bind_position(ctx, w->forget, id, id->floor);
	return step_once(w->forget) == SQLITE_DONE ? 0 : failed(ctx, o, w);
}

static int raise_floor(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_identity *id)
{
	bind_position(ctx, w->raise, id, id->floor);
	return step_once(w->raise) == SQLITE_DONE ? 0 : failed(ctx, o, w);
}

/* 1: it is new, and noted; 0: it is here already, with *ret_dead of its records refused. */
static int note(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_identity *id, uint64_t *ret_dead)
{
	int code;

	/* A late copy of what is forgotten already; nobody counts it. */
	*ret_dead = 0;
	bind_position(ctx, w->below, id, id->end);
	(void)sqlite3_bind_int64(w->below, 5, (int64_t)id->path);
	(void)sqlite3_bind_int64(w->below, 6, (int64_t)id->start);
	code = step_once(w->below);
	if (code != SQLITE_DONE)
		return code == SQLITE_ROW ? 0 : failed(ctx, o, w);
	bind_identity(ctx, w->note, id);
	(void)sqlite3_bind_int64(w->note, 6, (int64_t)id->end);
	if (step_once(w->note) != SQLITE_DONE)
		return failed(ctx, o, w);
	if (sqlite3_changes(w->db) > 0)
		return 1;
	bind_identity(ctx, w->recall, id);
	code = sqlite3_step(w->recall);
	*ret_dead = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(w->recall, 0) : 0;
	(void)sqlite3_reset(w->recall);
	return code == SQLITE_ROW ? 0 : failed(ctx, o, w);
}

static int note_dead(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_identity *id, uint64_t dead)
{
	bind_identity(ctx, w->dead, id);
	(void)sqlite3_bind_int64(w->dead, 6, (int64_t)dead);
	return step_once(w->dead) == SQLITE_DONE ? 0 : failed(ctx, o, w);
}

/* --- rows --------------------------------------------------------------------------------------- */

/* Reads what columns the table has, or makes it, and prepares the INSERT. */
static int meet_table(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_value first)
{
	char *sql = NULL;
	int r = columns_read(w->db, o->table, &w->columns);

	if (r == 0 && w->columns.count == 0 && o->create) {
		sql = statement_create(o->table, first, &o->key);
		r = sql ? run(ctx, o, w, sql) : -ENOMEM;
		free(sql);
		if (r < 0)
			return r;
		r = columns_read(w->db, o->table, &w->columns);
	}
	if (r < 0)
		return failed(ctx, o, w);
	if (w->columns.count == 0)
		return sl_error(ctx, -ENOENT,
			"%s has no table `%s`: create it, or write create = true", o->path,
			o->table);
	sql = statement_insert(o->table, &w->columns, (enum statement_mode)o->mode, &o->key);
	r = sql ? prepare(ctx, o, w, sql, &w->insert) : -ENOMEM;
	free(sql);
	return r;
}

/* 0; SL_REJECTED; negative errno. */
static int insert(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_value record)
{
	struct sl_value unknown = { 0 };
	const char *name = "";
	size_t size = 0;
	int r = statement_bind(w->insert, &w->columns, record, &w->json, &unknown);
	int code;

	if (r == -EINVAL)
		return sl_reject(ctx, NULL, record, "a row is made of a map, not of this (%s)",
			sl_kind_name(sl_kind(record)));
	if (r < 0)
		return r;
	if (unknown.data && o->extra == EXTRA_REJECT) {
		(void)sl_get_str(unknown, &name, &size);
		return sl_reject(ctx, NULL, record,
			"the table `%s` has no column `%.*s`: add it, or write extra = \"ignore\"",
			o->table, (int)(size < 100 ? size : 100), name);
	}
	code = step_once(w->insert);
	if (code == SQLITE_DONE)
		return 0;
	/* ON CONFLICT ROLLBACK in the table, RAISE(ROLLBACK) in a trigger. */
	if ((code & 0xff) == SQLITE_CONSTRAINT && sqlite3_get_autocommit(w->db))
		return sl_error(ctx, -EINVAL,
			"%s: the table `%s` refused a row by rolling back the whole transaction, "
			"and the other rows with it (%s): let it say ABORT instead of ROLLBACK",
			o->path, o->table, sqlite3_errmsg(w->db));
	if ((code & 0xff) == SQLITE_CONSTRAINT || (code & 0xff) == SQLITE_MISMATCH ||
		(code & 0xff) == SQLITE_TOOBIG)
		return sl_reject(ctx, NULL, record, "%s", sqlite3_errmsg(w->db));
	return failed(ctx, o, w);
}

static int64_t insert_all(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_batch *in, const struct sl_identity *id)
{
	uint32_t count = sl_batch_count(in);
	uint64_t dead = 0;
	int r = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct sl_value record = sl_batch_record(in, i);

		if (!w->insert) {
			r = meet_table(ctx, o, w, record);
			if (r < 0)
				return r;
		}
		r = insert(ctx, o, w, record);
		if (r < 0)
			return r;
		dead += r == SL_REJECTED;
	}
	if (dead > 0)
		r = note_dead(ctx, o, w, id, dead);
	return r < 0 ? r : (int64_t)(count - dead);
}

static int64_t sqlite_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	struct sl_identity id = sl_batch_identity(in);
	uint64_t dead;
	int r = 0;

	if (!w->is_open)
		r = run(ctx, o, w, "BEGIN IMMEDIATE");
	w->is_open = w->is_open || r == 0;
	if (r == 0)
		r = raise_floor(ctx, o, w, &id);
	if (r == 0)
		r = forget(ctx, o, w, &id);
	if (r == 0)
		r = note(ctx, o, w, &id, &dead);
	if (r < 0)
		return r;
	if (r > 0)
		return insert_all(ctx, o, w, in, &id);
	sl_rejected_before(ctx, dead);
	return (int64_t)(sl_batch_count(in) - dead);
}

static int sqlite_commit(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	if (!w->is_open)
		return 0;
	w->is_open = false;
	return run(ctx, shared, w, "COMMIT");
}

/* --- after a power cut -------------------------------------------------------------------------- */

static int tell_all(sqlite3_stmt *s, sl_known_fn *tell, void *user)
{
	int code = SQLITE_DONE;
	int r = 0;

	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		uint64_t origin = (uint64_t)sqlite3_column_int64(s, 0);

		r = tell(user, origin, (uint64_t)sqlite3_column_int64(s, 1));
		if (r == 0)
			r = tell(user, origin, (uint64_t)sqlite3_column_int64(s, 2));
	}
	return r == 0 && code != SQLITE_DONE ? -EIO : r;
}

/* Its commits are synced by SQLite itself, so it may know more than any other. */
static int sqlite_known(struct sl_context *ctx, const void *shared, sl_known_fn *tell, void *user)
{
	const struct shared *o = shared;
	struct worker w = { 0 };
	sqlite3_stmt *s = NULL;
	int r = 0;

	if (access(o->path, F_OK) < 0)
		return 0;
	if (sqlite3_open_v2(o->path, &w.db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		r = failed(ctx, o, &w);
	if (r == 0)
		r = run(ctx, o, &w, ledger_table);
	if (r == 0)
		r = prepare(ctx, o, &w,
			"SELECT origin, start, stop FROM " LEDGER " WHERE sink = ? AND run = ?",
			&s);
	if (r == 0) {
		(void)sqlite3_bind_text(s, 1, sl_full_name(ctx), -1, SQLITE_STATIC);
		(void)sqlite3_bind_int64(s, 2, (int64_t)sl_run(ctx));
		r = tell_all(s, tell, user);
		if (r == -EIO)
			r = failed(ctx, o, &w);
	}
	(void)sqlite3_finalize(s);
	(void)sqlite3_close_v2(w.db);
	return r;
}

/* And its journals. */
static void sqlite_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	(void)ctx;
	tell(user, ((const struct shared *)shared)->path, SL_FILES_WRITE);
}

static const struct sl_option options[];
static const char *const modes[] = { "insert", "upsert", "ignore", NULL };
static const char *const extras[] = { "reject", "ignore", NULL };

const struct sl_stage sl_stage_sink_sqlite = {
	.abi = SL_ABI,
	.name = "sqlite",
	.role = SL_SINK,
	.summary = "rows of an SQLite table: insert or upsert, each exactly once",
	.flags = SL_ONE_THREAD | SL_RESUMES | SL_CONFINED | SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = sqlite_check,
	.start = sqlite_start,
	.write = sqlite_write,
	.commit = sqlite_commit,
	.stop = sqlite_stop,
	.known = sqlite_known,
	.options = options,
	.files = sqlite_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("path", STRING, struct shared, path), .required = true,
	  .help = "the database file; it is made if there is none", .example = "\"/var/lib/shop/shop.db\"" },
	{ SL_OPTION("table", STRING, struct shared, table), .required = true,
	  .help = "the table; fields go into the columns of their name", .example = "\"orders\"" },
	{ SL_OPTION("mode", CHOICE, struct shared, mode), .fallback = "insert", .choices = modes,
	  .help = "\"insert\": a row that is there already is refused; \"upsert\": it is changed; \"ignore\": it stays as it was",
	  .example = "\"upsert\"" },
	{ SL_OPTION("key", STRINGS, struct shared, key),
	  .help = "columns by which a row is known, for \"upsert\"; the primary key of a table that is created",
	  .example = "[ \"id\" ]" },
	{ SL_OPTION("create", BOOL, struct shared, create), .fallback = "false",
	  .help = "make the table, when there is none, with the fields and types of the first record", .example = "true" },
	{ SL_OPTION("extra", CHOICE, struct shared, extra), .fallback = "reject", .choices = extras,
	  .help = "what becomes of a record with a field that is no column: it is refused, or the field is left out",
	  .example = "\"ignore\"" },
	{ 0 },
};
/* clang-format on */
