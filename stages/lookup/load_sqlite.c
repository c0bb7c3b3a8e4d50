/* SPDX-License-Identifier: MIT */
/* The table from an SQLite database: one query, one snapshot. The connection stays, since only it knows whether others have changed something. */
#include <errno.h>
#include <string.h>

#include "../sqlite/page.h"
#include "load.h"

#define BUSY_MS 1000
#define PAGE_ROWS 1000

static int failed(const struct load *load, struct problem *problem)
{
	int code = load->db ? sqlite3_errcode(load->db) & 0xff : SQLITE_NOMEM;

	return problem_say(problem,
		code == SQLITE_BUSY    ? -EAGAIN
		: code == SQLITE_NOMEM ? -ENOMEM
				       : -EIO,
		"%s: %s", load->options->path,
		load->db ? sqlite3_errmsg(load->db) : "out of memory");
}

static int64_t version(sqlite3 *db)
{
	sqlite3_stmt *s = NULL;
	int64_t version = -1;

	if (sqlite3_prepare_v2(db, "PRAGMA data_version", -1, &s, NULL) == SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW)
		version = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	return version;
}

/* The name leads to another file now. */
static bool is_replaced(const struct load *load)
{
	struct stat st;

	return stat(load->options->path, &st) < 0 || st.st_dev != load->seen.st_dev ||
	       st.st_ino != load->seen.st_ino;
}

bool load_sqlite_has_changed(struct load *load)
{
	return !load->db || is_replaced(load) || version(load->db) != load->version;
}

static int open_database(struct load *load, struct problem *problem)
{
	const char *path = load->options->path;

	if (load->db && !is_replaced(load))
		return 0;
	load_fini(load);
	if (stat(path, &load->seen) < 0)
		return problem_say(problem, -errno, "%s: %s", path, strerror(errno));
	if (sqlite3_open_v2(path, &load->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
			SQLITE_OK ||
		sqlite3_busy_timeout(load->db, BUSY_MS) != SQLITE_OK)
		return failed(load, problem);
	return 0;
}

static int read_rows(struct load *load, struct build *build, sqlite3_stmt *s)
{
	struct page page = { 0 };
	int code = sqlite3_step(s), r = 0;

	sl_writer_init(&page.records);
	while (r == 0 && code == SQLITE_ROW) {
		code = page_fill(&page, s, code, PAGE_ROWS);
		for (; r == 0 && page.at < page.count; page.at++)
			r = build_add(build, page_look(&page));
		if (r == 0 && load_is_stopped(load))
			r = -ECANCELED;
	}
	page_fini(&page);
	return r == 0 && code != SQLITE_DONE ? failed(load, build->problem) : r;
}

int load_sqlite(struct load *load, struct build *build)
{
	const struct lookup *o = load->options;
	sqlite3_stmt *s = NULL;
	char *sql;
	int r = open_database(load, build->problem);

	if (r < 0)
		return r;
	sql = o->query ? sqlite3_mprintf("%s", o->query)
		       : sqlite3_mprintf("SELECT * FROM \"%w\"", o->table);
	/* Before the snapshot: what comes between the two is read once too often. */
	load->version = version(load->db);
	if (!sql || sqlite3_prepare_v2(load->db, sql, -1, &s, NULL) != SQLITE_OK)
		r = failed(load, build->problem);
	else if (!s)
		r = problem_say(build->problem, -EINVAL, "`query` says nothing");
	if (r == 0)
		r = read_rows(load, build, s);
	(void)sqlite3_finalize(s);
	sqlite3_free(sql);
	return r;
}
