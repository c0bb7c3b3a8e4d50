/* SPDX-License-Identifier: MIT */
/* See source.h: opening the database, and what there is in it. It may be locked by others, which takes as long as it takes. */
#include "source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../sql/names.h"

#define BUSY_MS 100
#define BUSY_SAID (60 * SL_SECOND)

/* A column of some table that begins as a name does which there is not: what was meant, and lacks its quotes or its end. */
static void hint_column(sqlite3 *db, const char *message, char *hint, size_t size)
{
	char name[256];
	sqlite3_stmt *s = NULL;

	if (!names_missing(message, name, sizeof(name)) ||
		sqlite3_prepare_v2(db,
			"SELECT c.name, c.name GLOB '*[^a-zA-Z0-9_]*' FROM sqlite_master AS t, "
			"pragma_table_xinfo(t.name) AS c WHERE substr(c.name, 1, length(?1)) = ?1 "
			"COLLATE NOCASE ORDER BY length(c.name) LIMIT 1",
			-1, &s, NULL) != SQLITE_OK)
		return;
	(void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	if (sqlite3_step(s) == SQLITE_ROW)
		(void)snprintf(hint, size,
			sqlite3_column_int(s, 1)
				? "; there is a column that stands in quotes: \\\"%s\\\""
				: "; there is a column `%s`",
			(const char *)sqlite3_column_text(s, 0));
	(void)sqlite3_finalize(s);
}

/* `sql` is what SQLite did not take; NULL: it was something else. */
static int failed(
	struct sl_context *ctx, const struct shared *o, const struct worker *w, const char *sql)
{
	int code = w->db ? sqlite3_errcode(w->db) : SQLITE_NOMEM;
	int at = w->db ? sqlite3_error_offset(w->db) : -1;
	char message[256], hint[NAMES_HINT_SIZE] = "";

	(void)snprintf(
		message, sizeof(message), "%s", w->db ? sqlite3_errmsg(w->db) : "out of memory");
	if (sql && at >= 0 && (size_t)at < strlen(sql))
		names_hint(message, sql, (size_t)at, hint, sizeof(hint));
	if (sql && !*hint)
		hint_column(w->db, message, hint, sizeof(hint));
	return sl_error(ctx, (code & 0xff) == SQLITE_NOMEM ? -ENOMEM : -EIO, "%s: %s%s", o->path,
		message, hint);
}

int source_failed(struct sl_context *ctx, const struct shared *o, const struct worker *w)
{
	return failed(ctx, o, w, NULL);
}

/* --- SQLite ------------------------------------------------------------------------------------- */

/* Another process changes the database just now. 0: try again. */
static int wait_busy(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int64_t now = sl_now();

	if (w->busy_said == 0)
		w->busy_said = now;
	if (now - w->busy_said >= BUSY_SAID) {
		w->busy_said = now;
		sl_log(ctx, SL_LOG_WARNING, "%s has been locked by another process for a minute",
			o->path);
	}
	return sl_sleep_until(ctx, now + BUSY_MS * SL_MILLISECOND);
}

int source_begin(struct sl_context *ctx, const struct shared *o, struct worker *w, char *sql,
	sqlite3_stmt **ret)
{
	int code = sql ? SQLITE_BUSY : SQLITE_NOMEM, r = 0;

	while (r == 0 && (code & 0xff) == SQLITE_BUSY) {
		code = sqlite3_prepare_v2(w->db, sql, -1, ret, NULL);
		if (code == SQLITE_OK)
			code = sqlite3_step(*ret);
		if ((code & 0xff) == SQLITE_BUSY) {
			(void)sqlite3_finalize(*ret);
			*ret = NULL;
			r = wait_busy(ctx, o, w);
		}
	}
	w->busy_said = 0;
	if (r == 0 && code != SQLITE_ROW && code != SQLITE_DONE)
		r = sql ? failed(ctx, o, w, sql) : -ENOMEM;
	sqlite3_free(sql);
	return r < 0 ? r : code;
}

/* Whether a query about names has a row; or an error. */
static int has_row(struct sl_context *ctx, const struct shared *o, struct worker *w, char *sql)
{
	sqlite3_stmt *s = NULL;
	int r = source_begin(ctx, o, w, sql, &s);

	(void)sqlite3_finalize(s);
	return r < 0 ? r : r == SQLITE_ROW;
}

/* --- what is there ------------------------------------------------------------------------------ */

static int open_database(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	if (access(o->path, F_OK) < 0 && errno == ENOENT)
		return sl_error(ctx, -ENOENT, "there is no database %s: see `path`", o->path);
	if (sqlite3_open_v2(o->path, &w->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
			SQLITE_OK ||
		sqlite3_busy_timeout(w->db, BUSY_MS) != SQLITE_OK)
		return source_failed(ctx, o, w);
	return 0;
}

/* A query may end with a semicolon; it stands in brackets here. */
static int write_from(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	size_t size = o->query ? strlen(o->query) : 0;
	int r;

	while (size > 0 && strchr("; \t\r\n", o->query[size - 1]))
		size--;
	w->from = o->query ? sqlite3_mprintf("(%.*s\n) AS page", (int)size, o->query)
			   : sqlite3_mprintf("\"%w\" AS page", o->table);
	if (!w->from)
		return -ENOMEM;
	if (o->query)
		return 0;
	r = has_row(ctx, o, w, sqlite3_mprintf("SELECT 1 FROM pragma_table_xinfo(%Q)", o->table));
	if (r == 0)
		return sl_error(ctx, -ENOENT, "%s has no table or view `%s`", o->path, o->table);
	return r < 0 ? r : 0;
}

/* The primary key that is the row's own number, or an index: without one of these nobody knows. */
static int judge_unique(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r = !o->table
			? 0
			: has_row(ctx, o, w,
				  sqlite3_mprintf(
					  "SELECT 1 FROM pragma_table_xinfo(%Q) WHERE name = %Q "
					  "COLLATE NOCASE AND pk = 1 AND type = 'INTEGER' COLLATE "
					  "NOCASE AND 1 = (SELECT count(*) FROM "
					  "pragma_table_xinfo(%Q) WHERE pk > 0) UNION ALL SELECT 1 "
					  "FROM "
					  "pragma_index_list(%Q) AS l WHERE l.\"unique\" AND NOT "
					  "l.partial AND (SELECT count(*) = 1 AND max(name) = %Q "
					  "COLLATE "
					  "NOCASE FROM pragma_index_info(l.name))",
					  o->table, o->key, o->table, o->table, o->key));

	w->is_unique = r > 0;
	return r < 0 ? r : 0;
}

static int judge_values(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r = has_row(ctx, o, w,
		sqlite3_mprintf(
			"SELECT 1 FROM %s WHERE page.\"%w\" IS NULL LIMIT 1", w->from, o->key));

	if (r > 0)
		return sl_error(ctx, -EINVAL,
			"there are rows whose `%s` is NULL, and they would never be read: choose "
			"another `key`, or leave them out with a `query`",
			o->key);
	return r;
}

int source_meet(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r = open_database(ctx, o, w);

	if (r == 0)
		r = write_from(ctx, o, w);
	if (r == 0 && o->key)
		r = judge_unique(ctx, o, w);
	return r == 0 && o->key ? judge_values(ctx, o, w) : r;
}
