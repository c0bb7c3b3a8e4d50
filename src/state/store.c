/* SPDX-License-Identifier: MIT */
/* See store.h. */
#include "state/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define BUSY_MS 20000
#define BUSY_STEP_US 1000
#define APPLICATION_ID 0x736c7563 /* "sluc": file(1) and sqlite3 can tell whose it is */

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

/* A growing -wal or -shm for which there is no space, or no quota, is an I/O error to SQLite; the system call knew more (but for the -shm). */
static int error_of(sqlite3 *db)
{
	int code = sqlite3_extended_errcode(db);
	int r = code == SQLITE_IOERR_SHMSIZE ? -ENOSPC : errno_of(code);
	int error = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN
			    ? sqlite3_system_errno(db)
			    : 0;

	return error == ENOSPC || error == EDQUOT || error == EROFS ? -error : r;
}

int store_error(sqlite3 *db, const struct store_kind *kind, struct err *err)
{
	const char *path = db ? sqlite3_db_filename(db, "main") : NULL;
	int r = db ? error_of(db) : -ENOMEM;
	const char *said = db ? sqlite3_errmsg(db) : "out of memory";

	path = path && *path ? path : kind->name;
	if (r == -EBADMSG)
		return err_set(err, r,
			"%s, which holds the %s, is damaged (%s): save what can be read with "
			"`sqlite3 %s .recover`, then move the file away",
			path, kind->what, said, path);
	if (r == -EBUSY)
		return err_set(err, r, "%s is locked by another process for too long", path);
	return err_set(err, r, "%s: %s", path, said);
}

static int run(sqlite3 *db, const struct store_kind *kind, const char *sql, struct err *err)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
								    : store_error(db, kind, err);
}

static int ask_number(sqlite3 *db, const struct store_kind *kind, const char *sql, int *ret_number,
	struct err *err)
{
	sqlite3_stmt *statement;
	int r = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		return store_error(db, kind, err);
	if (sqlite3_step(statement) == SQLITE_ROW)
		*ret_number = sqlite3_column_int(statement, 0);
	else
		r = store_error(db, kind, err);
	(void)sqlite3_finalize(statement);
	return r;
}

/* In one transaction, which others wait for: they find it done. */
static int bring_up_to_date(sqlite3 *db, const struct store_kind *kind, struct err *err)
{
	char mark[96];
	int version = 0;
	int r = run(db, kind, "BEGIN IMMEDIATE", err);

	if (r == 0)
		r = ask_number(db, kind, "PRAGMA user_version", &version, err);
	for (; r == 0 && version < kind->step_count; version++)
		r = run(db, kind, kind->steps[version], err);
	(void)snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		APPLICATION_ID, version);
	if (r == 0)
		r = run(db, kind, mark, err);
	if (r == 0)
		r = run(db, kind, "COMMIT", err);
	if (r < 0)
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

static int check_version(sqlite3 *db, const struct store_kind *kind, struct err *err)
{
	int version = 0, owner = 0;
	int r = ask_number(db, kind, "PRAGMA user_version", &version, err);

	if (r == 0)
		r = ask_number(db, kind, "PRAGMA application_id", &owner, err);
	if (r < 0)
		return r;
	if (version > 0 && owner != APPLICATION_ID)
		return err_set(err, -EBADMSG,
			"%s is a database of something else: move it away, or give another folder "
			"with --state",
			sqlite3_db_filename(db, "main"));
	if (version > kind->step_count)
		return err_set(err, -EPROTO,
			"%s was written by a newer sluice (layout %d, this one knows %d): use that "
			"one, or move the file away",
			sqlite3_db_filename(db, "main"), version, kind->step_count);
	return version == kind->step_count ? 0 : bring_up_to_date(db, kind, err);
}

/* Of several that make it at once SQLite tells all but one that it is busy, without waiting: two that wait would wait for ever. */
static int use_wal(sqlite3 *db, const struct store_kind *kind, struct err *err)
{
	int64_t until = clock_now() + BUSY_MS * NSEC_PER_MSEC;
	int r;

	do {
		r = run(db, kind, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", err);
		if (r == -EBUSY)
			(void)usleep(BUSY_STEP_US);
	} while (r == -EBUSY && clock_now() < until);
	if (r == 0 && err)
		err->text[0] = '\0';
	return r;
}

int store_open(const char *folder, const struct store_kind *kind, bool may_make, sqlite3 **ret_db,
	struct err *err)
{
	char path[PATH_MAX];
	sqlite3 *db = NULL;
	int r = 0;

	if (snprintf(path, sizeof(path), "%s/%s", folder, kind->name) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: the path is too long", folder);
	if (!may_make && access(path, F_OK) < 0)
		return err_set(err, -errno, "%s: %s", path, err_name(errno));
	if (sqlite3_open_v2(path, &db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
		    NULL) != SQLITE_OK)
		r = store_error(db, kind, err);
	if (r == 0)
		(void)sqlite3_busy_timeout(db, BUSY_MS);
	if (r == 0)
		r = use_wal(db, kind, err);
	if (r == 0)
		r = check_version(db, kind, err);
	if (r < 0) {
		(void)sqlite3_close_v2(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

/* 0, also when there is no such file. */
static int sync_file(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	(void)close(fd);
	return r;
}

/* Not the database itself: closing it would take SQLite's locks from this process; and SQLite syncs it before it lets go of the WAL. */
int store_sync(const char *folder, const char *name, struct err *err)
{
	char path[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/%s-wal", folder, name) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: the path is too long", folder);
	r = sync_file(path, 0);
	if (r == 0)
		r = sync_file(folder, O_DIRECTORY);
	return r < 0 ? err_set(err, r, "cannot sync %s: %s", path, err_name(r)) : 0;
}
