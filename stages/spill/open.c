/* SPDX-License-Identifier: MIT */
/* Opening a store: made, checked, set aside when it is damaged, emptied when it is another series'. Under its lock from begin to end. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define VERSION 1
#define APPLICATION_ID 0x736c7563 /* "sluc" */
#define TEXT(x) TEXT_(x)
#define TEXT_(x) #x

/* See keep.h. */
#define STATE_TABLE                                                                                \
	"CREATE TABLE IF NOT EXISTS state (n INTEGER PRIMARY KEY, hash INTEGER NOT NULL,"          \
	" bytes BLOB NOT NULL);"

/* Large pages for large batches, and not so large that a small one costs much. */
static const char new_store[] =
	"PRAGMA page_size = 16384; BEGIN;"
	"CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL,"
	" series INTEGER NOT NULL, next INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT "
	"0,"
	" gone INTEGER NOT NULL DEFAULT 0, settled INTEGER NOT NULL DEFAULT 0,"
	" ended INTEGER NOT NULL DEFAULT 0, stopped INTEGER NOT NULL DEFAULT 0,"
	" through INTEGER NOT NULL DEFAULT 0, damaged INTEGER NOT NULL DEFAULT 0,"
	" lost INTEGER NOT NULL DEFAULT 0, what TEXT, name TEXT);"
	"CREATE TABLE batches (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, hash INTEGER NOT "
	"NULL, bytes BLOB NOT NULL);"
	"CREATE TABLE names (run INTEGER NOT NULL, origin INTEGER NOT NULL, path INTEGER NOT NULL,"
	" start INTEGER NOT NULL, stop INTEGER NOT NULL, dead INTEGER NOT NULL,"
	" PRIMARY KEY (run, origin, path, start)) WITHOUT ROWID;"
	"CREATE TABLE floors (run INTEGER NOT NULL, origin INTEGER NOT NULL, floor INTEGER NOT "
	"NULL,"
	" PRIMARY KEY (run, origin)) WITHOUT ROWID;" STATE_TABLE
	"INSERT INTO store (id, number, series) VALUES (1, random(), 0);"
	"PRAGMA application_id = " TEXT(APPLICATION_ID) "; PRAGMA user_version = " TEXT(
		VERSION) ";"
			 "COMMIT";

static int lock_store(struct sl_context *ctx, struct store *store)
{
	store->lock = open(store->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock < 0)
		return sl_error(ctx, -errno, "cannot open %s: %s", store->lock_path,
			strerrordesc_np(errno));
	while (flock(store->lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return sl_error(ctx, -errno, "cannot lock %s: %s", store->lock_path,
				strerrordesc_np(errno));
	return 0;
}

static int open_file(struct sl_context *ctx, struct store *store, const char *path)
{
	int code = sqlite3_open_v2(path, &store->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	if (code != SQLITE_OK)
		return spill_failed(ctx, store);
	(void)sqlite3_busy_timeout(store->db, BUSY_MS);
	return 0;
}

static void close_file(struct store *store)
{
	(void)sqlite3_close_v2(store->db);
	store->db = NULL;
}

/* 0 or negative errno. */
static int sync_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		(void)close(fd);
	return r;
}

/* Under another name until it is whole, also after a power cut. */
static int make(struct sl_context *ctx, struct store *store)
{
	char path[PATH_MAX + 8];
	int r;

	(void)snprintf(path, sizeof(path), "%s.new", store->path);
	(void)unlink(path);
	r = open_file(ctx, store, path);
	if (r == 0)
		r = spill_run(ctx, store, new_store);
	close_file(store);
	if (r == -ENOSPC)
		return sl_error(ctx, r, "cannot make %s: the disk is full", store->path);
	if (r < 0)
		return r;
	r = sync_file(path);
	if (r == 0 && rename(path, store->path) < 0)
		r = -errno;
	if (r == 0)
		r = sync_file(sl_state(ctx));
	return r < 0 ? sl_error(ctx, r, "cannot make %s: %s", store->path, strerrordesc_np(-r)) : 0;
}

/* A name that there is not. */
static void find_name(const struct store *store, char *name, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;
	char when[32];

	(void)strftime(when, sizeof(when), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
	(void)snprintf(name, size, "%s.damaged-%s", store->path, when);
	for (int n = 2; access(name, F_OK) == 0; n++)
		(void)snprintf(name, size, "%s.damaged-%s-%d", store->path, when, n);
}

static int say_lost(
	struct sl_context *ctx, const struct store *store, const char *what, const char *name)
{
	return sl_error(ctx, -EBADMSG,
		"%s was damaged (%s) and is now %s: records in it that were not read yet are lost "
		"to "
		"this run, unless `sqlite3 %s .recover` has them; start again to go on without "
		"them, "
		"or with --from-start to read all again",
		store->path, what, name, name);
}

/* Nothing of it is touched: what closes the file must not put its WAL into it. */
static int rename_all(
	struct sl_context *ctx, const struct store *store, const char *what, const char *name)
{
	static const char *const parts[] = { "-wal", "-shm", "" };
	char from[PATH_MAX + 8], to[PATH_MAX + 80];

	for (int i = 0; i < 3; i++) {
		(void)snprintf(from, sizeof(from), "%s%s", store->path, parts[i]);
		(void)snprintf(to, sizeof(to), "%s%s", name, parts[i]);
		if (rename(from, to) < 0 && errno != ENOENT)
			return sl_error(ctx, -errno, "%s is damaged (%s) and cannot be renamed: %s",
				store->path, what, strerrordesc_np(errno));
	}
	return 0;
}

/* Whoever opens the new one in this term says the same: which of the two is heard first decides nothing. */
static int note_lost(
	struct sl_context *ctx, struct store *store, const char *what, const char *name)
{
	sqlite3_stmt *s;
	int r = spill_prepare(ctx, store, "UPDATE store SET lost = ?1, what = ?2, name = ?3", &s);

	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(s, 1, (sqlite3_int64)store->term);
	(void)sqlite3_bind_text(s, 2, what, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(s, 3, name, -1, SQLITE_STATIC);
	if (sqlite3_step(s) != SQLITE_DONE)
		r = spill_failed(ctx, store);
	(void)sqlite3_finalize(s);
	return r;
}

static int set_aside(struct sl_context *ctx, struct store *store, const char *reason)
{
	char name[PATH_MAX + 64], what[sizeof(store->said)];
	int r;

	(void)snprintf(what, sizeof(what), "%s", reason);
	find_name(store, name, sizeof(name));
	r = rename_all(ctx, store, what, name);
	close_file(store);
	if (r == 0)
		r = make(ctx, store);
	if (r == 0)
		r = open_file(ctx, store, store->path);
	if (r == 0)
		r = note_lost(ctx, store, what, name);
	return r < 0 ? r : say_lost(ctx, store, what, name);
}

/* In this term the one before was set aside: said again. */
static int was_lost(struct sl_context *ctx, struct store *store)
{
	sqlite3_stmt *s;
	int r = spill_prepare(ctx, store, "SELECT lost, what, name FROM store", &s);

	if (r < 0)
		return r;
	if (sqlite3_step(s) == SQLITE_ROW && (uint64_t)sqlite3_column_int64(s, 0) == store->term)
		r = say_lost(ctx, store, (const char *)sqlite3_column_text(s, 1),
			(const char *)sqlite3_column_text(s, 2));
	(void)sqlite3_finalize(s);
	return r;
}

/* Is all there that was put in, as far as can be seen without reading it? 0 or negative errno: -EBADMSG with store->said. */
static int check_whole(struct sl_context *ctx, struct store *store)
{
	uint64_t store_row[3] = { 0 }, rows[3] = { 0 };
	struct store_state state;
	int r = spill_run(ctx, store, "BEGIN");

	if (r == 0)
		r = spill_ask(ctx, store, "SELECT next, bytes, damaged FROM store", store_row, 3);
	if (r == 0)
		r = spill_ask(ctx, store,
			"SELECT coalesce(min(first), -1), coalesce(sum(count), 0),"
			" coalesce(sum(length(bytes)) FILTER (WHERE first >= (SELECT settled FROM "
			"store)), 0) FROM batches",
			rows, 3);
	if (r == 0)
		r = spill_look(ctx, store, &state);
	spill_rollback(store);
	if (r < 0)
		return r;
	if (store_row[2])
		return spill_damaged(
			ctx, store, "its source did not find in it what must be there");
	if (rows[2] != store_row[1] || (rows[1] > 0 && rows[0] + rows[1] != store_row[0]) ||
		(rows[1] == 0 && state.settled != state.next))
		return spill_damaged(ctx, store, "batches are missing");
	if (spill_went_back(store, &state))
		return spill_damaged(ctx, store, "what was put into it last is missing");
	return 0;
}

/* Is it a store, of this sluice? As check_whole. */
static int check_kind(struct sl_context *ctx, struct store *store)
{
	uint64_t version = 0, owner = 0;
	int r = spill_ask(ctx, store, "PRAGMA user_version", &version, 1);

	if (r == 0)
		r = spill_ask(ctx, store, "PRAGMA application_id", &owner, 1);
	if (r < 0)
		return r;
	if (owner != APPLICATION_ID)
		return sl_error(ctx, -EPROTO,
			"%s is a database of something else: move it away, or give another folder "
			"with --state",
			store->path);
	if (version > VERSION)
		return sl_error(ctx, -EPROTO,
			"%s was written by a newer sluice (layout %llu, this one knows %d): use "
			"that one, or move the file away",
			store->path, (unsigned long long)version, VERSION);
	return 0;
}

static int check(struct sl_context *ctx, struct store *store)
{
	int r;

	(void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	r = check_kind(ctx, store);
	if (r == 0)
		r = check_whole(ctx, store);
	if (r == -EBADMSG)
		return set_aside(ctx, store, store->said);
	store->is_checked = r == 0;
	(void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, r != 0, NULL);
	return r;
}

/* What another series has left. Behind the store a sink may keep what it has from the first moment on: so a power cut must not take the new number. */
static int empty(struct sl_context *ctx, struct store *store)
{
	uint64_t left = 0;
	int r = spill_run(ctx, store, "PRAGMA synchronous = FULL; BEGIN IMMEDIATE");

	if (r == 0)
		r = spill_ask(ctx, store, "SELECT next - settled FROM store", &left, 1);
	if (r == 0)
		r = spill_run(ctx, store,
			"DELETE FROM batches; DELETE FROM names; DELETE FROM floors;" STATE_TABLE
			"DELETE FROM state");
	if (r == 0)
		r = spill_set(ctx, store,
			"UPDATE store SET number = random(), series = ?1, next = 0, settled = 0,"
			" bytes = 0, gone = 0, ended = 0, stopped = 0, through = 0",
			store->series);
	if (r == 0)
		r = spill_run(ctx, store, "COMMIT; PRAGMA synchronous = NORMAL");
	if (r < 0)
		spill_rollback(store);
	else if (left > 0)
		sl_log_about(ctx, SL_ABOUT_DROPPED, SL_LOG_WARNING,
			"%s: %llu records that another run had left in it are dropped", store->path,
			(unsigned long long)left);
	return r;
}

static int take_possession(struct sl_context *ctx, struct store *store)
{
	uint64_t series = 0;
	int r = was_lost(ctx, store);

	if (r == 0)
		r = spill_ask(ctx, store, "SELECT series FROM store", &series, 1);
	return r == 0 && series != store->series ? empty(ctx, store) : r;
}

/* There is a file, and it has something in it. */
static int prepare_file(struct sl_context *ctx, struct store *store)
{
	struct stat st;

	if (stat(store->path, &st) == 0)
		return st.st_size == 0 ? set_aside(ctx, store, "it is empty") : 0;
	if (errno != ENOENT)
		return sl_error(
			ctx, -errno, "cannot open %s: %s", store->path, strerrordesc_np(errno));
	return access(store->wal_path, F_OK) == 0 ? set_aside(ctx, store, "only its WAL is there")
						  : make(ctx, store);
}

static int open_locked(struct sl_context *ctx, struct store *store)
{
	int r = prepare_file(ctx, store);

	if (r == 0)
		r = open_file(ctx, store, store->path);
	if (r == 0)
		r = check(ctx, store);
	if (r == 0)
		r = spill_run(ctx, store,
			"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			"PRAGMA wal_autocheckpoint = 1024; PRAGMA journal_size_limit = 67108864");
	if (r == 0)
		r = take_possession(ctx, store);
	return r == -ENOSPC ? sl_error(ctx, r, "%s: the disk is full", store->path) : r;
}

int spill_name(struct sl_context *ctx, const struct spill *options, struct store *store)
{
	char number[16] = "";

	*store = (struct store){
		.lock = -1, .run = sl_run(ctx), .series = sl_series(ctx), .term = sl_term(ctx)
	};
	if (sl_process(ctx) > 0)
		(void)snprintf(number, sizeof(number), ".%u", sl_process(ctx));
	if (snprintf(store->path, sizeof(store->path), "%s/%.*s%s.db", sl_state(ctx),
		    (int)strlen(options->store) - 3, options->store, number) >= PATH_MAX)
		return sl_error(ctx, -ENAMETOOLONG, "%s: the path is too long", sl_state(ctx));
	(void)snprintf(store->lock_path, sizeof(store->lock_path), "%s.lock", store->path);
	(void)snprintf(store->wal_path, sizeof(store->wal_path), "%s-wal", store->path);
	return 0;
}

int spill_open(struct sl_context *ctx, const struct spill *options, struct store *store)
{
	int r = spill_name(ctx, options, store);

	if (r < 0)
		return r;
	r = lock_store(ctx, store);
	if (r == 0)
		r = open_locked(ctx, store);
	if (r == 0)
		(void)flock(store->lock, LOCK_UN);
	else
		spill_close(store);
	return r;
}
