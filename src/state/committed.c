/* SPDX-License-Identifier: MIT */
/* See committed.h. */
#include "state/committed.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/store.h"

/* An upsert, since that alone does not yield to what the statement above says of conflicts. */
#define STALE(row)                                                                                 \
	" ON batches BEGIN INSERT INTO stale_origins VALUES (" row ".run, " row ".origin, 3) ON "  \
	"CONFLICT (run, origin) DO UPDATE SET slots = 3 WHERE slots <> 3; END;"

static const char *const steps[] = {
	"CREATE TABLE batches (run INTEGER NOT NULL, origin INTEGER NOT NULL, path INTEGER NOT "
	"NULL,"
	" start INTEGER NOT NULL, stop INTEGER NOT NULL, dead INTEGER NOT NULL,"
	" PRIMARY KEY (run, origin, path, start)) WITHOUT ROWID;"
	"CREATE TABLE marks (instance INTEGER PRIMARY KEY, run INTEGER NOT NULL, mark BLOB)",
	/* `first`: the mark with which the run began. The slots of points (point.h). */
	"ALTER TABLE marks ADD COLUMN first BLOB;"
	"CREATE TABLE point_batches (slot INTEGER NOT NULL, run INTEGER NOT NULL, origin INTEGER "
	"NOT NULL,"
	" path INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, dead INTEGER NOT "
	"NULL,"
	" PRIMARY KEY (slot, run, origin, path, start)) WITHOUT ROWID;"
	"CREATE TABLE point_marks (slot INTEGER NOT NULL, instance INTEGER NOT NULL, run INTEGER "
	"NOT NULL, mark BLOB,"
	" PRIMARY KEY (slot, instance))",
	/* Of which origins the slots do not hold the names as they are now: a bit for each slot. */
	"CREATE TABLE stale_origins (run INTEGER NOT NULL, origin INTEGER NOT NULL, slots INTEGER "
	"NOT NULL,"
	" PRIMARY KEY (run, origin)) WITHOUT ROWID;"
	"INSERT INTO stale_origins SELECT run, origin, 3 FROM batches UNION"
	" SELECT run, origin, 3 FROM point_batches;"
	/* clang-format off */
	"CREATE TRIGGER batch_added AFTER INSERT" STALE("new")
	"CREATE TRIGGER batch_changed AFTER UPDATE" STALE("new")
	"CREATE TRIGGER batch_removed AFTER DELETE" STALE("old"),
	/* clang-format on */
};

enum statement { HAS, ADD, RAISE, PASS, FORGET, MARK, RECALL, STATEMENT_COUNT };

/*
 * The row of an origin with path 0 and start 0 is its floor: whatever ends below that was committed, and is forgotten. Without it a late copy
 * of what is forgotten would be taken for new.
 */
static const char *const texts[STATEMENT_COUNT] = {
	/* The names of a path do not overlap, so only the last one that begins early enough can hold the batch. */
	[HAS] = "SELECT iif(start = ?4 AND stop = ?5, dead, 0) FROM (SELECT start, stop, dead FROM "
		"batches "
		"WHERE run = ?1 AND origin = ?2 AND path = ?3 AND start <= ?4 ORDER BY start DESC "
		"LIMIT 1) WHERE "
		"stop >= ?5 UNION ALL SELECT 0 FROM batches WHERE run = ?1 AND origin = ?2 AND "
		"path = 0 "
		"AND start = 0 AND stop >= ?5",
	[ADD] = "INSERT OR IGNORE INTO batches VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[RAISE] =
		"INSERT INTO batches VALUES (?1, ?2, 0, 0, ?3, 0) ON CONFLICT (run, origin, path, "
		"start) DO UPDATE SET stop = excluded.stop WHERE excluded.stop > stop",
	[PASS] = "DELETE FROM batches WHERE run = ?1 AND origin = ?2 AND stop <= ?3 AND path <> 0",
	/* All of it, once for each run: it looks at every row. */
	[FORGET] = "DELETE FROM batches WHERE run <> ?1",
	[MARK] = "INSERT INTO marks VALUES (?1, ?2, ?3, ?3) ON CONFLICT (instance) DO UPDATE SET "
		 "run = "
		 "?2, mark = ?3, first = iif(run = ?2, first, ?3)",
	[RECALL] = "SELECT mark FROM marks WHERE instance = ?1 AND run = ?2",
};

struct committed {
	char state[PATH_MAX];
	char name[COMMITTED_NAME_MAX];
	struct store_kind kind;
	uint64_t run; /* names of other runs were forgotten */
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

struct store_kind committed_kind(const char *stage, char name[COMMITTED_NAME_MAX])
{
	(void)snprintf(name, COMMITTED_NAME_MAX, "committed.%.64s.db", stage);
	return (struct store_kind){
		.name = name,
		.what = "names of what was committed",
		.steps = steps,
		.step_count = sizeof(steps) / sizeof(steps[0]),
	};
}

int committed_open(const char *state, const char *stage, struct committed **ret, struct err *err)
{
	struct committed *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return err_set(err, -ENOMEM, "no memory");
	(void)snprintf(c->state, sizeof(c->state), "%s", state);
	c->kind = committed_kind(stage, c->name);
	r = store_open(state, &c->kind, true, &c->db, err);
	for (int i = 0; i < STATEMENT_COUNT && r == 0; i++)
		if (sqlite3_prepare_v3(c->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
			    &c->statements[i], NULL) != SQLITE_OK)
			r = store_error(c->db, &c->kind, err);
	if (r < 0) {
		committed_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void committed_close(struct committed *c)
{
	if (!c)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(c->statements[i]);
	(void)sqlite3_close_v2(c->db);
	free(c);
}

static int step(struct committed *c, enum statement which, struct err *err)
{
	int code = sqlite3_step(c->statements[which]);
	int r = code == SQLITE_DONE || code == SQLITE_ROW ? code == SQLITE_ROW
							  : store_error(c->db, &c->kind, err);

	if (r <= 0)
		(void)sqlite3_reset(c->statements[which]);
	return r;
}

static void bind_numbers(sqlite3_stmt *s, const uint64_t *numbers, int count)
{
	for (int i = 0; i < count; i++)
		(void)sqlite3_bind_int64(s, i + 1, (int64_t)numbers[i]);
}

#define BIND(c, which, ...)                                                                        \
	bind_numbers((c)->statements[which], (const uint64_t[]){ __VA_ARGS__ },                    \
		(int)(sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t)))

int committed_has(
	struct committed *c, const struct batch_id *id, uint64_t *ret_dead, struct err *err)
{
	int r;

	BIND(c, HAS, id->run, id->origin, id->path, id->start, id->end);
	r = step(c, HAS, err);
	if (r > 0) {
		*ret_dead = (uint64_t)sqlite3_column_int64(c->statements[HAS], 0);
		(void)sqlite3_reset(c->statements[HAS]);
	}
	return r;
}

static int run(struct committed *c, const char *sql, struct err *err)
{
	return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : store_error(c->db, &c->kind, err);
}

/* What the transaction began is taken back. */
static int give_up(struct committed *c, int r)
{
	(void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
	c->run = 0;
	return r;
}

int committed_begin(struct committed *c, struct err *err)
{
	return run(c, "BEGIN IMMEDIATE", err);
}

/* Two instances were given the same batch, because a process between the source and them died; and this one was slower. */
static int check_new(struct committed *c, const struct batch_id *id, struct err *err)
{
	uint64_t dead;
	int r = committed_has(c, id, &dead, err);

	return r > 0 ? err_set(err, -EALREADY,
			       "another process of the stage was given the same batch, and has "
			       "committed it: this one goes back to its last commit")
		     : r;
}

static int forget_other_runs(struct committed *c, uint64_t run, struct err *err)
{
	int r;

	if (c->run == run)
		return 0;
	BIND(c, FORGET, run);
	r = step(c, FORGET, err);
	c->run = r == 0 ? run : 0;
	return r;
}

/* Names that ended below a floor go when it rises. */
static int raise_floor(
	struct committed *c, const struct batch_id *id, uint64_t floor, struct err *err)
{
	int r;

	BIND(c, RAISE, id->run, id->origin, floor);
	r = step(c, RAISE, err);
	if (r < 0 || sqlite3_changes(c->db) == 0)
		return r;
	BIND(c, PASS, id->run, id->origin, floor);
	return step(c, PASS, err);
}

int committed_add(struct committed *c, const struct batch_head *head, uint64_t dead, bool is_new,
	struct err *err)
{
	const struct batch_id *id = &head->id;
	int r = is_new ? check_new(c, id, err) : 0;

	if (r == 0)
		r = forget_other_runs(c, id->run, err);
	if (r == 0)
		r = raise_floor(c, id, head->floor, err);
	BIND(c, ADD, id->run, id->origin, id->path, id->start, id->end, dead);
	if (r == 0)
		r = step(c, ADD, err);
	return r < 0 ? give_up(c, r) : 0;
}

int committed_end(struct committed *c, uint64_t run_number, uint32_t instance, const void *mark,
	size_t size, struct err *err)
{
	int r;

	BIND(c, MARK, instance, run_number);
	(void)sqlite3_bind_blob64(c->statements[MARK], 3, mark, size, SQLITE_STATIC);
	r = step(c, MARK, err);
	if (r == 0)
		r = run(c, "COMMIT", err);
	return r < 0 ? give_up(c, r) : 0;
}

int committed_recall(struct committed *c, uint64_t run_number, uint32_t instance, void **ret_mark,
	size_t *ret_size, struct err *err)
{
	int r;

	BIND(c, RECALL, instance, run_number);
	r = step(c, RECALL, err);
	if (r <= 0)
		return r;
	*ret_size = (size_t)sqlite3_column_bytes(c->statements[RECALL], 0);
	*ret_mark = malloc(*ret_size + 1);
	if (*ret_mark && *ret_size > 0)
		memcpy(*ret_mark, sqlite3_column_blob(c->statements[RECALL], 0), *ret_size);
	(void)sqlite3_reset(c->statements[RECALL]);
	return *ret_mark ? 1 : err_set(err, -ENOMEM, "no memory");
}

int committed_sync(struct committed *c, struct err *err)
{
	return store_sync(c->state, c->name, err);
}
