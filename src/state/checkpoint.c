/* SPDX-License-Identifier: MIT */
/* See checkpoint.h. */
#include "state/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/point.h"
#include "state/store.h"

/* An upsert, since that alone does not yield to what the statement above says of conflicts. */
#define STALE(row)                                                                                 \
	" ON origins BEGIN INSERT INTO stale_origins VALUES (" row ".stage, " row ".origin, 3) "   \
	"ON CONFLICT (stage, origin) DO UPDATE SET slots = 3 WHERE slots <> 3; END;"

static const char *const steps[] = {
	"CREATE TABLE origins (stage TEXT NOT NULL, origin INTEGER NOT NULL, series INTEGER NOT "
	"NULL,"
	" position INTEGER NOT NULL, line INTEGER NOT NULL, is_done INTEGER NOT NULL, name TEXT,"
	" changed TEXT NOT NULL, PRIMARY KEY (stage, origin)) WITHOUT ROWID;"
	"CREATE TABLE counts (stage TEXT NOT NULL, instance INTEGER NOT NULL, run INTEGER NOT "
	"NULL,"
	" shape INTEGER NOT NULL, head INTEGER NOT NULL, cells BLOB NOT NULL, PRIMARY KEY (stage, "
	"instance))",
	"ALTER TABLE origins ADD COLUMN mark INTEGER NOT NULL DEFAULT 0",
	/* The slots of points (point.h), and where cuts must not reach over. */
	"CREATE TABLE point_origins (slot INTEGER NOT NULL, stage TEXT NOT NULL, origin INTEGER "
	"NOT NULL,"
	" series INTEGER NOT NULL, position INTEGER NOT NULL, line INTEGER NOT NULL, is_done "
	"INTEGER NOT NULL,"
	" name TEXT, changed TEXT NOT NULL, mark INTEGER NOT NULL, PRIMARY KEY (slot, stage, "
	"origin)) WITHOUT ROWID;"
	"CREATE TABLE point_counts (slot INTEGER NOT NULL, stage TEXT NOT NULL, instance INTEGER "
	"NOT NULL,"
	" run INTEGER NOT NULL, shape INTEGER NOT NULL, head INTEGER NOT NULL, cells BLOB NOT NULL,"
	" PRIMARY KEY (slot, stage, instance));"
	"CREATE TABLE bounds (origin INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY "
	"(origin, position)) WITHOUT ROWID",
	/* Which origins the slots do not hold as they are now: a bit for each slot. */
	"CREATE TABLE stale_origins (stage TEXT NOT NULL, origin INTEGER NOT NULL, slots INTEGER "
	"NOT NULL,"
	" PRIMARY KEY (stage, origin)) WITHOUT ROWID;"
	"INSERT INTO stale_origins SELECT stage, origin, 3 FROM origins UNION"
	" SELECT stage, origin, 3 FROM point_origins;"
	/* clang-format off */
	"CREATE TRIGGER origin_added AFTER INSERT" STALE("new")
	"CREATE TRIGGER origin_changed AFTER UPDATE" STALE("new")
	"CREATE TRIGGER origin_removed AFTER DELETE" STALE("old")
	"CREATE INDEX origins_by_origin ON origins (origin)",
	/* clang-format on */
};

const struct store_kind checkpoint_kind = {
	.name = "checkpoints.db",
	.what = "checkpoints",
	.steps = steps,
	.step_count = sizeof(steps) / sizeof(steps[0]),
};

enum statement {
	GET,
	FIND,
	NEXT,
	BEGIN,
	COUNTS,
	PUT,
	PUT_COUNTS,
	FORGET,
	HAS_BOUNDS,
	BOUND,
	LAST_BOUND,
	SAFE,
	STATEMENT_COUNT
};

static const char *const texts[STATEMENT_COUNT] = {
	[GET] = "SELECT position, line, is_done, mark FROM origins WHERE stage = ?1 AND origin = "
		"?2 AND "
		"series = ?3",
	[FIND] = "SELECT origin, position, line, is_done, name, CAST(strftime('%s', changed) AS "
		 "INTEGER), mark FROM origins "
		 "WHERE stage = ?1 AND origin = ?2 AND series = ?3",
	[NEXT] = "SELECT origin, position, line, is_done, name, CAST(strftime('%s', changed) AS "
		 "INTEGER), mark FROM origins "
		 "WHERE stage = ?1 AND origin > ?2 AND series = ?3 "
		 "ORDER BY origin LIMIT 1",
	[BEGIN] = "INSERT INTO origins VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, datetime(), ?8) "
		  "ON CONFLICT (stage, origin) DO UPDATE SET series = ?3, position = ?4, line = "
		  "?5, is_done = ?6, name = ?7, mark = ?8, changed = datetime() WHERE series <> ?3",
	[COUNTS] = "SELECT head, cells, shape FROM counts WHERE stage = ?1 AND instance = ?2 AND "
		   "run = ?3",
	[PUT] = "INSERT INTO origins VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, datetime(), ?8) "
		"ON CONFLICT (stage, origin) DO UPDATE SET series = ?3, position = ?4, line = ?5, "
		"is_done = ?6, name = coalesce(?7, name), mark = ?8, changed = datetime()",
	[PUT_COUNTS] = "INSERT OR REPLACE INTO counts VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[FORGET] = "DELETE FROM origins WHERE stage = ?1 AND series <> ?2",
	[HAS_BOUNDS] = "SELECT 1 FROM bounds WHERE ?1 <> '' LIMIT 1",
	[BOUND] = "SELECT position FROM bounds WHERE ?1 <> '' AND origin = ?2 AND position > ?3 "
		  "ORDER BY position LIMIT 1",
	[LAST_BOUND] = "SELECT max(position) FROM bounds WHERE ?1 <> '' AND origin = ?2",
	[SAFE] = "SELECT position FROM point_origins WHERE stage = ?1 AND origin = ?2 AND "
		 "series = ?3 AND slot = ?4",
};

struct checkpoint {
	char stage[64];
	uint32_t instance;
	uint64_t series;
	uint64_t shape;
	bool has_forgotten; /* other series */
	char *name;         /* of the origin that was read last */
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

int checkpoint_open(const char *state, const char *stage, uint32_t instance, uint64_t series,
	uint64_t shape, struct checkpoint **ret, struct err *err)
{
	struct checkpoint *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "no memory");
	(void)snprintf(c->stage, sizeof(c->stage), "%s", stage);
	c->instance = instance;
	c->series = series;
	c->shape = shape;
	r = store_open(state, &checkpoint_kind, true, &c->db, err);
	for (int i = 0; i < STATEMENT_COUNT && r == 0; i++)
		if (sqlite3_prepare_v3(c->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
			    &c->statements[i], NULL) != SQLITE_OK)
			r = store_error(c->db, &checkpoint_kind, err);
	if (r < 0) {
		checkpoint_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void checkpoint_close(struct checkpoint *c)
{
	if (!c)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(c->statements[i]);
	(void)sqlite3_close_v2(c->db);
	free(c->name);
	free(c);
}

static sqlite3_stmt *prepare(struct checkpoint *c, enum statement which)
{
	sqlite3_stmt *statement = c->statements[which];

	(void)sqlite3_reset(statement);
	(void)sqlite3_bind_text(statement, 1, c->stage, -1, SQLITE_STATIC);
	return statement;
}

static void bind(sqlite3_stmt *statement, int column, uint64_t number)
{
	(void)sqlite3_bind_int64(statement, column, (sqlite3_int64)number);
}

/* 1: a row; 0: none, or done. */
static int step(struct checkpoint *c, sqlite3_stmt *statement, struct err *err)
{
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		return 1;
	(void)sqlite3_reset(statement);
	return code == SQLITE_DONE ? 0 : store_error(c->db, &checkpoint_kind, err);
}

int checkpoint_get(
	struct checkpoint *c, uint64_t origin, struct checkpoint_place *ret, struct err *err)
{
	sqlite3_stmt *statement = prepare(c, GET);
	int r;

	bind(statement, 2, origin);
	bind(statement, 3, c->series);
	r = step(c, statement, err);
	if (r <= 0)
		return r;
	ret->position = (uint64_t)sqlite3_column_int64(statement, 0);
	ret->line = (uint64_t)sqlite3_column_int64(statement, 1);
	ret->is_done = sqlite3_column_int(statement, 2);
	ret->mark = (uint64_t)sqlite3_column_int64(statement, 3);
	(void)sqlite3_reset(statement);
	return 1;
}

int checkpoint_counts(struct checkpoint *c, uint64_t run, uint64_t *ret_head, uint64_t *cells,
	uint32_t cell_count, struct err *err)
{
	sqlite3_stmt *statement = prepare(c, COUNTS);
	size_t size = cell_count * sizeof(*cells);
	int r;

	bind(statement, 2, c->instance);
	bind(statement, 3, run);
	r = step(c, statement, err);
	if (r <= 0)
		return r;
	*ret_head = (uint64_t)sqlite3_column_int64(statement, 0);
	if ((uint64_t)sqlite3_column_int64(statement, 2) == c->shape &&
		(size_t)sqlite3_column_bytes(statement, 1) == size)
		memcpy(cells, sqlite3_column_blob(statement, 1), size);
	(void)sqlite3_reset(statement);
	return 1;
}

static int read_origin(struct checkpoint *c, sqlite3_stmt *statement, struct checkpoint_origin *ret,
	struct err *err)
{
	const char *name;
	int r = step(c, statement, err);

	if (r <= 0)
		return r;
	name = (const char *)sqlite3_column_text(statement, 4);
	free(c->name);
	c->name = name ? strdup(name) : NULL;
	*ret = (struct checkpoint_origin){
		.origin = (uint64_t)sqlite3_column_int64(statement, 0),
		.place = { .position = (uint64_t)sqlite3_column_int64(statement, 1),
			.line = (uint64_t)sqlite3_column_int64(statement, 2),
			.mark = (uint64_t)sqlite3_column_int64(statement, 6),
			.is_done = sqlite3_column_int(statement, 3) },
		.name = c->name,
		.changed = sqlite3_column_int64(statement, 5),
	};
	(void)sqlite3_reset(statement);
	return name && !c->name ? err_set(err, -ENOMEM, "no memory") : 1;
}

int checkpoint_find(
	struct checkpoint *c, uint64_t origin, struct checkpoint_origin *ret, struct err *err)
{
	sqlite3_stmt *statement = prepare(c, FIND);

	bind(statement, 2, origin);
	bind(statement, 3, c->series);
	return read_origin(c, statement, ret, err);
}

int checkpoint_next(
	struct checkpoint *c, const uint64_t *after, struct checkpoint_origin *ret, struct err *err)
{
	sqlite3_stmt *statement = prepare(c, NEXT);

	bind(statement, 2, after ? *after : (uint64_t)INT64_MIN);
	bind(statement, 3, c->series);
	return read_origin(c, statement, ret, err);
}

static int put_origin(struct checkpoint *c, enum statement how,
	const struct checkpoint_origin *origin, struct err *err)
{
	sqlite3_stmt *statement = prepare(c, how);

	bind(statement, 2, origin->origin);
	bind(statement, 3, c->series);
	bind(statement, 4, origin->place.position);
	bind(statement, 5, origin->place.line);
	bind(statement, 6, origin->place.is_done);
	(void)sqlite3_bind_text(statement, 7, origin->name, -1, SQLITE_STATIC);
	bind(statement, 8, origin->place.mark);
	return step(c, statement, err);
}

int checkpoint_begin(struct checkpoint *c, const struct checkpoint_origin *origin, struct err *err)
{
	return put_origin(c, BEGIN, origin, err);
}

int checkpoint_has_bounds(struct checkpoint *c, struct err *err)
{
	sqlite3_stmt *statement = prepare(c, HAS_BOUNDS);
	int r = step(c, statement, err);

	(void)sqlite3_reset(statement);
	return r;
}

int checkpoint_bound(
	struct checkpoint *c, uint64_t origin, uint64_t position, uint64_t *ret, struct err *err)
{
	bool is_last = position == UINT64_MAX;
	sqlite3_stmt *statement = prepare(c, is_last ? LAST_BOUND : BOUND);
	int r;

	bind(statement, 2, origin);
	if (!is_last)
		bind(statement, 3, position);
	r = step(c, statement, err);
	*ret = r > 0 ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
	(void)sqlite3_reset(statement);
	return r < 0 ? r : 0;
}

int checkpoint_safe(
	struct checkpoint *c, uint64_t origin, uint64_t point, uint64_t *ret, struct err *err)
{
	sqlite3_stmt *statement = prepare(c, SAFE);
	int r;

	bind(statement, 2, origin);
	bind(statement, 3, c->series);
	bind(statement, 4, point_slot(point));
	r = step(c, statement, err);
	*ret = r > 0 ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
	(void)sqlite3_reset(statement);
	return r < 0 ? r : 0;
}

static int forget_others(struct checkpoint *c, struct err *err)
{
	sqlite3_stmt *statement = prepare(c, FORGET);

	bind(statement, 2, c->series);
	return c->has_forgotten ? 0 : step(c, statement, err);
}

static int put_all(struct checkpoint *c, uint64_t run, const struct checkpoint_origin *origins,
	uint32_t origin_count, uint64_t head, const uint64_t *cells, uint32_t cell_count,
	struct err *err)
{
	sqlite3_stmt *statement = prepare(c, PUT_COUNTS);
	int r = forget_others(c, err);

	for (uint32_t i = 0; i < origin_count && r == 0; i++)
		r = put_origin(c, PUT, &origins[i], err);
	if (r < 0)
		return r;
	bind(statement, 2, c->instance);
	bind(statement, 3, run);
	bind(statement, 4, c->shape);
	bind(statement, 5, head);
	(void)sqlite3_bind_blob64(statement, 6, cells, cell_count * sizeof(*cells), SQLITE_STATIC);
	return step(c, statement, err);
}

int checkpoint_put(struct checkpoint *c, uint64_t run, const struct checkpoint_origin *origins,
	uint32_t origin_count, uint64_t head, const uint64_t *cells, uint32_t cell_count,
	struct err *err)
{
	int r;

	if (sqlite3_exec(c->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return store_error(c->db, &checkpoint_kind, err);
	r = put_all(c, run, origins, origin_count, head, cells, cell_count, err);
	if (r == 0 && sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		r = store_error(c->db, &checkpoint_kind, err);
	if (r < 0)
		(void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
	c->has_forgotten = c->has_forgotten || r == 0;
	return r;
}
