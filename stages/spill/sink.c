/* SPDX-License-Identifier: MIT */
/*
 * Sink "spill": STAGE~in. Batches are collected in memory and written at the commit, in one transaction with their names: so a disk that
 * is full tears nothing, and the same transaction is tried again until there is room. A batch that is given again is there once. The commit
 * also waits for room in the store, in steps; nothing else makes anything lasting.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "group.h"
#include "store.h"

#define ROOM_WAIT (5 * SL_MILLISECOND)
#define DISK_WAIT (200 * SL_MILLISECOND)
#define SAY_FULL (60 * SL_SECOND)
#define SAY_DROPPED SL_SECOND

enum statement { BELOW, HAS, NAME, FLOOR, FORGET, PUT, COUNT, STATEMENT_COUNT };

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

struct worker {
	struct store store;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	struct store_state state; /* as last seen: by now it may have fewer bytes */
	struct group group;
	size_t written; /* of the group: the first ones are in the store */
	uint64_t max;
	uint64_t run; /* of which names are kept */
	uint64_t dropped;
	int64_t drop_said, full_said, disk_said; /* not again before */
	bool is_held_up;                         /* by a full disk: said */
};

/* How much was ever put into it. */
static void tell_put(struct sl_context *ctx, const struct worker *w)
{
	sl_stored(ctx, w->state.next, w->state.bytes + w->state.gone);
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int spill_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct spill *o = shared;
	struct worker *w = worker;
	int r = spill_open(ctx, o, &w->store);

	w->max = o->max;
	for (int i = 0; i < STATEMENT_COUNT && r == 0; i++)
		r = spill_prepare(ctx, &w->store, texts[i], &w->statements[i]);
	if (r == 0)
		r = spill_look(ctx, &w->store, &w->state);
	if (r == 0)
		tell_put(ctx, w);
	return r;
}

static void spill_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(w->statements[i]);
	spill_close(&w->store);
	group_fini(&w->group);
}

/* --- one transaction ---------------------------------------------------------------------------- */

static int step(struct sl_context *ctx, struct worker *w, enum statement which,
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

static int put_one(struct sl_context *ctx, struct worker *w, const struct group_batch *p,
	struct store_state *state)
{
	const struct sl_identity *id = &p->id;
	int r = STEP(ctx, w, NAME, id->run, id->origin, id->path, id->start, id->end, p->dead);

	if (r < 0 || p->dead > 0)
		return r;
	(void)sqlite3_bind_blob64(
		w->statements[PUT], 4, w->group.bytes + p->at, p->size, SQLITE_STATIC);
	r = STEP(ctx, w, PUT, state->next, p->count, p->hash);
	state->next += p->count;
	state->bytes += p->size;
	return r;
}

/* Names of what is below the floor are not needed, the floor is: late copies of such batches may come. */
static int forget(struct sl_context *ctx, struct worker *w, const struct sl_identity *id)
{
	int r = 0;

	if (id->run != w->run)
		r = spill_set(ctx, &w->store, "DELETE FROM names WHERE run <> ?1", id->run);
	if (r == 0 && id->run != w->run)
		r = spill_set(ctx, &w->store, "DELETE FROM floors WHERE run <> ?1", id->run);
	w->run = r == 0 ? id->run : 0;
	return r == 0 ? STEP(ctx, w, FORGET, id->run, id->origin, id->floor) : r;
}

/* One batch may be larger than all that the store may hold. */
static bool fits(const struct worker *w, uint64_t used, size_t size)
{
	return used == 0 || used + size <= w->max;
}

/* When the run is being stopped nobody reads any more, and all that was read is taken in. */
static bool may_write(const struct worker *w, const struct store_state *state, size_t i)
{
	return i < w->group.count &&
	       (fits(w, state->bytes, w->group.batches[i].size) || state->stopped == w->store.term);
}

/* As many of the group as there is room for. */
static int put_some(struct sl_context *ctx, struct worker *w)
{
	struct store_state state;
	size_t i = w->written;
	int r = spill_look(ctx, &w->store, &state);

	for (; r == 0 && may_write(w, &state, i); i++) {
		const struct sl_identity *id = &w->group.batches[i].id;

		r = put_one(ctx, w, &w->group.batches[i], &state);
		if (r == 0)
			r = STEP(ctx, w, FLOOR, id->run, id->origin, id->floor);
	}
	if (r == 0 && i > w->written)
		r = forget(ctx, w, &w->group.batches[i - 1].id);
	if (r == 0)
		r = STEP(ctx, w, COUNT, state.next, state.bytes);
	if (r == 0)
		r = spill_run(ctx, &w->store, "COMMIT");
	if (r < 0)
		return r;
	w->state = state;
	w->written = i;
	tell_put(ctx, w);
	return 0;
}

static int set_end(struct sl_context *ctx, struct worker *w)
{
	int r = spill_set(ctx, &w->store, "UPDATE store SET ended = ?1", w->store.term);

	return r == 0 ? spill_run(ctx, &w->store, "COMMIT") : r;
}

/* --- a disk that is full ------------------------------------------------------------------------ */

static void say_held_up(struct sl_context *ctx, struct worker *w, bool is)
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
	struct sl_context *ctx, struct worker *w, int (*what)(struct sl_context *, struct worker *))
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

static void say_full(struct sl_context *ctx, struct worker *w)
{
	int64_t now = sl_now();

	if (now >= w->full_said)
		sl_log_about(ctx, SL_ABOUT_STORE_FULL, SL_LOG_WARNING,
			"%s holds `spill_max`: what comes waits until some of it was read",
			w->store.path);
	w->full_said = now + SAY_FULL;
}

/* Until the next of the group fits. */
static int wait_for_room(struct sl_context *ctx, struct worker *w)
{
	int r = spill_look(ctx, &w->store, &w->state);

	while (r == 0 && !may_write(w, &w->state, w->written)) {
		say_full(ctx, w);
		r = sl_sleep_until(ctx, sl_now() + ROOM_WAIT);
		if (r == 0)
			r = spill_look(ctx, &w->store, &w->state);
	}
	return r;
}

static int flush(struct sl_context *ctx, struct worker *w)
{
	int r = 0;

	while (w->written < w->group.count && r == 0) {
		r = wait_for_room(ctx, w);
		if (r == 0)
			r = do_it(ctx, w, put_some);
		if (r == 0)
			spill_wake(&w->store, &w->state);
	}
	if (r < 0)
		return r;
	group_reset(&w->group);
	w->written = 0;
	return 0;
}

/* --- dropping ----------------------------------------------------------------------------------- */

/* 1: there is room; 0: there is none; negative errno. */
static int has_room(struct sl_context *ctx, struct worker *w, size_t size)
{
	int r;

	if (!spill_has_disk(ctx, &w->store, w->group.size + size))
		return 0;
	if (fits(w, w->state.bytes + w->group.size, size))
		return 1;
	r = spill_look(ctx, &w->store, &w->state);
	return r < 0 ? r : fits(w, w->state.bytes + w->group.size, size);
}

static void say_dropped(struct sl_context *ctx, struct worker *w, bool is_end)
{
	int64_t now = sl_now();

	if (w->dropped == 0 || (now < w->drop_said && !is_end))
		return;
	sl_log_about(ctx, SL_ABOUT_DROPPED, SL_LOG_WARNING,
		"%llu records dropped: %s holds `spill_max`, or the disk is full",
		(unsigned long long)w->dropped, w->store.path);
	w->dropped = 0;
	w->drop_said = now + SAY_DROPPED;
}

/* --- batches ------------------------------------------------------------------------------------ */

/* 1: there is such a row, with *ret_dead in it; 0; negative errno. */
static int find(struct sl_context *ctx, struct worker *w, enum statement which,
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

/* 1: it was given before, with *ret_dead of its records dropped, as far as is known; 0; negative errno. */
static int had(
	struct sl_context *ctx, struct worker *w, const struct sl_identity *id, uint64_t *ret_dead)
{
	const struct group_batch *written = group_find(&w->group, id);
	int r;

	if (written) {
		*ret_dead = written->dead;
		return 1;
	}
	r = find(ctx, w, BELOW, (const uint64_t[]){ id->run, id->origin, id->end }, 3, ret_dead);
	return r != 0 ? r
		      : find(ctx, w, HAS,
				(const uint64_t[]){
					id->run, id->origin, id->path, id->start, id->end },
				5, ret_dead);
}

/* Its name is kept all the same: given again it must not be there. */
static int drop(
	struct sl_context *ctx, struct worker *w, const struct sl_identity *id, uint32_t count)
{
	int r = group_add(
		&w->group, &(struct group_batch){ .id = *id, .count = count, .dead = count }, NULL);

	if (r < 0)
		return r;
	sl_drop(ctx, count);
	w->dropped += count;
	say_dropped(ctx, w, false);
	return 0;
}

static int64_t spill_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	const struct spill *o = shared;
	struct worker *w = worker;
	struct sl_identity id = sl_batch_identity(in);
	uint32_t count = sl_batch_count(in);
	struct sl_value first = sl_batch_record(in, 0), last = sl_batch_record(in, count - 1);
	size_t size = (size_t)(last.data + last.size - first.data);
	uint64_t dead = 0;
	int r = had(ctx, w, &id, &dead);

	if (r > 0) {
		sl_rejected_before(ctx, dead > 0 ? count : 0);
		return dead > 0 ? 0 : (int64_t)count;
	}
	if (r == 0 && w->state.through == id.run)
		return sl_error(ctx, -ESHUTDOWN,
			"the run that goes on had come to its end behind %s, and what is read now "
			"is "
			"new: let it end without (give it an empty input), or begin anew with "
			"--from-start",
			w->store.path);
	if (r == 0)
		r = o->drops ? has_room(ctx, w, size) : 1;
	if (r < 0)
		return r;
	if (r == 0)
		return drop(ctx, w, &id, count);
	r = group_add(&w->group, &(struct group_batch){ .id = id, .count = count, .size = size },
		first.data);
	return r < 0 ? r : (int64_t)count;
}

static int spill_commit(struct sl_context *ctx, void *shared, void *worker)
{
	(void)shared;
	say_dropped(ctx, worker, false);
	return flush(ctx, worker);
}

static int spill_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	struct worker *w = worker;
	int r;

	(void)shared;
	say_dropped(ctx, w, true);
	if (!complete)
		return 0;
	r = do_it(ctx, w, set_end);
	if (r == 0)
		spill_wake(&w->store, &w->state);
	return r;
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
static int spill_sync(struct sl_context *ctx, const void *shared)
{
	struct store store;
	int r = spill_name(ctx, shared, &store);

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
static int spill_known(struct sl_context *ctx, const void *shared, sl_known_fn *tell, void *user)
{
	struct store store;
	int r = spill_name(ctx, shared, &store);

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

const struct sl_stage sl_stage_sink_spill = {
	.abi = SL_ABI,
	.name = "spill",
	.role = SL_SINK,
	.summary = "batches into the store before a stage, or behind a source",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct spill),
	.worker_size = sizeof(struct worker),
	.start = spill_start,
	.write = spill_write,
	.commit = spill_commit,
	.finish = spill_finish,
	.stop = spill_stop,
	.sync = spill_sync,
	.known = spill_known,
	.options = spill_options,
};
