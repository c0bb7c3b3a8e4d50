/* SPDX-License-Identifier: MIT */
/* See point.h. */
#include "state/point.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "state/checkpoint.h"
#include "state/committed.h"
#include "state/dead.h"

#define SQL_MAX 1600

/* --- the file that names it ------------------------------------------------------------------------ */

static int path_of(const char *state, const char *name, char *path, struct err *err)
{
	return snprintf(path, PATH_MAX, "%s/%s", state, name) >= PATH_MAX
		       ? err_set(err, -ENAMETOOLONG, "%s: the path is too long", state)
		       : 0;
}

int point_last(const char *state, struct point_place *ret, struct err *err)
{
	struct point_place last = { 0 };
	char path[PATH_MAX];
	FILE *file;
	int found;
	int r = path_of(state, "point", path, err);

	*ret = last;
	if (r < 0)
		return r;
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "cannot read %s: %s", path, err_name(errno));
	found = fscanf(file, "point %" SCNu64 "\nseries %" SCNx64, &last.number, &last.series);
	(void)fclose(file);
	if (found != 2)
		return err_set(err, -EBADMSG,
			"%s, which names the state to go back to after a power cut, is damaged: "
			"remove it, and begin anew with --from-start",
			path);
	*ret = last;
	return 0;
}

/* The old one or the whole new one; and it lasts. */
static int write_last(const char *state, const struct point_place *point, struct err *err)
{
	char path[PATH_MAX], next[PATH_MAX];
	FILE *file;
	bool is_written;
	int r = path_of(state, "point", path, err);

	if (r == 0)
		r = path_of(state, "point.next", next, err);
	if (r < 0)
		return r;
	file = fopen(next, "we");
	if (!file)
		return err_set(err, -errno, "cannot write %s: %s", next, err_name(errno));
	is_written = fprintf(file, "point %" PRIu64 "\nseries %016" PRIx64 "\n", point->number,
			     point->series) > 0 &&
		     fflush(file) == 0 && fsync(fileno(file)) == 0;
	if (fclose(file) != 0 || !is_written || rename(next, path) < 0)
		return err_set(err, errno ? -errno : -EIO, "cannot write %s: %s", path,
			err_name(errno ? errno : EIO));
	return 0;
}

/* --- saving --------------------------------------------------------------------------------------- */

/* Runs statements in one transaction. */
static int run_all(
	const char *state, const struct store_kind *kind, const char *sql, struct err *err)
{
	sqlite3 *db;
	int r = store_open(state, kind, true, &db, err);

	if (r < 0)
		return r;
	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		r = store_error(db, kind, err);
	(void)sqlite3_close_v2(db);
	return r;
}

#define ORIGIN_COLUMNS "stage, origin, series, position, line, is_done, name, changed, mark"
#define COUNT_COLUMNS "stage, instance, run, shape, head, cells"
#define BATCH_COLUMNS "run, origin, path, start, stop, dead"

int point_save_sources(const char *state, uint64_t number, struct err *err)
{
	char sql[SQL_MAX];
	unsigned slot = point_slot(number);

	/* Bounds that all have passed are of no use any more. */
	(void)snprintf(sql, sizeof(sql),
		"DELETE FROM bounds WHERE origin IN (SELECT origin FROM stale_origins WHERE slots "
		"& %2$u) AND position <= (SELECT min(position) FROM origins WHERE origins.origin = "
		"bounds.origin);"
		"DELETE FROM point_origins WHERE slot = %1$u AND (stage, origin) IN "
		"(SELECT stage, origin FROM stale_origins WHERE slots & %2$u);"
		"INSERT INTO point_origins SELECT %1$u, " ORIGIN_COLUMNS
		" FROM stale_origins CROSS JOIN origins USING (stage, origin) WHERE slots & %2$u;"
		"DELETE FROM stale_origins WHERE slots = %2$u;"
		"UPDATE stale_origins SET slots = slots - %2$u WHERE slots & %2$u;"
		"DELETE FROM point_counts WHERE slot = %1$u;"
		"INSERT INTO point_counts SELECT %1$u, " COUNT_COLUMNS " FROM counts",
		slot, 1u << slot);
	return run_all(state, &checkpoint_kind, sql, err);
}

int point_save_sink(const char *state, const char *stage, uint64_t number, struct err *err)
{
	char sql[SQL_MAX], name[COMMITTED_NAME_MAX];
	struct store_kind kind = committed_kind(stage, name);
	unsigned slot = point_slot(number);
	int r;

	(void)snprintf(sql, sizeof(sql),
		"DELETE FROM point_batches WHERE slot = %1$u AND (run, origin) IN "
		"(SELECT run, origin FROM stale_origins WHERE slots & %2$u);"
		"INSERT INTO point_batches SELECT %1$u, " BATCH_COLUMNS
		" FROM stale_origins CROSS JOIN batches USING (run, origin) WHERE slots & %2$u;"
		"DELETE FROM stale_origins WHERE slots = %2$u;"
		"UPDATE stale_origins SET slots = slots - %2$u WHERE slots & %2$u;"
		"DELETE FROM point_marks WHERE slot = %1$u;"
		"INSERT INTO point_marks SELECT %1$u, instance, run, mark FROM marks",
		slot, 1u << slot);
	r = run_all(state, &kind, sql, err);
	return r == 0 ? store_sync(state, name, err) : r;
}

int point_seal(const char *state, const struct point_place *point, struct err *err)
{
	int r = store_sync(state, dead_kind.name, err);

	if (r == 0)
		r = store_sync(state, checkpoint_kind.name, err);
	if (r == 0)
		r = write_last(state, point, err);
	/* And the folder, which holds the name. */
	return r == 0 ? store_sync(state, "point", err) : r;
}

/* --- going back ----------------------------------------------------------------------------------- */

int point_restore_sources(const char *state, uint64_t number, uint64_t series, struct err *err)
{
	char sql[SQL_MAX];
	/* The slot of no point. */
	int slot = number > 0 ? (int)point_slot(number) : -1;

	(void)snprintf(sql, sizeof(sql),
		"DELETE FROM origins; DELETE FROM counts; DELETE FROM bounds;"
		"INSERT INTO origins (" ORIGIN_COLUMNS ") SELECT " ORIGIN_COLUMNS
		" FROM point_origins WHERE slot = %1$d AND series = %2$" PRId64 ";"
		"INSERT INTO counts (" COUNT_COLUMNS ") SELECT " COUNT_COLUMNS
		" FROM point_counts WHERE slot = %1$d",
		slot, (int64_t)series);
	return run_all(state, &checkpoint_kind, sql, err);
}

/* A process that has begun since goes back to what it said first. */
int point_restore_sink(
	const char *state, const char *stage, uint64_t number, uint64_t run, struct err *err)
{
	char sql[SQL_MAX], name[COMMITTED_NAME_MAX];
	struct store_kind kind = committed_kind(stage, name);
	int slot = number > 0 ? (int)point_slot(number) : -1;

	(void)snprintf(sql, sizeof(sql),
		"DELETE FROM batches;"
		"INSERT INTO batches (" BATCH_COLUMNS ") SELECT " BATCH_COLUMNS
		" FROM point_batches WHERE slot = %1$d AND run = %2$" PRId64 ";"
		"INSERT OR IGNORE INTO marks (instance, run, mark, first) SELECT instance, run, "
		"mark, "
		"mark FROM point_marks WHERE slot = %1$d AND run = %2$" PRId64 ";"
		"UPDATE marks SET mark = coalesce((SELECT p.mark FROM point_marks p WHERE p.slot = "
		"%1$d "
		"AND p.instance = marks.instance AND p.run = marks.run), first, mark) WHERE run = "
		"%2$" PRId64,
		slot, (int64_t)run);
	return run_all(state, &kind, sql, err);
}

/* --- bounds --------------------------------------------------------------------------------------- */

struct point_bounds {
	sqlite3 *db;
	sqlite3_stmt *add;
};

int point_begin_bounds(const char *state, struct point_bounds **ret, struct err *err)
{
	struct point_bounds *bounds = calloc(1, sizeof(*bounds));
	int r;

	if (!bounds)
		return err_set(err, -ENOMEM, "no memory");
	r = store_open(state, &checkpoint_kind, true, &bounds->db, err);
	if (r == 0 &&
		(sqlite3_exec(bounds->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
			sqlite3_prepare_v2(bounds->db, "INSERT OR IGNORE INTO bounds VALUES (?, ?)",
				-1, &bounds->add, NULL) != SQLITE_OK))
		r = store_error(bounds->db, &checkpoint_kind, err);
	if (r < 0) {
		(void)point_end_bounds(bounds, false, err);
		return r;
	}
	*ret = bounds;
	return 0;
}

int point_add_bound(
	struct point_bounds *bounds, uint64_t origin, uint64_t position, struct err *err)
{
	int code;

	(void)sqlite3_bind_int64(bounds->add, 1, (int64_t)origin);
	(void)sqlite3_bind_int64(bounds->add, 2, (int64_t)position);
	code = sqlite3_step(bounds->add);
	(void)sqlite3_reset(bounds->add);
	return code == SQLITE_DONE ? 0 : store_error(bounds->db, &checkpoint_kind, err);
}

int point_add_names(
	struct point_bounds *bounds, const char *state, const char *stage, struct err *err)
{
	char name[COMMITTED_NAME_MAX];
	struct store_kind kind = committed_kind(stage, name);
	sqlite3_stmt *names = NULL;
	sqlite3 *db;
	int code = SQLITE_ROW;
	int r = store_open(state, &kind, true, &db, err);

	if (r < 0)
		return r;
	if (sqlite3_prepare_v2(db,
		    "SELECT origin, start FROM batches UNION SELECT origin, stop FROM batches", -1,
		    &names, NULL) != SQLITE_OK)
		code = SQLITE_ERROR;
	while (r == 0 && code == SQLITE_ROW && (code = sqlite3_step(names)) == SQLITE_ROW)
		r = point_add_bound(bounds, (uint64_t)sqlite3_column_int64(names, 0),
			(uint64_t)sqlite3_column_int64(names, 1), err);
	if (r == 0 && code != SQLITE_DONE)
		r = store_error(db, &kind, err);
	(void)sqlite3_finalize(names);
	(void)sqlite3_close_v2(db);
	return r;
}

int point_end_bounds(struct point_bounds *bounds, bool is_whole, struct err *err)
{
	int r = 0;

	if (is_whole && sqlite3_exec(bounds->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		r = store_error(bounds->db, &checkpoint_kind, err);
	(void)sqlite3_finalize(bounds->add);
	(void)sqlite3_close_v2(bounds->db);
	free(bounds);
	return r;
}
