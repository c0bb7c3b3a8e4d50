/* SPDX-License-Identifier: MIT */
/*
 * Source "spill": STAGE~out. An origin is a store, a position the number of a record in it. Batches are read in the order in which they were
 * written and cut anew, as is wished; what is settled is deleted a step at a time. The end is where the sink said so, in the term
 * of this supervisor: it says so in each of them.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <msgpuck.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store.h"

#define TIDY_INTERVAL (100 * SL_MILLISECOND) /* as often as checkpoints are written */
#define TIDY_PATIENCE (20 * SL_MILLISECOND)
#define SHRINK_INTERVAL (10 * SL_SECOND)
#define LOOK_AGAIN SL_SECOND
#define LOOK_WITHOUT_WATCH (10 * SL_MILLISECOND)

/* The batch that is being read. */
struct row {
	char *data;
	size_t size, room;
	size_t at;      /* of the next record */
	uint64_t first; /* record at `at`, and how many are left */
	uint32_t left;
};

struct worker {
	struct store store;
	sqlite3_stmt *get;
	struct store_state state;
	struct row row;
	uint64_t origin;
	uint64_t position;
	uint64_t first; /* that was not deleted */
	uint64_t bound; /* of this cut: see sl_bound; 0: none */
	int watch;      /* inotify; -1: look now and then */
	bool is_new;
	bool has_tags; /* see struct spill */
	bool has_rows; /* that may be deleted one day */
	int64_t tidied, shrunk;
};

/* --- beginning and end -------------------------------------------------------------------------- */

/* How much was ever settled, and where what is still there begins. 0 or negative errno. */
static int tell_taken(struct sl_context *ctx, struct worker *w)
{
	uint64_t n[4];
	int r = spill_ask(ctx, &w->store,
		"SELECT settled, gone, next, coalesce((SELECT min(first) FROM batches), next) FROM "
		"store",
		n, 4);

	if (r < 0)
		return r;
	sl_stored(ctx, n[0], n[1]);
	w->first = n[3];
	w->has_rows = n[3] < n[2];
	return 0;
}

static int spill_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;
	int r = spill_open(ctx, shared, &w->store);

	w->watch = -1;
	w->is_new = true;
	w->has_tags = ((const struct spill *)shared)->has_tags;
	w->has_rows = true;
	if (r == 0)
		r = spill_prepare(ctx, &w->store,
			"SELECT first, count, hash, bytes FROM batches WHERE first <= ?1 ORDER BY "
			"first DESC LIMIT 1",
			&w->get);
	if (r == 0)
		r = spill_look(ctx, &w->store, &w->state);
	if (r == 0)
		r = tell_taken(ctx, w);
	if (r < 0)
		return r;
	w->origin = XXH3_64bits_withSeed(
		sl_stage_name(ctx), strlen(sl_stage_name(ctx)), w->state.number);
	w->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->watch >= 0 && inotify_add_watch(w->watch, w->store.lock_path, IN_MODIFY) < 0) {
		(void)close(w->watch);
		w->watch = -1;
	}
	return 0;
}

static void spill_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	(void)sqlite3_finalize(w->get);
	spill_close(&w->store);
	if (w->watch >= 0)
		(void)close(w->watch);
	free(w->row.data);
}

/* --- what is settled ---------------------------------------------------------------------------- */

/* What stands below `settled` counts no more, and is deleted where no power cut can ask for it again. As spill_settle. */
static int let_go(struct sl_context *ctx, struct worker *w, uint64_t settled, int64_t deadline)
{
	uint64_t safe = sl_safe(ctx, w->origin);
	int r = spill_settle(ctx, &w->store, settled, deadline);
	int deleted = 0;

	safe = safe < settled ? safe : settled;
	if (r >= 0 && safe > w->first)
		deleted = spill_delete(ctx, &w->store, safe, deadline);
	if (r < 0 || deleted < 0)
		return r < 0 ? r : deleted;
	if (r > 0 || deleted > 0) {
		r = tell_taken(ctx, w);
		return r < 0 ? r : 1;
	}
	return 0;
}

/* Now and then. 0 or negative errno. */
static int tidy(struct sl_context *ctx, struct worker *w)
{
	struct sl_place place;
	int64_t now = sl_now();
	int r = 0;

	if (now < w->tidied)
		return 0;
	w->tidied = now + TIDY_INTERVAL;
	if (w->has_rows && sl_checkpoint(ctx, w->origin, &place))
		r = let_go(ctx, w, place.position, now + TIDY_PATIENCE);
	if (r > 0)
		w->tidied = 0;
	if (!w->has_rows && now >= w->shrunk) {
		w->shrunk = now + SHRINK_INTERVAL;
		spill_shrink(&w->store);
	}
	return r < 0 ? r : 0;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* The statement's row becomes the worker's, from the record `position` on. 1; negative errno. */
static int take_row(struct sl_context *ctx, struct worker *w)
{
	sqlite3_stmt *s = w->get;
	uint64_t first = (uint64_t)sqlite3_column_int64(s, 0);
	size_t size = (size_t)sqlite3_column_bytes(s, 3);
	const void *data = sqlite3_column_blob(s, 3);
	struct row *row = &w->row;
	const char *at;

	if (size > row->room) {
		free(row->data);
		row->room = 0;
		row->data = malloc(size);
		if (!row->data)
			return -ENOMEM;
		row->room = size;
	}
	if (!data || XXH3_64bits(data, size) != (uint64_t)sqlite3_column_int64(s, 2))
		return spill_damaged(ctx, &w->store, "a batch is not what was written");
	memcpy(row->data, data, size);
	row->size = size;
	row->left = (uint32_t)sqlite3_column_int64(s, 1);
	at = row->data;
	for (; first < w->position; first++, row->left--)
		mp_next(&at);
	row->first = first;
	row->at = (size_t)(at - row->data);
	return 1;
}

/* 1: the worker's row begins at its position; 0: there is none yet. */
static int find_row(struct sl_context *ctx, struct worker *w)
{
	int code, r;

	if (w->row.left > 0 && w->row.first == w->position)
		return 1;
	w->row.left = 0;
	(void)sqlite3_bind_int64(w->get, 1, (sqlite3_int64)w->position);
	code = sqlite3_step(w->get);
	if (code == SQLITE_ROW)
		r = (uint64_t)sqlite3_column_int64(w->get, 0) +
					    (uint64_t)sqlite3_column_int64(w->get, 1) >
				    w->position
			    ? take_row(ctx, w)
			    : 0;
	else
		r = code == SQLITE_DONE ? 0 : spill_failed(ctx, &w->store);
	(void)sqlite3_reset(w->get);
	return r;
}

static size_t cut_size(const struct worker *w, const struct sl_cut *cut)
{
	return cut->out->size + (w->has_tags ? cut->outs[1]->size : 0);
}

static uint32_t cut_count(const struct worker *w, const struct sl_cut *cut)
{
	return cut->out->count + (w->has_tags ? cut->outs[1]->count : 0);
}

/* How many records of the row, and bytes: at least one. */
static uint32_t measure(
	const struct worker *w, const struct sl_cut *cut, uint32_t most, size_t *ret_size)
{
	const struct row *row = &w->row;
	const char *begin = row->data + row->at, *at = begin;
	size_t fits = cut->size_max - cut_size(w, cut);
	uint32_t count = 0;

	if (most >= row->left && row->size - row->at <= fits) {
		*ret_size = row->size - row->at;
		return row->left;
	}
	while (count < row->left && count < most && (count == 0 || (size_t)(at - begin) < fits)) {
		mp_next(&at);
		count++;
	}
	*ret_size = (size_t)(at - begin);
	return count;
}

/* As they are. */
static int copy_all(const struct worker *w, struct sl_writer *out, uint32_t count, size_t size)
{
	char *to = sl_writer_reserve(out, size);

	if (!to)
		return -ENOMEM;
	memcpy(to, w->row.data + w->row.at, size);
	out->size += size;
	out->mark = out->size;
	out->count += count;
	return 0;
}

/* Each to the output where it belongs. */
static int share_out(const struct worker *w, struct sl_cut *cut, uint32_t count)
{
	const char *at = w->row.data + w->row.at;
	int r = 0;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		bool is_second = mp_typeof(*at) == MP_ARRAY;
		const char *begin = at;

		mp_next(&at);
		begin += is_second;
		sl_put_value(
			cut->outs[is_second], (struct sl_value){ begin, (size_t)(at - begin) });
		r = sl_record_done(cut->outs[is_second]);
	}
	return r;
}

static int copy(struct worker *w, struct sl_cut *cut, uint32_t most)
{
	size_t size;
	uint32_t count = measure(w, cut, most, &size);
	int r = w->has_tags ? share_out(w, cut, count) : copy_all(w, cut->out, count, size);

	if (r < 0)
		return r;
	w->row.at += size;
	w->row.first += count;
	w->row.left -= count;
	w->position += count;
	return 0;
}

/* As many as the cut may still take. */
static uint32_t wanted(const struct worker *w, const struct sl_cut *cut)
{
	uint64_t most = cut->want - cut_count(w, cut);

	if (cut->until > w->position && cut->until - w->position < most)
		most = cut->until - w->position;
	if (cut->until && cut->until <= w->position)
		most = 0;
	if (w->bound > w->position && w->bound - w->position < most)
		most = w->bound - w->position;
	else if (w->bound > 0 && w->bound <= w->position)
		most = 0;
	return cut_size(w, cut) < cut->size_max ? (uint32_t)most : 0;
}

/* All that is there and fits. */
static int fill(struct sl_context *ctx, struct worker *w, struct sl_cut *cut)
{
	uint32_t most;
	int r = 0;

	while ((most = wanted(w, cut)) > 0) {
		r = find_row(ctx, w);
		if (r > 0)
			r = copy(w, cut, most);
		else
			break;
		if (r < 0)
			break;
	}
	cut->end = w->position;
	return r < 0 ? r : 0;
}

/* --- waiting ------------------------------------------------------------------------------------ */

/* SL_END, SL_MORE: look again; negative errno. */
static int look(struct sl_context *ctx, struct worker *w)
{
	int r = spill_look(ctx, &w->store, &w->state);

	if (r < 0)
		return r;
	return w->state.ended == w->store.term && w->state.next == w->position ? SL_END : SL_MORE;
}

static int wait_for_more(struct sl_context *ctx, struct worker *w)
{
	int64_t now = sl_now();
	char events[512];
	int r;

	if (w->watch < 0)
		return sl_sleep_until(ctx, now + LOOK_WITHOUT_WATCH);
	r = sl_wait_fd(ctx, w->watch, POLLIN, now + (w->has_rows ? TIDY_INTERVAL : LOOK_AGAIN));
	while (r == 0 && read(w->watch, events, sizeof(events)) > 0)
		;
	return r == -ETIMEDOUT ? 0 : r;
}

/* 0 or negative errno. What was settled once must have been in it, and only that may be gone. */
static int go_on(struct sl_context *ctx, struct worker *w)
{
	struct sl_place place;

	w->is_new = false;
	if (sl_checkpoint(ctx, w->origin, &place))
		w->position = place.position;
	if (w->position > w->state.next)
		return spill_damaged(ctx, &w->store, "what was put into it last is missing");
	if (w->position < w->first)
		return spill_damaged(ctx, &w->store, "what was not settled yet is missing");
	return 0;
}

static int produce(struct sl_context *ctx, struct worker *w, struct sl_cut *cut)
{
	int r;

	for (;;) {
		bool must_have = w->state.next > w->position;

		r = fill(ctx, w, cut);
		if (r < 0 || cut_count(w, cut) > 0)
			return r < 0 ? r : SL_MORE;
		if (must_have && !cut->until)
			return spill_damaged(ctx, &w->store, "batches are missing");
		r = cut->until ? SL_END : look(ctx, w);
		/* What came after it was looked for is looked for again. */
		if (r != SL_MORE)
			return r;
		r = w->state.next > w->position ? 0 : tidy(ctx, w);
		if (r == 0 && w->state.next <= w->position)
			r = wait_for_more(ctx, w);
		if (r < 0)
			return r;
	}
}

static int spill_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	const struct spill *o = shared;
	struct worker *w = worker;
	int r = w->is_new ? go_on(ctx, w) : 0;

	/* What is made again is asked for below the checkpoint that stands. */
	if (r == 0 && !cut->until)
		r = tidy(ctx, w);
	w->bound = cut->until ? 0 : sl_bound(ctx, w->origin, w->position);
	cut->origin = w->origin;
	cut->name = o->store;
	cut->start = w->position;
	cut->end = w->position;
	if (r == 0)
		r = produce(ctx, w, cut);
	if (r >= 0 && cut_count(w, cut) > 0)
		w->has_rows = true;
	return r == -ENOSPC ? sl_error(ctx, r, "%s: the disk is full", w->store.path) : r;
}

/* --- the end ------------------------------------------------------------------------------------ */

static int note_end(struct sl_context *ctx, struct worker *w, bool complete)
{
	int r = spill_begin(ctx, &w->store, SL_NEVER);

	if (r == 0)
		r = complete ? spill_set(ctx, &w->store, "UPDATE store SET through = ?1",
				       w->store.run)
			     : spill_set(ctx, &w->store, "UPDATE store SET stopped = ?1",
				       w->store.term);
	if (r == 0)
		r = spill_run(ctx, &w->store, "COMMIT");
	if (r < 0)
		spill_rollback(&w->store);
	return r;
}

/* All that it gave is settled. `complete`: and that was all. */
static int end(struct sl_context *ctx, struct worker *w, bool complete)
{
	int r = w->is_new ? go_on(ctx, w) : 0;

	if (r == 0)
		r = note_end(ctx, w, complete);
	while (r == 0 && (r = let_go(ctx, w, w->position, SL_NEVER)) > 0)
		r = 0;
	if (r == 0 && complete && !w->has_rows)
		spill_shrink(&w->store);
	return r;
}

static int spill_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	int r;

	(void)shared;
	for (;;) {
		r = end(ctx, worker, complete);
		if (r != -ENOSPC)
			return r;
		r = sl_sleep_until(ctx, sl_now() + SL_SECOND);
		if (r < 0)
			return r;
	}
}

const struct sl_stage sl_stage_source_spill = {
	.abi = SL_ABI,
	.name = "spill",
	.role = SL_SOURCE,
	.summary = "batches out of the store before a stage, or behind a source",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES | SL_WAITS | SL_CONFINED,
	.shared_size = sizeof(struct spill),
	.worker_size = sizeof(struct worker),
	.start = spill_start,
	.produce = spill_produce,
	.finish = spill_finish,
	.stop = spill_stop,
	.options = spill_options,
};
