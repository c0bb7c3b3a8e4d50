/* SPDX-License-Identifier: MIT */
/* See into.h. */
#include "into.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ROOM_WAIT (5 * SL_MILLISECOND)
#define DISK_WAIT (200 * SL_MILLISECOND)
#define SAY_FULL (60 * SL_SECOND)

static const char raise_floor[] = "INSERT INTO floors VALUES (?1, ?2, ?3)"
				  " ON CONFLICT DO UPDATE SET floor = max(floor, ?3)";

/* A batch, or a larger one of which it is a part: it was cut otherwise before a power cut. All of one was dropped, or nothing. */
static const char find_covering[] =
	"SELECT dead FROM (SELECT stop, dead FROM names WHERE (run, origin, path) = (?1, ?2, ?3)"
	" AND start <= ?4 ORDER BY start DESC LIMIT 1) WHERE stop >= ?5";

static const char *const texts[STATEMENT_COUNT] = {
	[BELOW] = "SELECT 0 FROM floors WHERE (run, origin) = (?1, ?2) AND floor >= ?3",
	[HAS] = find_covering,
	[NAME] = "INSERT INTO names VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[FLOOR] = raise_floor,
	[FORGET] = "DELETE FROM names WHERE run = ?1 AND origin = ?2 AND stop <= ?3",
	[PUT] = "INSERT INTO batches VALUES (?1, ?2, ?3, ?4)",
	[COUNT] = "UPDATE store SET next = ?1, bytes = ?2",
};

/* How much was ever put into it. */
static void tell_put(struct sl_context *ctx, const struct into *w)
{
	sl_stored(ctx, w->state.next, w->state.bytes + w->state.gone);
}

/* --- beginning and end -------------------------------------------------------------------------- */

int into_open(struct sl_context *ctx, const struct spill *options, struct into *into)
{
	int r = spill_open(ctx, options, &into->store);

	into->max = options->max;
	for (int i = 0; i < STATEMENT_COUNT && r == 0; i++)
		r = spill_prepare(ctx, &into->store, texts[i], &into->statements[i]);
	if (r == 0)
		r = spill_look(ctx, &into->store, &into->state);
	if (r == 0)
		tell_put(ctx, into);
	return r;
}

void into_close(struct into *into)
{
	for (int i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(into->statements[i]);
	spill_close(&into->store);
	group_fini(&into->group);
}

/* --- one transaction ---------------------------------------------------------------------------- */

static int step(struct sl_context *ctx, struct into *w, enum into_statement which,
	const uint64_t *numbers, int count)
{
	sqlite3_stmt *s = w->statements[which];
	int code;

	for (int i = 0; i < count; i++)
		(void)sqlite3_bind_int64(s, i + 1, (sqlite3_int64)numbers[i]);
	code = sqlite3_step(s);
	(void)sqlite3_reset(s);
	return code == SQLITE_DONE ? 0 : spill_failed(ctx, &w->store);
}

#define STEP(ctx, w, which, ...)                                                                   \
	step(ctx, w, which, (const uint64_t[]){ __VA_ARGS__ },                                     \
		(int)(sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t)))

static int put_one(struct sl_context *ctx, struct into *w, const struct group_batch *p,
	struct store_state *state)
{
	const struct sl_identity *id = &p->id;
	int r = 0;

	if (id->run != 0)
		r = STEP(ctx, w, NAME, id->run, id->origin, id->path, id->start, id->end, p->dead);
	if (r == 0 && id->run != 0)
		r = STEP(ctx, w, FLOOR, id->run, id->origin, id->floor);

	if (r < 0 || p->size == 0)
		return r;
	(void)sqlite3_bind_blob64(
		w->statements[PUT], 4, w->group.bytes + p->at, p->size, SQLITE_STATIC);
	r = STEP(ctx, w, PUT, state->next, p->count, p->hash);
	state->next += p->count;
	state->bytes += p->size;
	return r;
}

/* Of the last batch that has a name. Names of what is below the floor are not needed, the floor is: late copies of such batches may come. */
static int forget(struct sl_context *ctx, struct into *w, size_t end)
{
	const struct sl_identity *id;
	int r = 0;

	while (end > w->written && w->group.batches[end - 1].id.run == 0)
		end--;
	if (end == w->written)
		return 0;
	id = &w->group.batches[end - 1].id;
	if (id->run != w->run)
		r = spill_set(ctx, &w->store, "DELETE FROM names WHERE run <> ?1", id->run);
	if (r == 0 && id->run != w->run)
		r = spill_set(ctx, &w->store, "DELETE FROM floors WHERE run <> ?1", id->run);
	w->run = r == 0 ? id->run : 0;
	return r == 0 ? STEP(ctx, w, FORGET, id->run, id->origin, id->floor) : r;
}

bool into_fits(const struct into *into, uint64_t used, size_t size)
{
	return used == 0 || size == 0 || used + size <= into->max;
}

/* When the run is being stopped nobody reads any more, and all that was read is taken in. */
static bool may_write(const struct into *w, const struct store_state *state, size_t i)
{
	size_t size = w->save ? w->group.size : w->group.batches[i].size;

	return into_fits(w, state->bytes, size) || state->stopped == w->store.term;
}

/* As many of the group as there is room for; with state all of it, or nothing. */
static int put_some(struct sl_context *ctx, struct into *w)
{
	struct store_state state;
	size_t i = w->written;
	int r = spill_look(ctx, &w->store, &state);

	for (; r == 0 && i < w->group.count && ((w->save && i > 0) || may_write(w, &state, i)); i++)
		r = put_one(ctx, w, &w->group.batches[i], &state);
	if (r == 0)
		r = forget(ctx, w, i);
	if (r == 0)
		r = STEP(ctx, w, COUNT, state.next, state.bytes);
	if (r == 0 && w->save && i == w->group.count)
		r = w->save(ctx, w);
	if (r == 0)
		r = spill_run(ctx, &w->store, "COMMIT");
	if (r < 0)
		return r;
	w->state = state;
	w->written = i;
	tell_put(ctx, w);
	return 0;
}

static int set_end(struct sl_context *ctx, struct into *w)
{
	int r = spill_set(ctx, &w->store, "UPDATE store SET ended = ?1", w->store.term);

	return r == 0 ? spill_run(ctx, &w->store, "COMMIT") : r;
}

/* --- a disk that is full ------------------------------------------------------------------------ */

static void say_held_up(struct sl_context *ctx, struct into *w, bool is)
{
	int64_t now = is ? sl_now() : 0;

	if (is && !w->is_held_up && now >= w->disk_said) {
		sl_log_about(ctx, SL_ABOUT_DISK_FULL, SL_LOG_WARNING, "%s waits: the disk is full",
			w->store.path);
		w->is_held_up = true;
		w->disk_said = now + SAY_FULL;
	} else if (!is && w->is_held_up) {
		sl_log_about(ctx, SL_ABOUT_DISK_AGAIN, SL_LOG_WARNING, "%s is written again",
			w->store.path);
		w->is_held_up = false;
	}
}

/* Does it, in a transaction, until there is room for it. */
static int do_it(
	struct sl_context *ctx, struct into *w, int (*what)(struct sl_context *, struct into *))
{
	for (;;) {
		int r = spill_has_disk(ctx, &w->store, w->group.size)
				? spill_begin(ctx, &w->store, SL_NEVER)
				: -ENOSPC;

		if (r == 0)
			r = what(ctx, w);
		if (r < 0)
			spill_rollback(&w->store);
		say_held_up(ctx, w, r == -ENOSPC);
		if (r != -ENOSPC)
			return r;
		spill_empty_wal(&w->store);
		r = sl_sleep_until(ctx, sl_now() + DISK_WAIT);
		if (r < 0)
			return r;
	}
}

/* --- a store that is full ----------------------------------------------------------------------- */

static void say_full(struct sl_context *ctx, struct into *w)
{
	int64_t now = sl_now();

	if (now >= w->full_said)
		sl_log_about(ctx, SL_ABOUT_STORE_FULL, SL_LOG_WARNING,
			"%s holds `spill_max`: what comes waits until some of it was read",
			w->store.path);
	w->full_said = now + SAY_FULL;
}

/* Until the next of the group fits. */
static int wait_for_room(struct sl_context *ctx, struct into *w)
{
	int r = spill_look(ctx, &w->store, &w->state);

	while (r == 0 && w->written < w->group.count && !may_write(w, &w->state, w->written)) {
		say_full(ctx, w);
		r = sl_sleep_until(ctx, sl_now() + ROOM_WAIT);
		if (r == 0)
			r = spill_look(ctx, &w->store, &w->state);
	}
	return r;
}

int into_flush(struct sl_context *ctx, struct into *w)
{
	int r;

	do {
		r = wait_for_room(ctx, w);
		if (r == 0)
			r = do_it(ctx, w, put_some);
		if (r == 0)
			spill_wake(&w->store, &w->state);
	} while (w->written < w->group.count && r == 0);
	if (r < 0)
		return r;
	group_reset(&w->group);
	w->written = 0;
	return 0;
}

int into_end(struct sl_context *ctx, struct into *w)
{
	int r = do_it(ctx, w, set_end);

	if (r == 0)
		spill_wake(&w->store, &w->state);
	return r;
}

/* --- what was given before ---------------------------------------------------------------------- */

/* 1: there is such a row, with *ret_dead in it; 0; negative errno. */
static int find(struct sl_context *ctx, struct into *w, enum into_statement which,
	const uint64_t *numbers, int count, uint64_t *ret_dead)
{
	sqlite3_stmt *s = w->statements[which];
	int code;

	for (int i = 0; i < count; i++)
		(void)sqlite3_bind_int64(s, i + 1, (sqlite3_int64)numbers[i]);
	code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		*ret_dead = (uint64_t)sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : spill_failed(ctx, &w->store);
}

static int is_new(struct sl_context *ctx, const struct into *w, const struct sl_identity *id)
{
	if (w->state.through != id->run)
		return 0;
	return sl_error(ctx, -ESHUTDOWN,
		"the run that goes on had come to its end behind %s, and what is read now is new: "
		"let it "
		"end without (give it an empty input), or begin anew with --from-start",
		w->store.path);
}

int into_had(
	struct sl_context *ctx, struct into *w, const struct sl_identity *id, uint64_t *ret_dead)
{
	const struct group_batch *written = group_find(&w->group, id);
	int r;

	if (written) {
		*ret_dead = written->dead;
		return 1;
	}
	r = find(ctx, w, BELOW, (const uint64_t[]){ id->run, id->origin, id->end }, 3, ret_dead);
	if (r == 0)
		r = find(ctx, w, HAS,
			(const uint64_t[]){ id->run, id->origin, id->path, id->start, id->end }, 5,
			ret_dead);
	return r != 0 ? r : is_new(ctx, w, id);
}

/* --- power cuts --------------------------------------------------------------------------------- */

static int sync_one(struct sl_context *ctx, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fsync(fd) < 0)
		r = sl_error(ctx, -errno, "cannot sync %s: %s", path, strerrordesc_np(errno));
	if (fd >= 0)
		(void)close(fd);
	return r;
}

/* Between checkpoints SQLite syncs nothing: what was committed stands in the WAL, if it is not in the file by now. */
int into_sync(struct sl_context *ctx, const struct spill *options)
{
	struct store store;
	int r = spill_name(ctx, options, &store);

	if (r == 0)
		r = sync_one(ctx, store.wal_path);
	if (r == 0)
		r = sync_one(ctx, store.path);
	return r == 0 ? sync_one(ctx, sl_state(ctx)) : r;
}

static int tell_rows(
	struct sl_context *ctx, struct store *store, const char *sql, sl_known_fn *tell, void *user)
{
	sqlite3_stmt *s;
	int r = spill_prepare(ctx, store, sql, &s);
	int code = SQLITE_DONE;

	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(s, 1, (sqlite3_int64)sl_run(ctx));
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW)
		r = tell(user, (uint64_t)sqlite3_column_int64(s, 0),
			(uint64_t)sqlite3_column_int64(s, 1));
	if (r == 0 && code != SQLITE_DONE)
		r = spill_failed(ctx, store);
	(void)sqlite3_finalize(s);
	return r;
}

/* A store that is damaged is set aside by its stages. */
int into_known(struct sl_context *ctx, const struct spill *options, sl_known_fn *tell, void *user)
{
	struct store store;
	int r = spill_name(ctx, options, &store);

	if (r < 0 || access(store.path, F_OK) < 0)
		return r;
	if (sqlite3_open_v2(store.path, &store.db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		r = spill_failed(ctx, &store);
	if (r == 0)
		r = tell_rows(ctx, &store,
			"SELECT origin, start FROM names WHERE run = ?1 UNION SELECT origin, stop "
			"FROM names WHERE run = ?1 UNION SELECT origin, floor FROM floors WHERE "
			"run "
			"= ?1",
			tell, user);
	spill_close(&store);
	return r == -EBADMSG ? 0 : r;
}
