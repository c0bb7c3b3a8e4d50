/* SPDX-License-Identifier: MIT */
/* See dead.h. */
#include "state/dead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/store.h"

/* 64-bit numbers of an identity are kept as SQLite's signed ones, bit for bit. */
static const char *const steps[] = {
	"CREATE TABLE letters ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, origin INTEGER NOT NULL,"
	" start INTEGER NOT NULL, path INTEGER NOT NULL, stage TEXT NOT NULL, place INTEGER NOT "
	"NULL,"
	" attempts INTEGER NOT NULL, time INTEGER NOT NULL, whence TEXT, reason TEXT NOT NULL,"
	" record BLOB, UNIQUE (run, origin, start, path, stage, place))",
};

const struct store_kind dead_kind = {
	.name = "dead.db",
	.what = "dead letters",
	.steps = steps,
	.step_count = sizeof(steps) / sizeof(steps[0]),
};

#define CHOSEN                                                                                     \
	" WHERE (?1 IS NULL OR stage = ?1) AND (?2 = 0 OR id = ?2) AND (?3 = 0 OR id <= ?3)"       \
	" AND (?4 = 0 OR record IS NOT NULL)"

enum statement { PUT, HAS, WALK, PURGE, STATEMENT_COUNT };

static const char *const texts[STATEMENT_COUNT] = {
	[PUT] = "INSERT OR IGNORE INTO letters (run, origin, start, path, stage, place, attempts, "
		"time, "
		"whence, reason, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[HAS] = "SELECT 1 FROM letters WHERE run = ? AND origin = ? AND start = ? AND path = ? AND "
		"stage = ? AND place = ?",
	[WALK] = "SELECT id, run, origin, start, path, stage, place, attempts, time, whence, "
		 "reason, "
		 "record FROM letters" CHOSEN " AND id > ?5 ORDER BY id",
	[PURGE] = "DELETE FROM letters" CHOSEN,
};

struct dead {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENT_COUNT]; /* made when they are first needed */
};

int dead_open(const char *state, bool may_make, struct dead **ret_dead, struct err *err)
{
	struct dead *dead = calloc(1, sizeof(*dead));
	int r;

	if (!dead)
		return err_set(err, -ENOMEM, "no memory");
	r = store_open(state, &dead_kind, may_make, &dead->db, err);
	if (r < 0) {
		free(dead);
		return r;
	}
	*ret_dead = dead;
	return 0;
}

void dead_close(struct dead *dead)
{
	if (!dead)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(dead->statements[i]);
	(void)sqlite3_close_v2(dead->db);
	free(dead);
}

static sqlite3_stmt *get(struct dead *dead, enum statement which)
{
	sqlite3_stmt **statement = &dead->statements[which];

	if (!*statement)
		(void)sqlite3_prepare_v3(
			dead->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
	return *statement;
}

static void bind_text(sqlite3_stmt *statement, int i, const char *text)
{
	(void)sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC);
}

static void bind_name(
	sqlite3_stmt *statement, const struct batch_id *in, const char *stage, uint32_t index)
{
	(void)sqlite3_bind_int64(statement, 1, (int64_t)in->run);
	(void)sqlite3_bind_int64(statement, 2, (int64_t)in->origin);
	(void)sqlite3_bind_int64(statement, 3, (int64_t)in->start);
	(void)sqlite3_bind_int64(statement, 4, (int64_t)in->path);
	bind_text(statement, 5, stage);
	(void)sqlite3_bind_int64(statement, 6, index);
}

static void bind_choice(sqlite3_stmt *statement, const struct dead_choice *choice)
{
	bind_text(statement, 1, choice->stage);
	(void)sqlite3_bind_int64(statement, 2, choice->id);
	(void)sqlite3_bind_int64(statement, 3, choice->last);
	(void)sqlite3_bind_int(statement, 4, choice->is_whole);
}

/* Done with it; the code of its last step, as an errno. */
static int done(struct dead *dead, sqlite3_stmt *statement, int code, struct err *err)
{
	int r = code == SQLITE_DONE || code == SQLITE_ROW ? 0
							  : store_error(dead->db, &dead_kind, err);

	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
	return r;
}

int dead_put(struct dead *dead, const struct dead_letter *letter, struct err *err)
{
	sqlite3_stmt *s = get(dead, PUT);
	int r;

	if (!s)
		return store_error(dead->db, &dead_kind, err);
	bind_name(s, &letter->in, letter->stage, letter->index);
	(void)sqlite3_bind_int64(s, 7, letter->attempts);
	(void)sqlite3_bind_int64(s, 8, letter->time);
	bind_text(s, 9, letter->where);
	bind_text(s, 10, letter->reason);
	if (letter->record)
		(void)sqlite3_bind_blob64(
			s, 11, letter->record, letter->record_size, SQLITE_STATIC);
	r = done(dead, s, sqlite3_step(s), err);
	return r < 0 ? r : sqlite3_changes(dead->db);
}

int dead_has(struct dead *dead, const struct batch_id *in, const char *stage, uint32_t index,
	struct err *err)
{
	sqlite3_stmt *s = get(dead, HAS);
	int code, r;

	if (!s)
		return store_error(dead->db, &dead_kind, err);
	bind_name(s, in, stage, index);
	code = sqlite3_step(s);
	r = done(dead, s, code, err);
	return r < 0 ? r : code == SQLITE_ROW;
}

static void read_letter(sqlite3_stmt *s, struct dead_letter *letter)
{
	*letter = (struct dead_letter){
		.id = sqlite3_column_int64(s, 0),
		.in = {
			.run = (uint64_t)sqlite3_column_int64(s, 1),
			.origin = (uint64_t)sqlite3_column_int64(s, 2),
			.start = (uint64_t)sqlite3_column_int64(s, 3),
			.path = (uint64_t)sqlite3_column_int64(s, 4),
		},
		.stage = (const char *)sqlite3_column_text(s, 5),
		.index = (uint32_t)sqlite3_column_int64(s, 6),
		.attempts = (uint32_t)sqlite3_column_int64(s, 7),
		.time = sqlite3_column_int64(s, 8),
		.where = (const char *)sqlite3_column_text(s, 9),
		.reason = (const char *)sqlite3_column_text(s, 10),
		.record = sqlite3_column_blob(s, 11),
		.record_size = (size_t)sqlite3_column_bytes(s, 11),
	};
}

int dead_walk(struct dead *dead, const struct dead_choice *choice, int64_t after,
	dead_each_fn *each, void *user, struct err *err)
{
	sqlite3_stmt *s = get(dead, WALK);
	int answer = 0;
	int code, r;

	if (!s)
		return store_error(dead->db, &dead_kind, err);
	bind_choice(s, choice);
	(void)sqlite3_bind_int64(s, 5, after);
	while ((code = sqlite3_step(s)) == SQLITE_ROW && answer == 0) {
		struct dead_letter letter;

		read_letter(s, &letter);
		answer = each(user, &letter);
	}
	r = done(dead, s, code, err);
	return r < 0 ? r : answer;
}

int64_t dead_purge(struct dead *dead, const struct dead_choice *choice, struct err *err)
{
	sqlite3_stmt *s = get(dead, PURGE);
	int r;

	if (!s)
		return store_error(dead->db, &dead_kind, err);
	bind_choice(s, choice);
	r = done(dead, s, sqlite3_step(s), err);
	return r < 0 ? r : sqlite3_changes64(dead->db);
}
