/* SPDX-License-Identifier: MIT */
/* See store.h. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define TURN (SL_MILLISECOND / 2) /* between two looks whether it is ours */

/* --- what SQLite says ------------------------------------------------------------------------------ */

static bool is_full(sqlite3 *db)
{
	int error = sqlite3_system_errno(db);

	return sqlite3_errcode(db) == SQLITE_FULL ||
	       ((sqlite3_errcode(db) & 0xff) == SQLITE_IOERR &&
		       (error == ENOSPC || error == EDQUOT));
}

static bool is_damage(sqlite3 *db)
{
	int code = sqlite3_errcode(db) & 0xff;

	return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

int spill_damaged(struct sl_context *ctx, struct store *store, const char *what)
{
	if (what != store->said)
		(void)snprintf(store->said, sizeof(store->said), "%s", what);
	spill_rollback(store);
	if (store->is_checked)
		(void)sqlite3_exec(store->db, "UPDATE store SET damaged = 1", NULL, NULL, NULL);
	return sl_error(ctx, -EBADMSG, "%s is damaged: %s", store->path, store->said);
}

int spill_failed(struct sl_context *ctx, struct store *store)
{
	if (!store->db)
		return sl_error(ctx, -ENOMEM, "%s: no memory", store->path);
	if (is_full(store->db))
		return -ENOSPC;
	(void)snprintf(store->said, sizeof(store->said), "%s", sqlite3_errmsg(store->db));
	if (is_damage(store->db))
		return spill_damaged(ctx, store, store->said);
	if ((sqlite3_errcode(store->db) & 0xff) == SQLITE_BUSY)
		return sl_error(
			ctx, -EBUSY, "%s is locked by another process for too long", store->path);
	return sl_error(ctx, -EIO, "%s: %s", store->path, store->said);
}

int spill_prepare(struct sl_context *ctx, struct store *store, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) ==
			       SQLITE_OK
		       ? 0
		       : spill_failed(ctx, store);
}

int spill_run(struct sl_context *ctx, struct store *store, const char *sql)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : spill_failed(ctx, store);
}

int spill_set(struct sl_context *ctx, struct store *store, const char *sql, uint64_t number)
{
	sqlite3_stmt *statement;
	int r = spill_prepare(ctx, store, sql, &statement);

	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)number);
	if (sqlite3_step(statement) != SQLITE_DONE)
		r = spill_failed(ctx, store);
	(void)sqlite3_finalize(statement);
	return r;
}

int spill_ask(struct sl_context *ctx, struct store *store, const char *sql, uint64_t *ret_numbers,
	int count)
{
	sqlite3_stmt *statement;
	int r = spill_prepare(ctx, store, sql, &statement);

	if (r < 0)
		return r;
	if (sqlite3_step(statement) != SQLITE_ROW)
		r = sqlite3_errcode(store->db) == SQLITE_DONE
			    ? spill_damaged(ctx, store, "a row is missing")
			    : spill_failed(ctx, store);
	for (int i = 0; i < count && r == 0; i++)
		ret_numbers[i] = (uint64_t)sqlite3_column_int64(statement, i);
	(void)sqlite3_finalize(statement);
	return r;
}

int spill_look(struct sl_context *ctx, struct store *store, struct store_state *ret)
{
	uint64_t n[8];
	int r = spill_ask(ctx, store,
		"SELECT number, next, settled, bytes, gone, ended, stopped, through FROM store", n,
		8);

	if (r == 0)
		*ret = (struct store_state){ n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7] };
	return r;
}

/* --- transactions ---------------------------------------------------------------------------------- */

/* 1: begun; 0: another is in one. */
static int try_begin(struct sl_context *ctx, struct store *store)
{
	int code;

	(void)sqlite3_busy_timeout(store->db, 0);
	code = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	(void)sqlite3_busy_timeout(store->db, BUSY_MS);
	return code == SQLITE_OK ? 1 : (code & 0xff) == SQLITE_BUSY ? 0 : spill_failed(ctx, store);
}

/* SQLite's lock goes to whoever asks at the right moment: one that has much to write would never let go of it. */
int spill_begin(struct sl_context *ctx, struct store *store, int64_t deadline)
{
	bool is_ours = false;
	int r = 0;

	while (r == 0) {
		is_ours = is_ours || flock(store->lock, LOCK_EX | LOCK_NB) == 0;
		r = is_ours ? try_begin(ctx, store) : 0;
		if (r == 0 && sl_now() >= deadline)
			r = -EBUSY;
		else if (r == 0)
			r = sl_sleep_until(ctx, sl_now() + TURN);
	}
	if (is_ours)
		(void)flock(store->lock, LOCK_UN);
	return r < 0 ? r : 0;
}

void spill_rollback(struct store *store)
{
	if (!sqlite3_get_autocommit(store->db))
		(void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

/* What is in the file beside: how far the store had come. */
struct mark {
	uint64_t
		boot; /* after a power cut the store may have less: that is no matter of the file */
	uint64_t number;
	uint64_t next;
};

/* 0: unknown. */
static uint64_t boot_now(void)
{
	/* Said by a unit that hides the file. */
	const char *given = getenv("SLUICE_BOOT_ID");
	char id[64];
	int fd = given ? -1 : open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, id, sizeof(id));

	if (fd >= 0)
		(void)close(fd);
	if (given)
		return XXH3_64bits(given, strlen(given));
	return size > 0 ? XXH3_64bits(id, (size_t)size) : 0;
}

void spill_wake(const struct store *store, const struct store_state *state)
{
	struct mark mark = { store->boot, state->number, state->next };

	/* On a full disk the other looks a little later by itself. */
	(void)!pwrite(store->lock, &mark, sizeof(mark), 0);
}

bool spill_went_back(struct store *store, const struct store_state *state)
{
	struct mark mark;

	store->boot = boot_now();
	return store->boot != 0 &&
	       pread(store->lock, &mark, sizeof(mark), 0) == (ssize_t)sizeof(mark) &&
	       mark.boot == store->boot && mark.number == state->number && mark.next > state->next;
}

void spill_close(struct store *store)
{
	(void)sqlite3_close_v2(store->db);
	if (store->lock >= 0)
		(void)close(store->lock);
	store->db = NULL;
	store->lock = -1;
}

/* clang-format off */
const struct sl_option spill_options[] = {
	{ SL_OPTION("store", STRING, struct spill, store), .required = true },
	{ SL_OPTION("max", SIZE, struct spill, max), .required = true },
	{ SL_OPTION("drops", BOOL, struct spill, drops), .required = true },
	{ SL_OPTION("tags", BOOL, struct spill, has_tags) },
	{ 0 },
};
/* clang-format on */
